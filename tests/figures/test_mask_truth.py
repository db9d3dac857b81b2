import numpy as np
import pandas as pd

from fer_repro.figures.true_areas import UNKNOWN, show_agreement_of_masks, show_moving


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
