import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from miniature_videos import write_face_film

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError

PARTS = {0: "train", 34: "train", 35: "val", 39: "val", 40: "test", 49: "test"}


def write_part(folder, prefix):
    """A real video, two fakes of it, and a fake of a video that is not there."""
    originals = {"real": None, "fakea": "real", "fakeb": "real", "orphan": "absent"}
    entries = {}
    for person, (name, original) in enumerate(originals.items()):
        write_face_film(folder / f"{prefix}{name}.mp4", person, frames=3)
        entry = {"label": "FAKE", "original": f"{prefix}{original}.mp4"} if original else {"label": "REAL"}
        entries[f"{prefix}{name}.mp4"] = entry | {"split": "train"}
    (folder / "metadata.json").write_text(json.dumps(entries))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("dfdc") / "raw"
    for part in PARTS:
        inner = f"dfdc_train_part_{part}" if part == 49 else ""  # as an archive unpacks
        write_part(root / f"dfdc_train_part_{part:02}" / inner, f"p{part}")
    return root


@pytest.fixture
def raw(tmp_path, videos):
    return shutil.copytree(videos, tmp_path / "raw")


def add(path, tmp_path, name="dfdc-2fpv"):
    return add_dataset(name, path, tmp_path / "stores", size=32)


def test_parts_are_the_splits(tmp_path, raw):
    store = add(raw, tmp_path)
    assert store.classes == ("real", "manipulated")
    assert store.images.shape == (48, 32, 32, 3)
    clips = store.samples.drop_duplicates("clip").set_index("clip")
    assert {int(part): split for part, split in clips[["folder", "split"]].to_numpy()} == PARTS
    fake, real, orphan = (clips.loc[name].to_dict() for name in ("p35fakeb", "p35real", "p35orphan"))
    assert (fake["label"], fake["forgery"], fake["original"], fake["subject"]) == (
        1, "dfdc", "p35real", "p35real"
    )  # fmt: skip
    assert (real["label"], real["forgery"], real["original"], real["subject"]) == (0, "none", "", "p35real")
    assert (orphan["original"], orphan["subject"]) == ("p35absent", "p35absent")
    assert examine(store).crossing == ()
    assert examine(store).counts == dict.fromkeys(("train", "val", "test"), (4, 12))


def test_a_person_in_two_parts_is_found(tmp_path, raw):
    path = raw / "dfdc_train_part_40" / "metadata.json"
    path.write_text(path.read_text().replace('p40real.mp4", "split', 'p35real.mp4", "split'))
    found = examine(add(raw, tmp_path))
    assert found.crossing == ("p35real",)
    assert "subjects in more than one split: 1 (p35real)" in found.text()


def test_missing_and_unlisted_videos_are_named(tmp_path, raw):
    (raw / "dfdc_train_part_00" / "p0fakea.mp4").unlink()
    write_face_film(raw / "dfdc_train_part_00" / "extra.mp4")
    note = add(raw, tmp_path).manifest.note
    assert "1 videos of the lists are not there: p0fakea.mp4." in note
    assert "1 videos are in no list and are left out: extra.mp4." in note


def test_a_folder_without_a_number_is_split_by_its_originals(tmp_path):
    root = tmp_path / "train_sample_videos"
    for number in range(30):
        write_part(root / f"batch{number}", f"v{number}")
    store = add(root, tmp_path, "dfdc-1fpv")
    clips = store.samples.drop_duplicates("clip")
    for row in clips.to_dict("records"):
        first = hashlib.sha256(row["subject"].encode()).digest()[0] % 8
        assert row["split"] == {0: "val", 1: "test"}.get(first, "train")
    assert set(clips["split"]) == {"train", "val", "test"}
    assert examine(store).crossing == ()
    assert "split by this project" in store.manifest.note


def edit(text, other):
    def change(root):
        path = root / "dfdc_train_part_00" / "metadata.json"
        path.write_text(path.read_text().replace(text, other))

    return change


BAD = {
    "label": (edit('"REAL"', '"REEL"'), "metadata.json: p0real.mp4: label is 'REEL'; did you mean 'REAL'"),
    "original": (edit('"p0absent.mp4"', "null"), "p0orphan.mp4: original is None: expected the video"),
    "json": (edit("{", "["), "metadata.json: not readable as JSON"),
    "list": (
        lambda root: (root / "dfdc_train_part_00" / "metadata.json").write_text("[1]"),
        "metadata.json: expected",
    ),
    "part": (
        lambda root: (root / "dfdc_train_part_40").rename(root / "dfdc_train_part_50"),
        "dfdc_train_part_50: part 50 is unknown; expected 0 to 49",
    ),
    "twice": (
        lambda root: shutil.copytree(root / "dfdc_train_part_00", root / "dfdc_train_part_1"),
        "both are clip 'p0fakea'; expected one",
    ),
    "nothing": (shutil.rmtree, "no metadata.json there or below; expected dfdc_train_part_N"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_real_sample_clips(tmp_path):
    folder = Path(os.environ.get("FER_REPRO_REAL_DATA", "") or "/nowhere") / "deepfake" / "dfdc"
    if not folder.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with deepfake/dfdc/")
    store = add(folder, tmp_path, "dfdc-5fpv")
    labels = store.samples.groupby("clip")["label"].first().to_dict()
    assert labels == {"lynaeydofd": 0, "brtujopkby": 1, "yhffcuhhjy": 1}
    assert len(store.samples) >= 13  # of 15 frames
