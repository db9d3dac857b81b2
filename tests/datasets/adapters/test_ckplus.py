import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError
from fer_repro.loading.frames import find_clips


@pytest.fixture
def raw(tmp_path):
    """Twelve subjects: a labelled sequence of 4 + number frames each, and one without label."""
    rng = np.random.default_rng(5)
    root = tmp_path / "raw"
    for number in range(12):
        subject = f"S{number:03}"
        for sequence, frames in (("001", 4 + number), ("002", 2)):
            for frame in range(1, frames + 1):
                file = (
                    root / "cohn-kanade-images" / subject / sequence / f"{subject}_{sequence}_{frame:08}.png"
                )
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (12, 16), dtype=np.uint8)).save(file)
        label = root / "Emotion" / subject / "001" / f"{subject}_001_{4 + number:08}_emotion.txt"
        label.parent.mkdir(parents=True)
        label.write_text(f"   {float(number % 7 + 1):.7e}\n")
        (root / "Emotion" / subject / "002").mkdir()
    return root


def add(path, tmp_path, size=0):
    return add_dataset("ckplus", path, tmp_path / "stores", size=size)


def test_labelled_sequences_only(tmp_path, raw):
    store = add(raw, tmp_path)
    clips = find_clips(store.samples, "toy")
    assert clips.names == tuple(f"S{number:03}/001" for number in range(12))
    assert clips.counts.tolist() == [4 + number for number in range(12)]
    assert clips.targets.tolist() == [number % 7 for number in range(12)]
    assert store.images.shape == (sum(clips.counts), 12, 16)
    assert store.samples["file"].iloc[3] == "cohn-kanade-images/S000/001/S000_001_00000004.png"
    assert set(store.samples.loc[store.samples["split"] == "test", "subject"]) == {"S000", "S010"}
    assert "clip: 12, official 327 (-315)" in examine(store).text()
    assert "subjects in more than one split: 0" in examine(store).text()


def test_frames_of_several_sizes_and_colour(tmp_path, raw):
    file = raw / "cohn-kanade-images" / "S003" / "001" / "S003_001_00000001.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(file)
    with pytest.raises(UserError, match=r"30 x 20 pixels: .*--size N"):
        add(raw, tmp_path)
    assert add(raw, tmp_path, size=8).images.shape[1:] == (8, 8)  # grey


LABEL = "Emotion/S000/001/S000_001_00000004_emotion.txt"
FRAMES = "cohn-kanade-images/S000/001"
BAD = {
    "no labels": (
        lambda root: shutil.rmtree(root / "Emotion"),
        "Emotion: no such folder, found cohn-kanade-images",
    ),
    "no images": (
        lambda root: shutil.rmtree(root / "cohn-kanade-images"),
        "cohn-kanade-images: no such folder",
    ),
    "neutral": (lambda root: (root / LABEL).write_text("0.0"), r"label is '0.0': expected 1 to 7 \(1 anger"),
    "half": (lambda root: (root / LABEL).write_text("1.5"), "label is '1.5'"),
    "word": (lambda root: (root / LABEL).write_text("anger"), "label is 'anger'"),
    "two labels": (lambda root: (root / LABEL).with_name("a_emotion.txt").write_text("1"), "2 label files"),
    "no frames": (lambda root: shutil.rmtree(root / FRAMES), "S000/001: no frames"),
    "file name": (
        lambda root: (root / FRAMES / "a.png").write_text(""),
        "a.png: expected a name like S000_001_0",
    ),
    "nothing labelled": (
        lambda root: [file.unlink() for file in root.rglob("*_emotion.txt")],
        "no label; expected 327 files",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
