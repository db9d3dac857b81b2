import numpy as np
import pandas as pd
import pytest
from finished_project import write

from fer_repro.errors import UserError
from fer_repro.report.runs import (
    flat_config,
    read_explained,
    read_history,
    read_rows,
    run_folders,
    stages,
    worst_errors,
)


def test_runs_are_found_in_order(project):
    assert [(seed, arm) for seed, arm, _ in run_folders(project / "runs", "synthetic", "rmn")] == [
        (seed, arm) for seed in range(3) for arm in ("masked", "no_mask")
    ]
    history = read_history(project / "runs", "synthetic", "rmn")
    assert len(history) == 18
    assert list(history.columns[:3]) == ["arm", "seed", "epoch"]
    assert read_history(project / "runs", "synthetic", "other").empty


def test_the_most_confident_mistakes_come_first():
    predictions = pd.DataFrame(
        {
            "sample": [0, 1, 2, 3], "split": ["test", "test", "test", "val"], "target": [0, 0, 1, 0],
            "logit_a": [3.0, 0.0, 2.0, 0.0], "logit_b": [0.0, 1.0, 0.0, 9.0],
        }
    )  # fmt: skip
    errors = worst_errors(predictions, ["a", "b"], 5)
    assert errors["sample"].tolist() == [2, 1]
    assert errors["predicted"].tolist() == ["a", "b"]
    np.testing.assert_allclose(errors["probability"], [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))])


def test_explained_tensors_come_by_stage(tmp_path):
    arrays = {
        "mask10": np.ones((1, 2)),
        "mask2": np.zeros((1, 3)),
        "scores1": np.zeros(1),
        "mask": np.zeros(1),
    }
    np.savez(tmp_path / "explained.npz", **arrays)
    found = stages(read_explained(tmp_path), "mask")
    assert [array.shape for array in found] == [(1, 3), (1, 2)]
    with pytest.raises(UserError, match=r"explained\.npz"):
        read_explained(tmp_path / "nowhere")


def test_configuration_as_dotted_keys(tmp_path):
    write(tmp_path / "config.json", '{"recipe": {"epochs": 6, "model": {"width": 8}}, "arm": "masked"}')
    assert flat_config(tmp_path).to_numpy().tolist() == [
        ["arm", "masked"],
        ["recipe.epochs", "6"],
        ["recipe.model.width", "8"],
    ]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", 'x"\n"'])
def test_damaged_rows_are_one_clear_error(tmp_path, text):
    write(tmp_path / "rows.csv", text)
    with pytest.raises(UserError, match=r"rows\.csv"):
        read_rows(tmp_path / "rows.csv")
