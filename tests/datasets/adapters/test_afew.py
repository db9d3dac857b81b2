import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError
from fer_repro.loading.frames import find_clips

NAMES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
ORDER = ("happy", "angry", "disgust", "fear", "sad", "neutral", "surprise")


@pytest.fixture
def raw(tmp_path):
    """Builds thirty training and seven validation clips of two or three frames."""
    rng = np.random.default_rng(11)

    def build(train="Train_AFEW", val="Val_AFEW"):
        root = tmp_path / "raw"
        for part, count in ((train, 30), (val, 7)):
            for number in range(count):
                clip = root / part / NAMES[number % 7] / f"{number:09}"
                clip.mkdir(parents=True)
                for frame in range(2 + number % 2):
                    image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                    image.save(clip / f"{frame + 1:07}.jpg")
        return root

    return build


def add(path, tmp_path, size=0):
    return add_dataset("afew", path, tmp_path / "stores", size=size)


@pytest.mark.parametrize("parts", [("Train_AFEW", "Val_AFEW"), ("train_afew", "val_afew"), ("Train", "Val")])
def test_clips_of_frames(tmp_path, raw, parts):
    store = add(raw(*parts), tmp_path)
    assert store.classes == ORDER
    samples = store.samples
    clips = find_clips(samples, "toy")  # one label and one split in each clip
    assert len(clips) == 37
    assert samples["clip"].iloc[0] == "train/Angry/000000000"
    assert samples["label"].iloc[0] == 1
    assert (samples["split"] == "test").sum() == sum(2 + number % 2 for number in range(7))
    assert set(samples["split"]) == {"train", "val", "test"}
    assert "clip: 37, official 1152 (-1115)" in examine(store).text()


def test_a_clip_without_frames_is_left_out_and_named(tmp_path, raw):
    root = raw()
    (root / "Val_AFEW" / "Sad" / "empty").mkdir()
    store = add(root, tmp_path)
    assert len(find_clips(store.samples, "toy")) == 37
    assert "1 clips have no frames and are left out: test/Sad/empty." in store.manifest.note


BAD = {
    "no val": (
        lambda root: shutil.rmtree(root / "Val_AFEW"),
        "found Train_AFEW; expected Train_AFEW/<Class>",
    ),
    "two trains": (lambda root: (root / "train").mkdir(), "found Train_AFEW, Val_AFEW, train; expected"),
    "class": (lambda root: (root / "Val_AFEW" / "Sadd").mkdir(), "Sadd: unknown class; did you mean 'sad'"),
    "video": (
        lambda root: (root / "Val_AFEW" / "Sad" / "1.avi").write_text("x"),
        "1.avi: a video; expected a folder",
    ),
    "file": (
        lambda root: (root / "Val_AFEW" / "Sad" / "1.jpg").write_text("x"),
        "1.jpg: no folder; expected one",
    ),
    "frame": (
        lambda root: (root / "Val_AFEW" / "Angry" / "000000000" / "0000001.jpg").write_text("x"),
        "0000001.jpg: not readable as an image",
    ),
    "no clips": (
        lambda root: shutil.rmtree(root / "Val_AFEW") or (root / "Val_AFEW").mkdir(),
        "no clips; expected",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    root = raw()
    BAD[case][0](root)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
