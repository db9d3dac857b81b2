import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError

LABELS = "basic/EmoLabel/list_patition_label.txt"
NAMES = [f"train_{number:05}" for number in range(1, 31)] + [f"test_{number:04}" for number in range(1, 8)]


@pytest.fixture
def raw(tmp_path):
    rng = np.random.default_rng(7)
    root = tmp_path / "raw"
    images = root / "basic" / "Image" / "aligned"
    images.mkdir(parents=True)
    for name in NAMES:
        image = Image.fromarray(rng.integers(0, 256, (10, 10, 3), dtype=np.uint8))
        image.save(images / f"{name}_aligned.jpg")
    (root / LABELS).parent.mkdir()
    (root / LABELS).write_text("".join(f"{name}.jpg {number % 7 + 1}\n" for number, name in enumerate(NAMES)))
    return root


def add(path, tmp_path, size=0):
    return add_dataset("rafdb", path, tmp_path / "stores", size=size)


@pytest.mark.parametrize("inside", [False, True])
def test_the_list_gives_labels_and_parts(tmp_path, raw, inside):
    store = add(raw / "basic" if inside else raw, tmp_path)
    samples = store.samples
    assert store.classes == ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert samples["label"].tolist() == [number % 7 for number in range(37)]
    assert samples["file"].iloc[0] == "Image/aligned/train_00001_aligned.jpg"
    assert (samples["split"] == "test").tolist() == [False] * 30 + [True] * 7
    assert set(samples["split"]) == {"train", "val", "test"}
    assert store.images.shape == (37, 10, 10, 3)
    text = examine(store).text()
    assert "train+val, official" in text
    assert "train+val surprise: 5 samples, official 1290 (-1285)" in text
    assert "train+val: 30, official 12271 (-12241)" in text


def test_lists_become_columns(tmp_path, raw):
    (raw / "rafdb_occlusion_list.txt").write_bytes(b"test_0002_aligned 3 4\r\ntest_0002_aligned 3 4\r\n")
    (raw / "val_raf_db_list_45.txt").write_text("4/test_0003_aligned.jpg\n")
    store = add(raw, tmp_path)
    samples = store.samples
    assert samples.loc[samples["occlusion"], "file"].tolist() == ["Image/aligned/test_0002_aligned.jpg"]
    assert samples.loc[samples["pose_45"], "file"].tolist() == ["Image/aligned/test_0003_aligned.jpg"]
    assert "pose_30" not in samples
    assert "occlusion: 1 images, NOT the published list." in store.manifest.note
    assert "occlusion: 1, official 734 (-733)" in examine(store).text()


def edit(old, new):
    return lambda root: (root / LABELS).write_text((root / LABELS).read_text().replace(old, new))


BAD = {
    "no list": (lambda root: (root / LABELS).unlink(), "list_patition_label.txt: no such file or folder"),
    "no images": (
        lambda root: shutil.rmtree(root / "basic" / "Image"),
        "aligned: no such file or folder, found Emo",
    ),
    "label": (
        edit("train_00002.jpg 2", "train_00002.jpg 8"),
        r"line 2: 'train_00002.jpg 8': expected .*1 surprise",
    ),
    "twice": (edit("train_00003", "train_00002"), r"line 3: 'train_00002.jpg' is given twice"),
    "missing": (edit("test_0007", "test_0008"), "test_0008_aligned.jpg: no such file"),
    "unlisted": (edit("test_0007.jpg 2\n", ""), "test_0007_aligned.jpg: .* does not list it"),
    "empty": (lambda root: (root / LABELS).write_text(""), "no lines; expected 15339"),
    "damaged": (
        lambda root: (root / "basic/Image/aligned/test_0001_aligned.jpg").write_text("x"),
        "test_0001_aligned.jpg: not readable",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(UserError, match="found nothing; expected basic/EmoLabel"):
        add(tmp_path / "nothing", tmp_path)
