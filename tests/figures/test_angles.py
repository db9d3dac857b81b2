import numpy as np
import pandas as pd
import pytest

from fer_repro.figures.angles import (
    angle_histograms,
    gradient_lengths,
    probability_at,
    probability_curves,
    reduction_table,
    scale_history,
    scale_of_classes,
    scale_table,
)
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_fixed_scales_of_the_fact_sheet():
    expected = {3: 0.9803, 7: 2.5339, 10: 3.1073, 10575: 13.1043}
    assert {count: round(scale_of_classes(count), 4) for count in expected} == expected


def test_probability_is_the_softmax_with_others_at_right_angles():
    angle, scale, classes = 0.7, 5.0, 7
    logits = np.array([scale * np.cos(angle), *([scale * np.cos(np.pi / 2)] * (classes - 1))])
    expected = np.exp(logits[0]) / np.exp(logits).sum()
    assert probability_at(np.array([angle]), scale, classes)[0] == pytest.approx(expected)


def test_chosen_scale_is_marked_at_a_half_and_45_degrees():
    figure = probability_curves([7, 100], [10, 30])
    for axes in figure.axes:
        mark = axes.lines[3]
        assert mark.get_xdata().tolist() == [45]
        assert mark.get_ydata().tolist() == pytest.approx([0.5])
    assert figure.axes[0].get_title("left") == "C = 7: s = 2.53"
    assert legend(figure)[:2] == ["s = 10", "s = 30"]
    assert png_bytes(figure)


def test_scale_history_leaves_out_arms_without_scale():
    history = pd.DataFrame(
        {"arm": ["dynamic"] * 4 + ["plain"] * 2, "seed": [0, 0, 1, 1, 0, 0], "epoch": [1, 2, 1, 2, 1, 2],
         "scale": [2.5, 2.0, 2.7, 1.6, np.nan, np.nan]}
    )  # fmt: skip
    figure = scale_history(history, 7)
    axes = figure.axes[0]
    assert axes.lines[2].get_ydata().tolist() == pytest.approx([2.6, 1.8])
    assert legend(figure) == ["dynamic", "√2 ln(C − 1) = 2.53, C = 7"]
    assert png_bytes(figure)


def test_histograms_part_the_true_class_from_the_others():
    cosines = np.array([[1.0, 0.0, 0.0], [0.0, 0.48, 0.0], [0.0, 0.0, 1.0000001]])
    figure = angle_histograms({"a$": (cosines, np.array([0, 1, 2]))})
    axes = figure.axes[0]
    assert axes.texts[0].get_text() == "medians: true 0.0°, others 90.0°"
    others, own = axes.containers
    assert [sum(bar.get_height() for bar in part) for part in (others, own)] == pytest.approx([1, 1])
    assert own[20].get_height() == pytest.approx(1 / 3)  # 61.3 degrees: the bin from 60 to 63
    assert others[30].get_height() == pytest.approx(1)
    assert png_bytes(figure)


def numeric_length(loss, angle, classes):
    """Length of a unit feature's gradient, by central differences along its circle."""
    step = 1e-6
    return abs(loss(angle + step, classes) - loss(angle - step, classes)) / (2 * step)


def test_gradient_lengths_are_derivatives_of_the_losses():
    figure = gradient_lengths(7, [5.0])
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == ["P2SGrad", "softmax, s = 5", "ArcFace, s = 5, m = 0.5"]

    def cross_entropy(angle, classes, shift=0.0):
        own = np.exp(5 * np.cos(angle + shift))
        return -np.log(own / (own + classes - 1))

    losses = {
        "P2SGrad": lambda angle, _: (1 - np.cos(angle)) ** 2 / 2,
        "softmax, s = 5": cross_entropy,
        "ArcFace, s = 5, m = 0.5": lambda angle, classes: cross_entropy(angle, classes, 0.5),
    }
    for name, loss in losses.items():
        for degrees in (20, 60, 120):
            drawn = np.interp(degrees, *lines[name].get_data())
            assert drawn == pytest.approx(numeric_length(loss, np.radians(degrees), 7), rel=1e-4)
    assert max(lines["P2SGrad"].get_ydata()) == pytest.approx(1.299, abs=1e-3)
    assert all(max(line.get_ydata()) == 1 for line in figure.axes[1].lines)
    assert png_bytes(figure)


def test_bounds_of_the_fact_sheet():
    table = scale_table([3, 7, 8, 10, 100, 10_575]).set_index("C")
    expected = {3: (0.571, 0.685), 7: (0.678, 0.762), 8: (0.691, 0.768), 10: (0.713, 0.778)}
    expected |= {100: (0.870, 0.878), 10_575: (0.979, 0.979)}
    for count, bounds in expected.items():
        found = table.loc[count, ["P, orthogonal", "P, simplex"]].tolist()
        assert found == pytest.approx(bounds, abs=6e-4)
    assert table.loc[7, "lowest loss"] == pytest.approx(0.272, abs=5e-4)
    assert table.loc[7, "settled s"] == pytest.approx(1.536, abs=5e-4)


def test_two_classes_have_no_scale_at_all():
    row = scale_table([2]).iloc[0]
    assert row.tolist() == pytest.approx([2, 0, 0.5, 0.5, np.log(2), 0])


def test_reductions_by_hand():
    table = reduction_table([2, 7, 10_575], batch=8, dimensions=512)
    assert table["1/N"].tolist() == [0.125] * 3
    assert table["2/(N C)"].tolist() == pytest.approx([0.125, 2 / 56, 2 / 84_600])
    assert table["weaker"].tolist() == [1, 3.5, 5287.5]
    assert table["lowest loss"].tolist() == pytest.approx([0, 0, 9.827], abs=1e-3)
