import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_repro.datasets.votes import (
    ANSWERS,
    EXPRESSIONS,
    MODES,
    draw_targets,
    soft_targets,
    target_columns,
    vote_targets,
    without_outliers,
)
from fer_repro.errors import UserError


def votes(**counts):
    return np.array([[counts.get(answer, 0) for answer in ANSWERS]])


def shares(mode, **counts):
    """What a rule keeps as {expression: share}, or None."""
    targets, kept = vote_targets(votes(**counts), mode)
    if not kept[0]:
        assert not targets.any()
        return None
    return {EXPRESSIONS[number]: targets[0, number] for number in np.flatnonzero(targets[0])}


def test_the_order_is_ferplus_own():
    assert EXPRESSIONS == (
        "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"
    )  # fmt: skip
    assert ANSWERS[8:] == ("unknown", "nf")


def test_single_votes_are_outliers():
    assert without_outliers(np.array([4, 0, 0, 1, 3, 2, 0, 0, 0, 0])).tolist() == [
        4,
        0,
        0,
        0,
        3,
        2,
        0,
        0,
        0,
        0,
    ]


MAJORITY = [
    ({"neutral": 6, "surprise": 1, "sadness": 1, "unknown": 2}, "neutral"),  # 6 of 8
    ({"neutral": 5, "sadness": 3, "anger": 1, "unknown": 1}, "neutral"),  # 5 of 8: single votes do not count
    ({"neutral": 5, "sadness": 5}, None),  # exactly half is no majority
    ({"neutral": 4, "anger": 3, "disgust": 2, "sadness": 1}, None),  # 4 of 9
    ({"unknown": 6, "neutral": 4}, None),
    ({"nf": 10}, None),
    ({"neutral": 2, **dict.fromkeys(EXPRESSIONS[1:], 1), "nf": 1}, "neutral"),  # 2 of 2
    (dict.fromkeys(ANSWERS, 1), None),  # nothing is left
    ({"contempt": 7, "anger": 1, "disgust": 2}, "contempt"),
]


@pytest.mark.parametrize(("counts", "expected"), MAJORITY)
def test_majority_by_hand(counts, expected):
    assert shares("majority", **counts) == (None if expected is None else {expected: 1.0})


PROBABILITY = [
    ({"neutral": 8, "sadness": 2}, {"neutral": 1.0}),  # 8 of 10 cover three quarters
    ({"neutral": 6, "sadness": 4}, {"neutral": 0.6, "sadness": 0.4}),
    ({"neutral": 4, "anger": 3, "disgust": 2, "sadness": 1}, {"neutral": 4 / 7, "anger": 3 / 7}),  # 7 of 9
    ({"neutral": 4, "anger": 2, "disgust": 2, "sadness": 2}, None),  # equal counts: four expressions
    ({"neutral": 4, "anger": 2, "disgust": 2, "nf": 2}, {"neutral": 0.5, "anger": 0.25, "disgust": 0.25}),
    ({"neutral": 5, "unknown": 5}, None),  # covers half of S, not more
    ({"neutral": 6, "unknown": 4}, {"neutral": 1.0}),
    ({"unknown": 6, "neutral": 4}, None),
    ({"neutral": 4, "unknown": 3, "sadness": 3}, {"neutral": 4 / 7, "sadness": 3 / 7}),
    ({"neutral": 4, "unknown": 4, "sadness": 2}, None),  # stops there: 4 of 10
    ({"nf": 10}, None),
    (dict.fromkeys(ANSWERS, 1), None),
]


@pytest.mark.parametrize("mode", ["probability", "cross_entropy"])
@pytest.mark.parametrize(("counts", "expected"), PROBABILITY)
def test_probability_and_cross_entropy_by_hand(mode, counts, expected):
    assert shares(mode, **counts) == pytest.approx(expected)


MULTI_TARGET = [
    ({"neutral": 8, "sadness": 2}, {"neutral": 1.0}),
    ({"neutral": 7, "sadness": 3}, {"neutral": 0.7, "sadness": 0.3}),  # exactly 30 % counts
    ({"neutral": 4, "anger": 3, "sadness": 3}, {"neutral": 0.4, "anger": 0.3, "sadness": 0.3}),
    ({"neutral": 2, "anger": 2, "disgust": 2, "sadness": 2, "fear": 2}, None),  # 20 % each
    ({"neutral": 5, "unknown": 5}, {"neutral": 1.0}),  # together all of S, unknown is cut off
    ({"unknown": 6, "neutral": 4}, None),
    ({"neutral": 4, "anger": 2, "disgust": 2, "fear": 2}, None),  # 40 % of S
    (dict.fromkeys(ANSWERS, 1), None),
]


@pytest.mark.parametrize(("counts", "expected"), MULTI_TARGET)
def test_multi_target_by_hand(counts, expected):
    assert shares("multi_target", **counts) == pytest.approx(expected)


PLAIN = [
    ({"neutral": 4, "anger": 3, "disgust": 2, "sadness": 1}, "neutral"),
    ({"anger": 4, "happiness": 4, "nf": 2}, "happiness"),  # the first of equal ones
    (dict.fromkeys(ANSWERS, 1), "neutral"),
    ({"contempt": 5, "unknown": 5}, "contempt"),
    ({"neutral": 4, "unknown": 6}, None),
]


@pytest.mark.parametrize(("counts", "expected"), PLAIN)
def test_plain_by_hand(counts, expected):
    assert shares("plain", **counts) == (None if expected is None else {expected: 1.0})


@given(
    st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), max_size=8),
    st.sampled_from(sorted(MODES)),
)
def test_targets_are_distributions_or_nothing(rows, mode):
    targets, kept = vote_targets(np.array(rows, np.uint8).reshape(-1, 10), mode)
    assert targets.shape == (len(rows), 8)
    assert np.allclose(targets.sum(axis=1), kept)
    assert (targets >= 0).all()
    assert ((targets > 0).sum(axis=1) <= 3).all()


def test_what_majority_keeps_probability_keeps_too():
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(10, rng.dirichlet(np.full(10, 0.4), 500))
    kept = vote_targets(drawn, "majority")[1]
    assert 0 < kept.sum() < 500
    assert vote_targets(drawn, "probability")[1][kept].all()


def test_mistakes():
    with pytest.raises(UserError, match="label mode is 'majorty'; did you mean 'majority'"):
        vote_targets(votes(neutral=10), "majorty")
    for wrong in (np.zeros((3, 8)), np.zeros(10), np.full((1, 10), -1)):
        with pytest.raises(UserError, match="counts of 0 or more"):
            vote_targets(wrong, "majority")


def test_soft_targets_come_in_the_order_of_the_classes():
    table = pd.DataFrame({"target_b": [0.25, 1.0], "other": 5, "target_a": [0.75, 0.0]}, index=[4, 9])
    found = soft_targets(table, ("a", "b"))
    assert found.dtype == np.float32
    assert found.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert soft_targets(table[["other"]], ("a", "b")) is None
    assert list(target_columns(np.eye(2), ("a", "b"))) == ["target_a", "target_b"]


BAD_TARGETS = {
    "missing": ({"target_a": [1.0]}, "column 'target_b' is missing"),
    "sum": ({"target_a": [0.5], "target_b": [0.4]}, r"row 0: \[0.5, 0.4\]: expected shares that sum to 1"),
    "negative": ({"target_a": [1.5], "target_b": [-0.5]}, "row 0: .*expected shares"),
    "no number": ({"target_a": ["x"], "target_b": [0.4]}, "soft targets: .*expected shares"),
    "empty": ({"target_a": [np.nan], "target_b": [0.4]}, "row 0: .*expected shares"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_soft_targets_are_one_clear_error(case):
    columns, message = BAD_TARGETS[case]
    with pytest.raises(UserError, match=message):
        soft_targets(pd.DataFrame(columns), ("a", "b"))


def test_labels_are_drawn_by_their_shares():
    targets = np.array([[0.0, 0.25, 0.0, 0.75, 0.0]])
    drawn = {u: int(draw_targets(targets, np.array([u]))[0]) for u in (0.0, 0.2, 0.25, 0.3, 0.999999)}
    assert drawn == {0.0: 1, 0.2: 1, 0.25: 3, 0.3: 3, 0.999999: 3}
    many = draw_targets(targets.repeat(4000, 0), np.random.default_rng(0).random(4000))
    assert np.bincount(many, minlength=5)[[0, 2, 4]].tolist() == [0, 0, 0]
    assert (many == 1).mean() == pytest.approx(0.25, abs=0.03)
