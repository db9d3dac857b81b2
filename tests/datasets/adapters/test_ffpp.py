import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from miniature_videos import write_face_film

from fer_repro.datasets import yunet
from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.dataset import load_dataset
from fer_repro.datasets.face_index import SCHEMA, read_face_index
from fer_repro.datasets.faces import Box, CascadeDetector
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.loading.frames import find_clips

PAIRS = {"train": [["000", "001"]], "val": [["002", "003"]], "test": [["004", "005"]]}
YOUTUBE = "original_sequences/youtube/c23/videos"


def method_folder(method):
    return f"manipulated_sequences/{method}/c23/videos"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Six originals, two manipulations of each; beside them what the adapter leaves out."""
    root = tmp_path_factory.mktemp("ffpp") / "raw"
    for number in range(6):
        write_face_film(root / YOUTUBE / f"{number:03}.mp4", number)
        other = number + 1 - 2 * (number % 2)
        for method in ("Deepfakes", "FaceSwap"):
            write_face_film(root / method_folder(method) / f"{number:03}_{other:03}.mp4", other)
    write_face_film(root / method_folder("FaceShifter") / "000_001.mp4", 1)
    for split, pairs in PAIRS.items():
        (root / f"{split}.json").write_text(json.dumps(pairs))
    return root


@pytest.fixture
def raw(tmp_path, videos):
    return shutil.copytree(videos, tmp_path / "raw")


def add(path, tmp_path, name="ffpp-5fpv", **settings):
    return add_dataset(name, path, tmp_path / "stores", **settings)


def test_videos_become_faces(tmp_path, raw):
    store = add(raw, tmp_path, size=48)
    assert store.classes == ("real", "manipulated")
    assert store.images.shape == (90, 48, 48, 3)
    samples = store.samples
    assert len(find_clips(samples, "toy")) == 18
    table = samples.groupby(["split", "label"])["clip"].nunique().unstack()
    assert table.to_dict() == {0: dict.fromkeys(PAIRS, 2), 1: dict.fromkeys(PAIRS, 4)}
    fake = samples[samples["clip"] == "FaceSwap/003_002"]
    assert fake["frame"].tolist() == [0, 1, 2, 3, 5]
    first = fake.iloc[0].to_dict()
    assert first["label"] == 1
    assert (first["subject"], first["source"]) == ("003", "002")
    assert (first["forgery"], first["original"], first["split"]) == ("FaceSwap", "youtube/003", "val")
    assert first["file"] == "manipulated_sequences/FaceSwap/c23/videos/003_002.mp4"
    real = samples[samples["clip"] == "youtube/003"].iloc[0].to_dict()
    assert (real["label"], real["subject"], real["source"]) == (0, "003", "")
    assert (real["forgery"], real["original"]) == ("none", "")
    assert "5 frames per video, faces by haar" in store.manifest.note
    assert "crop 'scale' at 48 pixels. 0 frames show no face." in store.manifest.note
    assert "split: publisher's lists. Left out: FaceShifter." in store.manifest.note
    assert "another split" not in store.manifest.note


def test_the_doctor_counts_videos_and_people(tmp_path, raw):
    found = examine(add(raw, tmp_path, size=32))
    assert found.crossing == ()
    assert "clip: 18, official 5000 (-4982)" in found.differences
    assert "subject: 6, official 1000 (-994)" in found.differences


def test_a_window_follows_the_face(tmp_path, raw):
    samples = add(raw, tmp_path, size=32).samples
    video = samples[samples["clip"] == "youtube/000"]
    assert video["crop_left"].iloc[-1] - video["crop_left"].iloc[0] in range(6, 15)  # the face moves by 10
    sides = video["crop_right"] - video["crop_left"]
    assert sides.between(80, 140).all()


def test_the_authors_rule_and_the_faces_that_cross(tmp_path, raw):
    for split in PAIRS:
        (raw / f"{split}.json").unlink()
    store = add(raw, tmp_path, "ffpp-authors_1fpv", size=32)
    order = np.random.RandomState(41).permutation([f"{number:03}" for number in range(6)])
    expected = {"train": order[:4], "val": order[4:5], "test": order[5:]}  # 4.32, 0.84 and 0.84 of 6
    samples = store.samples
    for split, subjects in expected.items():
        assert set(samples.loc[samples["split"] == split, "subject"]) == set(subjects)
    split_of = {subject: split for split, subjects in expected.items() for subject in subjects}
    pairs = [(f"{n:03}", f"{n + 1 - 2 * (n % 2):03}") for n in range(6)]
    crossing = 2 * sum(split_of[target] != split_of[source] for target, source in pairs)
    assert crossing > 0
    assert f"{crossing} manipulated clips show the face of a person who is in another split" in (
        store.manifest.note
    )
    assert "split: authors' rule" in store.manifest.note


def test_what_gives_no_face_is_named(tmp_path, raw):
    write_face_film(raw / method_folder("Deepfakes") / "001_000.mp4", None)
    (raw / method_folder("Deepfakes") / "003_002.mp4").write_bytes(b"no video")
    write_face_film(raw / YOUTUBE / "999.mp4", 3)
    store = add(raw, tmp_path, size=32)
    note = store.manifest.note
    assert len(store.samples) == 16 * 5
    assert "5 frames show no face. 1 videos without a face are left out: Deepfakes/001_000." in note
    assert "1 videos are left out as damaged" in note
    assert "003_002.mp4: not readable as a video" in note
    assert "1 videos are in no split and left out: youtube/999." in note


def test_faces_that_are_known_are_not_searched_for(tmp_path, raw, monkeypatch):
    first = add(raw, tmp_path, size=32)
    index = first.folder / "faces.parquet"
    assert len(read_face_index(index).table()) >= 90
    shutil.copy(index, raw / "faces.parquet")
    monkeypatch.setattr(CascadeDetector, "detect", lambda self, image: pytest.fail("searched again"))
    again = add(raw, tmp_path, size=32, force=True)
    assert np.array_equal(first.images, again.images)
    assert again.samples.equals(first.samples)
    with pytest.raises(UserError, match=r"faces\.parquet: holds faces of 5 frames per video: expected 10"):
        add(raw, tmp_path, "ffpp-10fpv", size=32)


class Fixed:
    """Finds one face at one place."""

    name = "yunet sha256=0123 tight"

    def __init__(self, *asked):
        self.asked = asked

    def detect(self, image):
        return [Box(40, 20, 100, 100, 0.9)]


def test_another_detector_is_kept_with_its_faces(tmp_path, raw, monkeypatch):
    opened = []
    monkeypatch.setattr(yunet, "YuNetDetector", lambda *asked: opened.append(asked) or Fixed())
    monkeypatch.setenv("FER_REPRO_YUNET", "net.onnx")
    for choice in ("yunet", "yunet:net.onnx"):
        store = add(raw, tmp_path, "ffpp-1fpv", size=32, detector=choice, force=True)
        assert "faces by yunet sha256=0123 tight" in store.manifest.note
        assert read_face_index(store.folder / "faces.parquet").detector == Fixed.name
        assert np.allclose(store.samples["score"], 0.9)
    assert opened == [(Path("net.onnx"),)] * 2


def test_faces_by_another_detector_are_not_taken_for_the_named_one(tmp_path, raw, monkeypatch):
    shutil.copy(add(raw, tmp_path, "ffpp-1fpv", size=32).folder / "faces.parquet", raw)
    monkeypatch.setattr(yunet, "YuNetDetector", Fixed)
    with pytest.raises(
        UserError, match=r"faces\.parquet: holds faces by haar .*: expected yunet sha256=0123"
    ):
        add(raw, tmp_path, "ffpp-1fpv", size=32, detector="yunet:net.onnx", force=True)
    add(raw, tmp_path, "ffpp-1fpv", size=32, detector="cascade", force=True)


def test_a_set_of_images_needs_no_detector(tmp_path):
    with pytest.raises(UserError, match="--detector cascade: no faces are searched for in lfw; leave it out"):
        add_dataset("lfw", tmp_path, tmp_path / "stores", detector="cascade")


def rewrite(path, box, detector, change):
    """Writes an index anew with other boxes and other metadata."""
    table = pq.read_table(path)
    faces = pa.Table.from_pandas(change(table.to_pandas()), SCHEMA, preserve_index=False)
    pq.write_table(faces.replace_schema_metadata({"frames": "5", "detector": detector, **box}), path)


def without_margin(faces):
    middle, centre = (faces["left"] + faces["right"]) / 2, (faces["top"] + faces["bottom"]) / 2
    width, height = (faces["right"] - faces["left"]) / 1.2, (faces["bottom"] - faces["top"]) / 1.4
    centre -= (0.04 - 1 / 64) * height
    return faces.assign(
        left=middle - 13 / 32 * width,
        right=middle + 13 / 32 * width,
        top=centre - 17 / 32 * height,
        bottom=centre + 17 / 32 * height,
    )


SIDES = ["crop_left", "crop_top", "crop_right", "crop_bottom"]


def test_known_boxes_get_their_margin_once(tmp_path, raw, monkeypatch):
    """Those of the cascades before they were tight, and tight ones, give the windows of a new search."""
    first, path = add(raw, tmp_path, size=32), raw / "faces.parquet"
    shutil.copy(first.folder / "faces.parquet", path)
    before = CascadeDetector().name.replace(" tight", "")
    rewrite(path, {}, before, lambda faces: faces)
    with monkeypatch.context() as patch:
        patch.setattr(CascadeDetector, "detect", lambda self, image: pytest.fail("searched again"))
        assert np.array_equal(add(raw, tmp_path, size=32, force=True).images, first.images)
    rewrite(path, {"box": "tight"}, "mine", without_margin)
    again = add(raw, tmp_path, size=32, force=True)
    assert np.abs(again.samples[SIDES].to_numpy() - first.samples[SIDES].to_numpy()).max() <= 1
    stored = read_face_index(again.folder / "faces.parquet")
    assert (stored.detector, stored.box) == ("mine", "margin")


def test_found_boxes_beside_known_ones_are_no_mixture(tmp_path, raw):
    first, path = add(raw, tmp_path, size=32), raw / "faces.parquet"
    shutil.copy(first.folder / "faces.parquet", path)
    half = set(first.samples["file"].unique()[::2])
    rewrite(path, {"box": "tight"}, "mine", lambda faces: without_margin(faces[faces["video"].isin(half)]))
    mixed = add(raw, tmp_path, size=32, force=True)
    assert np.abs(mixed.samples[SIDES].to_numpy() - first.samples[SIDES].to_numpy()).max() <= 1


def test_boxes_outside_the_frame_are_no_faces(tmp_path, raw, monkeypatch):
    boxes = [Box(-900, -900, -800, -800, 9.0), Box(40, 30, 80, 82, 3.0)]
    monkeypatch.setattr(CascadeDetector, "detect", lambda self, image: boxes)
    store = add(raw, tmp_path, "ffpp-1fpv", size=32)
    assert (store.samples["score"] == 3.0).all()
    assert read_face_index(store.folder / "faces.parquet").table()["nfaces"].eq(1).all()


def test_faces_of_a_video_that_was_replaced_are_refused(tmp_path, raw):
    first = add(raw, tmp_path, size=32)
    shutil.copy(first.folder / "faces.parquet", raw / "faces.parquet")
    write_face_film(raw / YOUTUBE / "000.mp4", 5, 9)
    with pytest.raises(
        UserError, match=r"faces\.parquet: its faces of original_.*000\.mp4 are of another file"
    ):
        add(raw, tmp_path, size=32, force=True)
    assert np.array_equal(open_store(first.folder, verify=True).images, first.images)


def test_an_index_without_digests_is_taken_and_named(tmp_path, raw):
    first = add(raw, tmp_path, size=32)
    assert "was not checked" not in first.manifest.note
    table = pq.read_table(first.folder / "faces.parquet")
    pq.write_table(table.drop_columns(["sha256"]), raw / "faces.parquet")
    again = add(raw, tmp_path, size=32, force=True)
    assert again.samples.equals(first.samples)
    assert "whether its faces are of these files was not checked" in again.manifest.note


def test_another_quality(tmp_path, raw):
    for folder in ("original_sequences/youtube", *(f"manipulated_sequences/{m}" for m in ("Deepfakes",))):
        (raw / folder / "c23").rename(raw / folder / "c40")
    store = add(raw, tmp_path, "ffpp-c40_1fpv", size=32)
    assert len(store.samples) == 12
    assert "Quality c40, youtube, Deepfakes;" in store.manifest.note
    with pytest.raises(UserError, match=r"no videos of quality raw; expected original_sequences"):
        add(raw, tmp_path, "ffpp-raw")


BAD = {
    "no list": (lambda root: (root / "val.json").unlink(), "val.json is missing, looked for there, in spl"),
    "no json": (lambda root: (root / "val.json").write_text("["), "val.json: not readable as JSON"),
    "no ids": (
        lambda root: (root / "val.json").write_text("[[2, 3]]"),
        "val.json: 2: expected a list of pairs",
    ),
    "two splits": (
        lambda root: (root / "val.json").write_text('[["001", "003"]]'),
        "val.json: video 001 is also in train.json",
    ),
    "name": (
        lambda root: write_face_film(root / method_folder("FaceSwap") / "000.mp4"),
        "000.mp4: unknown name; expected NNN_MMM.mp4",
    ),
    "no folder": (shutil.rmtree, "no videos of quality c23; expected original_sequences/youtube"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_videos_of_nobody_write_nothing(tmp_path):
    root = tmp_path / "raw"
    write_face_film(root / YOUTUBE / "000.mp4", None)
    for split, ids in {"train": ["000"], "val": [], "test": []}.items():
        (root / f"{split}.json").write_text(json.dumps(ids))
    with pytest.raises(UserError, match=r"none of 1 videos gives a face\. 6 frames show no face\. 1 videos"):
        add(root, tmp_path, "ffpp")
    assert not any((tmp_path / "stores").rglob("*"))


def test_names_of_variants():
    for name in ("ffpp-c40_authors_25fpv", "ffpp-raw", "ffpp-1fpv"):
        assert load_dataset(name)
    with pytest.raises(UserError, match="'ffpp-c32' is unknown; did you mean"):
        load_dataset("ffpp-c32")


def test_real_sample_clips(tmp_path):
    folder = Path(os.environ.get("FER_REPRO_REAL_DATA", "") or "/nowhere") / "deepfake" / "ffpp"
    if not folder.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with deepfake/ffpp/")
    root = tmp_path / "raw"
    for part in ("original_sequences", "manipulated_sequences"):
        shutil.copytree(folder / part, root / part)
    for split, pair in {"train": "519 515", "val": "004 982", "test": "634 660"}.items():
        (root / f"{split}.json").write_text(json.dumps([pair.split()]))
    store = add(root, tmp_path, size=64)
    assert store.samples.groupby("split")["clip"].nunique().to_dict() == {"train": 2, "val": 2, "test": 2}
    assert len(store.samples) == 30  # every frame shows a face
    assert "in no split and left out: Face2Face/750_743" in store.manifest.note
