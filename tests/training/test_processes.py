"""One run on two processes against the same run on one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fer_repro.training.processes import launched

SCRIPT = Path(__file__).with_name("shared_run.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(of one process, of two)."""
    folder = tmp_path_factory.mktemp("shared")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    shared = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
    for name, launcher in (("one", ()), ("two", shared)):
        command = [sys.executable, *launcher, str(SCRIPT), str(folder / f"{name}.pt")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{name}.pt", weights_only=True) for name in ("one", "two")]


def test_both_see_the_same_samples_and_pixels_and_each_once(runs):
    (one,), two = runs[0]["seen"], runs[1]["seen"]
    assert len(two) == 2
    assert abs(len(two[0]) - len(two[1])) <= 4 * 3 * 6  # the first has one more of an odd batch
    assert sorted(map(tuple, one)) == sorted(tuple(row) for part in two for row in part)


@pytest.mark.parametrize("name", ["plain", "normed", "parts", "adacos", "pgm"])
def test_weights_and_history_are_equal_within_rounding(runs, name):
    one, two = (found[name] for found in runs)
    assert one["images"] == two["images"] == 3 * 45
    for first, second in zip(one["history"], two["history"], strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-5)
    for key, tensor in one["weights"].items():
        assert torch.allclose(tensor, two["weights"][key], rtol=1e-3, atol=1e-5), key


def test_batch_norm_counted_the_whole_batch(runs):
    weights = runs[1]["normed"]["weights"]
    assert torch.allclose(
        weights["body.1.running_var"], runs[0]["normed"]["weights"]["body.1.running_var"], rtol=1e-4
    )
    assert not torch.allclose(weights["body.1.running_var"], torch.ones(4), atol=1e-2)


def test_predictions_and_embeddings_come_once_and_in_order(runs):
    for one, two in zip(*(found["predicted"] for found in runs), strict=True):
        assert len(one) == len(two) == 45
        assert torch.allclose(torch.tensor(one), torch.tensor(two), atol=1e-4)


def test_a_lone_item_leaves_the_other_process_nothing_to_spoil(runs):
    (logits, means, numbers), other = (found["alone"] for found in runs)
    assert torch.allclose(torch.tensor(logits), torch.tensor(other[0]), atol=1e-4)
    assert torch.allclose(torch.tensor(means), torch.tensor(other[1]), atol=1e-4)
    assert other[2] == pytest.approx(numbers, abs=1e-4)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (1, 1)),
        ({"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}, (2, 3)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, (4, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_NNODES": "1"}, (1, 1)),  # an interactive job
    ],
)
def test_what_started_the_run_is_read(monkeypatch, variables, expected):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected
