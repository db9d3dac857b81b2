import re

import numpy as np
import pandas as pd

from fer_repro.evaluation.frame_weights import (
    frame_table,
    intensity_correlations,
    intensity_steps,
    weights_by_distractor,
)
from fer_repro.evaluation.region_weights import weights_by_cover
from fer_repro.figures.attention import (
    show_agreement,
    show_attention_table,
    show_cover,
    show_distractors,
    show_formulas,
    show_intensity,
    show_precision,
    show_timelines,
    spread_faces,
)

IMAGES = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 6, 6), np.uint8)
BARE = pd.DataFrame({"image": range(7), "label": [0, 0, 0, 1, 1, 1, 1]})
KNOWN = BARE.assign(
    intensity=[0.0, 0.5, 1.0, 0.0, 0.4, 1.0, 0.2],
    distractor=["none", "none", "none", "blink", "none", "occluder", "occluder"],
)
LOOKED = {
    "rows": np.array([[0, 1, 2, -1], [3, 4, 5, 6]]),
    "alpha": np.array([[0.2, 0.4, 0.6, 0.0], [0.1, 0.5, 0.2, 0.2]]),
    "weights": np.array([[0.1, 0.3, 0.6, 0.0], [0.1, 0.5, 0.2, 0.2]]),
}


def alt(shown):
    return re.search(r'alt="([^"]*)"', shown.markup).group(1)


def test_timelines_say_which_frame_is_heaviest_and_what_is_not_known():
    shown = show_timelines(LOOKED, IMAGES, KNOWN, ["angry", "happy"], 2)
    assert "happy, largest weight in frame 1; angry, largest weight in frame 2" in alt(shown)
    assert "Grey: the true intensity" in shown.markup
    shown = show_timelines(LOOKED, IMAGES, BARE, ["angry", "happy"], 2)
    assert "The true intensity is not known here" in shown.markup


def test_frames_are_described_by_medians_and_means():
    frames = frame_table({"seed 0": LOOKED}, KNOWN)
    words = alt(show_intensity(frames, intensity_steps(frames), intensity_correlations(frames)))
    assert "seed 0: medians 0.30, 1.45, 1.80" in words  # 2.0 and 0.9 in the middle step, without distractor
    words = alt(show_distractors(weights_by_distractor({"seed 0": LOOKED}, KNOWN, 0.9), 0.9))
    assert "seed 0, blink: 0.40" in words
    assert "seed 0, occluder: 0.80" in words


def test_what_is_not_known_is_said():
    for shown in (
        show_intensity(frame_table({"seed 0": LOOKED}, BARE), pd.DataFrame(), pd.DataFrame()),
        show_distractors(pd.DataFrame(), 0.95),
        show_cover(np.ones((2, 3)), None, pd.DataFrame(), "no"),
        show_agreement(pd.DataFrame(), "no"),
    ):
        assert "not known" in shown.markup
        assert "<img" not in shown.markup


def test_cover_is_described_by_its_correlations():
    coverage = np.array([[0.0, 0.5], [0.2, 0.9], [0.4, 0.7]])
    weights = np.array([[0.5, 0.5], [0.4, 0.5], [0.3, 0.5]])
    shown = show_cover(weights, coverage, weights_by_cover(weights, coverage, ["top", "bottom"]), "A caption")
    assert alt(shown) == "Scatter plots. Rank correlation of weight and occluded share: top −1.00, bottom –."
    assert "A caption" in shown.markup


def test_tables_print_signs_and_dashes():
    row = {
        "weights": "mu", "mean": -0.12345, "low": np.nan, "high": np.nan, "by_seed": (-0.12345, 0.5),
        "above_zero": 33.3, "items": 2, "of": 3,
    }  # fmt: skip
    shown = show_agreement(pd.DataFrame([row]), "Agreement").markup
    for text in ("−0.123", "−0.123, +0.500", "– to –", "33 %", "2 of 3"):
        assert f">{text}<" in shown
    formulas = dict.fromkeys(
        ("eq4", "authors", "difference", "changed", "confidence_eq4", "confidence_authors"), 1.5
    )
    shown = show_formulas(pd.DataFrame([{"seed": 0, **formulas, "scale": 2.25}]), "Formulas").markup
    assert ">+1.50<" in shown
    assert ">2.25<" in shown


def test_faces_are_spread_over_classes_and_people():
    samples = pd.DataFrame({"image": range(12), "label": [0, 1, 2] * 4})
    images = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    found = spread_faces(np.arange(3, 12), images, samples, ["a", "b", "c"], 4)
    assert found.titles == ["a", "b", "c", "a"]
    assert found.chosen.tolist() == [0, 4, 5, 6]  # of three people, at 1/8, 3/8, 5/8 and 7/8 of each class
    assert found.images[:, 0, 0].tolist() == [3, 7, 8, 9]


UNKNOWN = "It is not known which pixels of these faces were manipulated"


def test_what_is_shown_with_and_without_the_truth():
    curves = pd.DataFrame(
        {"map": "attention", "recall": [0.0, 1.0], "precision": 0.5, "low": 0.4, "high": 0.6}
    )
    curves = curves.assign(area=0.5, faces=2, chance=0.25)
    table = pd.DataFrame({"kind": ["swap"], "faces": [2], "chance": [0.25], "attention": [0.5]})
    assert "Precision over recall of attention." in show_precision(curves).markup
    assert "<th" in show_attention_table(table).markup
    assert UNKNOWN in show_precision(curves.head(0)).markup
    assert UNKNOWN in show_attention_table(pd.DataFrame()).markup
