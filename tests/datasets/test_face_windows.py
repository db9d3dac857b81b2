"""How wide faces are cut: each policy from a tight box, the cascades' boxes, the forgery detectors' margin.

``yunet_boxes.csv`` holds what YuNet (``yunet_n_320_320.onnx`` of ShiqiYu/libfacedetection.train, by OpenCV's
FaceDetectorYN 4.14, score 0.6, NMS 0.3, frames resized to a longest side of 640 pixels) finds in nine equally
spaced frames of each of ten clips (polimi-ispl/icpr2020dfdc): x, y, width, height in pixels of the frame.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.faces import Box, CascadeDetector, largest_face, overlap, plan_crop, with_margin
from fer_repro.datasets.video import map_frames

SHAPE = (300, 400)


def window(crop):
    return crop.left, crop.top, crop.right, crop.bottom


def authors_half(box):
    """RMN's rule from a box in whole pixels: 1.1 * floor(floor((w + h) / 2) / 2)."""
    return 1.1 * np.floor(np.floor((int(box.right) - int(box.left) + int(box.bottom) - int(box.top)) / 2) / 2)


def whole(low, high, length):
    """Counts the columns (or rows) of an image from int(low) up to int(high), one by one."""
    inside = [place for place in range(length) if int(low) <= place < int(high)]
    return inside[0], inside[-1] + 1


def naive(policy, box, shape):
    """The rules, pixel by pixel."""
    if policy == "square":
        half = authors_half(box)
        middle, centre = (int(box.left) + int(box.right)) // 2, (int(box.top) + int(box.bottom)) // 2
    else:
        side = max(box.width, box.height)
        half = round(side / 2)  # a third of the side more than two thirds of it
        middle, centre = int((box.left + box.right) / 2), int((box.top + box.bottom) / 2 + side / 16)
    (left, right), (top, bottom) = (
        whole(place - half, place + half, length)
        for place, length in ((middle, shape[1]), (centre, shape[0]))
    )
    return left, top, right, bottom


@pytest.mark.parametrize("policy", ["square", "padded"])
def test_squares_follow_the_rule_pixel_by_pixel(policy):
    rng = np.random.default_rng(0)
    for _ in range(300):
        left, top = rng.uniform(0, 340), rng.uniform(0, 240)
        box = Box(left, top, left + rng.uniform(12, 130), top + rng.uniform(12, 130))
        assert window(plan_crop(policy, box, 64, SHAPE)) == naive(policy, box, SHAPE), box


# side of the window about a tight box of 104 x 136 pixels in the middle of a large image
SIDES = {
    "square": (132, 132),  # (104 + 136) // 2 // 2 = 60; 1.1 times that on each side
    "padded": (136, 136),  # 2 / 3 of the longer side, half of that more on each side
    "tight": (153, 179),  # 104 * 1.2 * 16 / 13 and 136 * 1.4 * 16 / 17
    "scale": (179, 179),
    "crop": (224, 224),  # the size of the result
}


@pytest.mark.parametrize("policy", SIDES)
def test_window_sides_from_a_tight_box(policy):
    left, top, right, bottom = window(plan_crop(policy, Box(500, 400, 604, 536), 224, (1000, 1100)))
    assert (right - left, bottom - top) == pytest.approx(SIDES[policy], abs=1)


# Image, the cascades' square in the image shrunk to 320 pixels, and the windows that the version before
# cut about it: scale, crop to 224, tight
BEFORE = (
    ((240, 320), (100, 60, 180, 140), (84, 47, 196, 159), (28, 0, 252, 224), (92, 47, 188, 159)),
    ((240, 320), (0, 0, 70, 70), (0, 0, 86, 86), (0, 0, 224, 224), (0, 0, 77, 86)),
    ((240, 320), (250, 165, 320, 235), (238, 153, 320, 240), (169, 84, 320, 240), (243, 153, 320, 240)),
    ((200, 300), (111, 52, 168, 109), (99, 42, 179, 122), (27, 0, 251, 200), (105, 42, 173, 122)),
    ((480, 640), (107, 81, 182, 156), (137, 103, 295, 261), (104, 70, 328, 294), (149, 103, 284, 261)),
    ((720, 1280), (200, 100, 264, 164), (421, 201, 623, 403), (410, 190, 634, 414), (435, 201, 608, 403)),
    ((1080, 1920), (33, 2, 122, 91), (72, 0, 451, 379), (149, 77, 373, 301), (81, 0, 441, 379)),
    ((1920, 1080), (101, 290, 173, 362), (292, 939, 633, 1280), (350, 997, 574, 1221), (316, 939, 608, 1280)),
    ((1080, 1920), (150.5, 31.25, 250.5, 131.25),
     (440, 51, 912, 523), (564, 175, 788, 399), (474, 51, 879, 523)),
)  # fmt: skip


@pytest.mark.parametrize("case", BEFORE)
def test_forgery_windows_are_as_wide_as_before(case, monkeypatch):
    shape, square, *expected = case
    detector = CascadeDetector()
    monkeypatch.setattr(detector, "_search", lambda cascade, grey: [Box(*map(float, square), 50.0)])
    (box,) = detector.detect(np.zeros((*shape, 3), np.uint8))
    for policy, before in zip(("scale", "crop", "tight"), expected, strict=True):
        assert window(plan_crop(policy, box, 224, shape)) == before, policy
        known = plan_crop(policy, with_margin(box, shape), 224, shape, has_margin=True)
        assert window(known) == before, policy  # not widened twice


def test_boxes_are_tight_and_keep_their_order(monkeypatch):
    squares = [Box(10, 10, 74, 74, 9.0), Box(100, 60, 196, 156, 30.0)]
    detector = CascadeDetector()
    monkeypatch.setattr(detector, "_search", lambda cascade, grey: squares)
    first, second = detector.detect(np.zeros((240, 320, 3), np.uint8))
    assert (first.score, second.score) == (30.0, 9.0)
    assert (first.width, first.height) == (78.0, 102.0)  # 13 and 17 sixteenths of 96
    assert ((first.left + first.right) / 2, (first.top + first.bottom) / 2) == (148.0, 109.5)
    assert second.width < 64
    assert largest_face([second, first]) is first


def real_data(*parts):
    path = Path(os.environ.get("FER_REPRO_REAL_DATA", "") or "/nowhere", *parts)
    if not path.exists():
        pytest.skip(f"FER_REPRO_REAL_DATA names no folder with {'/'.join(parts)}")
    return path


def enlarged(face):
    """A FER2013 face four times as large, in the middle of grey of its mean: windows are not cut off."""
    canvas = np.full((384, 384, 3), int(face.mean()), np.uint8)
    canvas[96:288, 96:288] = face.repeat(4, 0).repeat(4, 1)[..., None]
    return canvas


def test_rmn_sees_found_faces_as_wide_as_fer2013():
    """RMN's package with YuNet's boxes leaves 0.97 of a training image."""
    rows = pd.read_csv(real_data("fer2013", "fer2013.csv"), nrows=400)
    assert set(rows["Usage"]) == {"Training"}
    detector, shares = CascadeDetector(), {"square": [], "padded": []}
    for pixels in rows["pixels"]:
        canvas = enlarged(np.array(pixels.split(), np.uint8).reshape(48, 48))
        face = largest_face(detector.detect(canvas))
        if face is not None:
            for policy, found in shares.items():
                crop = plan_crop(policy, face, 48, canvas.shape)
                found.append((crop.right - crop.left) / 192)
    assert len(shares["square"]) > 300
    assert 0.9 < np.median(shares["square"]) < 1.05
    assert 0.9 < np.median(shares["padded"]) < 1.1


def test_rmn_windows_are_those_of_yunets_boxes():
    folder, detector = real_data("deepfake", "ffpp").parent, CascadeDetector()
    found = pd.read_csv(Path(__file__).with_name("yunet_boxes.csv"))
    ratios = {}
    for video, boxes in found.groupby("video"):
        for at, face, shape in map_frames(
            folder / video, 9, lambda at, frame: (at, largest_face(detector.detect(frame)), frame.shape)
        ):
            rows = boxes[boxes["frame"] == at]
            yunet = [
                Box(row.left, row.top, row.left + row.width, row.top + row.height)
                for row in rows.itertuples()
            ]
            if face is not None and yunet:
                same = max(yunet, key=lambda box: overlap(box, face))
                crop = plan_crop("square", face, 48, shape)
                ratios.setdefault(video, []).append((crop.right - crop.left) / (2 * authors_half(same)))
    every = np.concatenate(list(ratios.values()))
    assert len(every) >= 85
    assert 0.9 < np.median(every) < 1.1
    assert (np.abs(every - 1) < 0.1).mean() > 0.75
    middles = np.array([np.median(of_video) for of_video in ratios.values()])
    assert (np.abs(middles - 1) < 0.12).all()  # two of ten are 11 % off: a face turned away, a broad one
