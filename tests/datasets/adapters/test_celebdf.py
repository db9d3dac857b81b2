import shutil

import numpy as np
import pytest
from miniature_videos import write_face_film

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError

REAL = [f"id{person}_000{take}" for person in range(4) for take in range(2)]
YOUTUBE = ["00000", "00001"]
FAKE = ["id0_id1_0000", "id0_id1_0001", "id1_id0_0000", "id2_id3_0000", "id3_id2_0001", "id9_id1_0000"]
LIST = """\
1 YouTube-real/00001.mp4
1 Celeb-real/id0_0000.mp4
0 Celeb-synthesis/id0_id1_0000.mp4
1 Celeb-real/id7_0000.mp4
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("celebdf") / "raw"
    for part, names in {"Celeb-real": REAL, "YouTube-real/videos": YOUTUBE, "Celeb-synthesis": FAKE}.items():
        for person, name in enumerate(names):
            write_face_film(root / part / f"{name}.mp4", person, frames=3)
    (root / "List_of_testing_videos.txt").write_text(LIST)
    return root


@pytest.fixture
def raw(tmp_path, videos):
    return shutil.copytree(videos, tmp_path / "raw")


def add(path, tmp_path, name="celebdf-2fpv"):
    return add_dataset(name, path, tmp_path / "stores", size=32)


def test_the_list_is_the_test_part_and_fakes_follow_their_original(tmp_path, raw):
    store = add(raw, tmp_path)
    clips = store.samples.drop_duplicates("clip").set_index("clip")
    assert set(clips.index[clips["split"] == "test"]) == {
        "celeb-real/id0_0000", "youtube-real/00001", "celeb-synthesis/id0_id1_0000"
    }  # fmt: skip
    others = sorted([f"celeb-real/{n}" for n in REAL if n != "id0_0000"] + ["youtube-real/00000"])
    order = np.random.RandomState(41).permutation(8)
    train = {others[number] for number in order[:7]}  # 600 of 712 are 6.7 of 8
    assert set(clips.index[(clips["split"] == "train") & (clips["label"] == 0)]) == train
    for fake, original in {
        "id0_id1_0001": "id0_0001",
        "id1_id0_0000": "id1_0000",
        "id2_id3_0000": "id2_0000",
        "id3_id2_0001": "id3_0001",
    }.items():
        row = clips.loc[f"celeb-synthesis/{fake}"]
        assert row["original"] == f"celeb-real/{original}"
        assert row["split"] == clips.loc[f"celeb-real/{original}", "split"]
        assert (row["subject"], row["source"]) == tuple(fake.split("_")[:2])
        assert (row["label"], row["forgery"]) == (1, "celeb-synthesis")
    assert clips.loc["youtube-real/00000", "subject"] == "youtube-real/00000"
    note = store.manifest.note
    assert "1 fakes are left out, their original is tested or missing: celeb-synthesis/id9_id1_0000." in note
    assert "1 videos of the list are not there: celeb-real/id7_0000." in note


def test_a_fake_of_a_tested_original_is_left_out(tmp_path, raw):
    path = raw / "List_of_testing_videos.txt"
    path.write_text(path.read_text() + "1 Celeb-real/id2_0000.mp4\n")
    store = add(raw, tmp_path)
    assert "celeb-synthesis/id2_id3_0000" not in set(store.samples["clip"])
    assert "2 fakes are left out" in store.manifest.note


def test_the_doctor_names_people_in_two_splits(tmp_path, raw):
    found = examine(add(raw, tmp_path))
    assert "id0" in found.crossing
    assert "clip: 15, official 6529 (-6514)" in found.differences


BAD = {
    "no list": (lambda root: (root / "List_of_testing_videos.txt").unlink(), "videos.txt: no such file"),
    "label": (
        lambda root: (root / "List_of_testing_videos.txt").write_text("0 Celeb-real/id0_0000.mp4"),
        "videos.txt: line 1: '0 Celeb-real/id0_0000.mp4': expected 1 for real",
    ),
    "line": (
        lambda root: (root / "List_of_testing_videos.txt").write_text("\nCeleb-real/id0_0000.mp4"),
        "videos.txt: line 2: 'Celeb-real/id0_0000.mp4': expected '1 Celeb-real",
    ),
    "name": (
        lambda root: write_face_film(root / "Celeb-real" / "id0_id1_0000.mp4"),
        "id0_id1_0000.mp4: unknown name",
    ),
    "part": (lambda root: shutil.rmtree(root / "YouTube-real"), "youtube-real is missing"),
    "nothing": (shutil.rmtree, "found nothing; expected Celeb-real/"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
