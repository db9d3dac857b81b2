import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from fer_repro.errors import UserError
from fer_repro.figures.forgery_figures import detection_curves, score_histograms
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")


def scored(gap, count=400, seed=0):
    draws = np.random.default_rng(seed)
    truth = np.arange(count) % 2
    return draws.normal(size=count) + gap * truth, truth


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_legend_has_area_and_equal_error_over_seeds():
    perfect, reverse = (np.array([2.0, 1.0]), np.array([1, 0])), (np.array([1.0, 2.0]), np.array([1, 0]))
    figure = detection_curves({"a$": [perfect, reverse], "b": [perfect]})
    assert legend(figure) == [
        r"a\$: AUC 0.500 (0.000 to 1.000), EER 50.0 % (0.0 to 100.0)",
        "b: AUC 1.000, EER 0.0 %",
    ]
    assert png_bytes(figure)


def test_roc_line_is_the_mean_of_seeds_and_the_band_their_range():
    seeds = [scored(1.0, seed=0), scored(2.0, seed=1)]
    axes = detection_curves({"a": seeds}).axes[0]
    grid, mean = axes.lines[0].get_data()
    areas = [roc_auc_score(truth, scores) for scores, truth in seeds]
    assert np.trapezoid(mean, grid) == pytest.approx(np.mean(areas), abs=5e-3)
    band = axes.collections[0].get_paths()[0].vertices
    at_half = band[np.isclose(band[:, 0], 0.5), 1]
    hits = [np.mean(s[t == 1] >= np.quantile(s[t == 0], 0.5)) for s, t in seeds]
    assert [at_half.min(), at_half.max()] == pytest.approx(hits, abs=0.01)


def test_det_of_normal_scores_is_a_straight_line():
    axes = detection_curves({"a": [scored(1.5, 40000)]}).axes[1]
    across, down = axes.lines[0].get_data()
    inside = (across > norm.ppf(0.02)) & (across < norm.ppf(0.8))
    np.testing.assert_allclose(down[inside], -across[inside] - 1.5, atol=0.08)
    assert "1%" in [label.get_text() for label in axes.get_xticklabels()]


def test_det_begins_at_the_smallest_rate_that_can_be_measured():
    axes = detection_curves({"a": [scored(1.0, 40)]}).axes[1]
    assert norm.cdf(axes.lines[0].get_xdata()[0]) == pytest.approx(1 / 20, rel=0.05)


def test_scores_of_one_kind_are_refused():
    with pytest.raises(UserError, match="both kinds"):
        detection_curves({"a": [(np.arange(3.0), np.ones(3))]})


def test_histograms_hold_each_kind_whole_and_the_threshold():
    arms = {"a$": scored(1.0), "b": scored(3.0, seed=1), "c": scored(0.5, seed=2)}
    figure = score_histograms(arms, ("real", "manipulated"), "logit", {"b": 1.5})
    for axes, scores in zip(figure.axes, arms.values(), strict=False):
        shares = [sum(bar.get_height() for bar in part) for part in axes.containers]
        assert shares == pytest.approx([1, 1])
        assert f"{roc_auc_score(scores[1], scores[0]):.3f}" in axes.get_title("left")
    assert figure.axes[1].lines[0].get_xdata() == [1.5, 1.5]
    assert not figure.axes[0].lines
    assert not figure.axes[3].get_visible()
    assert legend(figure)[:2] == ["real", "manipulated"]
    assert png_bytes(figure)


def test_threshold_is_in_the_legend_whichever_arm_has_one():
    figure = score_histograms({"a": scored(1.0), "b": scored(2.0)}, thresholds={"b": 0.5})
    assert legend(figure) == ["different", "same", "threshold"]
