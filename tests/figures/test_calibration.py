import numpy as np
import pytest

from fer_repro.figures.answer_figures import reliability_diagram
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")


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
