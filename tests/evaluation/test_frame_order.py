"""Frames in order of intensity: features that are the intensity, that are noise, and those of networks."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
import torch
from untrained_runs import write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation import frame_order as module
from fer_repro.evaluation.frame_order import (
    ALPHA,
    BEST,
    COMPARED,
    GAIN,
    GAPS,
    JUDGES,
    SEPARATE,
    UNTRAINED,
    fitted_scores,
    frame_order,
    ordered_pairs,
)
from fer_repro.evaluation.frame_weights import frame_weights_of_test
from fer_repro.figures.attention import show_order
from fer_repro.runs.loaded_run import load_run

COURSE = (0.0, 0.1, 0.3, 0.67, 0.82, 0.82)  # 0.82 - 0.67 is a little below 0.15
TABLE = pd.DataFrame(
    {
        "label": n % 2, "subject": f"{split}{n // 2}", "clip": f"{split}{n}", "split": split,
        "intensity": 0.0 if n == 2 else level, "distractor": "none",
    }
    for split, clips in {"train": 6, "test": 5}.items()
    for n in range(clips)
    for level in COURSE
)  # fmt: skip
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    home = tmp_path_factory.mktemp("order")
    store = write_images(home / "prepared", TABLE, ("calm", "glad"))
    for arm in ("self_relation", "feature_average"):
        for seed in SEEDS:
            write_untrained(home / "runs", "fan", "synthetic_clips", arm, seed, 2)
    return home, store


def folders(home, arm="self_relation"):
    return {seed: run_folder(home / "runs", "synthetic_clips", "fan", seed, arm) for seed in SEEDS}


def test_pairs_are_those_of_one_clip_whose_intensities_differ():
    truth = np.array([0.5, 0.5, 0.52, 0.9, 0.0, 0.82, 0.67])
    pairs = ordered_pairs([np.array([3, 0, 2]), np.array([1, 4]), np.array([5, 6])], truth)
    assert pairs.rows.tolist() == [[0, 3], [2, 3], [4, 1], [6, 5]]
    assert pairs.gaps.tolist() == [0.4, 0.38, 0.5, 0.15]  # of 0.02 there is no order
    assert len(ordered_pairs([np.array([0, 1])], truth).gaps) == 0
    assert len(ordered_pairs([np.array([3])], truth).gaps) == 0


def test_random_answers_teach_nothing():
    draws = np.random.default_rng(0)
    truth = draws.random(400)
    features = truth[:, None] * draws.normal(size=10) + 0.15 * draws.normal(size=(400, 10))
    clips = np.arange(400).reshape(80, 5)
    ours, theirs = ordered_pairs(clips[:60], truth), ordered_pairs(clips[60:], truth)
    right = [fitted_scores(features, ours)] + [
        fitted_scores(features, ours, draws.random(len(ours.gaps)) < 0.5) for _ in range(100)
    ]
    shares = [(one[theirs.rows[:, 1]] > one[theirs.rows[:, 0]]).mean() for one in right]
    assert shares[0] > 0.9
    assert np.mean(shares[1:]) == pytest.approx(0.5, abs=0.06)


def test_features_that_are_the_intensity_order_everything(written, monkeypatch):
    home, store = written
    truth = TABLE[["intensity"]].to_numpy()
    monkeypatch.setattr(module, "_embedded", lambda run, rows: {"features": truth, "alpha": -truth[:, 0]})
    gaps, whole = frame_order(folders(home), store, 0.95)
    for name in (COMPARED, SEPARATE, UNTRAINED):
        rows = gaps[gaps["order"] == name]
        assert rows["low_gap"].tolist() == list(GAPS[:-1])
        assert rows["pairs"].tolist() == [4, 12, 8, 32]  # of each of four clips 1, 3, 2 and 8
        assert set(rows["people"]) == {3}
        assert (rows[["mean", "low", "high"]] == 1).all(axis=None)
    assert gaps.loc[gaps["order"] == ALPHA, "mean"].eq(0).all()
    whole = whole.set_index("order")
    assert whole.loc[COMPARED, "tau"] == pytest.approx(1)
    assert whole.loc[JUDGES, "mean"] == 1
    assert whole.loc[BEST, ["mean", "tau"]].tolist() == pytest.approx([1, 14 / np.sqrt(14 * 15)])
    assert (whole.loc[GAIN, ["mean", "low", "high", "tau"]] == 0).all()


def test_a_clip_of_constant_intensity_is_left_out_and_named(written):
    home, store = written
    gaps, whole = frame_order(folders(home), store, 0.95)
    assert set(zip(whole["clips"], whole["of"], whole["pairs"], strict=True)) == {(4, 5, 56)}
    assert "Left out: 1 of 5 test clips, whose intensity is constant" in show_order(gaps, whole, 0.95).markup


def test_networks_with_their_first_weights_are_their_own_control(written):
    """Start weights again give the same features, alpha is the network's own, and an arm may have none."""
    home, store = written
    gaps, whole = frame_order(folders(home), store, 0.95)
    numbers = whole.set_index("order")[["mean", "low", "high", "tau"]]
    pd.testing.assert_series_equal(numbers.loc[COMPARED], numbers.loc[UNTRAINED], check_names=False)
    pd.testing.assert_frame_equal(gaps, frame_order(folders(home), store, 0.95).gaps)
    ours = module._embedded(load_run(folders(home)[1], store), np.arange(len(TABLE)))
    look = frame_weights_of_test(folders(home), store)[1]
    np.testing.assert_allclose(ours["alpha"][look["rows"]], look["alpha"], rtol=1e-5)
    _, plain = frame_order({0: folders(home, "feature_average")[0]}, store, 0.95)
    assert not {ALPHA, JUDGES} & set(plain["order"])
    with pytest.raises(UserError, match="Linear: expected a network whose frames share one trunk"):
        module._features(torch.nn.Linear(1, 1), torch.zeros(1, 1))


def test_pairs_of_one_person_have_no_interval(written, monkeypatch):
    home, store = written
    monkeypatch.setattr(module, "protocol_rows", lambda *_: np.flatnonzero(TABLE["subject"] == "test0"))
    _, whole = frame_order(folders(home), store, 0.95)
    assert whole["mean"].notna().all()
    assert whole["low"].isna().all()


def test_without_intensity_or_order_there_is_a_sentence(written):
    home, store = written
    for table in (TABLE.drop(columns="intensity"), TABLE.assign(intensity=0.5)):
        other = copy(store)
        other.samples = table.assign(image=np.arange(len(table)))
        gaps, whole = frame_order(folders(home), other, 0.95)
        assert "is not known" in show_order(gaps, whole, 0.95).markup


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.01, 0.03, "No difference is shown between comparing two frames and estimating each by itself"),
        (0.01, 0.03, "Comparing two frames orders them better than estimates (+2.0 points, +1.0 to +3.0)"),
        (-0.03, -0.01, "Comparing two frames orders them less well than estimates"),
    ],
)
def test_what_follows_is_said_by_the_interval_of_the_difference(written, low, high, words):
    home, store = written
    gaps, whole = frame_order(folders(home), store, 0.95)
    whole.loc[whole["order"] == GAIN, ["mean", "low", "high"]] = [0.02, low, high]
    for least, seen in ((0.51, "more often than guessing"), (0.5, "not shown to exceed guessing")):
        gaps.loc[0, ["mean", "low", "high"]] = [0.6, least, 0.7]
        text = show_order(gaps, whole, 0.95).markup
        assert words in text
        assert seen in text
