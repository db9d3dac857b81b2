"""Controls beside a figure, without a browser; widgets work without one, too."""

import numpy as np
import pytest

from fer_repro.figures.style import new_figure
from fer_repro.inference import explore
from fer_repro.inference.explore import Choice, Explorer, SeenFace, Slider, is_live, show_explorer


@pytest.fixture
def explorer():
    def look(size, colour):
        figure = new_figure(2, 2)
        figure.subplots().plot(np.arange(3) * size, color=colour)
        return SeenFace(figure, f"{colour} {size:g}")

    return Explorer(
        (Slider("size", "Size", 0, 4, 1, 1), Choice("colour", "Colour", ("red", "blue"), "red")), look
    )


@pytest.fixture
def nobody(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def test_nobody_there_gets_a_picture_with_words_and_always_the_same(explorer, nobody):
    shown = show_explorer(explorer, "A line.")
    assert shown.markup == show_explorer(explorer, "A line.").markup
    assert 'alt="red 1"' in shown.markup
    assert "A line. Open the notebook in JupyterLab to move: size, colour." in shown.markup


def test_nothing_to_move_is_said():
    assert "nothing to move" in show_explorer(None, "A line.").markup


def test_somebody_is_there_only_in_a_session_with_widgets(monkeypatch, nobody):
    assert not is_live()
    monkeypatch.setenv("JPY_SESSION_NAME", "/notebooks/rmn.ipynb")
    monkeypatch.setattr(explore, "find_spec", lambda name: object())
    assert is_live()
    monkeypatch.setattr(explore, "find_spec", lambda name: None)
    assert not is_live()


def test_moving_a_control_changes_the_figure(explorer):
    pytest.importorskip("ipywidgets")
    box = show_explorer(explorer, "A line.", live=True)
    (size, colour), words, picture = box.children[0].children, *box.children[1:]
    before = picture.value
    assert 'alt="red 1"' in before
    size.value = 3
    assert words.value == "red 3"
    assert 'alt="red 3"' in picture.value
    assert picture.value != before
    colour.value = "blue"
    assert words.value == "blue 3"
    size.value, colour.value = 1, "red"
    assert picture.value == before
