"""The Frame Attention Network against its equations, written as loops, and the sheet's traps."""

import math

import pytest
import torch
from torchvision.models import resnet18

from fer_repro.errors import UserError
from fer_repro.methods.fan import (
    METHOD,
    FANLoss,
    FANOptions,
    FANOutput,
    FrameAttentionNetwork,
    ScoreFusion,
    _build_model,
    _explain,
)

OPTIONS = FANOptions(width=4, frames=3, sampling="paper", pretraining="none")
ATTENTIVE = ("self_relation", "self_attention", "self_relation_reference")
GRAPHS = ("frame_graph", "frame_graph_identity", "frame_graph_softmax")
ORDERED = (*GRAPHS, "frame_lstm")  # these read frames in their order


def network(arm="self_relation", seed=0):
    torch.manual_seed(seed)
    model = _build_model(arm, OPTIONS, 7).double().eval()
    with torch.no_grad():  # weights far from equal, so that a wrong weighting shows
        for name, parameter in model.named_parameters():
            if name.startswith(("alpha", "beta")):
                parameter.mul_(8)
    return model


def clips(count, length, side=32, seed=1):
    return torch.rand(count, length, 3, side, side, generator=torch.Generator().manual_seed(seed)).double()


def padded(seed=1):
    """Two clips of 4 and 2 frames; what stands in the padding must not be read."""
    frames = clips(2, 4, seed=seed)
    frames[1, 2:] = torch.nan
    return frames, torch.tensor([[True] * 4, [True, True, False, False]])


def linear(layer, vector):
    return [
        sum(w * x for w, x in zip(row, vector, strict=True)) + b
        for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    ]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def mean(vectors, numerator, denominator):
    return [
        sum(w * v[d] for w, v in zip(numerator, vectors, strict=True)) / sum(denominator)
        for d in range(len(vectors[0]))
    ]


def by_hand(model, frames, arm):
    """Logits of one clip from equations 1 to 4; the authors' evaluation weighs the numerator by alpha."""
    vectors = model.embed_images(frames).tolist()
    alpha = [1.0 for _ in vectors]
    if arm != "feature_average":
        alpha = [sigmoid(linear(model.alpha[0], f)[0]) for f in vectors]  # Eq. 1
    anchor = mean(vectors, alpha, alpha)  # Eq. 2
    if arm in ("self_attention", "feature_average"):
        return linear(model.pred_fc1, anchor)
    joined = [f + anchor for f in vectors]
    beta = [sigmoid(linear(model.beta[0], j)[0]) for j in joined]  # Eq. 3
    product = [a * b for a, b in zip(alpha, beta, strict=True)]
    numerator = alpha if arm == "self_relation_reference" else product
    return linear(model.pred_fc2, mean(joined, numerator, product))  # Eq. 4


@pytest.mark.parametrize("arm", [arm for arm in METHOD.arms if arm not in ("score_fusion", *ORDERED)])
@pytest.mark.parametrize("length", [1, 3, 5])
@torch.no_grad()
def test_logits_follow_the_equations(arm, length):
    model, frames = network(arm), clips(2, length)
    expected = torch.tensor([by_hand(model, clip, arm) for clip in frames], dtype=torch.float64)
    torch.testing.assert_close(model(frames).logits, expected, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_score_fusion_sums_softmax_outputs():
    """Not logits, not features: a frame that is sure counts for more than its share of the logits."""
    model, frames = network("score_fusion"), clips(3, 4)
    output = model(frames)
    for n, clip in enumerate(frames):
        total = [0.0] * 7
        for logits in (linear(model.fc, f) for f in model.embed_images(clip).tolist()):
            norm = sum(math.exp(z) for z in logits)
            total = [t + math.exp(z) / norm for t, z in zip(total, logits, strict=True)]
        expected = torch.tensor(total, dtype=torch.float64) / 4
        torch.testing.assert_close(output.logits[n].softmax(0), expected, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_the_trunk_is_torchvisions_resnet18():
    model, oracle = FrameAttentionNetwork(7).eval(), resnet18().eval()
    state = {k: v for k, v in oracle.state_dict().items() if not k.startswith("fc.")}
    assert len(state) == 120
    assert set(state) == {k for k in model.state_dict() if not k.startswith(("alpha", "beta", "pred"))}
    model.load_state_dict(state, strict=False)
    oracle.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(model.embed_images(images), oracle(images))


@pytest.mark.parametrize("arm", METHOD.arms)
@torch.no_grad()
def test_padding_changes_nothing(arm):
    model = network(arm)
    frames, mask = padded()
    together = model(frames, mask).logits
    torch.testing.assert_close(together[0], model(frames[:1]).logits[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(together[1], model(frames[1:, :2]).logits[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(model(frames[[1]], mask[[1]]).logits[0], together[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("arm", METHOD.arms)
def test_padding_takes_no_part_in_training(arm):
    """Gradients and batch statistics are those of the frames alone, although the padding is not a number."""
    frames, mask = padded()
    targets = torch.tensor([2, 5])
    model = network(arm).train()
    torch.manual_seed(3)
    FANLoss()(model(frames, mask), targets).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
    assert torch.isfinite(model.bn1.running_mean).all()
    other = network(arm).train()
    torch.manual_seed(3)
    FANLoss()(other(frames.nan_to_num(7.0), mask), targets).backward()
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name


@pytest.mark.parametrize("arm", METHOD.arms)
@torch.no_grad()
def test_the_order_of_frames_matters_to_an_lstm_alone(arm):
    model, frames = network(arm), clips(2, 5)
    same = torch.allclose(model(frames.flip(1)).logits, model(frames).logits, rtol=1e-9, atol=1e-12)
    assert same == (arm not in ORDERED)


@torch.no_grad()
def test_graph_arms_aggregate_the_features_of_the_trunk():
    """Of one seed they have the same weights: they differ in what frames share, the LSTM in nothing else."""
    models = {arm: network(arm) for arm in ORDERED}
    frames, mask = padded()
    for arm, model in models.items():
        output = model(frames, mask)
        logits, weights = model.aggregator(model.embed(frames, mask), mask)
        assert torch.equal(output.logits, logits)
        assert torch.equal(output.alpha, weights[..., 0])
        assert (output.beta, output.frame_logits) == (None, None)
        if arm in GRAPHS:
            state = models["frame_graph"].state_dict()
            assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert models["frame_lstm"].aggregator.graph is None
    assert {models[arm].aggregator.graph.adjacency for arm in GRAPHS} == {
        "relu_cosine",
        "identity",
        "softmax",
    }


@torch.no_grad()
def test_attention_is_normalised_by_its_sum_without_softmax():
    """Trap: frames that are all of no use weigh as those that are all of full use; a softmax would agree by
    chance only, so equal frames with unequal partners are looked at."""
    model, frames = network(), clips(1, 3)
    explained = _explain(model, frames)
    product = explained["alpha"] * explained["beta"]
    torch.testing.assert_close(explained["weights"], product / product.sum(1, keepdim=True))
    assert (explained["weights"] - product.softmax(1)).abs().max() > 1e-3
    assert explained["alpha"].max() < 1


@torch.no_grad()
def test_an_empty_clip_is_refused_and_spoils_no_other():
    """Trap 2: a video without a face made every prediction of the authors' evaluation not a number."""
    frames, mask = padded()
    mask[1] = False
    with pytest.raises(UserError, match="samples 1 of the batch have no frames"):
        network()(frames, mask)


def test_reference_evaluation_is_for_evaluation_only():
    equation, reference = network(), network("self_relation_reference")
    reference.load_state_dict(equation.state_dict())
    frames = clips(2, 3)
    with torch.no_grad():
        assert not torch.allclose(equation(frames).logits, reference(frames).logits, rtol=1e-3)
        for model in (equation, reference):
            model.train()
        results = []
        for model in (equation, reference):
            torch.manual_seed(5)
            results.append(model(frames).logits)
    assert torch.equal(*results)


def test_dropout_is_where_the_code_has_it(monkeypatch):
    """0.5 before alpha, beta and pred_fc1, 0.6 before pred_fc2; the anchor is made without."""
    import fer_repro.methods.fan as module

    seen = []

    def keep(values, probability, training):
        seen.append((probability, tuple(values.shape), training))
        return values

    monkeypatch.setattr(module.F, "dropout", keep)
    for arm, expected in {
        "self_relation": [(0.5, (2, 3, 32)), (0.5, (2, 3, 64)), (0.6, (2, 64))],
        "self_attention": [(0.5, (2, 3, 32)), (0.5, (2, 32))],
        "feature_average": [(0.5, (2, 32))],
        "score_fusion": [],
    }.items():
        seen.clear()
        network(arm).train()(clips(2, 3))
        assert seen == [(*place, True) for place in expected], arm


def test_score_fusion_is_trained_on_single_frames():
    frames, mask = padded()
    model, targets = network("score_fusion"), torch.tensor([2, 5])
    logits = model.fc(torch.cat([model.embed_images(frames[0]), model.embed_images(frames[1, :2])]))
    expected = sum(
        -math.log(math.exp(row[t]) / sum(math.exp(z) for z in row))
        for row, t in zip(logits.tolist(), [2, 2, 2, 2, 5, 5], strict=True)
    )
    assert FANLoss()(model(frames, mask), targets).item() == pytest.approx(expected / 6, rel=1e-9)
    assert FANLoss()(model(clips(2, 3)), targets).isfinite()


def test_the_loss_takes_logits_too():
    logits, targets = torch.randn(4, 7), torch.tensor([0, 1, 2, 3])
    for smoothing in (0.0, 0.1):
        expected = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        assert torch.equal(FANLoss(smoothing)(logits, targets), expected)


def test_the_loss_is_built_with_its_smoothing_and_counts_real_frames():
    frames = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    mask, targets = torch.tensor([[True, True, False], [True, True, True]]), torch.tensor([3, 5])
    output = FANOutput(torch.randn(2, 7), frame_logits=frames, mask=mask)
    for given in ((), (0.1,)):
        loss = METHOD.build_loss(OPTIONS, *given)
        smoothing = sum(given)
        expected = torch.nn.functional.cross_entropy(
            frames[mask], torch.tensor([3, 3, 5, 5, 5]), label_smoothing=smoothing
        )
        torch.testing.assert_close(loss(output, targets), expected)
        clips = FANOutput(output.logits)
        wanted = torch.nn.functional.cross_entropy(output.logits, targets, label_smoothing=smoothing)
        torch.testing.assert_close(loss(clips, targets), wanted)
        torch.testing.assert_close(loss(FANOutput(output.logits, frame_logits=frames), targets), wanted)


def test_arms_start_from_one_trunk():
    states = []
    for arm in METHOD.arms:
        torch.manual_seed(4)
        states.append(_build_model(arm, OPTIONS, 7).state_dict())
    for key in ("conv1.weight", "layer4.1.conv2.weight"):
        assert all(torch.equal(state[key], states[0][key]) for state in states)


def test_arms_build_only_the_heads_they_use():
    heads = {
        arm: {key.split(".")[0] for key in _build_model(arm, OPTIONS, 7).state_dict()}
        & {"alpha", "beta", "pred_fc1", "pred_fc2", "fc", "aggregator"}
        for arm in METHOD.arms
    }
    relation = {"alpha", "beta", "pred_fc2"}
    assert heads == {arm: {"aggregator"} for arm in ORDERED} | {
        "self_relation": relation,
        "self_attention": {"alpha", "pred_fc1"},
        "score_fusion": {"fc"},
        "feature_average": {"pred_fc1"},
        "self_relation_reference": relation,
    }


@pytest.mark.parametrize("arm", METHOD.arms)
def test_explained_weights_add_up_to_one_over_the_frames(arm):
    frames, mask = padded()
    model = network(arm).train()
    explained = _explain(model, frames, mask)
    assert model.training
    if arm not in (*ATTENTIVE, *ORDERED):
        assert explained is None
        return
    assert set(explained) == {"alpha", "weights"} | ({"beta"} if "relation" in arm else set())
    if arm in ORDERED:
        torch.testing.assert_close(explained["weights"], explained["alpha"])
    torch.testing.assert_close(explained["weights"].sum(1), torch.ones(2).double())
    assert all((tensor[~mask] == 0).all() for tensor in explained.values())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 32, 32), r"frames have the shape \(2, 3, 32, 32\): expected \(N, frames, 3, H, W\)"),
        ((2, 4, 1, 32, 32), "grey images repeated"),
        ((2, 0, 3, 32, 32), "at least 1 frames"),
    ],
)
def test_what_is_no_clip_is_refused(shape, message):
    for arm in ("self_relation", "score_fusion", "frame_graph"):
        with pytest.raises(UserError, match=message):
            network(arm)(torch.rand(shape).double())


@pytest.mark.parametrize("mask", [torch.ones(2, 4), torch.ones(2, 3).bool(), torch.ones(2).bool()])
def test_a_mask_that_does_not_fit_is_refused(mask):
    for arm in ("self_relation", "frame_graph"):
        with pytest.raises(UserError, match=r"mask is .*: expected bool \(2, 4\)"):
            network(arm)(clips(2, 4), mask)


def test_the_authors_layout_is_taken_at_any_size():
    model = network("score_fusion")
    for side, length in ((32, 3), (40, 5)):
        frames = clips(2, length, side)
        theirs = frames.permute(0, 2, 3, 4, 1)
        with torch.no_grad():
            assert torch.equal(model(theirs).logits, model(frames).logits)


def test_pretraining_needs_the_published_width():
    options = FANOptions(width=8, frames=3, sampling="paper", pretraining="imagenet")
    with pytest.raises(UserError, match=r"width is 8, but model\.pretraining imagenet needs 64"):
        _build_model("self_relation", options, 7)


@torch.no_grad()
def test_long_clips_are_embedded_in_parts():
    model = ScoreFusion(7, width=2).eval()
    frames = torch.rand(1, 300, 3, 8, 8)
    seen = []
    model.conv1.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    model(frames)
    assert seen == [256, 44]


@pytest.mark.parametrize("arm", METHOD.arms)
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_mixed_precision_takes_padded_clips(arm, half):
    frames, mask = padded()
    model = network(arm).float().train()
    with torch.autocast("cpu", dtype=half):
        output = model(frames.float(), mask)
        loss = FANLoss()(output, torch.tensor([2, 5]))
    loss.backward()
    assert torch.isfinite(output.logits).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
