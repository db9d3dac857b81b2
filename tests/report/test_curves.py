import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fer_repro.errors import UserError
from fer_repro.report.curves import (
    area,
    average_precision,
    equal_error_rate,
    mean_and_reach,
    rank_correlation,
    retrieval,
    roc,
)


@pytest.fixture(params=[1, 8, 200], ids=["constant", "ties", "distinct"])
def scored(request):
    draws = np.random.default_rng(request.param)
    truth = draws.integers(0, 2, 120)
    truth[:2] = 0, 1
    return draws.integers(0, request.param, 120) / 7 + 0.2 * truth * (request.param > 1), truth


def test_roc_and_its_area_agree_with_scikit_learn(scored):
    curve = roc(*scored)
    alarms, hits, _ = roc_curve(scored[1], scored[0], drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive, alarms)
    np.testing.assert_allclose(curve.true_positive, hits)
    assert area(curve) == pytest.approx(roc_auc_score(scored[1], scored[0]))


def test_average_precision_agrees_with_scikit_learn(scored):
    assert average_precision(*scored) == pytest.approx(average_precision_score(scored[1], scored[0]))


def test_equal_error_rate_by_hand():
    # accepted from 0.9 downwards: +, -, +, - : misses 1, .5, .5, 0, 0 and alarms 0, 0, .5, .5, 1
    assert equal_error_rate(roc(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0]))) == pytest.approx(0.5)
    assert equal_error_rate(roc(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 1, 0, 0]))) == 0
    assert equal_error_rate(roc(np.zeros(6), np.array([1, 0, 0, 1, 0, 0]))) == pytest.approx(0.5)


def test_curves_of_one_kind_or_of_nothing_are_refused():
    with pytest.raises(UserError, match="both kinds"):
        roc(np.arange(3.0), np.ones(3))
    with pytest.raises(UserError, match="at least one positive"):
        retrieval(np.arange(3.0), np.zeros(3))
    with pytest.raises(UserError, match="at least one score"):
        roc(np.zeros(0), np.zeros(0))


def test_rank_correlation_is_that_of_ranks_and_unknown_without_variation():
    assert rank_correlation(np.array([1, 2, 3, 4]), np.array([1, 10, 100, 1000])) == pytest.approx(1)
    assert rank_correlation(np.array([1, 2, 3]), np.array([2, 1, 3])) == pytest.approx(0.5)  # 1 - 6 * 2 / 24
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)))
    assert np.isnan(rank_correlation(np.arange(2.0), np.arange(2.0)))


def test_mean_and_reach_give_students_interval():
    values = [1.0, 2.0, 4.0, 9.0]
    low, high = student.interval(0.9, 3, np.mean(values), np.std(values, ddof=1) / 2)
    mean, reach = mean_and_reach(values, 0.9)
    assert (mean - reach, mean + reach) == pytest.approx((low, high))
    assert np.isnan(mean_and_reach([3.0])[1])
