import csv
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from miniature_fer2013 import write_csv

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.votes import ANSWERS, EXPRESSIONS, soft_targets, vote_targets
from fer_repro.errors import UserError

HEADER = ["Usage", "Image name", *EXPRESSIONS, "unknown", "NF"]
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
# usage, name, votes of fer2013new.csv, votes of label.csv (None: the same); the names lag behind the rows
LINES = [
    ("Training", "fer0000000.png", {"neutral": 10}, None),
    ("Training", "", {"nf": 10}, None),
    ("Training", "fer0000001.png", {"neutral": 6, "anger": 4}, {"neutral": 3, "anger": 7}),
    ("Training", "fer0000002.png", {"fear": 5, "surprise": 5}, None),  # no majority
    ("Training", "fer0000003.png", {"sadness": 9, "fear": 1}, None),  # stands there twice
    ("PublicTest", "fer0000100.png", {"contempt": 8, "nf": 2}, None),
    ("PublicTest", "fer0000101.png", {"happiness": 10}, None),
    ("PrivateTest", "fer0000200.png", {"surprise": 10}, None),  # its last line is not a face
    ("PrivateTest", "fer0000201.png", {"unknown": 7, "neutral": 3}, None),
    ("PrivateTest", "fer0000202.png", {"disgust": 6, "fear": 2, "unknown": 2}, None),
    ("Training", "fer0000003.png", {"sadness": 9, "fear": 1}, None),
    ("PrivateTest", "fer0000200.png", {"nf": 10}, {"surprise": 10}),
]


def counts(votes):
    return [votes.get(answer, 0) for answer in ANSWERS]


@pytest.fixture
def images():
    return np.random.default_rng(2).integers(0, 256, (len(LINES), 48, 48), dtype=np.uint8)


@pytest.fixture
def build(tmp_path, images):
    """Lays the files out with or without data/, and beside or below the pixels."""

    def lay_out(votes="ferplus", data=""):
        root = tmp_path / "raw"
        write_csv(root / "fer2013" / "fer2013.csv", ([0] * len(LINES), [line[0] for line in LINES], images))
        sheet = root / votes / "fer2013new.csv"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        with sheet.open("w", newline="") as file:
            csv.writer(file).writerows([HEADER, *([u, n, *counts(v)] for u, n, v, _ in LINES)])
        labels = {}
        for usage, name, votes_there, other in LINES:
            if name:
                labels.setdefault(FOLDERS[usage], {})[name] = counts(other or votes_there)
        for folder, rows in labels.items():
            path = sheet.parent / data / folder / "label.csv"
            path.parent.mkdir(parents=True)
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([name, "(0, 0, 48, 48)", *row] for name, row in rows.items())
        return root

    return lay_out


def add(path, tmp_path, name="ferplus"):
    return add_dataset(name, path, tmp_path / "stores")


@pytest.mark.parametrize(("votes", "data"), [("ferplus", ""), ("FERPlus", "data"), ("", ""), ("", "data")])
def test_every_layout(tmp_path, build, images, votes, data):
    store = add(build(votes, data), tmp_path)
    samples = store.samples
    assert samples["file"].tolist() == [
        "fer0000000", "fer0000001", "fer0000100", "fer0000101", "fer0000200", "fer0000202", "fer0000003"
    ]  # fmt: skip
    assert samples["row"].tolist() == [0, 2, 5, 6, 7, 9, 10]  # by line, not by number
    assert np.array_equal(store.images, images[samples["row"]])
    names = ["neutral", "anger", "contempt", "happiness", "surprise", "disgust", "sadness"]
    assert [EXPRESSIONS[label] for label in samples["label"]] == names
    assert samples["split"].tolist() == ["train", "train", "val", "val", "test", "test", "train"]
    assert samples[["votes_neutral", "votes_anger"]].iloc[1].tolist() == [3, 7]  # label.csv's votes
    assert "occlusion" not in samples
    assert "majority" in store.manifest.note


def test_the_table_gives_the_distribution_back(tmp_path, build):
    samples = add(build(), tmp_path).samples
    votes = samples[[f"votes_{answer}" for answer in ANSWERS]].to_numpy()
    targets, kept = vote_targets(votes, "majority")
    assert kept.all()
    assert np.argmax(targets, axis=1).tolist() == samples["label"].tolist()


@pytest.mark.parametrize("mode", ["probability", "cross_entropy", "multi_target"])
def test_soft_rules_store_their_targets(tmp_path, build, mode):
    store = add(build(), tmp_path, f"ferplus-{mode}")
    found = soft_targets(store.samples, store.classes)
    votes = store.samples[[f"votes_{answer}" for answer in ANSWERS]].to_numpy()
    np.testing.assert_allclose(found, vote_targets(votes, mode)[0], atol=1e-7)
    assert (found > 0).sum(axis=1).max() > 1
    assert np.argmax(found, axis=1).tolist() == store.samples["label"].tolist()


@pytest.mark.parametrize("name", ["ferplus", "ferplus-plain"])
def test_hard_rules_have_no_soft_targets(tmp_path, build, name):
    assert soft_targets(add(build(), tmp_path, name).samples, EXPRESSIONS) is None


def test_variants_keep_other_images(tmp_path, build):
    root = build()
    plain = add(root, tmp_path, "ferplus-plain").samples
    assert "fer0000002" in plain["file"].tolist()
    assert EXPRESSIONS[plain.set_index("file")["label"]["fer0000002"]] == "surprise"  # the first of two
    probable = add(root, tmp_path, "ferplus-probability").samples
    assert "fer0000002" in probable["file"].tolist()
    with pytest.raises(UserError, match="'ferplus-plan' is unknown; did you mean 'ferplus-plain'"):
        add(root, tmp_path, "ferplus-plan")


def test_lists_become_columns(tmp_path, build):
    root = build()
    (root / "ferplus" / "occlusion_list.txt").write_text("5_fer0000202.png 8 1\n2_fer0000200.png 8 0\n")
    (root / "ferplus" / "pose_30_ferplus_list").write_text("2/fer0000200.jpg\n")
    store = add(root, tmp_path)
    samples = store.samples.set_index("file")
    assert samples["occlusion"].dtype == bool
    assert samples.index[samples["occlusion"]].tolist() == ["fer0000200", "fer0000202"]
    assert samples.index[samples["pose_30"]].tolist() == ["fer0000200"]
    assert "occlusion: 2 images, NOT the published list." in store.manifest.note
    text = examine(store).text()
    assert "sizes: occlusion 2, pose_30 1" in text
    assert "occlusion: 2, official 605 (-603)" in text


def change(name, old, new):
    def damage(root):
        path = root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return damage


def remove(name):
    return lambda root: (root / name).unlink()


SHEET, LABEL, PIXELS = "ferplus/fer2013new.csv", "ferplus/FER2013Train/label.csv", "fer2013/fer2013.csv"
BAD = {
    "no pixels": (remove(PIXELS), r"fer2013.csv is missing; looked for it there, in fer2013/"),
    "no sheet": (remove(SHEET), "fer2013new.csv is missing"),
    "no votes": (remove("ferplus/FER2013Valid/label.csv"), "FER2013Valid/label.csv is missing"),
    "header": (change(SHEET, "neutral", "calm"), "fer2013new.csv: line 1: found Usage, Image name, calm"),
    "column": (change(SHEET, ",10,0", ",10"), "fer2013new.csv: line 2: 11 columns: expected 12"),
    "usage": (change(SHEET, "PublicTest", "Public"), "line 7: Usage is 'Public'; did you mean 'PublicTest'"),
    "vote": (change(SHEET, "fer0000000.png,10", "fer0000000.png,ten"), "line 2: votes for neutral are 'ten'"),
    "box": (change(LABEL, "48, 48", "48, 47"), r"label.csv: line 1: face box is '\(0, 0, 48, 47\)'"),
    "short votes": (change(LABEL, ",10,0", ",10"), "label.csv: line 1: 11 columns: expected name"),
    "negative": (change(LABEL, ",10,0", ",-10,0"), "votes for neutral are '-10'"),
    "twice": (change(LABEL, "fer0000001", "fer0000000"), "label.csv: line 2: 'fer0000000' is given twice"),
    "unlabelled": (change(SHEET, "fer0000001", "fer0000009"), "'fer0000009' is in no label.csv"),
    "unnamed": (change(SHEET, "fer0000001.png", ""), "'fer0000001' of label.csv is on no line"),
    "other split": (
        change(SHEET, "Training,fer0000001", "PublicTest,fer0000001"),
        "is val: its label.csv has train",
    ),
    "other order": (change(PIXELS, "Training", "PrivateTest"), r"row 0 \(line 2\) is test: the same line of"),
    "more pixels": (
        lambda root: (root / PIXELS).open("a").write((root / PIXELS).read_text().splitlines()[-1] + "\n"),
        "more rows than the 12 of fer2013new.csv",
    ),
    "fewer pixels": (
        lambda root: (root / PIXELS).write_text(
            "\n".join((root / PIXELS).read_text().splitlines()[:-1]) + "\n"
        ),
        "fewer rows than the 12",
    ),
    "binary": (lambda root: (root / SHEET).write_bytes(b"\xff\xfe\0\1" * 9), "no UTF-8 text"),
    "list line": (
        lambda root: (root / "ferplus/occlusion_list.txt").write_text("fer0000200\n"),
        "occlusion_list.txt: line 1: 'fer0000200': expected the form",
    ),
    "list name": (
        lambda root: (root / "ferplus/pose_45_list.txt").write_text("1/fer0009999.jpg\n"),
        "pose_45_list.txt: 'fer0009999' is no image of this data set",
    ),
    "list labels": (
        lambda root: (root / "ferplus/pose_45_list.txt").write_text("1/fer0000200.jpg\n2/fer0000200.jpg\n"),
        "line 2: 'fer0000200' is 2: an earlier line has 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_clear_error_and_write_nothing(tmp_path, build, case):
    damage, message = BAD[case]
    root = build()
    damage(root)
    with pytest.raises(UserError, match=message) as caught:
        add(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(
        UserError, match=r"no such folder; expected a folder with fer2013.csv, fer2013new.csv"
    ):
        add(tmp_path / "nothing", tmp_path)


def digest(samples):
    """The fact sheet's: lines "ferNNNNNNN label", sorted."""
    lines = sorted(f"{name} {label}\n" for name, label in zip(samples["file"], samples["label"], strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("FER_REPRO_REAL_DATA", "")
    if not folder or not (Path(folder) / "ferplus").is_dir() or not (Path(folder) / "fer2013").is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with fer2013/ and ferplus/")
    return Path(folder)


def test_the_real_set_has_rans_images_and_labels(tmp_path, real):
    """Sizes of arXiv:1608.01041's majority mode; the sha256 are those of RAN's own lists and labels."""
    store = add(real, tmp_path)
    samples = store.samples
    assert samples["split"].value_counts().to_dict() == {"train": 25045, "val": 3191, "test": 3137}
    sums = {split: digest(samples[samples["split"] == split]) for split in ("train", "val", "test")}
    assert sums == {
        "train": "be415ee9e1564869cb55d225b24aa7e2f7900b2a950c9234a886267a96392ad7",
        "val": "83ee09a1719392232cbb7613642cfa509c709149754f6fa37ef9a2c52c81f522",
        "test": "9e3fc0425f2ca43dcb3f3280fdf037f5dcb934c9f69e3327d98e39649f02b7fe",
    }
    for column, size in (("occlusion", 605), ("pose_30", 1170), ("pose_45", 633)):
        assert samples[column].sum() == size
        assert set(samples.loc[samples[column], "split"]) == {"test"}
        assert f"{column}: {size} images, as published." in store.manifest.note
    assert (samples["occlusion"] & samples["pose_30"]).sum() == 205
    assert (samples["occlusion"] & samples["pose_45"]).sum() == 131
    assert (samples["pose_30"] >= samples["pose_45"]).all()
    rows = samples.set_index("file")["row"]
    assert (rows["fer0006953"], rows["fer0033120"]) == (6968, 33200)
    assert examine(store).differences == ()


def test_the_plain_rule_on_the_real_set(tmp_path, real):
    store = add(real, tmp_path, "ferplus-plain")
    assert store.samples["split"].value_counts().to_dict() == {"train": 28385, "val": 3555, "test": 3545}
    assert examine(store).differences == ()
