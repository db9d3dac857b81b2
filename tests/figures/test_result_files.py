import numpy as np
import pandas as pd
import pytest
from finished_project import write

from fer_repro.errors import UserError
from fer_repro.figures.result_files import (
    choose_explained,
    read_explained,
    read_history,
    read_rows,
    run_folders,
    settings_table,
    stages,
)


def test_runs_are_found_in_order(project):
    assert [(seed, arm) for seed, arm, _ in run_folders(project / "runs", "synthetic", "rmn")] == [
        (seed, arm) for seed in range(3) for arm in ("masked", "no_mask")
    ]
    history = read_history(project / "runs", "synthetic", "rmn")
    assert len(history) == 18
    assert list(history.columns[:3]) == ["arm", "seed", "epoch"]
    assert read_history(project / "runs", "synthetic", "other").empty


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
