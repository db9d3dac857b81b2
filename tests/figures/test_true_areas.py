import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from fer_repro.figures.style import png_bytes
from fer_repro.figures.true_areas import (
    UNKNOWN,
    precision_curves,
    precision_words,
    show_agreement_of_masks,
    show_areas_by_class,
    show_moving,
    truth_overlay,
)

pytestmark = pytest.mark.filterwarnings("error")


def square(side=12, low=3, high=9):
    truth = np.zeros((side, side), bool)
    truth[low:high, low:high] = True
    return truth


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


def test_precision_curves_print_area_and_chance():
    row = {"map": "a$", "recall": [0.0, 1.0], "precision": [0.9, 0.5], "low": [0.8, 0.4], "high": [1.0, 0.6]}
    figure = precision_curves(pd.DataFrame(row).assign(area=0.714, faces=1, chance=0.25))
    assert figure.legends[0].get_texts()[0].get_text() == r"a\$: PR-AUC 0.71 over 1 faces"
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.9, 0.5]
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


def test_areas_by_class_have_a_column_for_each_map():
    assert UNKNOWN in show_areas_by_class(pd.DataFrame()).markup
    table = pd.DataFrame({"class": ["sad", "all"], "faces": [3, 3], "chance": 0.2, "masked$": [0.2511, 0.25]})
    markup = show_areas_by_class(table).markup
    assert "masked$" in markup
    assert "0.251" in markup
