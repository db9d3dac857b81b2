import warnings
from itertools import combinations
from unittest import mock

import pytest
from finished_project import make_project, published_rows, result_rows
from matplotlib.text import Text

from fer_repro.figures.style import png_bytes


@pytest.fixture
def measured():
    return result_rows()


@pytest.fixture
def published():
    return published_rows()


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def _check_legible(figure, least=6.0, apart=True):
    """Draw a figure: no warning, no text smaller than ``least``, beyond the canvas or upon another.

    Slanted texts, whose boxes overlap where their letters do not, are only checked for the canvas; of
    annotations of points, which may lie close, ``apart=False`` leaves all out.
    """
    drawn, write = [], Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn.append((text, Text.get_window_extent(text, renderer), renderer))
        write(text, renderer)

    with mock.patch.object(Text, "draw", record), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png_bytes(figure)
    assert drawn
    for text, box, renderer in drawn:
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < renderer.width + 1 and box.y1 < renderer.height + 1
        assert inside, f"'{text.get_text()}' is cut: {box} of {renderer.width:.0f} x {renderer.height:.0f}"
        assert text.get_fontsize() >= least, f"'{text.get_text()}' is set in {text.get_fontsize()} points"
    upright = [(text, box) for text, box, _ in drawn if text.get_rotation() % 90 == 0]
    for (one, box), (other, beside) in combinations(upright if apart else [], 2):
        width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        assert min(width, height) < 2, f"'{one.get_text()}' and '{other.get_text()}' overlap"
    return [text.get_text() for text, *_ in drawn]


@pytest.fixture
def legible():
    return _check_legible
