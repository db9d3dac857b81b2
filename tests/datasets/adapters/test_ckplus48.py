import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adapters.ckplus48 import CLASSES
from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.folds import fold_split, read_fold_list, subject_folds
from fer_repro.errors import UserError
from fer_repro.loading.frames import find_clips

LIST = "emotion_fan_10fold.txt"


@pytest.fixture
def raw(tmp_path):
    """Fourteen subjects with one sequence each, two per class."""
    rng = np.random.default_rng(4)
    root = tmp_path / "raw" / "CK+48"
    for number in range(14):
        for frame in range(9, 12):
            file = root / CLASSES[number % 7] / f"S{number:03}_001_{frame:08}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(file)
    return root


def add(path, tmp_path):
    return add_dataset("ckplus48", path, tmp_path / "stores")


@pytest.mark.parametrize("above", [False, True])
def test_the_class_folders_become_clips_with_folds(tmp_path, raw, above):
    store = add(raw.parent if above else raw, tmp_path)
    samples = store.samples
    assert store.classes == ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    assert len(samples) == 42
    assert samples["clip"].iloc[:4].tolist() == ["S000/001"] * 3 + ["S001/001"]
    assert samples["file"].iloc[:2].tolist() == ["anger/S000_001_00000009.png", "anger/S000_001_00000010.png"]
    assert samples["subject"].iloc[3] == "S001"
    assert samples["fold"].iloc[::3].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4]
    assert (samples["split"] == "test").sum() == 6
    assert set(samples.loc[samples["split"] == "test", "fold"]) == {1}
    assert set(samples.loc[samples["split"] == "val", "fold"]) == {2}
    assert len(find_clips(samples, "toy")) == 14
    assert "clip: 14, official 327 (-313)" in examine(store).text()


def write_list(root, folds, swap=("", "")):
    """A list that gives subject k the fold ``folds[k]``."""
    lines = []
    for fold in sorted(set(folds)):
        members = [number for number in range(14) if folds[number] == fold]
        lines.append(f"{fold}-fold {len(members)} Angry 1")
        lines += [f"S{number:03}/001 {CLASSES[number % 7].title()}" for number in members]
    (root / LIST).write_text("\n".join(lines).replace(*swap) + "\n")


def test_the_published_list_leads(tmp_path, raw):
    write_list(raw, [1] * 7 + [6] * 3 + [9] * 4)
    store = add(raw, tmp_path)
    assert store.samples.groupby("fold")["clip"].nunique().to_dict() == {1: 7, 6: 3, 9: 4}
    assert set(store.samples.loc[store.samples["split"] == "val", "fold"]) == {6}
    assert "as published" in store.manifest.note


def move(source, target):
    def damage(root):
        (root / target).parent.mkdir(exist_ok=True)
        (root / source).rename(root / target)

    return damage


def photo(name, side):
    return lambda root: Image.fromarray(np.zeros((side, side), np.uint8)).save(root / name)


FIRST = "anger/S000_001_00000009.png"
SPREAD = [number % 10 + 1 for number in range(14)]
BAD = {
    "no class": (lambda root: shutil.rmtree(root / "fear"), "class folder 'fear' is missing, found anger"),
    "neutral": (lambda root: (root / "neutral").mkdir(), "neutral: unknown class; valid: anger"),
    "another name": (move("fear", "afraid"), "afraid: unknown class"),
    "file name": (move(FIRST, "anger/face.png"), "face.png: expected a name like S010_004_00000017.png"),
    "two frames": (lambda root: (root / FIRST).unlink(), "sequence S000/001 has 2 frames: expected 3"),
    "two labels": (move(FIRST, "fear/S000_001_00000009.png"), "S000_001 is in anger/, too"),
    "one other size": (photo(FIRST, 50), "50 x 50 pixels: expected 48 x 48"),
    "text": (lambda root: (root / FIRST).write_text("x"), "not readable as an image"),
    "list": (lambda root: write_list(root, SPREAD, ("S003/001 Fear", "S003/001 Sad")), "'S003/001' is 'Sad'"),
    "list of two folds": (lambda root: write_list(root, [1] * 7 + [2] * 7), "three or more"),
    "list short": (
        lambda root: (root / LIST).write_text("1-fold 1 x\nS000/001 Angry\n"),
        "'S007/001' is missing",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_other_sizes_and_paths(tmp_path, raw):
    for file in raw.rglob("*.png"):
        photo(file, 64)(Path())
    with pytest.raises(UserError, match="64 x 64 pixels: expected 48 x 48"):
        add(raw, tmp_path)
    with pytest.raises(UserError, match="no such folder; expected a folder CK"):
        add(tmp_path / "nothing", tmp_path)
    with pytest.raises(UserError, match="--size 32: ckplus48 stores its images as they are"):
        add_dataset("ckplus48", raw, tmp_path / "stores", size=32)


@pytest.fixture
def real():
    folder = os.environ.get("FER_REPRO_REAL_DATA", "")
    path = Path(folder) / "CK+48"
    if not folder or not path.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with CK+48/")
    return path


def test_the_real_set_and_all_its_folds(tmp_path, real):
    store = add(real, tmp_path)
    samples = store.samples
    assert samples["clip"].nunique() == 327
    assert samples["subject"].nunique() == 118
    assert examine(store).differences == ()
    clips = samples.groupby("fold")["clip"].nunique()
    assert clips.tolist() == [33, 39, 40, 35, 30, 37, 29, 29, 33, 22]
    rule = subject_folds(samples["subject"])
    assert [rule[subject] for subject in samples["subject"]] == samples["fold"].tolist()
    assert len(read_fold_list(real / LIST)) == 327
    tested = []
    for fold in range(1, 11):
        turn = fold_split(samples, fold)
        assert (turn.groupby("subject")["split"].nunique() == 1).all()
        tested += turn.loc[turn["split"] == "test", "image"].tolist()
    assert sorted(tested) == list(range(981))
