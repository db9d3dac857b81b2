import numpy as np
import pytest
from scipy import stats

from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    BySeed,
    Quantity,
    Ranked,
    Subject,
    compare_by_seed,
    mcnemar_words,
    reference_row,
    value_rows,
)
from fer_repro.measures.detection import auc_shares
from fer_repro.measures.intervals import mean_shares

SUBJECT = Subject("rmn", "2603.05937", "synthetic", "imagenet", "a small note")
SHARE, LOSS = Quantity("official", "auc"), Quantity("official", "frame_log_loss")


def test_shares_become_percent_and_log_losses_stay():
    rows = value_rows(SUBJECT, SHARE, "masked", {0: 0.5, 3: 0.75}, 0.95, 100, {3: "seen"})
    assert [set(row) for row in rows] == [set(COLUMNS)] * 3
    assert [(row["seed"], row["value"], row["runs"]) for row in rows] == [
        ("0", 50, 1),
        ("3", 75, 1),
        ("", 62.5, 2),
    ]
    assert [row["deviation"] for row in rows[:2]] == ["", ""]
    assert rows[2]["deviation"] == pytest.approx(np.sqrt(312.5))
    assert [row["note"] for row in rows] == ["a small note", "seen; a small note", "a small note"]
    single = value_rows(SUBJECT, LOSS, "masked", {0: 0.5}, 0.95, 100)
    assert [row["value"] for row in single] == [0.5, 0.5]
    assert [single[1][name] for name in ("deviation", "low", "high")] == ["", "", ""]


@pytest.mark.parametrize(("quantity", "scale"), [(SHARE, 100), (LOSS, 1)])
def test_no_interval_of_a_mean_leaves_what_is_possible(quantity, scale):
    mean = value_rows(SUBJECT, quantity, "masked", {0: 0.99, 1: 0.4}, 0.95, 100)[-1]
    assert 0 < mean["low"] < mean["value"] < mean["high"]
    assert quantity is LOSS or mean["high"] < 100
    assert mean["value"] == pytest.approx(scale * 0.695)


def test_a_reference_starts_from_nothing():
    row = reference_row(SUBJECT, SHARE, "chance", 0.5, "random scores")
    assert (row["arm"], row["value"], row["pretraining"], row["note"]) == (
        "chance", 50, "none", "random scores",
    )  # fmt: skip


def test_differences_by_seed_have_students_interval():
    numbers = {"ours": [0.9, 0.8, 0.85], "control": [0.7, 0.75, 0.7]}
    arms = {arm: BySeed(np.array(values)) for arm, values in numbers.items()}
    rows, intervals = compare_by_seed(SUBJECT, SHARE, arms, "control", 0.95, 100)
    gaps = 100 * np.subtract(numbers["ours"], numbers["control"])
    expected = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert [row["arm"] for row in rows] == ["ours - control"]
    assert rows[0]["value"] == pytest.approx(gaps.mean())
    assert rows[0]["deviation"] == pytest.approx(gaps.std(ddof=1))
    assert rows[0]["unit"] == "points"
    assert [row["arm"] for row in intervals] == ["ours", "ours - control", "control"]
    assert set(intervals[1]) == set(INTERVAL_COLUMNS)
    assert (intervals[1]["low"], intervals[1]["high"]) == pytest.approx(tuple(expected))
    assert intervals[1]["kind"] == "paired, t over seeds"
    assert f"{expected.low:.2f} to {expected.high:.2f}" in rows[0]["note"]


def test_one_seed_has_no_interval():
    arms = {"ours": BySeed(np.array([0.3])), "control": BySeed(np.array([0.5]))}
    rows, intervals = compare_by_seed(SUBJECT, LOSS, arms, "control", 0.95, 100)
    assert rows[0]["note"] == "paired, one seed; a small note"
    assert rows[0]["value"] == pytest.approx(-0.2)
    assert np.isnan(intervals[0]["low"])


def test_shares_widen_intervals_by_the_variation_over_samples():
    # One seed, a plain mean: Student's interval of the paired differences, and of the groups' sums.
    rng = np.random.default_rng(0)
    hits = {"ours": rng.random((1, 40)) < 0.8, "control": rng.random((1, 40)) < 0.6}
    arms = {arm: BySeed(*mean_shares(values)) for arm, values in hits.items()}
    _, intervals = compare_by_seed(SUBJECT, SHARE, arms, "control", 0.95, 100)
    gaps = 100 * (hits["ours"][0].astype(float) - hits["control"][0])
    expected = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    found = next(row for row in intervals if row["arm"] == "ours - control")
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))
    assert found["kind"] == "paired, t over samples"
    assert len(intervals) == 5
    grouped = {arm: BySeed(by.values, by.shares, np.arange(40) // 4) for arm, by in arms.items()}
    _, intervals = compare_by_seed(SUBJECT, SHARE, grouped, "control", 0.95, 100)
    expected = stats.ttest_1samp(gaps.reshape(10, 4).mean(1), 0).confidence_interval(0.95)
    found = next(row for row in intervals if row["arm"] == "ours - control")
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected))


def test_without_the_control_nothing_is_compared():
    rows, intervals = compare_by_seed(
        SUBJECT, SHARE, {"ours": BySeed(np.array([0.9, 0.8]))}, "control", 0.95, 100
    )
    assert rows == []
    assert len(intervals) == 1


def ranked(scores, positive):
    return BySeed(*auc_shares(scores, positive), None, Ranked(scores, positive))


def test_areas_carry_delongs_p_of_each_seed():
    """By DeLong's formula, pair by pair; without ties."""
    rng = np.random.default_rng(3)
    positive = np.arange(30) < 12
    scores = {
        arm: rng.normal(size=(2, 30)) + gap * positive for arm, gap in (("ours", 2.0), ("control", 0.5))
    }
    arms = {arm: ranked(values, positive) for arm, values in scores.items()}
    rows, _ = compare_by_seed(SUBJECT, SHARE, arms, "control", 0.95, 100)
    expected = []
    for ours, theirs in zip(scores["ours"], scores["control"], strict=True):
        above = [np.array([np.mean(x > row[~positive]) for x in row[positive]]) for row in (ours, theirs)]
        below = [np.array([np.mean(row[positive] > x) for x in row[~positive]]) for row in (ours, theirs)]
        error = np.sqrt(np.subtract(*above).var(ddof=1) / 12 + np.subtract(*below).var(ddof=1) / 18)
        expected.append(2 * stats.norm.sf(abs(np.subtract(*above).mean()) / error))
    assert f"; DeLong p by seed {expected[0]:.2g}, {expected[1]:.2g}; a small note" in rows[0]["note"]


def test_where_a_kind_is_in_one_group_delong_says_nothing():
    area = ranked(np.arange(4.0)[None], np.array([True, False, False, False]))
    rows, _ = compare_by_seed(SUBJECT, SHARE, {"ours": area, "control": area}, "control", 0.95, 100)
    assert "DeLong" not in rows[0]["note"]


def test_mcnemars_p_are_said_exact_and_mid():
    """Nine samples only the first gets right, two only the second: 2 (1 + 11 + 55) / 2^11, less 55 / 2^11."""
    first, second = np.arange(11) < 9, np.arange(11) >= 9
    exact, mid = 2 * (1 + 11 + 55) / 2**11, (2 * (1 + 11 + 55) - 55) / 2**11
    expected = f"McNemar p by seed {exact:.2g} (mid-p {mid:.2g}), 1 (mid-p 1)"
    assert mcnemar_words([(first, second), (first, first)]) == expected
