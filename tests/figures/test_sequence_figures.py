"""Sequences and errors by level as figures, and numbers that are no percentages in tables and sentences."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.figures.answer_figures import numbers_over_truth, show_outcome
from fer_repro.figures.claim_figures import difference_sentence
from fer_repro.figures.result_tables import published_numbers
from fer_repro.figures.results import learning_curves, paired_seeds
from fer_repro.figures.sample_figures import show_faces
from fer_repro.figures.sequence_figures import (
    alpha_by_level,
    distance_matrices,
    errors_by_level,
    segment_columns,
    sequence_sheet,
)
from fer_repro.figures.tables import in_percent, spell, spell_gap, spell_range
from fer_repro.report.run_costs import RUNS, RUNS_OF_NUMBERS, run_columns


def sequences(count=4):
    values = np.random.default_rng(0).normal(size=(count, 20, 3)).astype(np.float16)
    table = pd.DataFrame({"image": range(count), "label": np.arange(count) % 2})
    table = table.assign(subject="", split="train")
    return values, table.assign(segment_01=0.2, segment_02=0.9)


def test_sequences_are_drawn_as_lines_with_their_segments():
    values, table = sequences()
    assert segment_columns(table) == ["segment_01", "segment_02"]
    figure = sequence_sheet(values, table, ["0", "1", "0", "1"], 2)
    first = figure.axes[0]
    assert len(first.lines) == 3
    assert first.images[0].get_array().tolist() == [[0.2, 0.9]]
    assert first.get_title("left") == "0"
    bare = sequence_sheet(values, table.drop(columns=["segment_01", "segment_02"]), list("abcd"), 2)
    assert not bare.axes[0].images


def test_the_data_page_draws_no_faces_of_sequences():
    values, table = sequences()
    assert "true number of each segment" in show_faces(values, table, ("0", "0.5"), count=1).markup
    images = np.zeros((4, 5, 5), np.uint8)
    assert "Training images" in show_faces(images, table, ("0", "0.5"), count=1).markup


def test_weights_and_distances_have_a_panel_or_line_per_arm():
    table = pd.DataFrame(
        {"arm": ["a", "a", "b", "b"], "level": [0.1, 0.3] * 2, "value": 1.0, "low": 0.9, "high": 1.1}
    )
    assert len(alpha_by_level(table).axes[0].lines) == 3  # and the line at 1
    figure = distance_matrices({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, ["0", "1"])
    assert [axes.get_title("left") for axes in figure.axes if axes.get_visible()] == ["a", "b"]
    assert len(figure.axes[0].texts) == 2  # none on the diagonal


def test_answers_without_interval_are_drawn_open():
    nan = float("nan")
    table = pd.DataFrame(
        {
            "answer": ["mse", "mse", "training_mean", "training_mean"], "level": ["0", "1"] * 2,
            "value": [0.1, 0.2, 0.3, 0.4], "low": [0.05, 0.1, nan, nan], "high": [0.2, 0.3, nan, nan],
            "kind": ["arm", "arm", "constant", "constant"],
        }
    )  # fmt: skip
    ours, constant = errors_by_level(table).axes[0].lines
    assert (ours.get_fillstyle(), constant.get_fillstyle()) == ("full", "none")
    assert ours.get_ydata().tolist() == [0.1, 0.2]


def test_numbers_over_the_truth_show_the_means():
    scores = pd.DataFrame(
        {"arm": "mse", "seed": 0, "target": [0.0, 0.0, 1.0, 1.0], "prediction": [0.1, 0.3, 0.5, 0.9]}
    )
    means = numbers_over_truth(scores).axes[0].lines[-1]
    assert means.get_ydata().tolist() == pytest.approx([0.2, 0.7])
    assert "Predicted numbers over true ones" in show_outcome({}, (), scores, "x on y").markup


def test_a_history_without_accuracy_has_one_panel():
    history = pd.DataFrame(
        {"arm": "mse", "seed": 0, "epoch": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    )
    assert [axes.get_title("left") for axes in learning_curves(history).axes] == ["Loss"]
    assert run_columns(history) == RUNS_OF_NUMBERS
    assert run_columns(history.assign(val_accuracy=0.5)) == RUNS


def test_differences_are_labelled_in_their_unit():
    values = pd.DataFrame({"arm": ["a", "b"] * 2, "seed": [0, 0, 1, 1], "value": [0.0411, 0.04, 0.05, 0.06]})
    left, right = paired_seeds(values, "a", "b", quantity="mean squared error", unit="MSE").axes
    assert left.get_ylabel() == "mean squared error (MSE)"
    assert right.get_title("left") == "a minus b (MSE)"
    assert right.get_yticklabels()[0].get_text() == "seed 0: +0.0011"
    assert right.get_xlim()[1] < 0.02


@pytest.mark.parametrize("unit", ["MSE", "rho", "nats"])
def test_small_numbers_have_four_decimals(unit):
    assert spell(0.041234, unit) == "0.0412"
    assert spell_gap(-0.0002, unit) == "−0.0002"
    assert spell_range(0.1, 0.2, unit) == "0.1000 to 0.2000"


def test_published_errors_stay_what_they_are():
    row = dict.fromkeys(("arm", "dataset", "protocol", "split", "tta"), "x")
    row |= {"method": "engagement", "table": "five runs", "unit": "MSE", "value": "0.062608"}
    rows = pd.DataFrame([{**row, "metric": "mse"}, {**row, "metric": "mse_0_33"}])
    assert in_percent(rows)["value"].tolist() == [0.062608] * 2
    table = published_numbers(rows, "engagement", "five runs")
    assert list(table) == ["arm", "mean squared error", "mean squared error at 0.33"]
    assert table.iloc[0].tolist() == ["x", "0.0626", "0.0626"]


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((-0.02, -0.01), "a is ahead of b here: the whole interval lies below 0."),
        ((0.01, 0.02), "b is ahead of a here: the whole interval lies above 0."),
        ((-0.02, 0.01), "(the mean favours a)"),
    ],
)
def test_below_zero_is_ahead_where_less_is_better(ends, words):
    assert words in difference_sentence(-0.005, *ends, "a", "b", lower_is_better=True)
