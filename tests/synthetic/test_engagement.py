"""Drawn sequences: counts, people, what depends on the level, and the same bytes from the same seed."""

import hashlib

import numpy as np
import pytest

from fer_repro.datasets.protocols import crossing_subjects
from fer_repro.errors import UserError
from fer_repro.synthetic.engagement import LEVELS, SHARES, draw, segment_levels

SETTINGS = {
    "name": "synthetic_engagement", "kind": "engagement", "seed": 1,
    "units": {"train": 2, "val": 1, "test": 2}, "rows": 12, "videos_per_person": 2,
}  # fmt: skip
SEGMENTS = [f"segment_{number:02d}" for number in range(1, 11)]


@pytest.fixture(scope="module")
def drawn():
    return draw(SETTINGS)


def test_a_set_has_the_counts_of_the_official_part(drawn):
    assert sum(SHARES) == 67
    for split, units in SETTINGS["units"].items():
        labels = drawn.samples.loc[drawn.samples["split"] == split, "label"]
        assert np.bincount(labels).tolist() == [units * share for share in SHARES]


def test_the_mean_of_the_test_part_has_the_derived_error(drawn):
    """Sheet, section 5: .493 for everybody gives .066678 with 9, 19, 36 and 3 videos."""
    numbers = np.array([float(level) for level in LEVELS])
    targets = numbers[drawn.samples.loc[drawn.samples["split"] == "test", "label"]]
    assert targets.mean() == pytest.approx(0.493, abs=5e-4)
    assert np.mean((targets - targets.mean()) ** 2) == pytest.approx(0.066678, abs=1e-6)


def test_sequences_are_small_and_finite(drawn):
    assert drawn.images.shape == (335, 120, 14)
    assert drawn.images.dtype == np.float16
    assert np.isfinite(drawn.images).all()
    assert np.abs(drawn.images.astype(float)).max() < 30


def test_nobody_is_in_two_splits(drawn):
    assert crossing_subjects(drawn.samples) == ()
    assert drawn.samples.groupby("subject").size().max() == 2


def test_one_seed_gives_the_same_bytes(drawn):
    again = draw(SETTINGS)
    assert hashlib.sha256(again.images.tobytes()).digest() == hashlib.sha256(drawn.images.tobytes()).digest()
    assert again.samples.equals(drawn.samples)
    assert not np.array_equal(draw({**SETTINGS, "seed": 2}).images, drawn.images)


def test_segments_lie_around_the_level_of_the_video(drawn):
    means = drawn.samples[SEGMENTS].mean(axis=1).groupby(drawn.samples["label"]).mean()
    assert means.is_monotonic_increasing
    levels = segment_levels(np.random.default_rng(0), 1.0)
    assert levels.shape == (10,)
    assert ((levels >= 0) & (levels <= 1)).all()


def moved(drawn):
    """How much each segment moves, (N, 10): the mean absolute step from row to row."""
    steps = np.abs(np.diff(drawn.images.astype(float).reshape(-1, 10, 12, 14), axis=2))
    return steps.mean(axis=(2, 3))


def test_who_is_distracted_moves_more_but_people_differ(drawn):
    motion, levels = moved(drawn).ravel(), drawn.samples[SEGMENTS].to_numpy().ravel()
    assert np.corrcoef(motion, levels)[0, 1] < -0.4
    by_person = np.corrcoef(moved(drawn).mean(axis=1), drawn.samples["restlessness"])[0, 1]
    assert by_person > 0.4  # so movement alone does not give the level away
    video = np.corrcoef(moved(drawn).mean(axis=1), drawn.samples["label"])[0, 1]
    assert -0.9 < video < -0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "pairs"}, "kind is 'pairs'"),
        ({"rows": 0}, "rows is 0"),
        ({"unit": 1}, "unit"),
        ({"units": {"train": 1, "val": 1}}, "test"),
    ],
)
def test_wrong_settings_are_named(change, words):
    with pytest.raises(UserError, match=words):
        draw({**SETTINGS, **change})
