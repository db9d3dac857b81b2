import numpy as np
import pytest
from scipy import stats

from fer_repro.evaluation.agreement import COLUMNS, agreement_row, agreement_table


def test_one_seed_by_hand():
    values = np.array([[0.5, -0.1, np.nan, 0.2, 0.2]])
    row = agreement_row("w", values, None, 0.95)
    used = [0.5, -0.1, 0.2, 0.2]
    assert row["mean"] == pytest.approx(0.2)
    assert (row["low"], row["high"]) == pytest.approx(
        stats.t.interval(0.95, 3, loc=np.mean(used), scale=stats.sem(used))
    )
    assert (row["items"], row["of"], row["above_zero"]) == (4, 5, 75)
    assert row["by_seed"] == pytest.approx((0.2,))


def test_seeds_are_told_and_an_item_counts_with_all_seeds_or_none():
    values = np.array([[0.4, np.nan, 0.2], [-0.2, 0.9, -0.6]])
    row = agreement_row("w", values, None, 0.95)
    assert row["mean"] == pytest.approx((0.4 + 0.2 - 0.2 - 0.6) / 4)
    assert row["by_seed"] == pytest.approx((0.3, -0.4))
    assert row["above_zero"] == 50  # 0.1 and -0.2
    assert row["low"] < row["mean"] < row["high"]


def test_items_of_one_person_make_a_wider_interval():
    values = np.tile([0.0, 0.1, 0.4, 0.5], (1, 6))
    people = np.tile([0, 0, 1, 1], 6) + 2 * np.repeat(np.arange(6), 4)
    alone = agreement_row("w", values, None, 0.95)
    grouped = agreement_row("w", values, people, 0.95)
    assert grouped["high"] - grouped["low"] > alone["high"] - alone["low"]


def test_nothing_known():
    row = agreement_row("w", np.full((2, 3), np.nan), None, 0.95)
    assert np.isnan([row["mean"], row["low"], row["high"]]).all()
    assert (row["items"], row["of"], row["by_seed"]) == (0, 3, ())
    assert tuple(agreement_table([row]).columns) == COLUMNS
    assert agreement_table([]).empty


def test_a_mean_of_zero_is_not_above_it_and_no_rows_have_columns():
    row = agreement_row("w", np.array([[0.5, 1.0, -1.0], [-0.5, 0.0, 0.0]]), None, 0.95)
    assert row["above_zero"] == pytest.approx(100 / 3)
    assert tuple(agreement_table([]).columns) == COLUMNS
    turned = dict(reversed(row.items()))
    assert tuple(agreement_table([turned]).columns) == COLUMNS


def test_two_items_have_bounds_and_one_has_none():
    pair, one = np.array([[0.1, 0.4], [0.3, 0.2]]), np.array([[0.1], [0.3]])
    assert np.isfinite(agreement_row("w", pair, None, 0.95)["low"])
    for values, groups in ((one, None), (pair, np.zeros(2))):
        row = agreement_row("w", values, groups, 0.95)
        assert row["mean"] == pytest.approx(values.mean())
        assert np.isnan([row["low"], row["high"]]).all()
        assert row["by_seed"] == pytest.approx(tuple(values.mean(1)))
