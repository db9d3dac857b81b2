"""Digits, shares, fits and features against those of the authors' own code."""

import json
from pathlib import Path

import numpy as np
import pytest

from fer_repro.methods.benford import (
    BASES,
    FAILED,
    _features_of,
    coefficients,
    digit_shares,
    divergences,
    first_digits,
    fit_law,
)

GOLDENS = Path(__file__).parent.parent / "goldens"
IMAGES, QUALITIES = ("noise", "waves", "mixed", "flat"), (80, 90, 100)
ORDERS = {"published": "official", "zigzag": "zigzag"}  # ours -> the golden's
CASES = [(tag, quality) for tag in IMAGES for quality in QUALITIES]


@pytest.fixture(scope="module")
def digits():
    with np.load(GOLDENS / "benford_digits.npz") as arrays:
        return dict(arrays), json.loads((GOLDENS / "benford_digits.json").read_text())


@pytest.fixture(scope="module")
def features():
    with np.load(GOLDENS / "benford_features.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("base", BASES)
def test_digits_with_and_without_the_slip(digits, base):
    arrays, described = digits
    values = arrays["values"]
    assert np.array_equal(first_digits(values, base), np.nan_to_num(arrays[f"b{base}_official"]))
    assert np.array_equal(first_digits(values, base, exact=True), arrays[f"b{base}_exact"])
    every = np.arange(1, 32768)
    ours, exact = first_digits(every, base), first_digits(-every, base, exact=True)
    wrong = [[int(v), int(o), int(e)] for v, o, e in zip(every, ours, exact, strict=True) if o != e]
    assert wrong == described["digit_mismatches_up_to_32767"][str(base)]


def test_divergences_add_both_directions(digits):
    for case in digits[1]["directed"]:
        ours = divergences(np.array(case["p"]), np.array(case["q"]))
        expected = [case[f"{name}_pq"] + case[f"{name}_qp"] for name in ("kl", "renyi", "tsallis")]
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


def test_features_of_given_densities(digits):
    for name, case in digits[1]["histogram_cases"].items():
        ours = _features_of(np.array(case["histogram"]).tobytes())
        expected = [FAILED if value is None else float(value) for value in case["features"]]
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-8, err_msg=name)
        if case["stable"] and name not in ("uniform", "zeros"):  # flat there: any beta does
            np.testing.assert_allclose(
                fit_law(np.array(case["histogram"])), case["fit"], rtol=1e-3, atol=1e-6
            )


@pytest.mark.parametrize(("tag", "quality"), CASES)
def test_shares_are_exact_in_both_orders(features, tag, quality):
    blocks = features[f"{tag}_q{quality}_coefficients"].astype(np.int64)[None]
    for order, name in ORDERS.items():
        for base in BASES:
            ours = digit_shares(blocks, order, base)[0]
            assert np.array_equal(ours, features[f"{tag}_q{quality}_b{base}_{name}_hist"], equal_nan=True)


@pytest.mark.parametrize(("tag", "quality"), CASES)
def test_features_where_the_fit_is_unique(features, tag, quality):
    compared = 0
    for row, name in enumerate(ORDERS.values()):
        for column, base in enumerate(BASES):
            shares = features[f"{tag}_q{quality}_b{base}_{name}_hist"]
            stable = features[f"{tag}_q{quality}_stable"][row, column]
            expected = features[f"{tag}_q{quality}_features"][row, column]
            ours = np.array([_features_of(density.tobytes()) for density in shares])
            np.testing.assert_allclose(ours[stable], expected[stable], rtol=1e-3, atol=1e-8)
            empty = np.isnan(shares).any(axis=1)
            assert (ours[empty] == FAILED).all()
            compared += int(stable.sum())
    assert compared or tag == "flat"


@pytest.mark.parametrize(("tag", "quality"), CASES)
def test_coefficients_are_nearly_libjpegs(features, tag, quality):
    ours = coefficients(features[f"{tag}_image"][None], quality)[0]
    theirs = features[f"{tag}_q{quality}_coefficients"]
    assert ours.shape == theirs.shape  # sides of 45 and 51 repeat their last row and column
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() > (0.92 if quality == 100 else 0.98)
