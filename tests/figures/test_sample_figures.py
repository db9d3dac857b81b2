import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fer_repro.figures.sample_figures import balance_sentence, pair_gallery, worst_pairs
from fer_repro.figures.style import COLOURS, png_bytes

pytestmark = pytest.mark.filterwarnings("error")
PAIRS = pd.DataFrame(
    {
        "first": range(6),
        "second": range(6, 12),
        "same": [0, 0, 1, 1, 0, 1],
        "score": [0.9, 0.6, 0.2, 0.8, 0.1, 0.49],
    }
)


def test_worst_pairs_take_both_kinds_in_turn():
    worst = worst_pairs(PAIRS, 0.5, 4)
    assert worst["first"].tolist() == [0, 2, 1, 5]
    assert worst["said"].tolist() == [1, 0, 1, 0]
    assert list(worst.columns) == ["first", "second", "same", "score", "said"]
    assert worst_pairs(PAIRS[PAIRS["same"] == 0], 0.5, 4)["first"].tolist() == [0, 1]


def test_a_score_on_the_threshold_counts_as_same():
    assert worst_pairs(PAIRS.assign(score=0.5), 0.5, 9)["same"].tolist() == [0, 0, 0]


def test_gallery_shows_both_faces_and_what_was_said():
    first, second = np.full((3, 8, 8), 10, np.uint8), np.full((3, 8, 8), 99, np.uint8)
    pairs = pd.DataFrame({"same": [1, 0, 1], "said": [0, 1, 1], "score": [-0.25, 0.75, 0.9]})
    figure = pair_gallery(first, second, pairs, columns=2)
    image = figure.axes[0].images[0].get_array()
    assert image[0, 0] == 10
    assert image[0, -1] == 99
    assert image[0, 8] == 255
    assert [axes.get_title("left") for axes in figure.axes[:3]] == [
        "same person", "different persons", "same person",
    ]  # fmt: skip
    below = [axes.xaxis.label for axes in figure.axes[:3]]
    assert [label.get_text() for label in below] == [
        "predicted different, score −0.25", "predicted same, score 0.75", "predicted same, score 0.90",
    ]  # fmt: skip
    assert [to_hex(label.get_color()) == COLOURS[1] for label in below] == [True, True, False]
    assert png_bytes(figure)


def test_no_errors_make_an_empty_gallery():
    none = worst_pairs(PAIRS.assign(score=PAIRS["same"]), 0.5, 6)
    assert none.empty
    assert png_bytes(pair_gallery(np.zeros((0, 8, 8)), np.zeros((0, 8, 8)), none))


def test_images_and_what_they_are_to_become_have_no_balance():
    said = balance_sentence({"classes": ["0"], "counts": {"train": [400]}})
    assert said == "No classes: images and what they are to become, 400 in train."
    assert "no two classes" in balance_sentence({"classes": ["happy"], "counts": {"train": [4]}})
