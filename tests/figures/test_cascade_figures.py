"""Figures of cascades show what they are given."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.figures.cascade_figures import budget_plot, filter_gallery, order_dots
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")


def orders(arms):
    rows = [[arm, f"order {n}", 0.9 - n / 100, 0.8 + n / 100, n == 2] for arm in arms for n in range(6)]
    return pd.DataFrame(rows, columns=["arm", "order", "soft", "hard", "given"])


@pytest.mark.parametrize("arms", [["cascade"], ["cascade", "flat", "flat_$five"]])
def test_every_order_is_a_dot_and_the_papers_is_marked(arms):
    figure = order_dots(orders(arms))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == len(arms)
    for axes in panels:
        soft, ring, hard, _ = axes.lines
        assert soft.get_ydata() == pytest.approx([0.9 - n / 100 for n in range(6)])
        assert hard.get_ydata() == pytest.approx([0.8 + n / 100 for n in range(6)])
        assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([3], [pytest.approx(0.88)])
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_the_budget_has_a_line_for_each_recall_and_the_published_one():
    lines = pd.DataFrame(
        [[recall, rate, recall - rate] for recall in (0.8, 0.9) for rate in (0.0, 0.05)],
        columns=["recall", "false_alarms", "accuracy"],
    )
    figure = budget_plot(lines, 0.776, 0.007)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "recall 80%", "recall 90%", "published, 77.6%",
    ]  # fmt: skip
    assert figure.axes[0].lines[1].get_ydata() == pytest.approx([0.9, 0.85])
    assert png_bytes(figure)[:4] == b"\x89PNG"


def test_filters_are_drawn_around_zero():
    draws = np.random.default_rng(0)
    banks = {"Gabor": draws.normal(size=(8, 7, 7)), "learnt": draws.normal(size=(10, 3, 7, 7))}
    figure = filter_gallery(banks)
    images = [axes.images[0] for axes in figure.axes]
    assert len(images) == 16
    for image, kernel in zip(images[8:], banks["learnt"], strict=False):
        np.testing.assert_allclose(image.get_array(), kernel.mean(0))
        low, high = image.get_clim()
        assert low == -high == pytest.approx(-np.abs(kernel.mean(0)).max())
    assert png_bytes(figure)[:4] == b"\x89PNG"
