import numpy as np
import pandas as pd
import pytest
from finished_project import write

from fer_repro.errors import UserError
from fer_repro.report.runs import (
    accuracy_by_factor,
    choose_explained,
    read_explained,
    read_history,
    read_rows,
    recall_table,
    run_folders,
    settings_table,
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


def test_configuration_as_dotted_keys():
    assert settings_table(
        '{"recipe": {"epochs": 6, "model": {"width": 8}}, "arm": "masked"}'
    ).to_numpy().tolist() == [
        ["arm", "masked"],
        ["recipe.epochs", "6"],
        ["recipe.model.width", "8"],
    ]


def test_recalls_keep_the_interval_of_one_seeds_images():
    counts = {"masked": np.array([[24, 6], [0, 0]])}  # three seeds of the same ten images
    table = recall_table(counts, ["a", "b"], 3, 0.95)
    np.testing.assert_allclose(
        table.iloc[0][["value", "low", "high"]].astype(float), [0.8, 0.4902, 0.9433], atol=1e-4
    )
    assert table.iloc[1][["value", "low", "high"]].isna().all()


def test_explained_faces_show_as_many_classes_as_possible():
    samples = pd.DataFrame({"label": [0, 0, 1, 1, 2], "image": [4, 3, 2, 1, 0]})
    explained = {"samples": np.array([0, 1, 2, 3, 4])}
    faces = choose_explained(explained, np.arange(5)[:, None, None] * np.ones((5, 2, 2)), samples, "abc", 3)
    assert faces.chosen.tolist() == [0, 2, 4]
    assert faces.titles == ["a", "b", "c"]
    assert faces.images[:, 0, 0].tolist() == [4, 2, 0]
    assert len(choose_explained({}, np.zeros((5, 2, 2)), samples, "abc", 3).images) == 0


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", 'x"\n"'])
def test_damaged_rows_are_one_clear_error(tmp_path, text):
    write(tmp_path / "rows.csv", text)
    with pytest.raises(UserError, match=r"rows\.csv"):
        read_rows(tmp_path / "rows.csv")


def test_accuracy_by_factor_counts_each_test_image_once(tmp_path):
    samples = pd.DataFrame({"occluder": ["none", "none", "mask", "none"], "label": [0, 0, 1, 1]})
    head = "sample,split,target,logit_a,logit_b,tta_a,tta_b\n"
    for seed, wrong in enumerate((0, 1)):  # the second seed errs on the first sample
        lines = f"3,val,1,9,0,1,0\n0,test,0,{1 - wrong},{wrong},0,1\n1,test,0,1,0,1,0\n2,test,1,1,0,1,0\n"
        write(tmp_path / f"synthetic/rmn/{seed}/masked/predictions.csv", head + lines)
    table = accuracy_by_factor(tmp_path, "synthetic", "rmn", ["masked"], [0, 1], samples, "occluder", 0.95)
    assert table["class"].tolist() == ["none (2)", "mask (1)"]
    assert table["value"].tolist() == [0.75, 0.0]
    assert (table["low"] <= table["value"]).all()
    assert accuracy_by_factor(tmp_path, "synthetic", "rmn", ["masked"], [0], samples, "light", 0.95).empty
