"""Probes: what they find, what they cannot find, and what they refuse."""

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.measures.probes import linear_rows, read_by_probe


def circles(seed, count=300):
    """Two classes that no line separates: inside and outside of a circle."""
    rng = np.random.default_rng(seed)
    radius = np.where(np.arange(count) % 2, 2.5, 0.7) + rng.normal(0, 0.1, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), np.arange(count) % 2


def test_only_a_network_reads_what_no_line_separates():
    (ours, labels), (theirs, truth) = circles(0), circles(1)
    shares = {kind: (read_by_probe(kind, ours, labels, theirs) == truth).mean() for kind in ("linear", "mlp")}
    assert shares["mlp"] > 0.95
    assert shares["linear"] < 0.65


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_what_was_only_made_small_is_read_all_the_same(kind):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    faces = rng.normal(size=(200, 5))
    faces[:, 2] = (labels - 0.5) * 6 + rng.normal(size=200)
    shrunk = faces * [1, 1, 1e-5, 1, 1]
    half = slice(0, 100), slice(100, 200)
    for learnt in (faces, shrunk):
        read = read_by_probe(kind, learnt[half[0]], labels[half[0]], learnt[half[1]])
        assert (read == labels[half[1]]).mean() > 0.9
    gone = shrunk * [1, 1, 0, 1, 1] + 1e-13 * shrunk  # rounding errors are no signal
    read = read_by_probe(kind, gone[half[0]], labels[half[0]], gone[half[1]])
    assert (read == labels[half[1]]).mean() < 0.7


def test_one_seed_reads_one_answer():
    (ours, labels), (theirs, _) = circles(2, 60), circles(3, 20)
    first, again = (read_by_probe("mlp", ours, labels, theirs, seed=4) for _ in range(2))
    assert (first == again).all()


def test_rows_of_all_classes_sum_to_zero():
    rng = np.random.default_rng(0)
    for classes in (2, 4):
        rows = linear_rows(rng.normal(size=(40, 6)), np.arange(40) % classes)
        assert rows.shape == (classes, 6)
        np.testing.assert_allclose(rows.sum(axis=0), 0, atol=1e-4)


def test_one_class_and_odd_numbers_are_refused():
    faces = np.ones((4, 2))
    with pytest.raises(UserError, match="two classes or more"):
        read_by_probe("linear", faces, np.zeros(4, np.int64), faces)
    with pytest.raises(UserError, match="NaN or infinite"):
        read_by_probe("linear", faces, np.arange(4) % 2, faces * np.nan)
