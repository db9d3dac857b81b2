"""The ensemble paper's networks against the authors' outputs, and its functions against loops."""

import itertools
import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from fer_repro.errors import UserError
from fer_repro.layers.efficientnet_trunk import Padding
from fer_repro.layers.ensemble import average_logits, combinations, video_logits
from fer_repro.layers.triplets import Embeddings, TripletLoss, every_triplet_loss, triplet_loss
from fer_repro.methods.efficientnet import (
    ENSEMBLE,
    METHOD,
    EfficientNetOptions,
    _explain,
    build_siamese,
    official_class,
    tune,
)
from fer_repro.methods.method import load_official

TOLERANCE = 1e-9
OPTIONS = EfficientNetOptions(
    trunk="b0",
    width=4,
    dropout=0.4,
    drop_connect=0.2,
    norm_momentum=0.01,
    tuning="evaluation",
    pretraining="none",
)
PARAMETERS = {  # fact sheet, section 1.2
    "efficientnet_b4": (17_550_409, 706),
    "efficientnet_b4_att": (17_550_466, 708),
    "efficientnet_b4_att_pad063": (17_550_466, 708),
    "efficientnet_b4_st": (17_555_786, 713),
    "xception_dfdc": (20_809_001, 276),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Depthwise convolutions in float64 open one parallel region per channel."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def distance(ours, golden):
    assert ours.shape == golden.shape
    assert ours.dtype == torch.float64
    return ((ours - golden).norm() / golden.norm()).item()


def watched(model):
    """Hook what the goldens keep: output name -> tensor, once the model has run."""
    kept, net = {}, model.extractor.backbone

    def keep(name, module, change):
        module.register_forward_hook(lambda _m, _i, output: kept.update({name: change(output)}))

    if hasattr(net, "blocks"):
        blocks = list(itertools.chain(*net.blocks))
        keep("block1", blocks[1], lambda out: out[:, ::8, ::4, ::4].clone())
        keep("block5", blocks[5], lambda out: out[:, ::8, ::4, ::4].clone())
        keep("block9", blocks[9], lambda out: out[:, ::8].clone())
        keep("block21", blocks[21], lambda out: out[:, ::16].clone())
        keep("block31", blocks[31], lambda out: out[:, ::16].clone())
        keep("stem_bn", net.conv_stem, lambda out: _norm(net.bn1, out)[:, ::8, ::4, ::4])
        keep("feature_map", net.bn2, lambda out: out[:, ::64].clone())
    else:
        keep("feature_map", net.conv4, lambda out: _norm(net.bn4, out)[:, ::64])
    keep("features", model.extractor, lambda out: out)
    return kept


def _norm(bn, tensor):
    """Batch normalisation without the activation that timm joins to it."""
    return F.batch_norm(tensor, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_network_equals_the_authors(name, read_golden):
    golden = read_golden(name)
    state = golden.state_dict()
    model = load_official(golden.official, state)
    assert (sum(p.numel() for p in model.parameters()), len(model.state_dict())) == PARAMETERS[name]
    (images,) = golden.inputs.values()
    ours = watched(model)
    with torch.no_grad():
        ours["logits"] = model(images)
    if "attention" in golden.outputs:
        ours["attention"] = _explain(model, images)["attention"]
    else:
        assert _explain(model, images) is None
    assert set(ours) == set(golden.outputs)
    for key, output in golden.outputs.items():
        assert distance(ours[key], output) < TOLERANCE, key
    assert official_class(state) == golden.official["class"]


CLASSES = {
    "EfficientNetB4": "efficientnet_b4",
    "EfficientNetAutoAttB4": "efficientnet_b4_att",
    "EfficientNetB4ST": "efficientnet_b4_st",
    "EfficientNetAutoAttB4ST": "efficientnet_b4_st",
    "Xception": "xception_dfdc",
}


@pytest.fixture
def keys_of(read_golden):
    """The keys of an official class, without memory; AutoAttB4ST has no golden of its own."""

    def read(name):
        golden = read_golden(CLASSES[name])
        state = golden.meta()
        if name == "EfficientNetAutoAttB4ST":
            state["feat_ext.efficientnet.attconv.weight"] = torch.empty(1, 56, 1, 1, device="meta")
            state["feat_ext.efficientnet.attconv.bias"] = torch.empty(1, device="meta")
        return {**golden.official, "class": f"architectures.fornet.{name}"}, state

    return read


@pytest.mark.parametrize("name", CLASSES)
def test_every_official_class_loads_bare_or_within_a_training_checkpoint(name, keys_of):
    official, state = keys_of(name)
    model = load_official(official, state)
    assert len(model.state_dict()) == len(state)
    load_official(official, {"net": state, "opt": {}, "iteration": 500})
    assert official_class(state) == official["class"]


@pytest.mark.parametrize("backbone", [*get_args(Padding), "efficientnet_pytorch 0.7.0", None])
def test_every_padding_loads_and_sizes_the_maps(backbone, keys_of):
    official, state = keys_of("EfficientNetB4")
    official = {**official, "backbone": backbone} if backbone else {"repo": official["repo"], **official}
    if backbone is None:
        del official["backbone"]
    model = load_official(official, state)
    for side in (64, 97, 112):
        shape = model.extractor.backbone.conv_stem(torch.empty(1, 3, side, side, device="meta")).shape
        ceil = backbone in (None, "same", "symmetric", "efficientnet_pytorch 0.7.0")
        assert shape[-1] == (math.ceil(side / 2) if ceil else side // 2)
        assert model(torch.empty(1, 3, side, side, device="meta")).shape == (1, 1)


def test_wrong_files_are_refused(keys_of):
    official, state = keys_of("EfficientNetB4")
    _, other = keys_of("Xception")
    with pytest.raises(UserError, match=r"does not fit .*EfficientNetB4 \(706 tensors\): 694 missing"):
        load_official(official, {"net": other})
    _, attention = keys_of("EfficientNetAutoAttB4")
    with pytest.raises(UserError, match=r"2 unexpected: extractor\.attention"):
        load_official(official, attention)
    with pytest.raises(UserError, match=r"1 missing: classifier\.bias"):
        load_official(official, {key: value for key, value in state.items() if key != "classifier.bias"})
    with pytest.raises(UserError, match="every published network has 0"):
        load_official({**official, "constructor": {"width": 1}}, state)


def test_a_triplet_checkpoint_is_told_apart(keys_of):
    _, state = keys_of("EfficientNetB4ST")
    triplet = {key: value for key, value in state.items() if not key.startswith("classifier")}
    with pytest.raises(UserError, match="triplet checkpoint"):
        official_class(triplet)
    assert official_class({"conv1.weight": 0}) == ""


def test_unused_tensors_are_listed_and_frozen(keys_of):
    official, state = keys_of("EfficientNetB4ST")
    model = load_official(official, state)
    unused = {key for key, _ in model.named_parameters() if key.startswith("unused")}
    assert unused == {"unused_classifier.weight", "unused_classifier.bias"}
    trainable = {key for key, p in model.named_parameters() if p.requires_grad}
    assert trainable == {f"classifier.{n}.{kind}" for n in (0, 1) for kind in ("weight", "bias")}


def test_the_arms_logits_are_the_papers_one_logit():
    """Softmax and cross-entropy over (0, z) are the sigmoid and the binary cross-entropy of z."""
    torch.manual_seed(0)
    model = METHOD.build_model("attention", OPTIONS, 2).eval()
    images, targets = torch.rand(3, 3, 64, 64), torch.tensor([0, 1, 1])
    with torch.no_grad():
        logits = model(images)
    z = logits[:, 1]
    assert (logits[:, 0] == 0).all()
    torch.testing.assert_close(logits.softmax(dim=1)[:, 1], z.sigmoid())
    binary = F.binary_cross_entropy_with_logits(z, targets.float())
    torch.testing.assert_close(METHOD.build_loss(OPTIONS)(logits, targets), binary)


def test_attention_multiplies_the_third_stage():
    torch.manual_seed(0)
    model = METHOD.build_model("attention", OPTIONS, 2).double().eval()
    images = torch.rand(2, 3, 64, 64).double()
    attention = _explain(model, images)["attention"]
    assert attention.shape == (2, 1, 8, 8)
    net, extractor = model.extractor.backbone, model.extractor
    with torch.no_grad():
        third = net.blocks[:3](net.bn1(net.conv_stem(model.standardise(images))))
        scores = (extractor.attention.weight[0] * third).sum(dim=1, keepdim=True) + extractor.attention.bias
        torch.testing.assert_close(attention, 1 / (1 + torch.exp(-scores)))
        rest = net.bn2(net.conv_head(net.blocks[3:](third * attention)))
        torch.testing.assert_close(model.features(images), rest.mean(dim=(2, 3)))


def test_pooling_arms_differ_from_plain_in_pooling_alone():
    images, kept = torch.rand(2, 3, 96, 96), {}
    for arm in ("plain", "pyramid", "maximum", "repeated_mean"):
        torch.manual_seed(0)
        network = kept[arm] = METHOD.build_model(arm, OPTIONS, 2).eval()
        with torch.no_grad():
            kept[arm, "features"] = network.features(images)
    trunks = {
        arm: kept[arm].extractor.state_dict() for arm in ("plain", "pyramid", "maximum", "repeated_mean")
    }
    for trunk in trunks.values():
        assert trunk.keys() == trunks["plain"].keys()
        assert all(torch.equal(value, trunks["plain"][key]) for key, value in trunk.items())
    mean, maximum = kept["plain", "features"], kept["maximum", "features"]
    torch.testing.assert_close(kept["repeated_mean", "features"], mean.repeat(1, 21))
    assert maximum.shape == mean.shape
    assert (maximum >= mean).all()
    assert torch.equal(kept["pyramid", "features"][:, : maximum.shape[1]], maximum)
    wide, control = (kept[arm].classifier.weight for arm in ("pyramid", "repeated_mean"))
    assert wide.shape == control.shape == (1, 21 * mean.shape[1])
    with torch.no_grad():  # the small recipe's side: four places, which the sixteen windows repeat
        small = (
            kept["pyramid"]
            .features(torch.rand(1, 3, 64, 64))
            .split([len(wide[0]) // 21 * n for n in (1, 4, 16)], 1)
        )
    four, sixteen = small[1].reshape(-1, 2, 2), small[2].reshape(-1, 4, 4)
    assert torch.equal(four.repeat_interleave(2, 1).repeat_interleave(2, 2), sixteen)


def test_images_are_standardised_inside_the_arms():
    model = METHOD.build_model("plain", OPTIONS, 2)
    pixel = torch.tensor([0.485 + 0.229, 0.456, 0.406 - 0.225])[None, :, None, None]
    torch.testing.assert_close(model.standardise(pixel).flatten(), torch.tensor([1.0, 0.0, -1.0]))
    assert not any(key.startswith("standardise") for key in model.state_dict())


@pytest.mark.parametrize("tuning", ["evaluation", "train_mode"])
def test_tuning_moves_the_extractors_statistics_only_by_the_quirk(tuning):
    torch.manual_seed(0)
    options = replace(OPTIONS, tuning=tuning, norm_momentum=0.5)
    model = METHOD.build_model("plain_siamese", options, 2)
    before = {k: v.clone() for k, v in model.extractor.state_dict().items()}
    loss = METHOD.build_loss(options)(model(torch.rand(4, 3, 64, 64)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    after = model.extractor.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert bool(moved) == (tuning == "train_mode")
    assert all("running" in key or "tracked" in key for key in moved)
    assert all(p.grad is None for p in model.extractor.parameters())
    assert all(p.grad is not None for p in model.classifier.parameters())


def test_siamese_training_reaches_the_extractor_and_tuning_keeps_it():
    torch.manual_seed(0)
    siamese = build_siamese("attention_siamese", OPTIONS)
    triple = siamese(*torch.rand(3, 2, 3, 64, 64))
    triplet_loss(*triple).backward()
    assert all(p.grad is not None for p in siamese.parameters())
    tuned = tune(siamese, OPTIONS)
    assert tuned.extractor is siamese.extractor
    assert not any(p.requires_grad for p in tuned.extractor.parameters())
    with pytest.raises(UserError, match="not trained by triplets"):
        build_siamese("plain", OPTIONS)


def test_the_triplet_loss_equals_the_loop():
    generator = torch.Generator().manual_seed(0)
    a, p, n = torch.randn(3, 5, 4, dtype=torch.float64, generator=generator)
    total = 0.0
    for i in range(5):
        near = math.sqrt(sum((float(a[i, d] - p[i, d]) + 1e-6) ** 2 for d in range(4)))
        far = math.sqrt(sum((float(a[i, d] - n[i, d]) + 1e-6) ** 2 for d in range(4)))
        total += max(0.0, near - far + 1.0)
    assert triplet_loss(a, p, n).item() == pytest.approx(total / 5, rel=1e-12)


def test_a_triplet_is_right_where_the_positive_is_nearer():
    anchor, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0]])
    right, wrong = Embeddings(anchor, near, far), Embeddings(anchor, far, near)
    assert right.hits(torch.ones(1)).tolist() == [True]
    assert wrong.hits(torch.ones(1)).tolist() == [False]
    assert TripletLoss(2.0)(wrong, torch.zeros(1)).item() == pytest.approx(10 - 5 + 2)


def test_every_triplet_of_a_batch_may_count():
    generator = torch.Generator().manual_seed(0)
    output = Embeddings(*torch.randn(3, 4, 5, generator=generator))
    classes = torch.tensor([1, 0, 1, 0])
    faces = torch.cat([output.anchor, output.positive, output.negative])
    expected = every_triplet_loss(faces, torch.tensor([1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1]), 0.5)
    assert TripletLoss(0.5, every=True)(output, classes) == expected
    assert TripletLoss(0.5)(output, classes) != expected


def test_the_ensemble_averages_logits_before_the_sigmoid():
    members = [torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.0])]
    assert average_logits(members).tolist() == [2.0, -1.0]
    with pytest.raises(UserError, match="one shape"):
        average_logits([torch.zeros(2), torch.zeros(3)])
    with pytest.raises(UserError, match="one shape"):
        average_logits([])


def test_a_videos_logit_is_the_mean_of_its_frames():
    logits = torch.tensor([[0.0, 1.0], [0.0, 4.0], [0.0, 3.0], [0.0, -1.0]])
    videos = torch.tensor([7, 2, 7, 7])
    names, means = video_logits(logits, videos)
    assert names.tolist() == [2, 7]
    assert means.tolist() == [[0.0, 4.0], [0.0, 1.0]]
    assert video_logits(logits[:, 1], videos)[1].tolist() == [4.0, 1.0]


def test_the_combinations_stand_in_the_papers_order():
    rows = combinations(ENSEMBLE)
    assert len(rows) == 15
    assert rows[:5] == [*((m,) for m in ENSEMBLE), ENSEMBLE[:2]]
    assert rows[-1] == ENSEMBLE


def test_wrong_requests_are_refused():
    with pytest.raises(UserError, match="learns from triplets of two classes: found 7"):
        METHOD.build_model("plain_siamese", OPTIONS, 7)
    with pytest.raises(UserError, match="needs 32"):
        METHOD.build_model("plain", replace(OPTIONS, pretraining="imagenet"), 2)
    with pytest.raises(UserError, match="expected"):
        METHOD.build_model("xception", OPTIONS, 2)(torch.rand(1, 1, 64, 64))


def test_expressions_have_a_logit_each():
    images = torch.rand(2, 3, 64, 64)
    for arm in ("plain", "attention", "xception"):
        network = METHOD.build_model(arm, OPTIONS, 7).eval()
        with torch.no_grad():
            logits = network(images)
        assert logits.shape == (2, 7)
        assert (logits[:, 0] != 0).all()


def test_absent_imagenet_weights_say_what_to_do(monkeypatch):
    import timm

    def fail(*args, **kwargs):
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", fail)
    options = replace(OPTIONS, width=32, pretraining="imagenet")
    with pytest.raises(UserError, match=r"tf_efficientnet_b0\.aa_in1k cannot be obtained \(no connection\)"):
        METHOD.build_model("plain", options, 2)
