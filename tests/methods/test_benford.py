"""Formulas of the Benford features against loops, and what surprises in the authors' code."""

import math

import numpy as np
import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.loading.batches import Batch
from fer_repro.methods.benford import (
    ALPHA,
    FAILED,
    METHOD,
    PLACES,
    BenfordFeatures,
    BenfordOptions,
    coefficients,
    digit_shares,
    divergences,
    first_digits,
    fit_law,
    law,
    luma,
)
from fer_repro.synthetic.light import compress

USUAL = {
    "qualities": "90", "bases": "10 20", "exact_digits": False, "trees": 10, "width": 4, "stem": "small",
}  # fmt: skip


def build(arm, **changed):
    return METHOD.build_model(arm, BenfordOptions(**{**USUAL, **changed}), 2)


def textured(count=8, side=24, seed=0):
    noise = np.random.default_rng(seed).normal(128, 30, (count, side, side))
    return np.clip(noise, 0, 255).astype(np.uint8)


def tensor(pixels):
    return torch.from_numpy(pixels).float()[:, None].expand(-1, 3, -1, -1) / 255


def naive_coefficient(pixels, block_row, block_column, row, column, step):
    """One coefficient of an 8 x 8 block, from the definition of the cosine transform."""
    total = 0.0
    for y in range(8):
        for x in range(8):
            value = float(pixels[8 * block_row + y, 8 * block_column + x]) - 128
            total += (
                value
                * math.cos((2 * y + 1) * row * math.pi / 16)
                * math.cos((2 * x + 1) * column * math.pi / 16)
            )
    scale = math.sqrt(1 / 8 if row == 0 else 2 / 8) * math.sqrt(1 / 8 if column == 0 else 2 / 8)
    return total * scale / step


def test_coefficients_from_their_definition():
    pixels = textured(1, 16)
    found = coefficients(pixels, 80)[0]
    steps = {(0, 0): 6, (0, 1): 4, (3, 2): 9, (7, 7): 40}  # of quality 80: (base x 40 + 50) // 100
    for (row, column), step in steps.items():
        for block in range(4):
            exact = naive_coefficient(pixels[0], block // 2, block % 2, row, column, step)
            assert found[block, row, column] == round(exact)


def test_luma_is_what_pillow_writes():
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colours])
    assert np.array_equal(luma(torch.from_numpy(colours).permute(0, 3, 1, 2).float() / 255), grey)


def test_the_published_order_takes_ranks_for_places():
    """The rank of each of the nine lowest frequencies in the zig-zag, read as an index row by row."""
    zigzag = sorted(
        ((row, column) for row in range(8) for column in range(8)),
        key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]),
    )
    ranks = [zigzag.index((row, column)) for row in range(8) for column in range(8)]
    assert [divmod(rank, 8) for rank in ranks[1:3]] == [(0, 1), (0, 5)]
    assert tuple(divmod(rank, 8) for rank in ranks[1:10]) == PLACES["published"]
    assert set(PLACES["zigzag"]) == set(zigzag[1:10])


def test_rows_are_vertical_frequencies():
    """Vertical stripes have horizontal frequencies alone: a transposed reading would find none."""
    stripes = np.tile(np.array([0, 255] * 4, np.uint8), (1, 8, 1))
    found = coefficients(stripes, 90)[0, 0]
    assert found[0, 1:].any()
    assert not found[1:].any()


def test_digits_leave_out_zeros_and_the_tenth():
    blocks = np.zeros((1, 4, 8, 8), np.int64)
    blocks[0, :, 0, 1] = [1000, -250, 39, 0]
    shares = digit_shares(blocks, "zigzag", 10)[0]
    assert shares[0].tolist() == [0, 0.5, 0.5, 0, 0, 0, 0, 0, 0]  # 1000 has the digit 10, which is no bin
    exact = digit_shares(blocks, "zigzag", 10, exact=True)[0]
    np.testing.assert_allclose(exact[0], [1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0, 0, 0])
    assert np.isnan(shares[1:]).all()


@pytest.mark.parametrize(
    ("value", "base", "digit"),
    [
        (-250, 10, 2),
        (-99, 10, 9),
        (39, 10, 3),
        (-250, 20, 12),
        (39, 20, 1),
        (1000, 40, 25),
        (1000, 60, 16),
        (0, 10, 0),
    ],
)
def test_worked_digits(value, base, digit):
    for exact in (False, True):
        assert first_digits(np.array([value]), base, exact) == digit


def test_the_law_from_its_formula():
    digits = np.arange(1.0, 10)
    expected = [1.2 * math.log(1 + 1 / (0.3 + d**1.1), 9) for d in range(1, 10)]
    np.testing.assert_allclose(law(digits, 1.2, 0.3, 1.1), expected, rtol=1e-12)


def test_divergences_from_their_formulas():
    p, q = np.array([0.5, 0.3, 0.0, 0.1]), np.array([0.2, 0.2, 0.3, 0.05])
    pairs = [(0.5, 0.2), (0.3, 0.2), (0.1, 0.05)]  # the third bin is 0 in one of them
    whole_p, whole_q = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    kullback = renyi = tsallis = 0.0
    for turned in (False, True):
        total = 0.0
        for pair in pairs:
            a, b = pair[::-1] if turned else pair
            sums = (whole_q, whole_p) if turned else (whole_p, whole_q)
            kullback += a / sums[0] * math.log2((a / sums[0]) / (b / sums[1]))
            total += a**ALPHA * b ** (1 - ALPHA)
        renyi += math.log2(total) / (ALPHA - 1)
        tsallis += (total - 1) / (ALPHA - 1)
    np.testing.assert_allclose(divergences(p, q), [kullback, renyi, tsallis], rtol=1e-12)


def test_a_constant_image_has_failed_features():
    features = BenfordFeatures("published", (90,), (10,), False)(tensor(np.full((1, 16, 16), 77, np.uint8)))
    assert (features == FAILED).all()
    assert np.isnan(fit_law(np.full(9, np.nan))).all()


def test_a_fit_that_does_not_end_has_failed_features():
    one = np.eye(9)[0]  # a single digit: its best delta is infinite
    assert np.isnan(fit_law(one)).all()


def test_features_by_quality_base_and_place():
    images = tensor(textured(3))
    together = BenfordFeatures("zigzag", (80, 90), (10, 20), False)(images)
    assert together.shape == (3, 2 * 2 * 9 * 3)
    alone = [BenfordFeatures("zigzag", (q,), (b,), False)(images) for q in (80, 90) for b in (10, 20)]
    assert np.array_equal(together, np.concatenate(alone, axis=1))


@pytest.mark.parametrize(
    ("arm", "count"), [("published_order", 54), ("zigzag_order_540", 540), ("nonzero", 9)]
)
def test_arms_have_as_many_features_as_they_say(arm, count):
    assert build(arm).features(tensor(textured(1))).shape == (1, count)


def test_the_control_counts_what_is_not_zero():
    pixels = textured(2)
    found, blocks = build("nonzero").features(tensor(pixels)), coefficients(pixels, 90)
    for place, (row, column) in enumerate(PLACES["published"]):
        for image in range(2):
            assert found[image, place] == np.mean([block[row, column] != 0 for block in blocks[image]])


def test_training_rows_with_infinite_features_are_left_out(monkeypatch):
    network, images, targets = build("nonzero"), tensor(textured(8)), torch.arange(8) % 2
    ours = network.features(images)
    ours[0, 0] = np.inf
    monkeypatch.setattr(network, "features", lambda images: ours[: len(images)])
    network.grow([Batch((images,), targets)], 0)
    twin = build("nonzero")
    monkeypatch.setattr(twin, "features", lambda images: ours[1:])
    twin.grow([Batch((images[1:],), targets[1:])], 0)
    assert torch.equal(network.forest.threshold, twin.forest.threshold)
    assert torch.isfinite(network(images)).all()  # a test row with one has an answer


def test_answers_are_logarithms_of_the_trees_shares():
    network, images, targets = build("published_order"), tensor(textured(12)), torch.arange(12) % 2
    network.grow([Batch((images,), targets)], 0)
    shares = network.forest(torch.from_numpy(network.features(images))).numpy()
    expected = np.log(np.maximum(shares, 0.05)).astype(np.float32)  # half of one of ten trees
    np.testing.assert_allclose(network(images).numpy(), expected, rtol=1e-6)
    assert np.array_equal(network(images).argmax(1).numpy(), (shares[:, 1] > shares[:, 0]).astype(int))


def test_encoding_once_more_in_one_quality_changes_nothing_that_is_read():
    first = np.stack([compress(image, 90) for image in textured(6, 32)])
    again = np.stack([compress(image, 90) for image in first])
    features = BenfordFeatures("published", (90,), (10, 20), False)
    same = np.isclose(features(tensor(first)), features(tensor(again)), rtol=1e-6).all(axis=1)
    assert same.mean() >= 0.5  # rounding in the decoder moves few coefficients


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"qualities": "91"}, "model.qualities is '91': expected some of 80 85 90 95 100, each once"),
        ({"bases": ""}, "model.bases is ''"),
        ({"bases": "10 10"}, "each once"),
        ({"qualities": "90,95"}, "model.qualities is '90,95'"),
    ],
)
def test_other_qualities_and_bases_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        build("published_order", **changed)


def test_what_is_explained():
    network, images = build("published_order"), tensor(textured(2))
    explained = METHOD.explain(network, images)
    shares = digit_shares(coefficients(luma(images), 90), "published", 10)
    assert explained["digits"].shape == explained["law"].shape == (2, 9, 9)
    assert np.array_equal(explained["digits"].numpy(), np.nan_to_num(shares))
    assert METHOD.explain(build("network"), images) is None
