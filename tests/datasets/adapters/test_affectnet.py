import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.errors import UserError

HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)


def photo(rng, side=12):
    return rng.integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture
def sets(tmp_path):
    """Layout of numbered images with .npy annotations; image 9 has no face."""
    rng = np.random.default_rng(8)
    root = tmp_path / "sets"
    for part, count in (("train_set", 40), ("val_set", 8)):
        for folder in ("images", "annotations"):
            (root / part / folder).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(photo(rng)).save(root / part / "images" / f"{number}.jpg")
            code = 10 if number == 9 else number % 8
            for kind, value in (("exp", str(code)), ("val", "-0.5"), ("aro", "0.25")):
                np.save(root / part / "annotations" / f"{number}_{kind}.npy", np.array(value))
    return root


@pytest.fixture
def lists(tmp_path):
    """Layout of hashed names in two csv files, each with a face box of 6 x 6."""
    rng = np.random.default_rng(9)
    root = tmp_path / "lists"
    for name, codes in (("training", [0, 1, 2, 9]), ("validation", [7, 3])):
        lines = [HEADER]
        for number, code in enumerate(codes):
            file = f"{number}/{name[0:1].replace('t', 'a').replace('v', 'b')}{number}.png"
            path = root / "Manually_Annotated_Images" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo(rng)).save(path)
            lines.append(f"{file},1,2,6,6,1.5;2.5,{code},0.5,-0.25")
        (root / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return root


def add(path, tmp_path, size=0):
    return add_dataset("affectnet", path, tmp_path / "stores", size=size)


def test_sets_with_annotations(tmp_path, sets):
    store = add(sets, tmp_path)
    samples = store.samples
    assert store.classes[:4] == ("neutral", "happy", "sad", "surprise")
    assert len(samples) == 47
    assert samples["file"].iloc[[2, 10]].tolist() == ["train_set/images/2.jpg", "train_set/images/11.jpg"]
    assert samples["label"].iloc[:9].tolist() == [*range(8), 0]
    assert set(samples["split"].iloc[:39]) == {"train", "val"}
    assert set(samples["split"].iloc[39:]) == {"test"}
    assert (set(samples["valence"]), set(samples["arousal"])) == ({-0.5}, {0.25})
    assert "1 images with an expression of 8 or more" in store.manifest.note
    assert "test: 8, official 4000 (-3992)" in examine(store).text()


def test_lists_with_boxes(tmp_path, lists):
    (lists / "pose_45_affectnet_list.txt").write_text("7/b0/8.jpg\n")
    store = add(lists, tmp_path)
    samples = store.samples
    assert samples["label"].tolist() == [0, 1, 2, 7, 3]
    assert samples["split"].tolist()[3:] == ["test", "test"]
    assert samples["pose_45"].tolist() == [False] * 3 + [True, False]
    image = np.asarray(Image.open(lists / "Manually_Annotated_Images" / "0" / "a0.png"))
    assert np.array_equal(store.images[0], image[2:8, 1:7])
    assert add_dataset("affectnet", lists, tmp_path / "other", size=4).images.shape == (5, 4, 4, 3)


def edit(old, new):
    return lambda root: (root / "training.csv").write_text(
        (root / "training.csv").read_text().replace(old, new)
    )


BAD_LISTS = {
    "no list": (lambda root: (root / "validation.csv").unlink(), "validation.csv: no such file, nor"),
    "column": (edit("expression", "emotion"), "training.csv: line 1: column 'expression' is missing"),
    "code": (edit(",1,0.5", ",11,0.5"), "training.csv: line 3: expression is 11: expected 0 to 10"),
    "word": (edit(",1,0.5", ",happy,0.5"), "line 3: expression is 'happy': expected a number"),
    "cut": (
        edit("1/a1.png,1,2,6,6,1.5;2.5,1,0.5,-0.25", "1/a1.png,1,2"),
        "line 3: not readable as CSV: fewer columns than the first line",
    ),
    "image": (edit("1/a1.png", "1/a9.png"), "a9.png: no such file, expected for .*line 3"),
    "box": (edit("a1.png,1,2,6,6", "a1.png,1,2,60,6"), r"a1.png: face box \(1, 2, 61, 8\)"),
    "challenge": (
        lambda root: (root / "occlusion_list.txt").write_text("val/7/abc/\n"),
        "occlusion_list.txt: 'abc' is no image",
    ),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_bad_lists_are_one_clear_error_and_write_nothing(tmp_path, lists, case):
    BAD_LISTS[case][0](lists)
    check_refused(lists, tmp_path, BAD_LISTS[case][1])


BAD_SETS = {
    "no annotation": (
        lambda root: (root / "val_set/annotations/3_exp.npy").unlink(),
        "3_exp.npy: no such file",
    ),
    "no arousal": (lambda root: (root / "val_set/annotations/3_aro.npy").unlink(), "3_aro.npy: no such file"),
    "text": (
        lambda root: (root / "val_set/annotations/3_exp.npy").write_text("3"),
        "3_exp.npy: not one number",
    ),
    "pickle": (
        lambda root: np.save(
            root / "val_set/annotations/3_exp.npy", np.array({"a": 1}, object), allow_pickle=True
        ),
        "3_exp.npy: not one number",
    ),
    "half": (
        lambda root: np.save(root / "val_set/annotations/3_exp.npy", 1.5),
        "expression is 1.5: expected 0 to 10",
    ),
    "no folder": (lambda root: shutil.rmtree(root / "val_set/annotations"), "annotations: no such folder"),
    "no part": (
        lambda root: shutil.rmtree(root / "val_set"),
        "found train_set; expected train_set/ and val_set/",
    ),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_bad_sets_are_one_clear_error_and_write_nothing(tmp_path, sets, case):
    BAD_SETS[case][0](sets)
    check_refused(sets, tmp_path, BAD_SETS[case][1])


def check_refused(root, tmp_path, message):
    with pytest.raises(UserError, match=message) as caught:
        add(root, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
