"""The tasks that a collected set fits, by what its store holds; and why nothing trains on the others."""

import numpy as np
import pandas as pd
import pytest
from miniature_sets import LAYOUTS

from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.dataset import dataset_names
from fer_repro.datasets.prepare import fitting_tasks, untrainable
from fer_repro.datasets.store import open_store, write_store
from fer_repro.errors import UserError
from fer_repro.methods.method import load_method
from fer_repro.params import TASKS
from fer_repro.pipeline.arm import task_of

MINIATURES = {  # layout: its tasks, or why it has none; most are too small for a part of their own
    "fer2013": ("faces",),
    "ferplus": ("faces",),
    "ckplus48": ("faces", "clips"),
    "ckplus": ("faces", "clips"),
    "rafdb": "no sample of split val: expected some of train, val and test",
    "affectnet": ("faces",),
    "affectnet_lists": "no sample of split val",
    "sfew": ("faces",),
    "afew": "no sample of split val",
    "folder": "no sample of split test",
    "lfw": ("pairs",),
    "identities": "too few people beside those of its pairs to learn from: 1 people",
    "ijb": "no training part: it is for evaluation only",
    "megaface": "no training part: it is for evaluation only",
    "ffpp": ("forgeries",),
    "dfdc": "no sample of split val and test",
    "celebdf": "no sample of split val",
}
KINDS = {"faces": "expression", "clips": "expression", "pairs": "verification", "forgeries": "manipulation"}
METHODS = {"faces": "rmn", "clips": "fan", "pairs": "adacos", "forgeries": "efficientnet"}


def written(folder, labels, splits, clips="", classes=("a", "b")):
    table = pd.DataFrame(
        {"image": range(len(labels)), "label": labels, "subject": "", "clip": clips, "split": splits}
    )
    write_store(folder / "folder", "folder", classes, np.zeros((len(labels), 4, 4), np.uint8), table, {})
    return open_store(folder / "folder")


def test_every_adapter_has_a_miniature_here():
    assert set(METHODS) == set(TASKS)
    assert {layout.partition("_")[0] for layout in MINIATURES} == set(dataset_names())


@pytest.mark.parametrize("layout", MINIATURES)
def test_tasks_that_fit_or_the_reason(tmp_path, layout):
    LAYOUTS[layout](tmp_path / "raw")
    store = add_dataset(layout.partition("_")[0], tmp_path / "raw", tmp_path / "stores")
    expected = MINIATURES[layout]
    if isinstance(expected, str):
        assert fitting_tasks(store) == ()
        assert expected in untrainable(store)
        return
    assert fitting_tasks(store) == expected
    assert untrainable(store) == ""
    for task in expected:
        assert task_of(load_method(METHODS[task]), store) == KINDS[task]


def test_a_method_of_another_task_is_refused(tmp_path):
    splits = ["train", "train", "val", "test"]
    store = written(tmp_path, [0, 1, 0, 1], splits, classes=("real", "manipulated"))
    assert fitting_tasks(store) == ("forgeries",)
    with pytest.raises(UserError, match="is for manipulation, method rmn for expression"):
        task_of(load_method("rmn"), store)


def test_one_class_to_learn_is_none(tmp_path):
    store = written(tmp_path, [0, 0, 1], ["train", "val", "test"])
    assert fitting_tasks(store) == ()
    assert "only 'a' in train: expected two classes or more" in untrainable(store)


def test_stills_are_not_for_clips(tmp_path):
    splits = ["train", "train", "val", "test"]
    assert fitting_tasks(written(tmp_path / "stills", [0, 1, 0, 1], splits)) == ("faces",)
    clips = ["a/1", "", "", ""]
    assert fitting_tasks(written(tmp_path / "clips", [0, 1, 0, 1], splits, clips)) == ("faces", "clips")
