import numpy as np
import pytest

from fer_repro.report.calibration import reliability, reliability_diagram
from fer_repro.report.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")


def naive_error(confidences, right, bins):
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidences) if (m - 1) / bins < c <= m / bins]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([confidences[i] for i in inside])
            total += len(inside) / len(confidences) * abs(gap)
    return total


@pytest.mark.parametrize("bins", [4, 15])
def test_error_agrees_with_a_naive_loop(bins):
    draws = np.random.default_rng(bins)
    confidences = draws.uniform(0.05, 1, 300)
    right = draws.random(300) < confidences**2
    table, error = reliability(confidences, right, bins)
    assert error == pytest.approx(naive_error(confidences, right, bins))
    assert table["count"].sum() == 300


def test_bins_include_their_upper_end():
    table, _ = reliability(np.array([0.5, 0.51, 1.0]), np.array([True, False, True]), 2)
    assert table["count"].tolist() == [1, 2]
    assert table["accuracy"].tolist() == [1.0, 0.5]


def test_diagram_prints_error_and_counts():
    confidences, right = np.array([0.9, 0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 1, 0, 1], bool)
    figure = reliability_diagram({"as trained": (confidences, right), "T = 2$": (confidences, right)}, bins=5)
    upper, lower = figure.axes[0], figure.axes[2]
    error = 0.8 * abs(0.75 - 0.9) + 0.2 * abs(1 - 0.6)
    assert upper.texts[0].get_text() == f"ECE {error:.1%}, accuracy 80.0%, confidence 84.0%"
    assert [bar.get_height() for bar in upper.containers[0]] == pytest.approx([1, 0.75])
    assert [bar.get_height() for bar in upper.containers[1]] == pytest.approx([-0.4, 0.15])
    assert [text.get_text() for text in lower.texts] == ["1", "4"]
    assert figure.axes[1].get_title("left") == r"T = 2\$"
    assert png_bytes(figure)
