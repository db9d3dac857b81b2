import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine, open_added
from fer_repro.datasets.folds import held_out
from fer_repro.errors import UserError


@pytest.fixture
def raw(tmp_path):
    """Builds class folders, with parts above them or not."""
    rng = np.random.default_rng(6)

    def build(parts=("",), classes=("glad", "angry"), count=40):
        root = tmp_path / "raw"
        for part in parts:
            for name in classes:
                (root / part / name).mkdir(parents=True)
                for number in range(count):
                    image = Image.fromarray(rng.integers(0, 256, (8, 6), dtype=np.uint8))
                    image.save(root / part / name / f"{number:02}.png")
        return root

    return build


def add(path, tmp_path, name="folder", size=0):
    return add_dataset(name, path, tmp_path / "stores", size=size)


def test_classes_without_parts(tmp_path, raw):
    store = add(raw(), tmp_path)
    assert store.classes == ("angry", "glad")
    assert store.images.shape == (80, 8, 6)
    assert store.samples["file"].iloc[[0, 79]].tolist() == ["angry/00.png", "glad/39.png"]
    assert store.samples["label"].tolist() == [0] * 40 + [1] * 40
    splits = store.samples["split"].value_counts()
    assert splits["train"] > 50
    assert min(splits["val"], splits["test"]) > 2
    assert "one in eight images is val, one in eight test" in store.manifest.note


def test_identical_images_stay_in_one_part(tmp_path, raw):
    root = raw()
    for number in range(40):
        shutil.copy(root / "glad" / f"{number:02}.png", root / "glad" / f"copy{number:02}.png")
    facts = examine(add(root, tmp_path)).facts
    assert facts["duplicate_groups"] == 40
    assert facts["val_in_train"] == facts["test_in_train"] == facts["test_in_val"] == 0


@pytest.mark.parametrize(
    ("train", "val", "test"), [("train", "val", "test"), ("Training", "valid", "Testing")]
)
def test_three_parts_stay(tmp_path, raw, train, val, test):
    store = add(raw((train, val, test), count=5), tmp_path)
    assert store.samples["split"].value_counts().to_dict() == {"train": 10, "val": 10, "test": 10}
    assert store.manifest.note == "The split is the folders'."


def test_two_parts_lose_one_in_eight_of_train(tmp_path, raw):
    store = add(raw(("train", "test")), tmp_path)
    samples = store.samples
    splits = samples["split"].value_counts()
    assert splits["test"] == 80
    assert splits["train"] + splits["val"] == 80
    rows = samples[samples["split"] != "test"]
    held = [held_out(store.images[row].tobytes()) for row in rows["image"]]
    assert (rows["split"] == "val").tolist() == held


def test_numbers_sort_by_value(tmp_path, raw):
    assert add(raw(classes=("10", "9", "2"), count=2), tmp_path).classes == ("2", "9", "10")


def test_colour_and_size(tmp_path, raw):
    root = raw(count=3)
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(root / "glad" / "large.jpg")
    with pytest.raises(UserError, match=r"large.jpg: 20 x 30 pixels: 00.png has 6 x 8; .*--size N"):
        add(root, tmp_path)
    assert add(root, tmp_path, size=5).images.shape == (7, 5, 5, 3)


def test_several_sets_by_name(tmp_path, raw):
    root = raw(count=3)
    assert add(root, tmp_path, "folder-office").manifest.name == "folder-office"
    assert len(open_added("folder-office", tmp_path / "stores").samples) == 6
    assert examine(open_added("folder-office", tmp_path / "stores")).official is None
    for name in ("folder-", "folder-../up", "folder-a b", "fer2013-x", "foldr-x"):
        with pytest.raises(UserError, match="is unknown"):
            add(root, tmp_path, name)


def write(name, text):
    return lambda root: (root / name).write_text(text)


BAD = {
    "text": (write("train/glad/notes.txt", "x"), "notes.txt: not readable as an image"),
    "no test": (lambda root: shutil.rmtree(root / "test"), "'test' is missing, found train"),
    "unknown part": (
        lambda root: (root / "trian").mkdir(),
        "trian: unknown part of the data; did you mean 'train'",
    ),
    "two parts": (lambda root: (root / "Training").mkdir(), "a second folder for train"),
    "one class": (
        lambda root: [shutil.rmtree(root / part / "glad") for part in ("train", "test")],
        "classes found: angry; expected two or more",
    ),
    "no image": (
        lambda root: [file.unlink() for file in root.rglob("*.png")],
        "no images; expected at least one",
    ),
    "deeper": (lambda root: (root / "train" / "glad" / "more").mkdir(), "more: not readable as an image"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    root = raw(("train", "test"), count=2)
    BAD[case][0](root)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(UserError, match="no such folder; expected <class>/image"):
        add(tmp_path / "nothing", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="classes found: nothing; expected two or more"):
        add(tmp_path / "empty", tmp_path)
