import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError

NAMES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")


@pytest.fixture
def raw(tmp_path):
    """Thirty movies in Train with two images each, seven images in Val."""
    rng = np.random.default_rng(10)
    root = tmp_path / "raw"
    images = [
        ("Train", f"Movie{number}_00{shot}_0001.png", number % 7) for number in range(30) for shot in (1, 2)
    ]
    images += [("Val", f"Other_{number:04}.png", number) for number in range(7)]
    for part, name, label in images:
        file = root / part / NAMES[label] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(file)
    return root


def add(path, tmp_path, size=0):
    return add_dataset("sfew", path, tmp_path / "stores", size=size)


def test_parts_and_videos(tmp_path, raw):
    store = add(raw, tmp_path)
    samples = store.samples
    assert store.classes == tuple(name.lower() for name in NAMES)
    assert (samples["split"] == "test").sum() == 7
    train = samples[samples["split"] != "test"]
    assert set(train["split"]) == {"train", "val"}
    assert (train.groupby("movie")["split"].nunique() == 1).all()  # a movie stands in one part
    assert train["movie"].nunique() == 30
    assert "Whole frames; the publisher's Val is test" in store.manifest.note
    assert "train+val: 60, official 958 (-898)" in examine(store).text()


def test_aligned_faces_are_preferred(tmp_path, raw):
    for part in ("Train", "Val"):
        shutil.copytree(raw / part, raw / f"{part}_Aligned_Faces")
    store = add(raw, tmp_path, size=6)
    assert store.samples["file"].str.contains("_Aligned_Faces/").all()
    assert store.images.shape == (67, 6, 6, 3)
    assert "Aligned faces" in store.manifest.note


BAD = {
    "no val": (lambda root: shutil.rmtree(root / "Val"), "found Train; expected Train/<Class>/image"),
    "class": (lambda root: (root / "Train" / "Hapy").mkdir(), "Hapy: unknown class; did you mean 'happy'"),
    "no class": (lambda root: shutil.rmtree(root / "Val" / "Fear"), "Val: class folder 'fear' is missing"),
    "text": (
        lambda root: (root / "Val" / "Fear" / "a.txt").write_text("x"),
        "a.txt: not readable as an image",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
