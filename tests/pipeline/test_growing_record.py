"""Records that keep their runs' predictions, and grow seed by seed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_repro.datasets.adding import add_dataset
from fer_repro.errors import UserError
from fer_repro.evaluation.ledger import read_tested
from fer_repro.pipeline.own_runs import train_own
from fer_repro.pipeline.record import complete_arms, record_own
from fer_repro.runs.predictions import (
    PACKED,
    Predictions,
    pack_predictions,
    read_predictions,
    write_predictions,
)

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))
from miniature_fer2013 import make_rows, write_csv  # noqa: E402


def test_packed_predictions_answer_the_same(tmp_path):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(40, 3)) * 4
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    splits = np.array(["val"] * 15 + ["test"] * 25)
    whole = Predictions(("a", "b", "c"), np.arange(40), splits, generator.integers(0, 3, 40), logits, shares)
    (tmp_path / "run").mkdir()
    (tmp_path / "kept").mkdir()
    write_predictions(tmp_path / "run" / "predictions.csv", whole)
    pack_predictions(tmp_path / "run", tmp_path / "kept")
    kept = read_predictions(tmp_path / "kept" / "predictions.csv")
    assert kept.classes == whole.classes
    for name in ("samples", "splits", "targets"):
        assert np.array_equal(getattr(kept, name), getattr(whole, name))
    assert np.array_equal(kept.logits.argmax(1), logits.argmax(1))
    assert kept.logits == pytest.approx(logits, abs=5e-3)
    assert kept.probabilities == pytest.approx(shares, abs=1e-3)
    assert kept.probabilities.sum(1) == pytest.approx(1.0, abs=1e-12)
    first = (tmp_path / "kept" / PACKED).read_bytes()
    pack_predictions(tmp_path / "kept", tmp_path)  # packing again changes nothing
    assert (tmp_path / PACKED).read_bytes() == first


def test_damaged_packed_predictions_are_named(tmp_path):
    (tmp_path / PACKED).write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(UserError, match=r"predictions.npz: not readable"):
        read_predictions(tmp_path / "predictions.csv")


def finished(root, *runs):
    for seed, arm in runs:
        folder = root / str(seed) / arm
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{}")
    return root


def test_arms_wait_until_they_have_three_seeds(tmp_path):
    three = [(seed, "masked") for seed in (0, 1, 2, 3)]
    assert complete_arms(finished(tmp_path / "a", *three, (0, "no_mask"))) == (["masked"], [0, 1, 2, 3])
    both = [*three, *((seed, "no_mask") for seed in (0, 1, 3))]
    assert complete_arms(finished(tmp_path / "b", *both)) == (["masked", "no_mask"], [0, 1, 3])
    assert complete_arms(finished(tmp_path / "c", (4, "masked"), (4, "no_mask"))) == (
        ["masked", "no_mask"],
        [4],
    )
    with pytest.raises(UserError, match="no seed that all arms have: masked, no_mask"):
        complete_arms(finished(tmp_path / "d", (1, "masked"), (2, "no_mask")))
    with pytest.raises(UserError, match="there is no finished run"):
        complete_arms(tmp_path / "nothing")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a miniature FER2013 and the published claims."""
    folder = tmp_path / "project"
    (folder / "results").mkdir(parents=True)
    shutil.copytree(ROOT / "results/published", folder / "results/published")
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    write_csv(tmp_path / "raw" / "fer2013.csv", make_rows())
    monkeypatch.chdir(folder)
    add_dataset("fer2013", tmp_path / "raw" / "fer2013.csv", Path("stores"))
    return folder


def test_a_record_grows_by_seeds_that_came_since(project):
    def grow(*seeds, **kinds):
        for seed in seeds:
            train_own(Path("params.yaml"), "rmn", "fer2013", seed, Path("runs"), smoke=True)
        return record_own("kept", "fer2013", "rmn", Path("params.yaml"), Path(), keep_runs=True, **kinds)

    folder = grow(0, 1)
    assert {run["seed"] for run in json.loads((folder / "record.json").read_text())["runs"]} == {0, 1}
    before = (folder / "runs/fer2013/rmn/0/masked" / PACKED).read_bytes()
    shutil.rmtree("runs")
    grow(2)
    record = json.loads((folder / "record.json").read_text())
    assert {(run["arm"], run["seed"]) for run in record["runs"]} == {
        (arm, seed) for arm in ("masked", "no_mask") for seed in (0, 1, 2)
    }
    assert (folder / "runs/fer2013/rmn/0/masked" / PACKED).read_bytes() == before
    assert set(read_tested(folder / "ledger.csv")["seeds"]) == {3}
    assert all("train_seconds" in run for run in record["runs"])
    rows = (folder / "rows.csv").read_bytes()
    grow()
    assert (folder / "rows.csv").read_bytes() == rows
    assert not list(folder.rglob("*.safetensors"))


def test_a_run_that_differs_from_the_kept_one_is_refused(project):
    train_own(Path("params.yaml"), "rmn", "fer2013", 0, Path("runs"), smoke=True)
    folder = record_own("kept", "fer2013", "rmn", Path("params.yaml"), Path(), keep_runs=True)
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    history = Path("runs/fer2013/rmn/0/masked/history.csv")
    history.write_text(history.read_text() + "2,0.1,1,1,1,1,0\n")
    with pytest.raises(UserError, match=r"is not the run that .*kept keeps; move one of them away"):
        record_own("kept", "fer2013", "rmn", Path("params.yaml"), Path(), keep_runs=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept
