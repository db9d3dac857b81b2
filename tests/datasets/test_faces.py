import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets import faces
from fer_repro.datasets.faces import (
    OF_MARGIN,
    POLICIES,
    Box,
    CascadeDetector,
    Crop,
    largest_face,
    most_confident_face,
    overlap,
    plan_crop,
    window_about,
    with_margin,
)
from fer_repro.datasets.video import map_frames
from fer_repro.errors import UserError
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills


@pytest.fixture(scope="module")
def detector():
    return CascadeDetector()


@pytest.fixture(scope="module")
def portraits():
    return render(sample_stills(5, {"train": 1}, 1), 120, colour=True).images


def scene(portrait, left, top, shape=(240, 320), zoom=1):
    """A drawn face on grey, its image's corner at (left, top)."""
    photo = np.full((*shape, 3), 120, np.uint8)
    enlarged = portrait.repeat(zoom, 0).repeat(zoom, 1)
    photo[top : top + len(enlarged), left : left + len(enlarged)] = enlarged
    return photo


def pixel_overlap(one, other, side=60):
    """Counts the pixels of two boxes with whole sides."""
    rows, columns = np.mgrid[:side, :side]
    masks = [
        (rows >= box[1]) & (rows < box[3]) & (columns >= box[0]) & (columns < box[2]) for box in (one, other)
    ]
    return (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 0, 10, 20), (5, 5, 30, 30)), ((2, 3, 9, 9), (9, 3, 12, 9)), ((4, 4, 40, 50), (10, 10, 20, 20))],
)
def test_overlap_counts_pixels(one, other):
    assert overlap(Box(*one), Box(*other)) == pytest.approx(pixel_overlap(one, other))
    assert overlap(Box(*other), Box(*one)) == overlap(Box(*one), Box(*other))


def test_which_face_is_kept():
    small, large = Box(0, 0, 5, 5, 9.0), Box(0, 0, 8, 8, 2.0)
    assert largest_face([small, large]) is large
    assert most_confident_face([small, large]) is small
    assert largest_face([]) is None
    assert most_confident_face([]) is None


@pytest.mark.parametrize("number", range(7))
def test_a_drawn_face_is_found_where_it_is(detector, portraits, number):
    boxes = detector.detect(scene(portraits[number], 150, 60))
    face = largest_face(boxes)
    assert abs((face.left + face.right) / 2 - 210) < 15
    assert abs((face.top + face.bottom) / 2 - 120) < 20
    assert 60 < face.width < 105
    assert face.height / face.width == pytest.approx(17 / 13)
    assert boxes == sorted(boxes, key=lambda box: -box.score)


def test_boxes_follow_the_scale_of_the_image(detector, portraits):
    small = largest_face(detector.detect(scene(portraits[0], 150, 60)))
    large = largest_face(detector.detect(scene(portraits[0], 600, 240, (960, 1280), zoom=4)))
    assert overlap(Box(*(4 * side for side in small[:4])), large) > 0.85


def test_a_face_at_the_edge_keeps_its_size(detector, portraits):
    photo = np.ascontiguousarray(scene(portraits[1], 0, 0)[12:, 8:])
    face = largest_face(detector.detect(photo))
    assert face.height / face.width == pytest.approx(17 / 13)
    assert min(face.left, face.top) > -0.05 * face.height
    widened = with_margin(face, photo.shape)
    assert widened.left >= 0
    assert widened.top >= 0


def test_nothing_is_found_in_an_empty_image(detector):
    assert detector.detect(np.full((80, 90, 3), 120, np.uint8)) == []


def test_a_mirrored_image_gives_mirrored_faces(portraits):
    """The profile cascade knows one side only; asked always, findings must not depend on the side."""
    asked = CascadeDetector(sure=10**6)
    photo = scene(portraits[2], 40, 60)
    face = largest_face(asked.detect(photo))
    mirrored = largest_face(asked.detect(np.ascontiguousarray(photo[:, ::-1])))
    assert overlap(Box(320 - face.right, face.top, 320 - face.left, face.bottom), mirrored) > 0.7


@pytest.mark.parametrize(
    "bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)]
)
def test_other_images_are_refused(detector, bad):
    with pytest.raises(UserError, match=r"expected uint8 \(H, W, 3\) RGB"):
        detector.detect(bad)


def test_an_opencv_without_cascades_is_named(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(UserError, match="expected opencv-python-headless<5"):
        CascadeDetector()
    monkeypatch.undo()
    monkeypatch.setattr(faces, "PROFILE", "absent.xml")
    with pytest.raises(UserError, match=r"absent\.xml: not readable as a cascade"):
        CascadeDetector()


# By hand, for an image of 100 rows and 200 columns: left, top, right, bottom
WINDOWS = {
    "inside": (Box(90.9, 40.9, 110.9, 60.9), 30, 20, (85, 40, 115, 60)),
    "mean, then rounded": (Box(90.6, 40.6, 111.4, 61.4), 30, 20, (86, 41, 116, 61)),
    "shifted at the left": (Box(0, 40, 20, 60), 30, 20, (0, 40, 30, 60)),
    "shifted at the top": (Box(90, 0, 110, 10), 30, 20, (85, 0, 115, 20)),
    "cut off at the right": (Box(180, 40, 200, 60), 30, 20, (175, 40, 200, 60)),
    "cut off at the bottom": (Box(90, 85, 110, 99), 30, 20, (85, 82, 115, 100)),
    "odd sides": (Box(90, 40, 111, 61), 31, 21, (85, 40, 116, 61)),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_the_window_rule(case):
    box, width, height, expected = WINDOWS[case]
    assert window_about(box, width, height, (100, 200)) == expected


# By hand, in an image of 1000 rows and 2000 columns; the boxes of the first three policies have their margin
CROPS = {
    "scale": (Box(400, 300, 460, 380), (390, 300, 470, 380)),  # side 80 about (430, 340)
    "crop": (Box(400, 300, 460, 380), (318, 228, 542, 452)),  # 224 about it
    "tight": (Box(400, 300, 460, 380), (400, 300, 460, 380)),
    "square": (Box(400, 300, 460, 380), (391, 301, 468, 378)),  # (60 + 80) // 2 // 2 = 35, times 1.1: 38.5
    "padded": (Box(400, 300, 460, 380), (390, 305, 470, 385)),  # 80 * 2 / 3 * 1.5, about a point 5 lower
}
AT_THE_EDGE = {
    "scale": (Box(0, 0, 40, 80), (0, 0, 80, 80)),  # shifted
    "square": (Box(0, 0, 40, 80), (0, 7, 53, 73)),  # cut off: half side 33 about (20, 40)
    "padded": (Box(0, 0, 40, 80), (0, 5, 60, 85)),  # cut off: half side 40 about (20, 45)
}
TOO_LARGE = {
    "scale": (Box(400, 200, 1000, 900), (444, 294, 956, 806)),  # 512 about (700, 550)
    "tight": (Box(400, 200, 1000, 900), (444, 294, 956, 806)),
}


@pytest.mark.parametrize("cases", [CROPS, AT_THE_EDGE, TOO_LARGE])
def test_the_windows_of_the_policies(cases):
    for policy, (box, expected) in cases.items():
        crop = plan_crop(policy, box, 224, (1000, 2000, 3), has_margin=policy in OF_MARGIN)
        assert (crop.left, crop.top, crop.right, crop.bottom) == expected, policy


def test_a_stored_crop_cuts_the_same_pixels_again():
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for policy in POLICIES:
        crop = plan_crop(policy, Box(70, 50, 118, 89), 32, photo.shape)
        again = Crop(**json.loads(json.dumps(crop.__dict__)))
        assert crop.cut(photo).shape == (32, 32, 3)
        assert np.array_equal(crop.cut(photo), again.cut(photo))


def test_what_a_crop_does_with_its_pixels():
    rows, columns = np.mgrid[:90, :120]
    photo = np.stack([rows, columns, rows + columns], 2).astype(np.uint8)
    crop = plan_crop("crop", Box(60, 60, 80, 90), 40, photo.shape, has_margin=True)
    plain = crop.cut(photo)  # about (70, 75): 15 rows off
    assert np.array_equal(plain[2:37], photo[55:90, 50:90])
    assert not plain[:2].any()
    assert not plain[37:].any()
    whole = plan_crop("tight", Box(10, 10, 30, 50), 40, photo.shape, has_margin=True).cut(photo)
    assert np.array_equal(whole[:, 10:30], photo[10:50, 10:30])
    assert not whole[:, :10].any()
    assert not whole[:, 30:].any()
    same = plan_crop("scale", Box(10, 10, 50, 50), 40, photo.shape, has_margin=True).cut(photo)
    assert np.array_equal(same, photo[10:50, 10:50])
    half = plan_crop("scale", Box(10, 10, 50, 50), 20, photo.shape, has_margin=True).cut(photo)
    assert np.abs(half[5, 5].astype(float) - photo[20:22, 20:22].mean(axis=(0, 1))).max() <= 1


def test_bad_crops_are_one_clear_error():
    with pytest.raises(UserError, match="crop policy is 'scael'; did you mean 'scale'"):
        plan_crop("scael", Box(0, 0, 5, 5), 32, (9, 9))
    with pytest.raises(UserError, match=r"about the box \(30, 0, 40, 5\): expected a box of one pixel"):
        plan_crop("tight", Box(30, 0, 40, 5), 32, (9, 9))
    with pytest.raises(UserError, match="expected a box of one pixel"):
        plan_crop("scale", Box(3, 3, 3, 3), 32, (9, 9))
    with pytest.raises(UserError, match="'square' about a box with a margin: expected a tight box"):
        plan_crop("square", Box(0, 0, 5, 5), 32, (9, 9), has_margin=True)


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("FER_REPRO_REAL_DATA", "")
    if not folder or not (Path(folder) / "deepfake" / "expected_faces.json").is_file():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with deepfake/expected_faces.json")
    return Path(folder) / "deepfake"


@pytest.fixture(scope="module")
def reference(real):
    """The reference faces of every file: position -> (box, stored window)."""
    found = json.loads((real / "expected_faces.json").read_text())["videos"]
    return {
        name: {face.get("frame_idx", 0): (face["box_xyxy"], face.get("crop_xyxy")) for face in entry["faces"]}
        for name, entry in found.items()
    }


def test_the_authors_windows_on_real_frames(reference):
    sizes = {"brtujopkby": (1920, 1080), "lynaeydofd": (1080, 1920), "yhffcuhhjy": (1280, 720)}
    sizes |= {"519": (480, 640), "519_515": (480, 640), "750_743": (1080, 1920)}
    compared = 0
    for name, found in reference.items():
        for box, window in found.values():
            if window is not None:
                shape = sizes.get(Path(name).stem, (720, 1280))
                assert list(window_about(Box(*box), 512, 512, shape)) == window
                compared += 1
    assert compared == 50


def test_real_faces_are_found(real, reference, detector):
    """The reference is the BlazeFace of arXiv:2004.07676; its best face is another person at times."""

    def widened(at, frame):
        return at, [with_margin(box, frame.shape) for box in detector.detect(frame)]

    overlaps = []
    for name, expected in reference.items():
        if name.endswith(".mp4"):
            frames = map_frames(real / name, len(expected), widened)
        else:
            with Image.open(real / name) as image:
                frames = [widened(0, np.asarray(image.convert("RGB")))]
        assert [at for at, _ in frames] == sorted(expected)
        for at, boxes in frames:
            face = largest_face(boxes)
            overlaps.append(overlap(face, Box(*expected[at][0])) if face else 0.0)
    overlaps = np.array(overlaps)
    assert len(overlaps) == 52
    assert (overlaps >= 0.4).sum() >= 45
    assert overlaps[overlaps >= 0.4].mean() > 0.75
