"""Cascades against plain loops over faces and stages."""

import itertools

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.measures.cascades import (
    budget,
    hard_decision,
    independent_accuracy,
    soft_decision,
    stage_rates,
)

EXAMPLE = np.array([[0.3, 0.2, 0.6, 0.5]]), np.array([[0.5, 0.2, 0.3]]), (3, 5, 6, 4)
"""Happy, surprise, neutral, sad in FER2013's order of classes; the last block has angry, disgust, fear."""
COUNTS = (491, 55, 528, 879, 594, 416, 626)  # PrivateTest


def drawn(n=50, stages=3, rest=2, seed=0):
    draws = np.random.default_rng(seed)
    return draws.uniform(size=(n, stages)), draws.dirichlet(np.ones(rest), n)


def naive(p, q, decided, threshold):
    """Soft probabilities and the hard answer of one face."""
    classes = len(p) + len(q)
    others = [c for c in range(classes) if c not in decided]
    soft, left, hard = [0.0] * classes, 1.0, None
    for probability, c in zip(p, decided, strict=True):
        soft[c] = left * probability
        left = left - soft[c]
        if hard is None and probability >= threshold:
            hard = c
    for share, c in zip(q, others, strict=True):
        soft[c] = left * share
    return soft, others[int(np.argmax(q))] if hard is None else hard


def test_the_worked_example():
    found = soft_decision(*EXAMPLE)[0]
    assert found == pytest.approx([0.056, 0.0224, 0.0336, 0.3, 0.112, 0.14, 0.336])
    assert found.sum() == pytest.approx(1)
    assert hard_decision(*EXAMPLE).tolist() == [6]
    assert hard_decision(*EXAMPLE, threshold=0.61).tolist() == [0]


@pytest.mark.parametrize("decided", [(0, 1, 2), (4, 0, 2), (1, 3, 4)])
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_both_decisions_are_those_of_a_loop(decided, threshold):
    stages, rest = drawn()
    soft, hard = soft_decision(stages, rest, decided), hard_decision(stages, rest, decided, threshold)
    for p, q, probabilities, answer in zip(stages, rest, soft, hard, strict=True):
        expected, decision = naive(p, q, decided, threshold)
        assert probabilities == pytest.approx(expected)
        assert answer == decision


def test_a_threshold_is_reached_by_equality():
    stages, rest = np.array([[0.5, 0.9]]), np.array([[0.4, 0.6]])
    assert hard_decision(stages, rest, (0, 1)).tolist() == [0]
    assert hard_decision(stages, rest, (0, 1), np.nextafter(0.5, 1)).tolist() == [1]


def test_the_order_matters():
    stages, rest = np.array([[0.9, 0.9]]), np.array([[0.5, 0.5]])
    for order in itertools.permutations((0, 1)):
        soft = soft_decision(stages[:, list(order)], rest, order)
        assert soft.argmax() == order[0]
        assert hard_decision(stages[:, list(order)], rest, order).tolist() == [order[0]]


def test_what_is_no_probability_is_refused():
    stages, rest = drawn()
    for wrong in (1.5, -0.1, np.nan):
        changed = stages.copy()
        changed[3, 1] = wrong
        with pytest.raises(UserError, match="p of the stages"):
            soft_decision(changed, rest, (0, 1, 2))
    with pytest.raises(UserError, match="expected 1"):
        hard_decision(stages, rest * 0.9, (0, 1, 2))
    for decided in ((0, 1), (0, 1, 1), (0, 1, 5)):
        with pytest.raises(UserError, match="expected 3 different ones of 0 to 4"):
            soft_decision(stages, rest, decided)


def test_rates_are_counted():
    stages, _ = drawn(60)
    targets, said = np.arange(60) % 4, stages >= 0.7
    rates = stage_rates(said, targets, 5)
    for s, c in itertools.product(range(3), range(4)):
        yes = [face[s] for face, target in zip(said, targets, strict=True) if target == c]
        assert rates[s, c] == pytest.approx(sum(yes) / len(yes))
    assert np.isnan(rates[:, 4]).all()


def test_independent_errors_give_the_accuracy_of_simulated_ones():
    draws, decided, counts = np.random.default_rng(1), (2, 0), (40_000, 30_000, 50_000, 20_000)
    rates, last = draws.uniform(0.1, 0.9, (2, 4)), {1: 0.6, 3: 0.3}
    right = 0
    for c, count in enumerate(counts):
        said = draws.uniform(size=(count, 2)) < rates[:, c]
        for face, lucky in zip(said, draws.uniform(size=count), strict=True):
            first = next((k for k, yes in zip(decided, face, strict=True) if yes), None)
            right += (lucky < last.get(c, 0)) if first is None else first == c
    found = independent_accuracy(rates, last, decided, counts)
    assert found == pytest.approx(right / sum(counts), abs=0.005)


@pytest.mark.parametrize(("rate", "printed"), [(0.01, 80.3), (0.02, 78.7), (0.03, 77.0), (0.05, 73.9)])
def test_the_budget_behind_the_published_number(rate, printed):
    assert 100 * budget(COUNTS, EXAMPLE[2], 0.85, rate, 0.75) == pytest.approx(printed, abs=0.06)


def test_classes_without_faces_do_not_count():
    assert independent_accuracy(np.array([[1.0, 0.0, np.nan]]), {1: 0.5}, (0,), (1, 1, 0)) == 0.75
