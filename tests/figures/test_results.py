import numpy as np
import pandas as pd
import pytest

from fer_repro.figures.results import learning_curves
from fer_repro.figures.style import png_bytes

HISTORY = pd.DataFrame(
    {
        "arm": ["a$"] * 6,
        "seed": [0, 0, 0, 1, 1, 1],
        "epoch": [1, 2, 3] * 2,
        "train_loss": [3.0, 2.0, 1.0, 5.0, 3.0, 1.0],
        "val_loss": [4.0, 3.0, 2.0, 6.0, 3.0, 4.0],
        "train_accuracy": [0.1, 0.2, 0.3, 0.3, 0.4, 0.9],
        "val_accuracy": [0.2, 0.3, 0.4, 0.4, 0.5, 0.6],
    }
)


def test_lines_are_means_over_seeds_and_bands_their_range():
    figure = learning_curves(HISTORY)
    loss, accuracy = figure.axes
    train, val = loss.lines
    assert train.get_ydata().tolist() == pytest.approx([4, 2.5, 1])
    assert val.get_ydata().tolist() == pytest.approx([5, 3, 3])
    assert accuracy.lines[1].get_ydata().tolist() == pytest.approx([0.3, 0.4, 0.5])
    corners = loss.collections[1].get_paths()[0].vertices
    at_first = corners[np.isclose(corners[:, 0], 1), 1]
    assert (at_first.min(), at_first.max()) == (4, 6)
    assert png_bytes(figure) == png_bytes(learning_curves(HISTORY))


def test_one_seed_has_a_line_and_no_spread():
    loss, _ = learning_curves(HISTORY[HISTORY["seed"] == 0]).axes
    assert loss.lines[0].get_ydata().tolist() == [3, 2, 1]
    assert not any(len(band.get_paths()) for band in loss.collections)


def test_arms_are_chosen_and_in_order():
    other = HISTORY.assign(arm="b", val_loss=9.0)
    figure = learning_curves(pd.concat([HISTORY, other]), ["b"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b, train", "b, val"]
    assert figure.axes[0].lines[1].get_ydata().tolist() == [9, 9, 9]
