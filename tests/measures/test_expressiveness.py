"""TED-inspired scores against loops over frames and pixels."""

import math

import numpy as np
import pytest

from fer_repro.measures.expressiveness import frame_scores, shuffled_scores


def distance(a, b):
    pairs = list(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return math.sqrt(sum((x - y) ** 2 for x, y in pairs) / len(pairs))


def standardised(values):
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / deviation if deviation else 0.0 for value in values]


@pytest.mark.parametrize("shape", [(6, 5, 4), (4, 3, 3, 3), (2, 7)])
def test_scores_are_their_formulas(shape):
    frames = np.random.default_rng(1).integers(0, 256, shape, np.uint8)  # differences of uint8 would wrap
    static = [distance(frame.astype(float), frames[0].astype(float)) for frame in frames[1:]]
    dynamic = [distance(frames[t].astype(float), frames[t - 1].astype(float)) for t in range(1, len(frames))]
    total = [a + b for a, b in zip(standardised(static), standardised(dynamic), strict=True)]
    for found, expected in zip(frame_scores(frames), (static, dynamic, total), strict=True):
        assert found.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_what_does_not_vary_adds_nothing():
    frames = np.array([[0.0], [1.0], [2.0], [3.0]])  # each as far from the one before
    found = frame_scores(frames)
    assert found.total.tolist() == pytest.approx(standardised([1, 2, 3]))
    assert frame_scores(frames[:1]).total.shape == (0,)


def test_shuffled_scores_are_those_of_the_same_frames_in_another_order():
    frames = np.random.default_rng(2).normal(size=(6, 8))
    found = shuffled_scores(frames, np.random.default_rng(5))
    order = 1 + np.random.default_rng(5).permutation(5)
    assert order.tolist() != [1, 2, 3, 4, 5]
    before = [0, *order[:-1]]
    for place, previous in zip(order, before, strict=True):
        assert found.dynamic[place - 1] == pytest.approx(distance(frames[place], frames[previous]))
        assert found.static[place - 1] == pytest.approx(distance(frames[place], frames[0]))
    assert len(shuffled_scores(frames[:1], np.random.default_rng(0)).dynamic) == 0


@pytest.mark.parametrize("frames", [np.zeros((0, 3)), np.array([[0.0], [np.nan]])])
def test_what_are_no_frames_is_refused(frames):
    with pytest.raises(ValueError, match="expected at least one, of finite numbers"):
        frame_scores(frames)
