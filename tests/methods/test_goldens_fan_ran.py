"""FAN and RAN equal their authors' code on the same weights, in both layouts of the input, in float64."""

import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.methods import ran
from fer_repro.methods.fan import _explain
from fer_repro.methods.method import load_official
from fer_repro.methods.ran import RegionBiasedLoss

TOLERANCE = 1e-9
COUNTS = (5, 3)  # frames of the two videos of the evaluation golden


def distance(ours, golden):
    assert ours.shape == golden.shape
    assert ours.dtype == torch.float64
    return ((ours - golden).norm() / golden.norm()).item()


@pytest.fixture(scope="module")
def fan(fan_golden):
    return load_official(fan_golden.official, fan_golden.state_dict())


@pytest.fixture(scope="module")
def ran_network(ran_golden):
    return load_official(ran_golden.official, ran_golden.state_dict())


def videos(golden):
    """The two videos, the shorter one padded with what must not be read."""
    frames = golden.fed("fan_video_a")
    padded = torch.full((2, max(COUNTS), *frames.shape[1:]), torch.nan, dtype=frames.dtype)
    padded[0], padded[1, : COUNTS[1]] = frames[: COUNTS[0]], frames[COUNTS[0] :]
    return padded, torch.arange(max(COUNTS)) < torch.tensor(COUNTS)[:, None]


@pytest.mark.parametrize("ours", [False, True], ids=["their layout", "our layout"])
def test_fan_equals_the_authors_training_path(fan_golden, fan, ours):
    clips = fan_golden.fed("fan_clip_a")
    with torch.no_grad():
        output = fan(clips.permute(0, 4, 1, 2, 3) if ours else clips)
    found = {"train_logits": output.logits, "train_alpha": output.alpha, "train_beta": output.beta}
    for name, tensor in found.items():
        assert distance(tensor, fan_golden.outputs[name]) < TOLERANCE, name


def test_fan_equals_the_authors_evaluation_path(fan_golden, fan):
    frames, mask = videos(fan_golden)
    with torch.no_grad():
        features = fan.embed(frames, mask)
        alpha = fan.self_attention(features) * mask[..., None]
        ours = {
            "eval_feat": features[mask][:, :64],
            "eval_alpha": alpha[mask],
            "eval_anchor": ((alpha * features).sum(1) / alpha.sum(1))[:, :64],
            "eval_beta": _explain(fan, frames, mask)["beta"][mask][:, None],
            "eval_logits_paper_eq4": fan(frames, mask).logits,
        }
        fan.reference_evaluation = True
        ours["eval_logits"] = fan(frames, mask).logits
        fan.reference_evaluation = False
    assert {name for name in fan_golden.outputs if name.startswith("eval")} == set(ours)
    for name, tensor in ours.items():
        assert distance(tensor, fan_golden.outputs[name]) < TOLERANCE, name


def test_the_reference_evaluation_only_rescales_the_anchor(fan_golden, fan):
    """Sheet, section 1: its 1024-feature is s [v ; v], s = sum(alpha) / sum(alpha beta) > 1."""
    frames, mask = videos(fan_golden)
    with torch.no_grad():
        features = fan.embed(frames, mask)
        alpha = fan.self_attention(features) * mask[..., None]
        anchor = (alpha * features).sum(1) / alpha.sum(1)
        beta = _explain(fan, frames, mask)["beta"][..., None]
        scale = alpha.sum(1) / (alpha * beta).sum(1)
        logits = fan.pred_fc2(scale * torch.cat([anchor, anchor], 1))
    assert (scale > 1).all()
    assert distance(logits, fan_golden.outputs["eval_logits"]) < TOLERANCE


@pytest.mark.parametrize(
    ("variant", "frozen"),
    [("self-attention", {"beta", "pred_fc2"}), ("self_relation-attention", {"pred_fc1"})],
)
def test_each_variant_of_fan_loads_with_all_four_heads(fan_golden, variant, frozen):
    official = {**fan_golden.official, "constructor": {"at_type": variant}}
    state = fan_golden.meta()
    assert len(state) == 128
    network = load_official(official, {f"module.{key}": value for key, value in state.items()})
    assert set(network.state_dict()) == set(state)
    assert {name.split(".")[0] for name, p in network.named_parameters() if not p.requires_grad} == frozen


def test_self_attention_uses_the_other_classifier(fan_golden):
    official = {**fan_golden.official, "constructor": {"at_type": "self-attention"}}
    network = load_official(official, fan_golden.state_dict())
    frames, mask = videos(fan_golden)
    with torch.no_grad():
        features = network.embed(frames, mask)
        alpha = fan_golden.outputs["eval_alpha"].split(COUNTS)
        anchor = [(a * f[: len(a)]).sum(0) / a.sum() for a, f in zip(alpha, features, strict=True)]
        expected = network.pred_fc1(torch.stack(anchor))
        output = network(frames, mask)
    assert output.beta is None
    assert distance(output.logits, expected) < TOLERANCE


@pytest.mark.parametrize("variant", ["self_attention", "", None])
def test_an_unknown_variant_of_fan_is_one_error(fan_golden, variant):
    official = {**fan_golden.official, "constructor": {"at_type": variant}}
    with pytest.raises(UserError, match=r"at_type is .*; (did you mean 'self-attention'|valid)"):
        load_official(official, fan_golden.meta())


@pytest.mark.parametrize("ours", [False, True], ids=["their layout", "our layout"])
def test_ran_equals_the_authors_network(ran_golden, ran_network, ours):
    regions = ran_golden.fed("ran_regions_a")
    if ours:
        regions = regions.permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        output = ran_network(regions)
        feature, _ = ran_network.attend(regions)
    weights = ran._explain(ran_network, regions)
    found = {
        "logits": output.logits,
        "alphas_part_max": output.largest_crop,
        "alphas_org": output.whole_face,
        "alpha_sigmoid": weights["alpha"],
        "beta_sigmoid": weights["beta"],
        "alpha_softmax": weights["mu"],
        "beta_softmax": weights["nu"],
        "final_feature": feature[:, ::16],
    }
    for name, tensor in found.items():
        assert distance(tensor, ran_golden.outputs[name]) < TOLERANCE, name
    loss = RegionBiasedLoss(0.1)(output.largest_crop, output.whole_face)
    assert distance(loss.reshape(1), ran_golden.outputs["rank_loss_of_forward"]) < TOLERANCE


def summed_in_single(terms):
    """The authors' loop: where its first term is 0, that is a float32 zero and so is their running sum."""
    total = torch.zeros(1, dtype=torch.float32 if terms[0] == 0 else torch.float64)
    for term in terms:
        total += term
    return total.double() / len(terms)


@pytest.mark.parametrize("margin", [0.1, 0.03, 0.02])
def test_the_region_biased_loss_equals_the_authors(ran_golden, margin):
    """The golden values of the margins 0.03 and 0.02 are float32 numbers: rounded by the loop above."""
    largest, whole = (
        (0.3 * ran_golden.inputs[name]).requires_grad_() for name in ("ran_rank_part_max", "ran_rank_org")
    )
    loss = RegionBiasedLoss(margin)(largest, whole)
    loss.backward()
    terms = [RegionBiasedLoss(margin)(*pair).detach().reshape(1) for pair in zip(largest, whole, strict=True)]
    name = f"rank_loss_margin_{margin}"
    golden = ran_golden.outputs[name]
    assert distance(summed_in_single(terms), golden) < TOLERANCE
    assert distance(loss.detach().reshape(1), golden) < (TOLERANCE if terms[0] > 0 else 8 * 2**-24)
    assert distance(largest.grad, ran_golden.outputs[f"{name}_grad_part_max"]) < TOLERANCE
    assert distance(whole.grad, ran_golden.outputs[f"{name}_grad_org"]) < TOLERANCE


@pytest.mark.parametrize(
    "file",
    [
        "FERplus_dir/attention_rank_loss.py resnet18 (ResNet) and MyLoss",
        "AffectNet_dir/simple_sample/part_attention.py resnet18",
        "AffectNet_dir/unbalanced_sample_train/part_attention.py resnet18",
        "AffectNet_dir/*/part_attention.py resnet18",
    ],
)
def test_every_file_of_ran_loads_and_takes_any_number_of_regions(ran_golden, file):
    state = ran_golden.meta()
    assert len(state) == 126
    network = load_official({**ran_golden.official, "class": file}, state)
    assert set(network.state_dict()) == set(state)
    for count in (2, 6, 8, 11):
        regions = torch.empty(1, count, 3, 32, 32, device="meta")
        assert network(regions).logits.shape == (1, 8)


def test_the_variant_without_relation_attention_loads(ran_golden):
    state = {key: value for key, value in ran_golden.meta().items() if not key.startswith("beta")}
    state["fc.weight"] = torch.empty(8, 512, device="meta")
    official = {**ran_golden.official, "class": "FERplus_dir/part_attention.py resnet18"}
    network = load_official(official, state)
    assert (network.weights, network.beta, network.biased) == ("sigmoid", None, False)


def test_a_resnet34_of_ran_loads_but_not_as_a_resnet18(ran_golden):
    official = {**ran_golden.official, "class": "FERplus_dir/attention_rank_loss.py resnet34"}
    with torch.device("meta"):
        state = ran.RegionAttentionNetwork(8, blocks=(3, 4, 6, 3)).state_dict()
    load_official(official, state)
    with pytest.raises(UserError, match="unexpected"):
        load_official(ran_golden.official, state)


def test_a_fan_is_no_ran(fan_golden, ran_golden):
    with pytest.raises(UserError, match=r"1 missing|2 missing: fc.weight"):
        load_official(ran_golden.official, fan_golden.meta())
    with pytest.raises(UserError, match=r"4 missing: pred_fc1.weight"):
        load_official(fan_golden.official, ran_golden.meta())
