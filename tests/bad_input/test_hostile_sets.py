"""Data that somebody packed to do harm: nothing outside the folder is read, nothing in it is run."""

import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from miniature_sets import FIRST_FILES, write_noise
from miniature_videos import write_face_film

from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.store import open_store, write_store
from fer_repro.errors import UserError

VIDEOS = {name: FIRST_FILES[name] for name in ("dfdc", "ffpp")}
IMAGES = {"fer2013": None} | {name: file for name, file in FIRST_FILES.items() if not file.endswith(".mp4")}


@pytest.fixture
def private(tmp_path):
    """An image and a video that are nobody's business."""
    write_face_film(tmp_path / "private" / "secret.mp4", 1, 2)
    return write_noise(tmp_path / "private" / "secret.png", (48, 48, 3)).parent


def add_to_nothing(tell, name, root, tmp_path):
    said = tell("data", "add", name, root, "--store", tmp_path / "stores")
    assert not any((tmp_path / "stores").rglob("*"))
    return said


@pytest.mark.parametrize("layout", [name for name, file in IMAGES.items() if file] + list(VIDEOS))
@pytest.mark.parametrize("kind", ["a file", "its folder"])
def test_a_link_that_leads_out_is_refused(layout, kind, raw, private, tell, tmp_path):
    root = raw(layout)
    target = root / (VIDEOS | IMAGES)[layout]
    if kind == "a file":
        target.unlink()
        target.symlink_to(private / ("secret.mp4" if layout in VIDEOS else "secret.png"))
    else:
        elsewhere = private / "folder"
        target.parent.rename(elsewhere)
        target.parent.symlink_to(elsewhere)
    name = f"{layout}-2fpv" if layout in VIDEOS else layout.partition("_")[0]
    said = add_to_nothing(tell, name, root, tmp_path)
    assert f"leads out of {root}" in said
    assert str(private) in said


def test_a_link_out_of_folders_of_fer2013(private, tell, tmp_path):
    for part in ("train", "test"):
        write_noise(tmp_path / "raw" / part / "happy" / "1.png", (48, 48))
    (tmp_path / "raw" / "train" / "happy" / "2.png").symlink_to(private / "secret.png")
    assert "leads out of" in add_to_nothing(tell, "fer2013", tmp_path / "raw", tmp_path)


def test_a_link_inside_the_folder_and_to_the_folder_are_taken(raw, tmp_path):
    root = raw("folder")
    (root / "happy" / "again.png").symlink_to(root / "happy" / "0.png")
    (tmp_path / "link").symlink_to(root)
    assert len(add_dataset("folder", tmp_path / "link", tmp_path / "stores").samples) == 13


CLIMBING = {
    "affectnet_lists": ("training.csv", "0/t0.png", "../../private/secret.png"),
    "megaface": ("facescrub_lst", "Ann/Ann_1.png", "../../private/secret.png"),
    "ijb": ("meta/ijbc_face_tid_mid.txt", "1.jpg", "../../private/secret.png"),
}


@pytest.mark.parametrize("layout", CLIMBING)
@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_a_list_that_names_files_elsewhere(layout, kind, raw, private, tell, tmp_path):
    root = raw(layout)
    name, old, new = CLIMBING[layout]
    new = str(private / "secret.png") if kind == "absolute" else new
    files = [name, "meta/ijbc_name_5pts_score.txt"] if layout == "ijb" else [name]
    for file in files:
        text = (root / file).read_text()
        (root / file).write_text(text.replace(old, new, 1))
    said = add_to_nothing(tell, layout.partition("_")[0], root, tmp_path)
    if (layout, kind) == (
        "megaface",
        "absolute",
    ):  # the last parts of a line count: they stay below the images
        assert "no such file, expected for" in said
    else:
        assert "secret.png" in said
        assert "leads out of" in said or "no such file" in said or "is missing" in said


class Planted:
    """Unpickling it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("kind", ["an object array", "a bare pickle", "an archive of arrays"])
def test_annotations_that_hold_a_program_are_not_run(kind, raw, tell, tmp_path):
    root, mark = raw("affectnet"), tmp_path / "ran"
    file = root / "train_set" / "annotations" / "0_exp.npy"
    if kind == "an object array":
        np.save(file, np.array([Planted(mark)], object), allow_pickle=True)
    elif kind == "a bare pickle":
        file.write_bytes(pickle.dumps(Planted(mark)))
    else:
        with file.open("wb") as stream:
            np.savez(stream, a=np.array([Planted(mark)], object))
    assert "0_exp.npy: not one number" in add_to_nothing(tell, "affectnet", root, tmp_path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Planted(mark)))  # it would have worked
    assert mark.exists()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_are_not_unpacked(kind, tell, tmp_path):
    """Members that climb or link out have no way to act: no command unpacks an archive."""
    file = tmp_path / f"fer2013.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("../../climbed.txt", "x")
    else:
        with tarfile.open(file, "w") as archive:
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(link)
            archive.addfile(tarfile.TarInfo("../climbed.txt"))
    before = sorted(path for path in tmp_path.parent.rglob("*") if path != tmp_path / "stores")
    said = tell("data", "add", "fer2013", file, "--store", tmp_path / "stores")
    assert "emotion" in said or "unpacked" in said
    assert sorted(path for path in tmp_path.parent.rglob("*") if path != tmp_path / "stores") == before


STORES = {
    "a head that lies": lambda folder: lie(folder, (2**40, 4, 4)),
    "a head beyond counting": lambda folder: lie(folder, (2**62, 2**62, 4)),
    "objects": lambda folder: np.save(folder / "images.npy", np.array([{}, {}], object), allow_pickle=True),
    "a pickle": lambda folder: (folder / "images.npy").write_bytes(pickle.dumps([1])),
    "other bytes": lambda folder: np.save(folder / "images.npy", np.zeros((2, 4, 4), np.float64)),
    "a path elsewhere": lambda folder: point(folder, "/etc/passwd"),
    "a path that climbs to no array": lambda folder: point(folder, "../../../../../../etc/passwd"),
    "a manifest without end": lambda folder: (folder / "manifest.json").write_text("[" * 100_000),
    "samples elsewhere": lambda folder: swap(folder, '"samples.csv"', '"../samples.csv"'),
    "samples at a root": lambda folder: swap(folder, '"samples.csv"', '"/etc/passwd"'),
}


def lie(folder, shape):
    with (folder / "images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def swap(folder, old, new):
    text = (folder / "manifest.json").read_text()
    assert old in text
    (folder / "manifest.json").write_text(text.replace(old, new))


def point(folder, file):
    swap(folder, '"images.npy"', f'"{file}"')


@pytest.mark.filterwarnings("ignore:overflow encountered")  # NumPy's own, of the head beyond counting
@pytest.mark.parametrize("case", STORES)
def test_a_store_that_lies_about_itself(case, tmp_path):
    import pandas as pd

    samples = pd.DataFrame({"image": [0, 1], "label": [0, 1], "subject": "", "clip": "", "split": "test"})
    write_store(tmp_path / "toy", "toy", ("a", "b"), np.zeros((2, 4, 4), np.uint8), samples, {})
    STORES[case](tmp_path / "toy")
    with pytest.raises(UserError) as caught:
        open_store(tmp_path / "toy")
    assert str(tmp_path) in str(caught.value) or "/etc/passwd" in str(caught.value)
