import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, spearmanr
from sklearn.metrics import roc_auc_score

from fer_repro.errors import UserError
from fer_repro.figures.forgery_figures import (
    attention_gallery,
    combination_table,
    detection_curves,
    network_pairs,
    score_histograms,
)
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
    figure = score_histograms(arms, ("real", "manipulated"), {"b": 1.5})
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


def test_attention_is_multiplied_into_the_face_by_nearest_pixels():
    faces = np.full((2, 4, 4, 3), 255, np.uint8)
    attention = np.array([[[[0.0, 0.5], [1.0, 0.25]]]] * 2)
    truths = np.zeros((2, 4, 4), bool)
    truths[0, 2:, :2] = True
    figure = attention_gallery(faces, attention, ["swap$", "real"], truths)
    face, heat, product, truth = figure.axes[:4]
    assert face.get_ylabel() == r"swap\$"
    assert heat.get_xlabel() == "0.00 to 1.00"
    expected = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [1, 1, 0.25, 0.25], [1, 1, 0.25, 0.25]]
    np.testing.assert_allclose(product.images[0].get_array()[..., 1], expected)
    assert truth.get_xlabel() == "PR-AUC 1.00 (chance 0.25)"
    assert truth.collections
    assert figure.axes[7].get_xlabel() == "nothing to find"
    assert not figure.axes[7].collections
    assert png_bytes(figure)


def test_without_truth_there_are_three_columns_and_grey_faces_work():
    figure = attention_gallery(np.ones((1, 4, 4)), np.full((1, 2, 2), 0.5), ["x"])
    assert len(figure.axes) == 3
    assert png_bytes(figure)


def test_pair_plot_shows_points_below_and_correlations_above_the_diagonal():
    draws = np.random.default_rng(0)
    truth = draws.integers(0, 2, 50)
    scores = {"B4$": draws.random(50), "Att": draws.random(50)}
    figure = network_pairs(scores, truth)
    panels = np.array(figure.axes).reshape(2, 2)
    below = panels[1, 0].collections
    points = below[1].get_offsets()
    np.testing.assert_allclose(points, np.stack([scores["B4$"], scores["Att"]], axis=1)[truth == 1])
    words = [text.get_text() for text in panels[0, 1].texts]
    for kind, name, word in ((0, "real", words[0]), (1, "manipulated", words[1])):
        value = spearmanr(scores["B4$"][truth == kind], scores["Att"][truth == kind]).statistic
        assert word == f"{name} {value:.2f}".replace("-", "−")
    assert panels[1, 0].get_xlabel() == r"B4\$"
    assert panels[1, 0].get_ylabel() == "Att"
    assert sum(bar.get_height() for bar in panels[1, 1].containers[0]) == pytest.approx(1)
    assert png_bytes(figure)


def test_ensembles_show_their_networks_and_the_best_in_bold():
    networks = ["a$", "b", "c", "d"]
    combos = [c for size in range(1, 5) for c in itertools.combinations(networks, size)]
    table = pd.DataFrame([{name: name in combo for name in networks} for combo in combos])
    table["AUC"] = np.linspace(0.8, 0.94, 15)
    table["loss"] = np.linspace(0.4, 0.54, 15)
    figure = combination_table(table, networks, {"AUC": "high", "loss": "low"})
    left, right = figure.axes
    large = {(p.get_xdata()[0], p.get_ydata()[0]) for p in left.lines if p.get_markersize() > 5}
    assert large == {(networks.index(name), row) for row, combo in enumerate(combos) for name in combo}
    bold = [text.get_text() for text in right.texts if text.get_fontweight() == "bold"]
    assert bold == ["0.9400", "0.4000"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["AUC ↑", "loss ↓"]
    shades = {patch.get_xy(): patch.get_facecolor()[0] for patch in right.patches}
    assert shades[(-0.5, 13.5)] < shades[(-0.5, -0.5)]  # high AUC is darker
    assert shades[(0.5, 13.5)] > shades[(0.5, -0.5)]  # low loss is darker
    assert png_bytes(figure)
