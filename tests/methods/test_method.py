"""Methods are found by their files, and official checkpoints load whole or not at all."""

import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.methods import method as contract
from fer_repro.methods.method import load_method, load_official, method_names


def test_methods_are_the_files_that_define_one(tmp_path, monkeypatch):
    assert "rmn" in method_names()
    assert "method" not in method_names()
    (tmp_path / "own.py").write_text("METHOD = None\n")
    (tmp_path / "blocks.py").write_text("x = 'METHOD = 1'\n")
    monkeypatch.setattr(contract, "__file__", str(tmp_path / "method.py"))
    assert method_names() == ("own",)


def test_every_method_is_named_as_its_file():
    for name in method_names():
        method = load_method(name)
        assert method.name == name
        assert {method.headline, method.control} <= set(method.arms)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UserError, match=r"no method 'rnm'; did you mean 'rmn'\?"):
        load_method("rnm")


def test_an_unknown_arm_names_the_nearest():
    with pytest.raises(UserError, match=r"rmn has no arm 'mask'; did you mean 'masked'\?"):
        load_method("rmn").check_arm("mask")


def load(golden, state, **changes):
    return load_official({**golden.official, **changes}, state)


def test_the_official_keys_load_with_and_without_aliases(rmn_golden):
    state = rmn_golden.meta()
    assert len(state) == 740
    assert len(load(rmn_golden, state).state_dict()) == 740 - 120
    for alias in rmn_golden.aliases:
        del state[alias]
    load(rmn_golden, state)


def test_an_alias_never_wins_over_its_twin(blocks_golden):
    state = blocks_golden.state_dict("mask1.")
    for alias in blocks_golden.aliases:
        if alias in state:
            state[alias] = torch.full_like(state[alias], 9)
    block = load(
        blocks_golden,
        {key.removeprefix("mask1."): value for key, value in state.items()},
        constructor={"in_channels": 8, "out_channels": 8, "depth": 1},
    )
    for key, value in block.state_dict().items():
        assert torch.equal(value, state[f"mask1.{key}"])


HEADS = {  # official class -> keys and shapes of its head (fact sheet 1.6, 2.2)
    "resmasking": {"fc.": (7, 512)},
    "resmasking_dropout1": {"fc.1.": (7, 512)},
    "resmasking_dropout2": {"fc.0.": (128, 512), "fc.3.": (7, 128)},
    "resmasking_dropout3": {"fc.0.": (512, 512), "fc.3.": (128, 512), "fc.6.": (7, 128)},
    "resmasking_dropout4": {"fc.0.": (128, 512), "fc.3.": (128, 128), "fc.6.": (7, 128)},
}


@pytest.mark.parametrize("name", HEADS)
def test_every_official_head_loads(rmn_golden, name):
    state = {key: value for key, value in rmn_golden.meta().items() if not key.startswith("fc.")}
    for key, (rows, columns) in HEADS[name].items():
        state[f"{key}weight"] = torch.empty(rows, columns, device="meta")
        state[f"{key}bias"] = torch.empty(rows, device="meta")
    load(rmn_golden, state, **{"class": f"models.resmasking.{name}", "constructor": {}})


def spoilt(golden, **changes):
    state = golden.meta()
    for key, value in changes.items():
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn1.weight": None}, r"\(620 tensors\): 1 missing: bn1\.weight$"),
        ({"mask1.conv1.downsample.0.weight": None}, r"1 missing: mask1\.conv1\.downsample\.0\.weight$"),
        ({"fc.2.weight": torch.ones(1)}, r"1 unexpected: fc\.2\.weight$"),
        (
            {"fc.1.weight": torch.ones(8, 512), "fc.1.bias": torch.ones(8)},
            r"2 reshaped or mistyped: fc\.1\.weight \(float32\[8, 512\] instead of float32\[7, 512\]\), fc",
        ),
        ({"bn1.bias": torch.ones(64, dtype=torch.int8)}, r"1 reshaped or mistyped: bn1\.bias \(int8\[64\]"),
        ({"bn1.bias": [0.0] * 64}, r"1 reshaped or mistyped: bn1\.bias \(list instead"),
        (
            {"bn1.bias": None, "bn9.bias": torch.ones(64), "conv1.weight": torch.ones(64, 1, 7, 7)},
            r"1 missing: bn1\.bias; 1 unexpected: bn9\.bias; 1 reshaped or mistyped: conv1\.weight",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_one_error(rmn_golden, change, message):
    with pytest.raises(UserError, match=message) as caught:
        load(rmn_golden, spoilt(rmn_golden, **change))
    assert "models.resmasking.resmasking_dropout1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_list_is_counted_and_cut(rmn_golden):
    with pytest.raises(
        UserError, match=r"620 missing: conv1\.weight, .* \.\.\.; 2 unexpected: net, epoch$"
    ) as e:
        load(rmn_golden, {"net": {}, "epoch": 3})
    assert len(str(e.value)) < 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"class": "models.resmasking.resmasking_dropout5"},
            r"resmasking_dropout5'; did you mean '.*dropout",
        ),
        ({"repo": "someone/else"}, "no method knows the official class 'someone/else models.resmasking"),
        ({"class": None}, "'class' is None: expected a text"),
        ({"constructor": {"num_clases": 7}}, r"argument 'num_clases'; did you mean 'num_classes'\?"),
    ],
)
def test_an_unknown_layout_is_one_error(rmn_golden, change, message):
    with pytest.raises(UserError, match=message):
        load(rmn_golden, rmn_golden.meta(), **change)


@pytest.mark.parametrize("depth", [0, 5, None, "two"])
def test_a_masking_block_has_depth_1_to_4(blocks_golden, depth):
    with pytest.raises(UserError, match="expected 1, 2, 3 or 4"):
        load(blocks_golden, {}, constructor={"in_channels": 8, "out_channels": 8, "depth": depth})


def test_the_tensors_are_taken_over_in_one_floating_type(blocks_golden):
    constructor = {"in_channels": 8, "out_channels": 8, "depth": 1}
    state = {k.removeprefix("mask1."): v.clone() for k, v in blocks_golden.state_dict("mask1.").items()}
    shared = load(blocks_golden, state, constructor=constructor)
    assert shared.conv1.conv1.weight.data_ptr() == state["conv1.conv1.weight"].data_ptr()
    assert shared.conv1.conv1.weight.requires_grad
    state["conv1.conv1.weight"] = state["conv1.conv1.weight"].float()
    state["conv1.bn1.num_batches_tracked"] = torch.tensor(5, dtype=torch.int32)
    mixed = load(blocks_golden, state, constructor=constructor)
    assert {p.dtype for p in mixed.parameters()} == {torch.float64}
    assert mixed.conv1.bn1.num_batches_tracked.dtype == torch.int64
