import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from fer_repro.errors import UserError
from fer_repro.figures.style import png_bytes
from fer_repro.figures.true_areas import (
    UNKNOWN,
    enlarge,
    precision_curves,
    precision_words,
    show_agreement_of_masks,
    show_moving,
    single_maps,
    truth_overlay,
)

pytestmark = pytest.mark.filterwarnings("error")


def square(side=12, low=3, high=9):
    truth = np.zeros((side, side), bool)
    truth[low:high, low:high] = True
    return truth


@pytest.mark.parametrize("shape", [(2, 3), (4, 4), (5, 7)])
def test_enlarging_takes_the_pixel_with_the_nearest_centre(shape):
    values = np.random.default_rng(0).random(shape)
    large = enlarge(values, 12, 14)
    for row in range(12):
        for column in range(14):
            centres = [abs((r + 0.5) / shape[0] - (row + 0.5) / 12) for r in range(shape[0])]
            across = [abs((c + 0.5) / shape[1] - (column + 0.5) / 14) for c in range(shape[1])]
            near = np.flatnonzero(np.isclose(centres, min(centres)))
            side = np.flatnonzero(np.isclose(across, min(across)))
            assert large[row, column] in values[np.ix_(near, side)]


def test_maps_lose_a_single_channel_and_no_more():
    assert single_maps(np.zeros((3, 1, 4, 5))).shape == (3, 4, 5)
    with pytest.raises(UserError, match=r"\(3, 2, 4, 5\)"):
        single_maps(np.zeros((3, 2, 4, 5)))


def test_overlay_outlines_the_truth_and_prints_what_the_map_finds():
    truth = np.stack([square(), np.zeros((12, 12), bool)])
    heat = np.random.default_rng(0).random((2, 1, 12, 12))
    figure = truth_overlay(np.zeros((2, 12, 12)), {"map$": heat}, truth, ["a$", "b"], "changed")
    face, laid = figure.axes[:2]
    score = average_precision_score(truth[0].ravel(), heat[0, 0].ravel())
    assert laid.get_xlabel() == f"PR-AUC {score:.2f} (chance 0.25)"
    assert (face.get_title("center"), laid.get_title("center")) == ("changed", r"map\$")
    border = np.concatenate([path.vertices for path in face.collections[0].get_paths()])
    assert (border.min(), border.max()) == (2.5, 8.5)  # between the pixels
    assert figure.axes[3].get_xlabel() == "nothing to find"
    assert png_bytes(figure)


def test_flat_maps_find_what_chance_finds():
    assert precision_words(np.ones((3, 3)), square()) == "PR-AUC 0.25 (chance 0.25)"
    assert png_bytes(truth_overlay(np.zeros((1, 12, 12)), {"m": np.ones((1, 3, 3))}, square()[None], ["x"]))


def test_precision_curve_is_that_of_scikit_learn():
    truth, heat = square(), np.random.default_rng(1).random((12, 12))
    figure = precision_curves({"a$": [(heat, truth), (heat, np.zeros_like(truth))]})
    recalls, drawn = figure.axes[0].lines[0].get_data()
    precision, recall, _ = precision_recall_curve(truth.ravel(), heat.ravel())
    for place in (0.25, 0.5, 1.0):
        first = min(r for r in recall if r >= place - 1e-9)
        expected = max(precision[:-1][np.isclose(recall[:-1], first)])
        assert np.interp(place, recalls, drawn) == pytest.approx(expected)
    score = average_precision_score(truth.ravel(), heat.ravel())
    assert figure.legends[0].get_texts()[0].get_text() == rf"a\$: PR-AUC {score:.2f} over 1 faces"
    assert figure.axes[0].lines[-1].get_ydata()[0] == 0.25
    assert png_bytes(figure)


def test_faces_are_shown_with_what_moves():
    areas = np.zeros((2, 12, 12), bool)
    areas[:, 3:6, 3:9] = True
    shown = show_moving(
        np.zeros((2, 12, 12), np.uint8), {"stage 1": np.ones((2, 3, 3))}, areas, ["sad", "happy"]
    )
    assert 'alt="2 faces, sad, happy, with stage 1 as colour over them."' in shown.markup


def test_what_is_not_known_is_said():
    assert UNKNOWN in show_moving(np.zeros((1, 4, 4)), {}, None, ["sad"]).markup
    assert UNKNOWN in show_agreement_of_masks(pd.DataFrame(), 0.95).markup


def test_the_table_has_bounds_and_chance():
    row = {"map": "stage 1", "area": 0.314, "low": 0.21, "high": 0.427, "chance": 0.18, "faces": 12}
    markup = show_agreement_of_masks(pd.DataFrame([row]), 0.95).markup
    assert "0.21 to 0.43" in markup
    assert "95 % bootstrap interval" in markup
    assert ">12<" in markup
