"""Figures of many arms, long names and many rows: every text inside the canvas, none upon another."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.figures import results as figures
from fer_repro.figures.audit_figures import read_against_verified
from fer_repro.figures.clip_figures import weight_against_intensity
from fer_repro.figures.result_tables import gap_plot
from fer_repro.figures.sample_figures import show_faces
from fer_repro.figures.style import percent_axis, text_width, wrapped

FACES = np.zeros((12, 16, 16), dtype=np.uint8)
ARMS = ["published_order", "zigzag_order", "nonzero", "network"]


@pytest.mark.parametrize(
    ("columns", "name"), [(6, "disgust"), (4, "manipulated by_blending"), (8, "a_name$" * 4)]
)
def test_captions_of_mistakes_stay_apart(legible, columns, name):
    errors = pd.DataFrame({"target": "surprise", "predicted": [name] * 12, "probability": 0.9})
    words = legible(figures.error_gallery(FACES, errors, columns=columns))
    assert sum("90%" in text for text in words) == 12


@pytest.mark.parametrize("arms", [1, 5])
def test_intensity_panels_keep_their_width(legible, arms):
    names = [f"seed {number}" for number in range(arms)]
    frames = pd.DataFrame(
        {"arm": np.repeat(names, 4), "intensity": [0, 0.3, 0.7, 1.0] * arms, "relative": 1.0,
         "distractor": ["none", "none", "blink", "none"] * arms}
    )  # fmt: skip
    steps = pd.DataFrame(columns=["arm", "intensity", "low", "middle", "high"])
    found = pd.DataFrame({"arm": names, "together": -0.38, "inside": 0.65, "clips": 196})
    figure = weight_against_intensity(frames, steps, found)
    legible(figure)
    assert min(axes.get_position().width * figure.get_figwidth() for axes in figure.axes) > 1.5


@pytest.mark.parametrize("groups", [2, 9])
def test_bars_show_their_whole_title(legible, groups):
    title = "Balanced accuracy where there is nothing to find, and where there is only compression"
    bars = pd.DataFrame(
        [(arm, f"encoded once more {group}", 0.5, 0.4, 0.6) for arm in ARMS for group in range(groups)],
        columns=["arm", "class", "value", "low", "high"],
    )
    assert title in [text.replace("\n", " ") for text in legible(figures.recall_bars(bars, title))]


@pytest.mark.parametrize(("arms", "classes"), [(4, 2), (3, 7), (1, 16), (2, 100)])
def test_matrices_show_arms_and_axes(legible, arms, classes):
    names = ["real", "manipulated", *(f"surprise {number}" for number in range(classes - 2))]
    matrices = {f"{ARMS[i % 4]}_{i}": np.full((classes, classes), 12.5) for i in range(arms)}
    words = legible(figures.confusion_matrices(matrices, names[:classes]))
    assert set(matrices) <= {word.replace("\n", "") for word in words}
    assert {"predicted", "true"} <= set(words)


@pytest.mark.parametrize("classes", [1, 2, 16])
def test_sheets_of_faces_fit_a_screen(legible, classes, monkeypatch):
    drawn = []
    monkeypatch.setattr("fer_repro.figures.sample_figures.show_figure", lambda *shown: drawn.append(shown))
    names = ["0"] if classes == 1 else [f"manipulated {number}" for number in range(classes)]
    count = 6 * classes
    samples = pd.DataFrame({"split": "train", "label": np.arange(count) % classes, "image": 0, "subject": ""})
    show_faces(FACES, samples, names)
    figure, caption, _ = drawn[0]
    if classes > 1:
        assert len(legible(figure)) >= 4 * min(classes, 2)
    assert figure.get_figheight() < 8
    assert not any(axes.get_title() == "0" for axes in figure.axes)
    assert ("column" in caption or "row" in caption) == (classes > 1)


def test_ticks_in_percent_are_what_they_say(legible):
    points = pd.DataFrame({"arm": "a", "seed": 0, "read": [0.2, 0.5], "pairs": [0.67, 0.85]})
    axes = read_against_verified(points, 1 / 7).axes[0]
    for low, high in ((0.67, 0.85), (0, 1), (0.5, 0.513), (0.1, 0.1002)):
        axes.set_xlim(low, high)
        percent_axis(axes.xaxis)
        places = axes.xaxis.get_majorticklocs()
        words = axes.xaxis.get_major_formatter().format_ticks(places)
        assert [float(word.rstrip("%")) for word in words] == pytest.approx(list(100 * places), abs=1e-6)
        assert len({len(word.partition(".")[2]) for word in words}) == 1


@pytest.mark.parametrize("rows", [4, 96])
def test_rows_of_gaps_are_readable(legible, rows):
    results = pd.DataFrame(
        {"label": [f"efficientnet attention_siamese{i}, synthetic_forgeries {i // 9}" for i in range(rows)],
         "measured": 51.25, "low": 40.0, "high": 60.0, "published": [np.nan, 74.0] * (rows // 2)}
    )  # fmt: skip
    words = legible(gap_plot(results), least=7.5)
    assert {f"efficientnet attention_siamese{i}" for i in range(rows)} < set(words)
    assert sum("−22.8" in word for word in words) == rows // 2


def test_lines_break_at_words():
    assert wrapped("predicted: disgust, 90%", 1.1, 8.5) == "predicted:\ndisgust, 90%"
    assert wrapped("self_relation_reference", 1.1, 8.5) == "self_relation_\nreference"
    assert wrapped("$x", 1, 8.5) == "\\$x"
    assert all(text_width(line, 8.5) <= 1 for line in wrapped("W" * 40, 1, 8.5).split("\n"))
