import json

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.audit import Official, audit, mark_overlap, pixel_digests

CLASSES = ("sad", "happy")
# image a: train, val, test (and twice in train with two labels); b: val, test; c, d, e alone; d is blank
ROWS = [
    ("a", 0, "train", "p1"),
    ("a", 1, "train", "p1"),
    ("c", 1, "train", "p2"),
    ("a", 0, "val", "p1"),
    ("b", 1, "val", "p3"),
    ("a", 0, "test", "p4"),
    ("b", 1, "test", "p5"),
    ("d", 0, "test", ""),
    ("e", 1, "test", ""),
]


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    photos = {name: rng.integers(0, 256, (4, 4), dtype=np.uint8) for name in "abce"}
    photos["d"] = np.full((4, 4), 7, np.uint8)
    images = np.stack([photos[name] for name, *_ in ROWS])
    samples = pd.DataFrame(
        {
            "image": range(len(ROWS)),
            "label": [label for _, label, _, _ in ROWS],
            "subject": [subject for *_, subject in ROWS],
            "clip": "",
            "split": [split for _, _, split, _ in ROWS],
        }
    )
    return images, samples


def test_every_fact_by_hand(small):
    found = audit("toy", CLASSES, *small)
    assert found.counts == {"train": (1, 2), "val": (1, 1), "test": (2, 2)}
    assert found.facts == {
        "distinct_images": 5,
        "duplicate_groups": 2,
        "duplicate_samples": 6,
        "conflicting_groups": 1,
        "constant_images": 1,
        "val_in_train": 1,
        "test_in_train": 1,
        "test_in_val": 2,
        "subjects_known": 7,
        "subjects_crossing": 1,
    }
    assert found.constant == (7,)
    assert found.crossing == ("p1",)
    assert found.differences == ()


def test_overlap_marks_later_splits_only(small):
    images, samples = small
    marked = mark_overlap(samples, pixel_digests(images))
    assert marked["in_training"].tolist() == [False] * 3 + [True, False, True, False, False, False]
    assert marked["in_public"].tolist() == [False] * 5 + [True, True, False, False]
    assert marked["in_training"].dtype == bool


def test_rows_that_share_an_image_count_as_identical(small):
    images, samples = small
    shared = samples.assign(image=[0, 0, 2, 0, 4, 0, 4, 7, 8])
    assert audit("toy", CLASSES, images, shared).facts == audit("toy", CLASSES, images, samples).facts


def test_the_fingerprint_knows_content_but_not_order(small):
    images, samples = small
    order = np.random.default_rng(1).permutation(len(samples))
    moved = samples.iloc[order].assign(image=range(len(samples))).reset_index(drop=True)
    print_of = audit("toy", CLASSES, images, samples).fingerprint
    assert audit("toy", CLASSES, images[order], moved).fingerprint == print_of
    assert audit("toy", CLASSES, 255 - images, samples).fingerprint != print_of
    assert audit("toy", CLASSES, images, samples.assign(label=0)).fingerprint != print_of
    assert audit("toy", CLASSES, images, samples.assign(split="test")).fingerprint != print_of


def test_differences_are_named(small):
    counts = {"train": (1, 2), "val": (1, 3), "test": (2, 2)}
    official = Official(counts, {"distinct_images": 6}, "00")
    found = audit("toy", CLASSES, *small, official)
    assert found.differences == (
        "val happy: 1 samples, official 3 (-2)",
        "distinct images: 5, official 6 (-1)",
        "the pixels, labels or splits are not those of the original file (JPEG copies differ, too)",
    )
    assert "val happy: 1 samples, official 3 (-2)" in found.text()
    same = audit("toy", CLASSES, *small, Official(found.counts, found.facts, found.fingerprint))
    assert "Everything is as in the official set." in same.text()


def test_json_is_complete_and_stable(small):
    found = audit("toy", CLASSES, *small)
    assert found.as_json() == audit("toy", CLASSES, *small).as_json()
    read = json.loads(found.as_json())
    assert list(read) == sorted(read)
    assert read["counts"] == {"train": [1, 2], "val": [1, 1], "test": [2, 2]}
    assert read["facts"] == found.facts


def test_text_says_when_subjects_are_unknown(small):
    images, samples = small
    assert "subjects in more than one split: 1 (p1)" in audit("toy", CLASSES, images, samples).text()
    assert "subjects are unknown" in audit("toy", CLASSES, images, samples.assign(subject="")).text()


def test_colour_images(small):
    images, samples = small
    colour = np.repeat(images[..., None], 3, axis=-1)
    assert audit("toy", CLASSES, colour, samples).facts == audit("toy", CLASSES, images, samples).facts


def test_sums_of_splits_and_sizes_of_columns(small):
    images, samples = small
    turned = samples.assign(mark=[True, False] * 4 + [False], name=[""] + ["a"] * 4 + ["b"] * 4)
    sizes = {"train+val": 6, "test": 4, "mark": 4, "name": 3, "absent": 9}
    official = Official({"train+val": (2, 3), "test": (2, 1)}, {}, "", sizes)
    found = audit("toy", CLASSES, images, turned, official)
    assert found.sizes == {"train+val": 5, "test": 4, "mark": 4, "name": 2}
    assert found.differences == (
        "test happy: 2 samples, official 1 (+1)",
        "train+val: 5, official 6 (-1)",
        "name: 2, official 3 (-1)",
    )
    assert found.count_table().loc["train+val, official"].tolist() == [2, 3, 5]
    assert "sizes: train+val 5, test 4, mark 4, name 2" in found.text()
    assert json.loads(found.as_json())["sizes"]["mark"] == 4


def test_sizes_alone_are_compared_too(small):
    found = audit("toy", CLASSES, *small, Official({}, {}, "", {"test": 4}))
    assert found.official is None
    assert "Everything is as in the official set." in found.text()


def test_without_sizes_the_json_has_none(small):
    assert "sizes" not in json.loads(audit("toy", CLASSES, *small).as_json())
