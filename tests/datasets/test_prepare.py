"""The tasks that a collected set fits, by what its store holds; and why nothing trains on the others."""

import json

import numpy as np
import pandas as pd
import pytest
from miniature_sets import LAYOUTS

from fer_repro.datasets.adding import add_dataset, open_added
from fer_repro.datasets.prepare import fitting_tasks, prepare_dataset, read_audit, untrainable
from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import open_store, write_store
from fer_repro.errors import UserError
from fer_repro.methods.method import load_method
from fer_repro.params import TASKS, dataset_names
from fer_repro.pipeline.training_task import task_of
from fer_repro.synthetic.factors import read_truth
from fer_repro.synthetic.stills import write_stills


@pytest.fixture
def project(tmp_path, csv_file):
    add_dataset("fer2013", csv_file, tmp_path / "stores")
    return tmp_path


def prepare(project):
    return prepare_dataset(
        "fer2013", project / "stores" / "fer2013" / "manifest.json", project / "prepared" / "fer2013"
    )


def test_a_prepared_added_set_holds_no_image(project):
    store = prepare(project)
    files = sorted(path.name for path in (project / "prepared" / "fer2013").iterdir())
    assert files == ["audit.json", "manifest.json", "samples.csv"]
    assert store.manifest.images.file == "../../stores/fer2013/images.npy"
    assert store.images.shape == (35, 48, 48)
    assert store.samples["in_training"].tolist() == [False] * 21 + [True] + [False] * 6 + [True] + [False] * 6
    assert store.samples["in_public"].sum() == 1
    assert protocol_rows(store.samples, "test", "clean").tolist() == list(range(29, 35))
    assert read_audit(store.folder)["facts"]["test_in_train"] == 1


def test_preparing_twice_gives_the_same_bytes(project):
    folder = prepare(project).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    prepare(project)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert str(project) not in before["manifest.json"].decode()


def test_missing_and_unknown_sets(tmp_path):
    with pytest.raises(UserError, match="was not added yet, run: fer-repro data add fer2013 PATH"):
        prepare(tmp_path)
    with pytest.raises(UserError, match="'fer2031' is unknown; did you mean 'fer2013'"):
        prepare_dataset("fer2031", "x", "y")
    with pytest.raises(UserError, match=r"run `dvc pull data\.dvc`"):
        prepare_dataset("synthetic", tmp_path / "manifest.json", tmp_path / "out")
    with pytest.raises(UserError, match=r"audit.json: no such file"):
        read_audit(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_changed_image_is_found_before_training(project):
    path = project / "stores" / "fer2013" / "images.npy"
    pixels = bytearray(path.read_bytes())
    pixels[-1] ^= 1
    path.write_bytes(pixels)
    with pytest.raises(UserError, match="sha256 is"):
        prepare(project)
    assert not (project / "prepared" / "fer2013").exists()


def test_another_set_under_the_name(project):
    manifest = project / "stores" / "fer2013" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "fer2013"', '"name": "ferplus"'))
    with pytest.raises(UserError, match="holds data set 'ferplus': expected 'fer2013'"):
        open_added("fer2013", project / "stores")


def test_synthetic_faces_bring_their_images(tmp_path):
    raw, out = tmp_path / "data" / "synthetic", tmp_path / "prepared" / "synthetic"
    write_stills(raw, subjects={"train": 2, "val": 1, "test": 1}, faces_per_class=1)
    store = prepare_dataset("synthetic", raw / "manifest.json", out)
    assert store.images.shape == (28 + 70, 48, 48)  # of five people seven covered and seven turned faces
    assert store.samples["split"].value_counts()["challenge"] == 70
    assert store.manifest.images.file == "images.npy"
    files = json.loads((raw / "manifest.json").read_text())["files"]
    assert set(store.manifest.source) - set(files) == {"truth.npz"}
    assert files.items() <= store.manifest.source.items()
    assert read_audit(out)["facts"]["subjects_known"] == 98
    known = read_truth(out)
    assert (
        known["samples"].tolist()
        == store.samples.index[store.samples["split"].isin(["test", "challenge"])].tolist()
    )
    assert known["expressive"].shape == (77, 48, 48)
    assert not store.samples["in_training"].any()
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    prepare_dataset("synthetic", raw / "manifest.json", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_names_come_from_the_files():
    assert "fer2013" in dataset_names()


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
    "resampled": ("traces",),
}
KINDS = {
    "faces": "expression", "clips": "expression", "pairs": "verification", "forgeries": "manipulation",
    "sequences": "regression", "traces": "manipulation", "synthesis": "regression",
    "hiding": "verification", "groups": "expression", "further_faces": "expression",
    "further_forgeries": "manipulation",
}  # fmt: skip
METHODS = {
    "faces": "rmn", "clips": "fan", "pairs": "adacos", "forgeries": "efficientnet", "sequences": "engagement",
    "traces": "benford", "synthesis": "pixel_synthesis", "hiding": "blinding", "groups": "inside_bias",
    "further_faces": "maxout", "further_forgeries": "face_losses",
}  # fmt: skip


def written(folder, labels, splits, clips="", classes=("a", "b")):
    table = pd.DataFrame(
        {"image": range(len(labels)), "label": labels, "subject": "", "clip": clips, "split": splits}
    )
    write_store(folder / "folder", "folder", classes, np.zeros((len(labels), 4, 4), np.uint8), table, {})
    return open_store(folder / "folder")


def test_every_adapter_has_a_miniature_here():
    assert set(METHODS) == set(KINDS) == set(TASKS)
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


def test_images_and_what_they_are_to_become_are_for_synthesis(tmp_path):
    splits, clips = ["train", "train", "val", "val", "test", "test"], ["a", "a", "b", "b", "c", "c"]
    store = written(tmp_path, [0] * 6, splits, clips, classes=("0",))
    assert fitting_tasks(store) == ("synthesis",)
    assert task_of(load_method("pixel_synthesis"), store) == "regression"
    with pytest.raises(UserError, match="holds images and what they are to become, method engagement takes"):
        task_of(load_method("engagement"), store)
    with pytest.raises(UserError, match="is for regression, method rmn for expression"):
        task_of(load_method("rmn"), store)


@pytest.mark.parametrize("clips", ["", ["a", "a", "b", "b", "c", ""], ["a", "a", "b", "b", "b", "b"]])
def test_one_class_without_pairs_is_nothing_to_learn(tmp_path, clips):
    splits = ["train", "train", "val", "val", "val" if clips and clips[-1] == "b" else "test"]
    store = written(tmp_path, [0] * 6, [*splits, splits[-1]], clips, classes=("0",))
    assert not store.has_wanted_images
    assert fitting_tasks(store) == ()


def test_stills_are_not_for_clips(tmp_path):
    splits = ["train", "train", "val", "test"]
    assert fitting_tasks(written(tmp_path / "stills", [0, 1, 0, 1], splits)) == ("faces",)
    clips = ["a/1", "", "", ""]
    assert fitting_tasks(written(tmp_path / "clips", [0, 1, 0, 1], splits, clips)) == ("faces", "clips")
