import numpy as np
import pytest

from fer_repro.evaluation.region_weights import region_means, weights_by_cover
from fer_repro.figures.region_figures import (
    biased_loss,
    bounds_figure,
    mean_weights,
    regions_on_faces,
    weight_against_occlusion,
)
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")
BOXES = {"left$": (0.0, 0.0, 0.5, 1.0), "top": (0.0, 0.0, 1.0, 0.5), "whole face": (0.0, 0.0, 1.0, 1.0)}


def test_faces_have_a_frame_and_a_number_per_region():
    weights = np.array([[0.2, 0.5, 0.3], [0.4, 0.35, 0.25]])
    figure = regions_on_faces(np.zeros((2, 20, 20), np.uint8), BOXES, weights, ["happy", "sad"])
    panels = figure.axes[:6]
    assert [axes.get_xlabel() for axes in panels] == ["0.200", "0.500", "0.300", "0.400", "0.350", "0.250"]
    bold = [axes.xaxis.label.get_fontweight() == "bold" for axes in panels]
    assert bold == [False, True, False, True, False, False]
    widths = [axes.patches[0].get_linewidth() for axes in panels]
    assert np.argsort(widths).tolist() == np.argsort(weights.ravel()).tolist()
    shade = panels[0].images[1].get_array()[..., 3]
    assert not shade[:, :10].any()
    assert shade[:, 10:].all()
    assert panels[0].get_title("center") == r"left\$"
    assert png_bytes(figure)


def test_equal_weights_are_drawn_without_a_range():
    assert png_bytes(regions_on_faces(np.zeros((1, 8, 8)), BOXES, np.full((1, 3), 1 / 3), ["x"]))


def test_mean_weights_draw_means_spread_and_bounds():
    weights = {"a$": np.array([[0.2, 0.3, 0.5], [0.4, 0.3, 0.3]]), "b": np.full((2, 3), 1 / 3)}
    figure = mean_weights(region_means(weights, list(BOXES)), bounded=["a$"])
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.containers[0]] == pytest.approx([0.3, 0.3, 0.4])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert r"possible for a\$: 0.155 to 0.576" in labels
    assert "equal: 0.333" in labels
    assert png_bytes(figure)


def test_cover_figure_prints_the_rank_correlation_of_each_region():
    covered = np.tile(np.linspace(0, 0.9, 10)[:, None], (1, 2))
    weights = np.stack([1 - covered[:, 0], np.full(10, 0.5)], axis=1)
    steps = weights_by_cover(weights, covered, ["falls", "flat"], steps=3)
    figure = weight_against_occlusion(weights, covered, steps)
    assert [axes.get_title("left") for axes in figure.axes] == ["falls: −1.00", "flat: –"]
    means = figure.axes[0].containers[0].lines[0]
    assert means.get_xdata().tolist() == pytest.approx([0, 0.2, 0.5, 0.8])
    assert means.get_ydata().tolist() == pytest.approx([1, 0.8, 0.5, 0.2])
    assert png_bytes(figure)


def test_bounds_figure_marks_both_bounds_for_the_measured_number_of_regions():
    figure = bounds_figure(np.full((5, 6), 1 / 6))
    words = [text.get_text().strip() for axes in figure.axes for text in axes.texts]
    assert words == ["0.0685", "0.3522", "0.352", "0.069"]
    largest = next(line for line in figure.axes[1].lines if line.get_label() == "largest possible")
    assert largest.get_ydata()[largest.get_xdata().tolist().index(2)] == pytest.approx(np.e / (np.e + 1))
    assert png_bytes(figure)


def test_biased_loss_ends_at_the_margin():
    measured = np.array([[0.2, 0.3, 0.1], [0.1, 0.1, 0.3]])
    figure = biased_loss([0.1, 0.02], 3, measured)
    axes = figure.axes[0]
    for line, margin in zip(axes.lines, (0.1, 0.02), strict=False):
        assert np.interp([0, margin, margin + 0.1], *line.get_data()) == pytest.approx([margin, 0, 0])
    bars = axes.containers[0]
    filled = [bar.get_x() for bar in bars if bar.get_height()]
    assert len(filled) == 2
    assert min(filled) == pytest.approx(-0.2, abs=0.03)
    assert any("0.3642" in text.get_text() for text in axes.texts)  # (e - 1) / (e + 2)
    assert png_bytes(figure)
