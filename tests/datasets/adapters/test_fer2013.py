import os
import re
from pathlib import Path

import numpy as np
import pytest
from miniature_fer2013 import USAGES, write_csv
from PIL import Image

from fer_repro.datasets.adapters.fer2013 import CLASSES, OFFICIAL
from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.audit import audit
from fer_repro.datasets.pixel_csv import careful_pixels, fast_pixels
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError

SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}


def add(path, tmp_path):
    return add_dataset("fer2013", Path(path), tmp_path / "stores")


def check_miniature(store, miniature):
    labels, usages, images = miniature
    assert store.classes == CLASSES
    assert np.array_equal(store.images, images)
    assert store.samples["image"].tolist() == list(range(35))
    assert store.samples["label"].tolist() == labels
    assert store.samples["split"].tolist() == [SPLITS[usage] for usage in usages]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("fer2013.csv", ("emotion", "pixels", "Usage")),
        ("icml_face_data.csv", ("emotion", " Usage", " pixels")),
        ("icml_face_data.csv", ("emotion", "Usage", "pixels")),
    ],
)
@pytest.mark.parametrize("given", ["file", "folder", "parent"])
def test_both_csv_files_by_file_or_folder(tmp_path, miniature, name, header, given):
    path = write_csv(tmp_path / "raw" / "fer2013" / name, miniature, header)
    store = add({"file": path, "folder": path.parent, "parent": path.parent.parent}[given], tmp_path)
    check_miniature(store, miniature)
    assert list(store.manifest.source) == [name]
    assert store.manifest.note == ""


@pytest.mark.parametrize(
    ("old", "new"), [(b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"emotion", b"\xef\xbb\xbfemotion"), (b" ", b"  ")]
)
def test_line_ends_byte_order_mark_and_spaces_do_not_matter(tmp_path, csv_file, miniature, old, new):
    text = csv_file.read_bytes().replace(b"\r\n", b"\n")
    csv_file.write_bytes(text.replace(old, new))
    check_miniature(add(csv_file, tmp_path), miniature)


def test_named_images_keep_the_official_split(tmp_path, image_folders, miniature):
    store = add(image_folders(named=True), tmp_path)
    labels, usages, images = miniature
    for row in store.samples.itertuples():
        number = int(row.file[-9:-4])
        assert np.array_equal(store.images[row.image], images[number])
        assert row.label == labels[number]
        assert row.split == SPLITS[usages[number]]
    assert len(store.samples) == 35
    assert store.manifest.note == ""


def test_plain_images_say_that_the_split_is_ours(tmp_path, image_folders):
    store = add(image_folders(named=False), tmp_path)
    splits = store.samples["split"].value_counts()
    assert splits["test"] == 14
    assert 0 < splits["val"] < splits["train"]
    assert "one in 8 of train/" in store.manifest.note
    assert "do not compare with published ones" in store.manifest.note


def test_aliases_and_jpeg(tmp_path, image_folders):
    names = ("Anger", "disgust", "FEAR", "happiness", "sadness", "surprised", "neutral")
    root = image_folders(named=True, classes=names)
    for file in root.rglob("*.png"):
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
    (root / "train" / ".DS_Store").write_text("")
    (root / "train" / "Anger" / "Thumbs.db").write_text("")
    store = add(root, tmp_path)
    assert store.samples["label"].value_counts().tolist() == [5] * 7
    assert "JPEG copies" in store.manifest.note


def test_a_third_folder_is_the_validation_part(tmp_path, image_folders):
    root = image_folders(named=False)
    (root / "validation" / "happy").mkdir(parents=True)
    next((root / "train" / "happy").iterdir()).rename(root / "validation" / "happy" / "im.png")
    store = add(root, tmp_path)
    assert store.samples["split"].value_counts().to_dict() == {"train": 20, "val": 1, "test": 14}
    assert "The split is the folders'" in store.manifest.note


def lines_of(path):
    return path.read_text().splitlines()


def change(number, pattern, new):
    """Edit one line of the csv (1 is the header)."""

    def damage(path):
        lines = lines_of(path)
        lines[number - 1], count = re.subn(pattern, new, lines[number - 1], count=1)
        assert count == 1
        path.write_text("\n".join(lines) + "\n")

    return damage


def keep(characters):
    return lambda path: path.write_text(path.read_text()[:characters])


def cut_inside_pixels(path):
    path.write_text(path.read_text()[:-4000])


def cut_inside_usage(path):
    path.write_text(path.read_text().rstrip()[:-5])


def cut_between_rows(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:25]))


BAD_CSV = {
    "too few pixels": (
        change(4, r" \d+,", ","),
        r"fer2013.csv: row 2 \(line 4\): 2303 pixels: expected 2304",
    ),
    "too many pixels": (change(4, r"(\d),T", r"\1 7,T"), r"row 2 \(line 4\): 2305 pixels: expected 2304"),
    "no pixels": (change(4, r",.*,", ",,"), r"row 2 \(line 4\): 0 pixels: expected 2304"),
    "pixel of 256": (
        change(3, r" \d+ ", " 256 "),
        r"row 1 \(line 3\): pixel 1 is '256': expected .* 0 to 255",
    ),
    "pixel of 1000": (change(3, r" \d+ ", " 1000 "), r"row 1 \(line 3\): pixel 1 is '1000'"),
    "negative pixel": (change(3, r" \d+ ", " -1 "), r"row 1 \(line 3\): pixel 1 is '-1'"),
    "fractional pixel": (change(3, r" \d+ ", " 1.0 "), r"row 1 \(line 3\): pixel 1 is '1.0'"),
    "pixel is a word": (change(3, r" \d+ ", " NaN "), r"row 1 \(line 3\): pixel 1 is 'NaN'"),
    "pixel of other digits": (change(3, r" \d+ ", " ٣ "), r"row 1 \(line 3\): pixel 1 is '٣'"),
    "label of 9": (
        change(2, r"^\d", "9"),
        r"row 0 \(line 2\): emotion is '9': expected 0 to 6 \(0 angry, 1 dis",
    ),
    "label is a word": (change(2, r"^\d", "happy"), r"row 0 \(line 2\): emotion is 'happy': expected 0 to 6"),
    "no label": (change(2, r"^\d", ""), r"row 0 \(line 2\): emotion is ''"),
    "unknown Usage": (
        change(25, "Public", "Pubic"),
        r"row 23 .*Usage is 'PubicTest'; did you mean 'PublicTest'\?",
    ),
    "no such column": (
        change(1, "emotion", "label"),
        r"line 1: column 'emotion' is missing; .* found 'label'",
    ),
    "no Usage column": (change(1, ",Usage", ""), "line 1: column 'Usage' is missing"),
    "a column too many": (change(5, "$", ",1"), r"row 3 \(line 5\): 4 columns: expected 3"),
    "cut inside the pixels": (
        cut_inside_pixels,
        r"row 34 \(line 36\): 2 columns: expected 3; is the file cut off",
    ),
    "cut inside Usage": (cut_inside_usage, r"row 34 .* Usage is 'Privat'; did you mean 'PrivateTest'"),
    "cut between rows": (
        cut_between_rows,
        "none of the 24 rows has Usage 'PrivateTest'; expected 35887 rows .* is the file cut off",
    ),
    "empty": (keep(0), "the file is empty"),
    "header only": (keep(22), "no rows below the header; expected 35887"),
    "UTF-16": (lambda path: path.write_text(path.read_text(), encoding="utf-16"), "is no UTF-8 text"),
    "binary": (lambda path: path.write_bytes(b"PK\3\4" + bytes(range(256)) * 9), "is no UTF-8 text"),
    "Latin-1": (change(5, "Training", "Tr\udcffning"), "is no UTF-8 text"),
    "another csv": (
        lambda path: path.write_text("a;b;c\n1;2;3\n"),
        "column 'emotion' is missing.*found 'a;b;c'",
    ),
    "huge field": (
        lambda path: path.write_text("emotion,pixels,Usage\n0," + "1" * 200000),
        "field larger than",
    ),
}


def test_the_damages_are_real(csv_file):
    """The header has 22 characters with its line end."""
    assert csv_file.read_bytes()[:22] == b"emotion,pixels,Usage\r\n"


@pytest.mark.parametrize("case", BAD_CSV)
def test_a_bad_csv_is_one_clear_error_and_writes_nothing(tmp_path, csv_file, case):
    damage, message = BAD_CSV[case]
    if case == "Latin-1":
        text = csv_file.read_bytes()
        csv_file.write_bytes(text.replace(b"Training", b"Tr\xffning", 4))
    elif case == "header only":
        csv_file.write_bytes(csv_file.read_bytes()[:22])
    else:
        damage(csv_file)
    with pytest.raises(UserError, match=message) as caught:
        add(csv_file, tmp_path)
    assert str(caught.value).startswith(str(csv_file))
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def save(array, name):
    return lambda root: Image.fromarray(array).save(root / "train" / "happy" / name)


def make_folder(*parts):
    return lambda root: root.joinpath(*parts).mkdir(parents=True)


BAD_FOLDERS = {
    "text file": (
        lambda root: (root / "test" / "sad" / "PublicTest_1.png").write_text("no image"),
        "PublicTest_1.png: not readable as an image",
    ),
    "cut image": (
        lambda root: (root / "test" / "sad" / "PublicTest_1.png").write_bytes(
            next((root / "test" / "sad").iterdir()).read_bytes()[:900]
        ),
        "PublicTest_1.png: not readable as an image",
    ),
    "wrong size": (
        save(np.zeros((64, 60), np.uint8), "Training_1.png"),
        "Training_1.png: 60 x 64 pixels: expected the original 48 x 48",
    ),
    "wrong depth": (
        save(np.zeros((48, 48), np.uint16), "Training_1.png"),
        "Training_1.png: pixel type 'I;16'",
    ),
    "unknown class": (make_folder("train", "hapy"), "hapy: unknown class; did you mean 'happy'"),
    "unknown part": (
        make_folder("validaton"),
        "validaton: unknown part of the data; did you mean 'validation'",
    ),
    "name without split": (
        save(np.zeros((48, 48), np.uint8), "new.png"),
        "new.png: the name has no split, though others have; expected it to begin with Training_",
    ),
    "no test": (
        lambda root: (root / "test").rename(root.parent / "elsewhere"),
        "'test' is missing, found train",
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, image_folders, case):
    damage, message = BAD_FOLDERS[case]
    root = image_folders(named=True)
    damage(root)
    with pytest.raises(UserError, match=message) as caught:
        add(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(UserError, match="no such file or folder; expected fer2013"):
        add(tmp_path / "nothing", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"expected fer2013.csv or icml_face_data.csv, or folders .* found nothing"
    ):
        add(tmp_path / "empty", tmp_path)
    (tmp_path / "empty" / "train").mkdir()
    (tmp_path / "empty" / "test").mkdir()
    with pytest.raises(UserError, match="no images below train"):
        add(tmp_path / "empty", tmp_path)


def test_fast_pixels_agree_with_plain_parsing():
    rng = np.random.default_rng(1)
    for top in (2, 10, 11, 100, 101, 256):
        image = rng.integers(0, top, 2304, dtype=np.uint8)
        text = " ".join(map(str, image))
        assert np.array_equal(fast_pixels(text), image)
        assert np.array_equal(careful_pixels(text, ""), image)


@pytest.mark.parametrize("token", ["256", "999", "-1", "1.5", "x", "", "1000", "٣", "1_0", "\t1", "+1"])
def test_fast_pixels_leave_the_rest_to_the_careful_reader(token):
    assert fast_pixels(" ".join(["0", token, *["255"] * 2302])) is None


def real_csv():
    folder = os.environ.get("FER_REPRO_REAL_DATA", "")
    path = Path(folder) / "fer2013" / "fer2013.csv"
    if not folder or not path.is_file():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with fer2013/fer2013.csv")
    return path


def test_the_real_set_is_the_published_one(tmp_path):
    """Counts: arXiv:1307.0414 and the contest's files; the facts were counted once by other means."""
    store = add(real_csv(), tmp_path)
    found = audit("fer2013", store.classes, store.images, store.samples, OFFICIAL)
    assert found.counts == {
        "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
        "val": (467, 56, 496, 895, 653, 415, 607),
        "test": (491, 55, 528, 879, 594, 416, 626),
    }
    assert found.facts["distinct_images"] == 34034
    assert found.facts["duplicate_groups"] == 1516
    assert found.facts["duplicate_samples"] == 3369
    assert found.facts["conflicting_groups"] == 57
    assert found.facts["constant_images"] == 12
    assert not store.images[store.samples["image"].iloc[list(found.constant)]].any()  # all black
    assert found.facts["val_in_train"] == 280
    assert found.facts["test_in_train"] == 288
    assert found.differences == ()
    pixels = store.images[store.samples["split"] == "train"]
    assert pixels.mean() / 255 == pytest.approx(0.50774, abs=1e-5)
    assert pixels.std() / 255 == pytest.approx(0.25501, abs=1e-5)
    open_store(store.folder, verify=True)


def test_usages_are_complete():
    assert set(SPLITS) == set(USAGES)
