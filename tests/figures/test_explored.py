"""Figures of moved faces: their numbers against naive loops, their scales against the face shown."""

import math

import numpy as np
import pytest

from fer_repro.figures.explored import (
    Met,
    angles_explored,
    forgery_explored,
    frames_explored,
    masks_explored,
    push,
    regions_explored,
    softmax_share,
)

NAMES = ("angry", "happy", "sad")
LIKELY = np.array([0.2, 0.7, 0.1])


@pytest.fixture
def face():
    return np.random.default_rng(0).integers(0, 255, (12, 12)).astype(np.uint8)


def test_the_share_of_the_true_class_is_that_of_a_softmax():
    others, scale = np.array([80.0, 95.0, 60.0]), 6.5
    for degrees in (0.0, 45.0, 120.0):
        own = math.exp(scale * math.cos(math.radians(degrees)))
        rest = sum(math.exp(scale * math.cos(math.radians(other))) for other in others)
        assert float(softmax_share(np.array(degrees), others, scale)) == pytest.approx(own / (own + rest))


def test_the_force_is_largest_at_120_degrees():
    degrees = np.arange(0, 181)
    assert push(degrees).argmax() == 120
    assert push(np.array([0.0, 90.0, 180.0])) == pytest.approx([0, 1, 0])


def test_bars_are_the_probabilities_and_the_class_shown_stands_out(face):
    axes = masks_explored(face, [np.full((2, 3, 3), 0.4)], NAMES, LIKELY, "happy").axes[-1]
    assert [bar.get_width() for bar in axes.patches] == LIKELY.tolist()
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] == colours[2] != colours[1]


def test_masks_share_one_scale_of_colour(face):
    weak = masks_explored(face, [np.full((2, 3, 3), 0.1)], NAMES, LIKELY, "sad").axes[1].images[1]
    strong = masks_explored(face, [np.full((2, 3, 3), 0.9)], NAMES, LIKELY, "sad").axes[1].images[1]
    assert weak.get_clim() == strong.get_clim() == (0, 1)


def test_only_the_inside_of_a_region_is_clear(face):
    boxes = {"left": (0.0, 0.0, 0.5, 1.0), "whole face": (0.0, 0.0, 1.0, 1.0)}
    figure = regions_explored(face, boxes, np.array([0.6, 0.4]), np.zeros(2), NAMES, LIKELY, "sad")
    veil = figure.axes[0].images[1].get_array()[..., 3]
    assert not veil[:, :6].any()
    assert (veil[:, 6:] == 0.75).all()
    assert figure.axes[0].patches[0].get_linewidth() > figure.axes[1].patches[0].get_linewidth()


def test_a_line_at_one_is_a_plain_mean(face):
    frames, weights = np.stack([face] * 4), np.full(4, 0.25)
    figure = frames_explored(frames, np.full(4, 0.5), weights, np.zeros(4), [1], NAMES, LIKELY, "sad")
    assert figure.axes[4].lines[0].get_ydata() == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize("forces", [False, True])
def test_a_face_stands_on_its_curve(face, forces):
    met = Met(face, face, "v003", 50.0, np.array([88.0, 93.0, 70.0]), 8.0)
    axes = angles_explored(met, forces).axes[-1]
    expected = push(np.array(50.0)) if forces else softmax_share(np.array(50.0), met.others, 8.0)
    assert axes.lines[1].get_xydata().tolist() == [[50.0, float(expected)]]
    curve = axes.lines[0].get_xydata()
    assert np.interp(50.0, *curve.T) == pytest.approx(float(expected))


def test_angles_that_lie_close_together_get_a_closer_axis(face):
    near = Met(face, face, "v003", 86.0, np.array([88.0, 93.0]), 1.0)
    far = Met(face, face, "v003", 40.0, np.array([88.0, 93.0]), 1.0)
    assert angles_explored(near).axes[2].get_xlim() == (60, 120)
    assert angles_explored(far).axes[2].get_xlim() == (0, 180)


def test_scores_are_drawn_over_the_strength_without_attention_or_truth_too():
    coloured = np.zeros((12, 12, 3), np.uint8)
    scores = {"plain": [0.1, 0.6], "ensemble": [0.2, 0.4]}
    figure = forgery_explored(coloured, None, None, np.array([0.0, 1.0]), scores, 0.5)
    lines = figure.axes[4].lines
    assert list(lines[0].get_ydata()) == [0.1, 0.6]
    assert float(lines[1].get_ydata()[0]) == pytest.approx(0.35)
    assert not figure.axes[1].images  # no attention
