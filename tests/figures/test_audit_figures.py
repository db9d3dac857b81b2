import numpy as np
import pandas as pd
import pytest

from fer_repro.figures.audit_figures import (
    permuted_gaps,
    ratio_lines,
    ratios_against_gaps,
    read_against_verified,
    removal_lines,
    show_ratios,
)
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")
RATIOS = pd.DataFrame({"layer": ["8", "8", "4", "4"], "group": ["a", "b"] * 2, "ratio": [1, 0.9, 0.8, 1]})


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_means_of_arms_are_drawn_over_their_seeds():
    points = pd.DataFrame(
        {"arm": ["a", "a", "b"], "seed": [0, 1, 0], "read": [0.2, 0.4, 0.5], "pairs": [0.7, 0.9, 0.6]}
    )
    figure = read_against_verified(points, 0.14)
    assert legend(figure) == ["a", "b"]
    assert figure.axes[0].lines[1].get_xdata() == pytest.approx([0.8])
    assert figure.axes[0].lines[1].get_ydata() == pytest.approx([0.3])
    assert png_bytes(figure)


def test_both_removals_have_a_line_in_every_panel():
    table = pd.DataFrame(
        {
            "removed": ["null space", "random"] * 2,
            "rank": [0, 0, 6, 6],
            "linear": 0.5,
            "mlp": 0.4,
            "pairs": 0.8,
        }
    )
    figure = removal_lines(table, 0.14)
    assert [axes.lines[0].get_xdata().tolist() for axes in figure.axes] == [[0, 6]] * 3
    assert figure.axes[2].lines[2].get_ydata()[0] == 0.5  # a coin
    assert legend(figure) == ["null space", "random"]
    assert png_bytes(figure)


def test_ratios_and_chance():
    points = RATIOS.assign(arm="x", seed=0, gap=[0.1, -0.1, 0, 0])
    assert legend(ratios_against_gaps(points, "8")) == ["a", "b", "x"]
    assert ratio_lines(RATIOS).axes[0].lines[1].get_ydata().tolist() == [0.9, 1]
    assert "lowest ratio of each group: a 0.800; b 0.900" in show_ratios(RATIOS).markup
    assert "no single image" in show_ratios(RATIOS.head(0)).markup
    assert png_bytes(permuted_gaps(np.linspace(0, 0.2, 40), 0.15))
