"""The Residual Masking Network against its fact sheet, a loop written from the paper, and its known traps."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import nn

from fer_repro.errors import UserError
from fer_repro.layers.cost import count_flops, count_parameters
from fer_repro.layers.pretrained import load_imagenet_trunk
from fer_repro.layers.resnet import BasicBlock, Bottleneck
from fer_repro.methods.rmn import (
    METHOD,
    MaskingBlock,
    ResidualMaskingNetwork,
    RMNOptions,
    _build_model,
    _explain,
)
from fer_repro.sections import read_section

NARROW = RMNOptions(width=4, dropout=0.4, pretraining="none")


def narrow(arm="masked", seed=0, options=NARROW):
    torch.manual_seed(seed)
    return _build_model(arm, options, 7)


def on_meta(**options):
    with torch.device("meta"):
        return ResidualMaskingNetwork(7, **options)


# --- sizes (fact sheet 1.4, 1.6) ---


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 137_796_423),
        ({"head": "plain"}, 137_796_423),
        ({"head": "dropout2"}, 137_859_399),
        ({"head": "dropout3"}, 138_122_055),
        ({"head": "dropout4"}, 137_875_911),
        ({"masks": "unused"}, 137_796_423),
        ({"masks": "sigmoid"}, 137_796_423),
        ({"block": Bottleneck}, 1_886_897_223),
        ({"masks": "none"}, 21_288_263),  # 137,796,423 less the four masks
    ],
)
def test_parameters(options, parameters):
    assert count_parameters(on_meta(**options)) == parameters


def test_parameters_by_part():
    network = on_meta()
    parts = {name: count_parameters(part) for name, part in network.named_children()}
    assert parts == {
        "conv1": 9_408,
        "bn1": 128,
        "layer1": 221_952,
        "layer2": 1_116_416,
        "layer3": 6_822_400,
        "layer4": 13_114_368,
        "mask1": 32_366_080,
        "mask2": 31_885_312,
        "mask3": 29_965_312,
        "mask4": 22_291_456,
        "fc": 3_591,
    }
    assert len(list(network.parameters())) == 314
    assert sum(buffer.numel() for buffer in network.buffers()) == 77_926


def test_the_142_9_million_of_table_3_count_the_aliases(rmn_golden):
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    weights = [shape for key, shape in rmn_golden.shapes.items() if not key.endswith(buffers)]
    assert sum(math.prod(shape) for shape in weights) == 142_943_431


def test_operations_per_image():
    network = on_meta()
    flops = {side: count_flops(network, torch.empty(1, 3, side, side, device="meta")) for side in (64, 224)}
    assert flops[224] / 1e9 == pytest.approx(43.81, abs=0.005)
    assert flops[64] / 1e9 == pytest.approx(3.58, abs=0.005)
    assert network.training, "counting leaves the mode as it found it"
    plain = count_flops(on_meta(masks="none"), torch.empty(1, 3, 224, 224, device="meta"))
    assert plain / 1e9 == pytest.approx(7.33, abs=0.005)


def test_masks_scale_with_the_width():
    units = {
        name: (part.conv1.in_channels, part.conv1.out_channels)
        for name, part in narrow().mask1.named_modules()
        if isinstance(part, BasicBlock)
    }
    assert list(units.values()) == [(4, 8), (8, 16), (16, 32), (32, 64), (64, 32), (32, 16), (16, 8), (8, 4)]


# --- the formulas, in loops ---


def loop_softmax(scores):
    mask = np.zeros_like(scores)
    for n in range(scores.shape[0]):
        for h in range(scores.shape[2]):
            for w in range(scores.shape[3]):
                powers = [math.exp(score) for score in scores[n, :, h, w]]
                mask[n, :, h, w] = [power / sum(powers) for power in powers]
    return mask


def loop_convolution(maps, weight):
    """3x3 with padding 1 or 1x1, on one image (C, h, w)."""
    out_channels, _, size, _ = weight.shape
    _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    result = np.zeros((out_channels, height, width))
    for c in range(out_channels):
        for h in range(height):
            for w in range(width):
                result[c, h, w] = (padded[:, h : h + size, w : w + size] * weight[c]).sum()
    return result


def loop_normalise(maps, state, key):
    result = np.zeros_like(maps)
    for c in range(len(maps)):
        deviation = math.sqrt(state[f"{key}.running_var"][c] + 1e-5)
        result[c] = (maps[c] - state[f"{key}.running_mean"][c]) / deviation
        result[c] = result[c] * state[f"{key}.weight"][c] + state[f"{key}.bias"][c]
    return result


def loop_unit(maps, state, key):
    inner = loop_normalise(loop_convolution(maps, state[f"{key}.conv1.weight"]), state, f"{key}.bn1")
    inner = np.maximum(inner, 0)
    inner = loop_normalise(loop_convolution(inner, state[f"{key}.conv2.weight"]), state, f"{key}.bn2")
    shortcut = loop_convolution(maps, state[f"{key}.downsample.0.weight"])
    return np.maximum(inner + loop_normalise(shortcut, state, f"{key}.downsample.1"), 0)


def loop_pool(maps):
    channels, height, width = maps.shape
    result = np.zeros((channels, height // 2, width // 2))
    for h in range(height // 2):
        for w in range(width // 2):
            result[:, h, w] = maps[:, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2].max(axis=(1, 2))
    return result


def loop_enlarge(maps, state, key):
    weight, bias = state[f"{key}.0.weight"], state[f"{key}.0.bias"]  # (in, out, 2, 2), (out)
    _, height, width = maps.shape
    result = np.zeros((weight.shape[1], 2 * height, 2 * width)) + bias[:, None, None]
    for h in range(height):
        for w in range(width):
            for c in range(len(maps)):
                result[:, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2] += maps[c, h, w] * weight[c]
    return np.maximum(loop_normalise(result, state, f"{key}.1"), 0)


@pytest.fixture
def stirred_block():
    """A block of depth 2 whose normalisations are no identities."""
    torch.manual_seed(3)
    block = MaskingBlock(2, 2).double().eval()
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return block


def test_a_masking_block_is_what_the_paper_describes(stirred_block):
    features = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        ours = stirred_block(features).numpy()
    state = {key: value.numpy() for key, value in stirred_block.state_dict().items()}
    first = loop_unit(features[0].numpy(), state, "conv1")  # 2 -> 4 channels
    bottom = loop_unit(loop_pool(first), state, "conv2")  # 4 -> 8 at half the side
    joined = np.concatenate([loop_enlarge(bottom, state, "up_pool3"), first])  # up-sampled before the skip
    scores = loop_unit(loop_unit(joined, state, "conv3"), state, "conv4")  # 8 -> 4 -> 2
    np.testing.assert_allclose(ours, loop_softmax(scores[None]), rtol=1e-10)


@pytest.mark.parametrize("arm", ["masked", "sigmoid_mask"])
def test_the_refined_map_is_features_times_one_plus_mask(arm):
    model = narrow(arm).double().eval()
    kept = {}
    model.layer1.register_forward_hook(lambda _m, _i, output: kept.update(features=output))
    model.layer2.register_forward_pre_hook(lambda _m, inputs: kept.update(refined=inputs[0]))
    explained = _explain(model, torch.rand(2, 3, 64, 64, dtype=torch.float64))
    scores, features = explained["scores1"].numpy(), kept["features"].numpy()
    mask = loop_softmax(scores) if arm == "masked" else 1 / (1 + np.exp(-scores))
    expected = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        expected[place] = features[place] * (1 + mask[place])
    np.testing.assert_allclose(explained["mask1"].numpy(), mask, rtol=1e-12)
    np.testing.assert_allclose(kept["refined"].numpy(), expected, rtol=1e-12)
    assert (scores >= 0).all()


# --- arms ---


def test_sigmoid_masks_lie_above_one_half():
    for name, mask in _explain(narrow("sigmoid_mask"), torch.rand(2, 3, 64, 64)).items():
        if name.startswith("mask"):
            assert (mask >= 0.5).all()


def test_the_control_builds_no_masks_and_explains_nothing():
    control = narrow("no_mask")
    assert not [name for name, _ in control.named_parameters() if name.startswith("mask")]
    assert _explain(control, torch.rand(1, 3, 64, 64)) is None
    assert control.eval()(torch.rand(1, 3, 48, 48)).shape == (1, 7), "without masks every side runs"


def test_the_other_networks_of_its_tables_are_arms_and_draw_nothing():
    rows = pd.read_csv(Path(__file__).parents[2] / "results/published" / "results.csv")
    own = (rows["method"] == "rmn") & ~rows["table"].str.endswith("retrained by users")
    named = set(rows.loc[own, "arm"])
    assert named - set(METHOD.arms) == {"ensemble_7"}
    assert _explain(narrow("bam_resnet50"), torch.rand(1, 3, 64, 64)) is None


@pytest.mark.parametrize("arm", ["no_mask", "sigmoid_mask"])
def test_arms_of_one_seed_start_from_one_trunk_and_head(arm):
    masked, other = narrow("masked").state_dict(), narrow(arm).state_dict()
    shared = [key for key in other if not key.startswith("mask")]
    assert shared
    assert all(torch.equal(masked[key], other[key]) for key in shared)


def test_masks_start_as_relu_of_the_shortcut():
    model = narrow()
    units = [part for part in model.mask1.modules() if isinstance(part, BasicBlock)]
    assert len(units) == 8
    assert all((unit.bn2.weight == 0).all() for unit in units)
    assert all((block.bn2.weight == 1).all() for block in model.layer1)
    deviation = model.layer4[0].conv2.weight.std().item()
    assert deviation == pytest.approx(math.sqrt(2 / (9 * 32)), rel=0.05)  # fan-out


def test_dropout_is_active_in_training_only():
    model = _build_model("masked", RMNOptions(width=4, dropout=0.9, pretraining="none"), 7).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), model(images))
        model.fc.train()
        assert not torch.equal(model(images), model(images))


def test_the_plain_head_has_no_dropout():
    assert isinstance(narrow("plain_head").fc, nn.Linear)
    assert narrow().fc[0].p == 0.4
    assert {part.p for part in narrow("dropout3").fc if isinstance(part, nn.Dropout)} == {0.5}


# --- sides ---


@pytest.mark.parametrize("side", [61, 62, 63, 64, 93, 96, 128])
def test_admitted_sides_run(side):
    with torch.no_grad():
        assert narrow().eval()(torch.rand(1, 3, side, side)).shape == (1, 7)


@pytest.mark.parametrize("side", [44, 48, 56, 60, 65, 100, 112])
def test_other_sides_are_one_clear_error(side):
    with pytest.raises(
        UserError, match=rf"images are {side}x{side}.*61-64.*image_size enlarges, e\.g\. 48 to 64"
    ):
        narrow()(torch.rand(1, 3, side, side))


def test_the_rule_for_sides_is_the_networks_own():
    """Without the rule, exactly the sides it refuses fail inside."""
    model = narrow().eval()
    model._check_shape = lambda images: None
    for side in range(45, 100):
        try:
            with torch.no_grad():
                model(torch.rand(1, 3, side, side))
            runs = True
        except RuntimeError:
            runs = False
        assert runs == (side in (61, 62, 63, 64, 93, 94, 95, 96)), side


def small(arm="masked", **changes):
    options = {"width": 4, "dropout": 0.0, "pretraining": "none", "stem": "small", **changes}
    return _build_model(arm, RMNOptions(**options), 7).eval()


def test_with_the_small_stem_exactly_the_sides_of_the_rule_run():
    model = small()
    check, model._check_shape = model._check_shape, lambda images: None
    for side in range(14, 52):
        images = torch.rand(1, 3, side, side)
        try:
            with torch.no_grad():
                model(images)
            runs = True
        except RuntimeError:
            runs = False
        if runs:
            check(images)
        else:
            with pytest.raises(UserError, match=r"16n \.\.\. 16n\+1 with the small stem"):
                check(images)
        assert runs == (side in (16, 17, 32, 33, 48, 49)), side


def test_the_small_stem_gives_masks_of_24_12_6_and_3_pixels_at_48():
    kept = _explain(small(), torch.rand(1, 3, 48, 48))
    assert [kept[f"mask{n}"].shape[-1] for n in range(1, 5)] == [24, 12, 6, 3]


def test_a_stem_is_for_residual_networks():
    assert small("resnet18").conv1.stride == (1, 1)
    with pytest.raises(UserError, match=r"model\.stem is small, but vgg19 is no ResNet: expected table"):
        small("vgg19")
    with pytest.raises(UserError, match=r"model\.stem is small, but model\.pretraining imagenet needs table"):
        small(width=64, pretraining="imagenet")


def test_height_and_width_may_differ():
    with torch.no_grad():
        assert narrow().eval()(torch.rand(1, 3, 64, 96)).shape == (1, 7)


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (3, 64, 64), (1, 2, 3, 64, 64)])
def test_other_shapes_are_one_clear_error(shape):
    with pytest.raises(UserError, match=r"RMN expects \(N, 3, H, W\)"):
        narrow()(torch.rand(shape))


# --- options and start ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"pretraining": "vggface"}, "pretraining is 'vggface'"),
        ({"widht": 8}, r"unknown key 'widht'; did you mean 'width'\?"),
    ],
)
def test_options_are_checked(change, message):
    section = {"width": 8, "dropout": 0.4, "pretraining": "none", **change}
    with pytest.raises(UserError, match=message):
        read_section(RMNOptions, section, "params.yaml: model")


def test_an_unknown_arm_is_one_error():
    with pytest.raises(UserError, match=r"no arm 'nomask'; did you mean 'no_mask'\?"):
        _build_model("nomask", NARROW, 7)


def imagenet(width):
    return RMNOptions(width=width, dropout=0.4, pretraining="imagenet")


def test_imagenet_needs_the_papers_width():
    with pytest.raises(UserError, match=r"model\.width is 8, but model\.pretraining imagenet needs 64"):
        _build_model("masked", imagenet(8), 7)
    assert METHOD.pretraining_name(imagenet(64)) == "imagenet"
    assert METHOD.pretraining_name(NARROW) == "none"


def test_the_imagenet_trunk_is_torchvisions(monkeypatch):
    torch.manual_seed(1)
    oracle = torchvision.models.resnet34(weights=None).eval()
    state = {key: value for key, value in oracle.state_dict().items() if not key.startswith("fc.")}
    monkeypatch.setattr("fer_repro.layers.pretrained.imagenet_weights", lambda trunk: state)
    with pytest.raises(UserError, match=r"do not fit: conv1\.weight is \(4, 3, 7, 7\) here"):
        load_imagenet_trunk(narrow(), "resnet34")
    model = _build_model("no_mask", imagenet(64), 7).eval()
    model.fc, oracle.fc = nn.Identity(), nn.Identity()
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(images), oracle(images))


def test_a_checkpoint_needs_no_start_weights(monkeypatch):
    def refuse(trunk):
        raise AssertionError("fetched")

    monkeypatch.setattr("fer_repro.layers.pretrained.imagenet_weights", refuse)
    with torch.device("meta"):
        _build_model("no_mask", imagenet(64), 7, pretrained=False)


# --- traps of the authors' release ---


def test_class_count_is_honoured():
    assert _build_model("masked", NARROW, 8).eval()(torch.rand(1, 3, 64, 64)).shape == (1, 8)


def test_shortcuts_are_registered_once():
    keys = list(narrow().state_dict())
    assert not [key for key in keys if ".downsample1." in key]
    assert len(keys) == 740 - 120


def test_logits_are_not_softmaxed():
    with torch.no_grad():
        logits = narrow().eval()(torch.rand(2, 3, 64, 64))
    assert not torch.allclose(logits.sum(dim=1), torch.ones(2))
