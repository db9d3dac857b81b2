from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from fer_repro.errors import UserError
from fer_repro.evaluation.forgery_rows import (
    base_rate_metrics,
    describe_frames,
    forgery_measures,
    forgery_metrics,
    frame_logits,
)
from fer_repro.measures.detection import auc_shares, log_loss_shares
from fer_repro.measures.intervals import mean_shares
from fer_repro.runs.predictions import Predictions


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, float)))


def predictions(targets, logits, first=0):
    ids = np.arange(first, first + len(targets))
    both = np.stack([np.zeros(len(targets)), np.asarray(logits, float)], 1)
    return Predictions(("real", "manipulated"), ids, np.full(len(ids), "test"), np.array(targets), both, both)


def table(labels, clips, kinds=None):
    columns = {"label": labels, "clip": clips} | ({"forgery": kinds} if kinds is not None else {})
    return pd.DataFrame(columns)


def test_a_video_is_the_sigmoid_of_its_frames_mean_logit():
    # Videos a (real): mean -1; b (fake): mean 2; c (fake): mean -2. Rows of one video need no order.
    found = predictions([0, 1, 0, 1, 1], [-3, 1, 1, 3, -2])
    frames = describe_frames(found, table([0, 1, 0, 1, 1], ["a", "b", "a", "b", "c"]))
    numbers = forgery_metrics(frame_logits(found), frames)
    assert numbers["video_auc"] == pytest.approx(0.5)  # b above a, c below
    expected = -np.mean(np.log([1 - sigmoid(-1), sigmoid(2), sigmoid(-2)]))
    assert numbers["video_log_loss"] == pytest.approx(expected)
    assert numbers["video_accuracy"] == pytest.approx(2 / 3)
    # Frames: 1 ties with 1, beats -3; 3 beats both; -2 beats -3 only.
    assert numbers["frame_auc"] == pytest.approx((1.5 + 2 + 1) / 6)


@pytest.mark.parametrize("seed", range(3))
def test_frames_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < 0.4
    logits = np.round(rng.normal(truth, 1.5), 1)  # ties
    frames = describe_frames(predictions(truth.astype(int), logits), table(truth.astype(int), [""] * 60))
    numbers = forgery_metrics(logits, frames)
    assert numbers["frame_auc"] == pytest.approx(sk.roc_auc_score(truth, logits))
    assert numbers["frame_log_loss"] == pytest.approx(sk.log_loss(truth, sigmoid(logits)))


def test_large_logits_lose_nothing():
    frames = describe_frames(predictions([0, 0, 1], [0, 0, 0]), table([0, 0, 1], ["", "", ""]))
    assert forgery_metrics(np.array([800.0, -800.0, 800.0]), frames)["frame_log_loss"] == pytest.approx(
        800 / 3
    )


def test_one_kind_alone_has_no_auc():
    frames = describe_frames(predictions([1, 1], [0, 0]), table([1, 1], ["a", "b"]))
    assert set(forgery_metrics(np.array([1.0, 2.0]), frames)) == {
        "frame_log_loss", "video_log_loss", "video_accuracy",
    }  # fmt: skip


def test_seeds_are_measured_one_by_one():
    labels, clips = [0, 0, 1, 1, 1], ["a", "b", "c", "c", "d"]
    frames = describe_frames(predictions(labels, [0] * 5), table(labels, clips, ["none"] * 2 + ["swap"] * 3))
    logits = np.random.default_rng(0).normal(size=(3, 5))
    found = forgery_measures(logits, frames)
    for seed in range(3):
        alone = forgery_metrics(logits[seed], frames)
        assert {name: by_seed.values[seed] for name, by_seed in found.items()} == pytest.approx(alone)
    assert found["frame_auc"].groups.tolist() == [0, 1, 2, 2, 3]
    assert found["video_auc_swap"].groups.tolist() == [0, 1, 2, 3]


def test_each_kind_stands_against_all_real_frames():
    labels, clips = [0, 0, 1, 1, 1, 1], ["a", "b", "c", "c", "d", "d"]
    kinds = ["none", "none", "swap", "swap", "transfer", "transfer"]
    logits = np.array([0.0, 2.0, 3.0, 1.0, -1.0, 1.0])
    frames = describe_frames(predictions(labels, logits), table(labels, clips, kinds))
    numbers = forgery_metrics(logits, frames)
    assert frames.kind_names == ("swap", "transfer")
    assert numbers["frame_auc_swap"] == pytest.approx(3 / 4)
    assert numbers["frame_auc_transfer"] == pytest.approx(1 / 4)
    assert numbers["video_auc_swap"] == pytest.approx(3 / 4)  # mean 2 ties with b
    assert numbers["video_auc_transfer"] == pytest.approx(1 / 4)  # mean 0 ties with a


def test_frames_without_a_clip_are_their_own_video():
    found = predictions([0, 1, 1], [0.0, 1.0, -1.0])
    frames = describe_frames(found, table([0, 1, 1], ["", "", ""]))
    numbers = forgery_metrics(frame_logits(found), frames)
    assert numbers["video_auc"] == numbers["frame_auc"] == pytest.approx(0.5)
    assert frames.kind_names == ()


def test_predictions_name_rows_of_the_sample_table():
    found = predictions([1, 0], [1.0, 0.0], first=2)
    frames = describe_frames(
        found, table([0, 0, 1, 0], ["x", "x", "y", "z"], ["none", "none", "swap", "none"])
    )
    assert frames.kinds.tolist() == ["swap", ""]


def test_a_video_of_both_kinds_is_refused():
    with pytest.raises(UserError, match="video 'b' holds real and manipulated frames"):
        describe_frames(predictions([0, 1, 0], [0, 0, 0]), table([0, 1, 0], ["a", "b", "b"]))


def test_the_base_rate_by_hand():
    frames = describe_frames(
        predictions([0, 1, 1, 1], [0, 0, 0, 0]), table([0, 1, 1, 1], ["a", "b", "c", "c"])
    )
    numbers = base_rate_metrics(0.6, frames)
    assert numbers["frame_auc"] == numbers["video_auc"] == 0.5
    assert numbers["frame_log_loss"] == pytest.approx(-(np.log(0.4) + 3 * np.log(0.6)) / 4)
    assert numbers["video_log_loss"] == pytest.approx(-(np.log(0.4) + 2 * np.log(0.6)) / 3)


def test_shares_groups_and_scores_come_with_every_number():
    """Three people of two videos each, real and manipulated, of two frames each."""
    labels, people = np.tile([0, 0, 1, 1], 3), np.repeat(["ann", "bob", "cy"], 4)
    clips = [f"{person} {label}" for person, label in zip(people, labels, strict=True)]
    known = table(labels, clips, np.where(labels == 1, np.where(people == "cy", "swap", "face"), "none"))
    logits = np.random.default_rng(0).normal(labels, 1, (2, 12))
    frames = describe_frames(predictions(labels, logits[0]), known.assign(subject=people))
    found = forgery_measures(logits, frames)
    by_video = np.stack(
        [[row[np.array(clips) == clip].mean() for clip in sorted(set(clips))] for row in logits]
    )
    truth = np.array([clip.endswith("1") for clip in sorted(set(clips))])
    for name, values, positive, count in (("frame", logits, labels == 1, 4), ("video", by_video, truth, 2)):
        own = np.arange(3).repeat(count)
        area, loss = found[f"{name}_auc"], found[f"{name}_log_loss"]
        assert area.values == pytest.approx([sk.roc_auc_score(positive, row) for row in values])
        assert area.groups.tolist() == loss.groups.tolist() == own.tolist()
        np.testing.assert_allclose(area.shares, auc_shares(values, positive)[1])
        np.testing.assert_allclose(loss.shares, log_loss_shares(values, positive)[1])
        np.testing.assert_allclose(area.ranked.scores, values)
        assert area.ranked.positive.tolist() == positive.tolist()
        swapped = found[f"{name}_auc_swap"]
        part = ~positive | (own == 2)
        assert swapped.groups.tolist() == own[part].tolist()
        assert swapped.values == pytest.approx(
            [sk.roc_auc_score(positive[part], row[part]) for row in values]
        )
    hits = found["video_accuracy"]
    assert hits.values == pytest.approx(np.mean((by_video > 0) == truth, axis=1))
    assert hits.groups.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(hits.shares, mean_shares((by_video > 0) == truth)[1])


def test_a_logit_of_zero_calls_a_video_real():
    frames = describe_frames(predictions([0, 1], [0, 0]), table([0, 1], ["a", "b"]))
    assert forgery_metrics(np.zeros(2), frames)["video_accuracy"] == 0.5


def test_losses_of_one_kind_know_their_groups():
    frames = describe_frames(
        predictions([1, 1, 1], [0, 1, 2]), table([1, 1, 1], ["a", "a", "b"]).assign(subject=["p", "p", "q"])
    )
    found = forgery_measures(np.array([[0.0, 1.0, 2.0]]), frames)
    assert set(found) == {"frame_log_loss", "video_log_loss", "video_accuracy"}
    assert found["frame_log_loss"].groups.tolist() == [0, 0, 1]
    losses = np.log1p(np.exp(-np.array([0.0, 1.0, 2.0])))
    assert found["frame_log_loss"].values == pytest.approx([losses.mean()])
    assert found["frame_log_loss"].shares[0] == pytest.approx((losses - losses.mean()) / 3)


def test_kinds_belong_to_manipulated_frames_alone():
    known = table([0, 0, 1, 1], ["a", "b", "c", "d"], ["none", "swap", "none", "swap"])
    found = describe_frames(predictions([0, 0, 1, 1], [0, 0, 0, 0]), known)
    assert found.kinds.tolist() == ["", "", "", "swap"]
    assert found.kind_names == ("swap",)


def test_the_logit_is_the_second_column_less_the_first():
    logits = np.array([[1.0, 3.0], [2.0, -1.0]])
    one = Predictions(
        ("real", "manipulated"), np.arange(2), np.full(2, "test"), np.array([1, 0]), logits, logits
    )
    assert frame_logits(one).tolist() == [2, -3]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, np.float32])
def test_targets_of_any_whole_type_measure_alike(kind):
    found = predictions([0, 1, 0, 1, 1], [-3, 1, 1, 3, -2])
    frames = describe_frames(found, table([0, 1, 0, 1, 1], ["a", "b", "a", "b", "c"]))
    other = replace(
        frames, manipulated=frames.manipulated.astype(kind), videos=frames.videos.astype(np.int16)
    )
    assert forgery_metrics(frame_logits(found), other) == forgery_metrics(frame_logits(found), frames)


def test_a_target_that_is_neither_kind_is_refused():
    with pytest.raises(UserError, match="target 1 is 2: expected a whole number, 0 to 1"):
        describe_frames(predictions([0, 2], [0, 0]), table([0, 2], ["", ""]))
    with pytest.raises(UserError, match="truth 0 is 2"):
        auc_shares(np.zeros((1, 2)), np.array([2, 0]))
    with pytest.raises(UserError, match="truth 1 is -1"):
        log_loss_shares(np.zeros((1, 2)), np.array([1, -1]))


def test_logits_of_half_precision_are_averaged_in_double():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, 900).astype(np.float16)
    frames = describe_frames(
        predictions([0, 1] * 450, logits), table([0, 1] * 450, [f"{n % 2} {n // 300}" for n in range(900)])
    )
    assert forgery_metrics(logits, frames) == forgery_metrics(logits.astype(np.float64), frames)
