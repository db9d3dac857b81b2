import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.store import open_store, write_store
from fer_repro.evaluation.pixel_traces import (
    ImagePairs,
    digit_bars,
    empty_bars,
    few_images,
    image_pairs,
)
from fer_repro.measures.intervals import wilson_interval
from fer_repro.methods.benford import METHOD, BenfordOptions
from fer_repro.synthetic.light import compress

OPTIONS = BenfordOptions("90", "10", False, 10, 4, "small")
PEOPLE = 12


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Noise beside smooth images of the same people; rows in no order, one person without a second image."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (PEOPLE, 24, 24), np.uint8)
    smooth = np.clip(generator.integers(60, 190, (PEOPLE, 1, 1)) + np.arange(24), 0, 255).astype(np.uint8)
    images = np.concatenate([noise, np.broadcast_to(smooth, noise.shape)])
    table = pd.DataFrame(
        {
            "image": range(2 * PEOPLE), "label": np.repeat([0, 1], PEOPLE), "clip": "",
            "subject": [f"p{number:02}" for number in [*range(PEOPLE)] * 2],
            "split": (["train"] * 6 + ["val"] * 2 + ["test"] * 4) * 2,
        }
    ).sample(frac=1, random_state=1)  # fmt: skip
    table = table[(table["subject"] != "p11") | (table["label"] == 0)]
    folder = tmp_path_factory.mktemp("traces") / "set"
    write_store(folder, "set", ("real", "manipulated"), images, table.reset_index(drop=True), {})
    return open_store(folder)


def test_pairs_show_one_person_each(store):
    pairs = image_pairs(store, 90, 50)
    assert list(pairs) == ["manipulated", "encoded once more", "quality 50"]
    first = pairs["manipulated"].first
    assert len(first) == 9  # six to learn and three to test: no validation, nobody without both images
    assert pairs["manipulated"].tested.tolist() == [False] * 6 + [True] * 3
    for number, person in enumerate([*range(6), 8, 9, 10]):
        assert np.array_equal(first[number], store.images[person])
        assert np.array_equal(pairs["manipulated"].second[number], store.images[PEOPLE + person])
        assert np.array_equal(pairs["encoded once more"].second[number], compress(first[number], 90))
        assert np.array_equal(pairs["quality 50"].second[number], compress(first[number], 50))


def test_sizes_are_of_both_classes_together(store):
    pairs = image_pairs(store, 90, 50)["manipulated"]
    found = few_images(METHOD, OPTIONS, ["nonzero"], pairs, [0, 1], 0.95, sizes=(4, 12, 14))
    assert found["class"].tolist() == ["4 images", "12 images"]  # seven people to learn are not there
    assert found["value"].tolist() == [1.0, 1.0]  # noise has coefficients everywhere, a ramp in one row
    assert (found["low"].iloc[0], found["high"].iloc[0]) == wilson_interval(6, 6, 0.95)


def test_equal_images_are_right_by_half(store):
    real = image_pairs(store, 90, 50)["manipulated"]
    same = ImagePairs(real.first, real.first, real.tested)
    found = few_images(METHOD, OPTIONS, ["published_order", "nonzero"], same, [0, 1, 2], 0.95, sizes=(4, 10))
    assert found["value"].tolist() == [0.5] * 4


def test_nobody_who_is_tested_is_learnt(store):
    """The tested images are swapped: whoever had learnt them would be wrong on all."""
    pairs = image_pairs(store, 90, 50)["manipulated"]
    tested = pairs.tested
    first, second = pairs.first.copy(), pairs.second.copy()
    first[tested], second[tested] = pairs.second[tested], pairs.first[tested]
    found = few_images(
        METHOD, OPTIONS, ["nonzero"], ImagePairs(first, second, tested), [0], 0.95, sizes=(12,)
    )
    assert found["value"].tolist() == [0.0]


def test_digits_are_averaged_where_there_are_any():
    digits = np.zeros((4, 9, 3))
    digits[0, 2], digits[1, 2] = [0.5, 0.5, 0.0], [0.7, 0.1, 0.2]
    digits[2, 2] = [1.0, 0.0, 0.0]
    bars = digit_bars({"digits": digits, "law": digits / 2}, np.array([0, 0, 1, 1]), 2, 0.95)
    assert bars["arm"].unique().tolist() == [
        "real",
        "law fitted to real",
        "manipulated",
        "law fitted to manipulated",
    ]
    real = bars[bars["arm"] == "real"]
    assert real["class"].tolist() == ["1", "2", "3"]
    assert real["value"].tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert bars.loc[bars["arm"] == "law fitted to real", "value"].tolist() == pytest.approx([0.3, 0.15, 0.05])
    assert bars.loc[bars["arm"] == "manipulated", "value"].tolist() == [1.0, 0.0, 0.0]  # not the empty image
    error = 1.959964 * 0.1 / np.sqrt(2)
    assert real["high"].iloc[0] - real["value"].iloc[0] == pytest.approx(error, rel=1e-6)


def test_places_without_digits_are_counted():
    digits = np.zeros((3, 2, 3))
    digits[0, 0, 0] = digits[2, :, 1] = 1.0
    bars = empty_bars({"digits": digits}, np.array([0, 0, 1]), ["a", "b"], 0.95)
    assert bars["value"].tolist() == [0.5, 1.0, 0.0, 0.0]
    assert bars["class"].tolist() == ["a", "b"] * 2
    assert bars["low"].iloc[0] == wilson_interval(1, 2, 0.95)[0]
