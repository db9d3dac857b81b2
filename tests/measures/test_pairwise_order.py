"""Comparisons without bias and strengths against the golden, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest

from fer_repro.measures.pairwise_order import fit_direction, kendall, order_probability, strengths

GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = json.loads((GOLDENS / "pairwise_order.json").read_text())["cases"]
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "pairwise_order.npz") as kept:
        return dict(kept)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
def test_the_golden_is_met(arrays, case):
    from fill import fill, image

    tag, n = case["tag"], case["n"]
    features = fill(f"rank_f_{tag}", (n, case["D"]))
    np.testing.assert_array_equal(features, arrays[f"{tag}_features"])
    found = order_probability(features, fill(f"rank_v_{tag}", (1, case["D"]))[0])
    np.testing.assert_allclose(found, arrays[f"{tag}_probability"], rtol=TOLERANCE, atol=0)
    wins = np.floor(10 * image(f"rank_wins_{tag}", (n, n))) * (1 - np.eye(n))
    np.testing.assert_array_equal(wins, arrays[f"{tag}_wins"])
    places = np.arange(n)
    for name, counts in {"strength": wins, "strength_perfect": np.tril(np.ones((n, n)), -1)}.items():
        ours = strengths(counts, case["ridge"])
        np.testing.assert_allclose(ours, arrays[f"{tag}_{name}"], rtol=TOLERANCE, atol=TOLERANCE)
        tau = case["kendall_tau" if name == "strength" else "kendall_tau_perfect"]
        assert kendall(ours, places) == pytest.approx(tau, abs=TOLERANCE)


def test_swapped_items_get_the_opposite_answer_to_the_last_bit():
    draws = np.random.default_rng(0)
    found = order_probability(30 * draws.normal(size=(60, 7)), draws.normal(size=7))
    assert (found + found.T == 1).all()
    assert found.min() < 1e-30
    differences, seen = draws.normal(size=(40, 3)), draws.random(40)
    both = np.concatenate([differences, -differences[:5]])
    weights = np.concatenate([seen, np.zeros(5)])
    np.testing.assert_allclose(fit_direction(-differences, 2.0, seen), -fit_direction(differences, 2.0, seen))
    np.testing.assert_allclose(fit_direction(both, 2.0, weights), fit_direction(differences, 2.0, seen))


def test_the_gradient_vanishes_at_the_fit():
    draws = np.random.default_rng(1)
    differences, seen = draws.normal(size=(30, 4)) + 0.3, draws.integers(1, 5, 30)
    v = fit_direction(differences, 0.7, seen)
    pull = (seen / (1 + np.exp(differences @ v))) @ differences
    np.testing.assert_allclose(pull, 0.7 * v, rtol=1e-9)


def test_tau_where_something_does_not_vary():
    assert kendall(np.zeros(4), np.arange(4)) == 0
    assert np.isnan(kendall(np.arange(4), np.ones(4)))
    assert np.isnan(kendall(np.ones(1), np.ones(1)))
    assert kendall(np.arange(4), [0, 0, 1, 2]) == pytest.approx(5 / np.sqrt(30))


@pytest.mark.parametrize(
    ("function", "given", "words"),
    [
        (fit_direction, (np.zeros((0, 3)), 1.0), r"shape \(0, 3\)"),
        (fit_direction, (np.zeros(3), 1.0), r"expected \(P, D\)"),
        (fit_direction, (np.ones((3, 2)), 1.0, np.ones(2)), r"weights \(2,\)"),
        (fit_direction, (np.ones((3, 2)), 0.0), "ridge 0.0: expected more than 0"),
        (fit_direction, (np.full((3, 2), np.nan), 1.0), "finite"),
        (order_probability, (np.ones((3, 2)), np.ones(3)), r"direction \(3,\)"),
        (order_probability, (np.ones(3), np.ones(3)), r"expected \(n, D\)"),
        (strengths, (np.ones((2, 3)), 1.0), r"expected \(n, n\)"),
        (strengths, (np.zeros((3, 3)), 1.0), "not all 0"),
        (strengths, (np.array([[0, -1], [1, 0]]), 1.0), "from 0"),
        (strengths, (np.array([[0.0, 1.0], [1.0, 2.0]]), 1.0), "item 1 was put above itself"),
        (kendall, (np.ones(3), np.ones(4)), r"truth \(4,\)"),
    ],
)
def test_what_does_not_fit_is_refused(function, given, words):
    with pytest.raises(ValueError, match=words):
        function(*given)
