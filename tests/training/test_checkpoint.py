import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_run import TinyNet, make_config

from fer_repro import stage_code
from fer_repro.training.checkpoint import (
    Checkpoint,
    copy_weights,
    fingerprint,
    generators,
    restore_generators,
    save_weights,
)


def draw():
    return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002


def test_generators_continue_where_they_were(tmp_path):
    np.random.standard_normal()  # noqa: NPY002
    random.gauss(0, 1)
    checkpoint = Checkpoint(tmp_path / "state.pt", "x")
    checkpoint.save({"n": 1, "generators": generators()})
    expected = draw()
    state = checkpoint.load()
    assert state["n"] == 1
    restore_generators(state["generators"])
    assert draw() == expected
    assert generators()["torch"].dtype == torch.uint8


def test_a_checkpoint_of_another_run_is_ignored_and_overwritten(tmp_path, capsys):
    path = tmp_path / "state.pt"
    Checkpoint(path, "old").save({"n": 1})
    new = Checkpoint(path, "new")
    assert new.load() is None
    assert "state.pt: it belongs to other parameters, data or code" in capsys.readouterr().err
    new.save({"n": 2})
    assert new.load()["n"] == 2


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_ignored(tmp_path, capsys, content):
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    assert Checkpoint(path, "x").load() is None
    assert "cannot be read" in capsys.readouterr().err


def test_a_failed_save_leaves_the_old_state(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.pt", "x")
    checkpoint.save({"n": 1})
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"local object|pickle"):
        checkpoint.save({"n": lambda: None})
    assert checkpoint.load()["n"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_the_fingerprint_follows_everything_training_depends_on(tmp_path, monkeypatch):
    config = make_config()
    first = fingerprint(config, "data")
    assert first == fingerprint(make_config(), "data")
    assert first != fingerprint(config, "other data")
    assert first != fingerprint(replace(config, seed=2), "data")
    assert first != fingerprint(make_config(batch_size=9), "data")
    assert first == fingerprint(make_config(seconds=7.0), "data")
    evaluation = replace(config.evaluation, bootstrap=7)
    assert first == fingerprint(replace(config, evaluation=evaluation), "data")
    (tmp_path / "methods").mkdir()
    code = tmp_path / "methods" / "rmn.py"
    code.write_text("one")
    monkeypatch.setattr(stage_code, "PACKAGE", tmp_path)
    before = fingerprint(config, "data")
    code.write_text("two")
    assert before != fingerprint(config, "data")


def test_weights_are_byte_stable_and_come_back(tmp_path):
    weights = copy_weights(TinyNet().to(memory_format=torch.channels_last))
    save_weights(tmp_path / "a.safetensors", weights)
    save_weights(tmp_path / "b.safetensors", dict(reversed(weights.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
    TinyNet().load_state_dict(loaded)
