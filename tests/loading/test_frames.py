"""Frame sampling against the fact sheet's rules, written out case by case."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.loading.frames import all_frames, find_clips, group_rows, training_groups


def table(*counts, label=None):
    """One clip per count; frames of clips b, c, ... follow one another."""
    rows = [
        {
            "image": 0,
            "label": n if label is None else label,
            "subject": f"s{n}",
            "clip": f"c{n}",
            "split": "train",
        }
        for n, count in enumerate(counts)
        for _ in range(count)
    ]
    return pd.DataFrame(rows)


def clips(*counts):
    return find_clips(table(*counts), "samples.csv")


def many(sampling, count, draws=400):
    """Groups of many equal videos, (draws x groups, 3)."""
    return training_groups(clips(*([count] * draws)), sampling, 3, seed=0, epoch=0).frames


def test_clips_keep_the_order_of_the_table():
    samples = table(2, 3)
    samples["clip"] = ["b", "a", "b", "", "a"]
    samples[["label", "subject"]] = [[1, "x"], [2, "y"], [1, "x"], [3, "z"], [2, "y"]]
    samples.index = [10, 11, 12, 13, 14]  # a part of a larger table
    found = find_clips(samples, "samples.csv")
    assert found.names == ("b", "a", "")
    assert found.rows.tolist() == [10, 12, 11, 14, 13]
    assert found.counts.tolist() == [2, 2, 1]
    assert found.targets.tolist() == [1, 2, 3]
    assert len(found) == 3


def test_stills_are_clips_of_their_own():
    samples = table(3)
    samples["clip"] = ""
    assert find_clips(samples, "samples.csv").counts.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("column", "value"), [("label", 5), ("subject", "twin"), ("split", "test")])
def test_a_clip_has_one_label_subject_and_split(column, value):
    samples = table(2, 3)
    samples.loc[3, column] = value
    with pytest.raises(UserError, match=rf"samples.csv: clip 'c1': {column} is .* and .*: expected one"):
        find_clips(samples, "samples.csv")


@pytest.mark.parametrize("count", [3, 4, 7, 12])
def test_the_papers_groups_take_one_frame_of_each_segment(count):
    frames = many("paper", count)
    assert len(frames) == 400, "one group per clip"
    for k in range(3):
        low, high = k * count / 3, (k + 1) * count / 3
        expected = {n for n in range(count) if n + 1 > low and n < high}
        assert set(frames[:, k].tolist()) == expected


def test_short_clips_repeat_frames_under_the_papers_rule():
    assert many("paper", 1).tolist() == [[0, 0, 0]] * 400
    assert {tuple(row) for row in many("paper", 2).tolist()} == {(0, 0, 1), (0, 1, 1)}


def test_the_papers_rule_takes_any_number_of_frames():
    for k in (1, 2, 5, 8):
        groups = training_groups(clips(9, 3), "paper", k, 0, 0)
        assert groups.frames.shape == (2, k)
        assert (np.diff(groups.frames, axis=1) >= 0).all()


@pytest.mark.parametrize("count", [4, 7, 9, 20])
def test_afew_segments_share_their_ends(count):
    """Sheet, section 3: q = floor(n / 3): [0, q], [q, 2q], [2q, n - 1], bounds included; n groups."""
    q = count // 3
    frames = many("afew", count)
    assert len(frames) == 400 * count
    for k, (low, high) in enumerate([(0, q), (q, 2 * q), (2 * q, count - 1)]):
        assert set(frames[:, k].tolist()) == set(range(low, high + 1))


@pytest.mark.parametrize("count", [6, 10, 14, 25])
def test_ckplus_never_trains_on_the_last_two_fifths(count):
    """Sheet, section 3: q = floor(n / 5): [0, q], [q, 2q], [2q, 3q]."""
    q = count // 5
    frames = many("ckplus", count)
    assert len(frames) == 400 * count
    for k, (low, high) in enumerate([(0, q), (q, 2 * q), (2 * q, 3 * q)]):
        assert set(frames[:, k].tolist()) == set(range(low, high + 1))
    assert frames.max() == 3 * q < count - 1


@pytest.mark.parametrize(("sampling", "count"), [("afew", 1), ("afew", 3), ("ckplus", 4), ("ckplus", 5)])
def test_short_videos_take_each_frame_and_two_of_all(sampling, count):
    frames = many(sampling, count).reshape(400, count, 3)
    assert (frames[:, :, 0] == np.arange(count)).all()
    for k in (1, 2):
        assert set(frames[:, :, k].ravel().tolist()) == set(range(count))


def test_the_authors_groups_are_frozen_and_the_papers_are_not():
    videos = clips(*[12] * 20)
    for sampling, frozen in (("paper", False), ("afew", True), ("ckplus", True)):
        first, again, later, other = (
            training_groups(videos, sampling, 3, seed, epoch).frames
            for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
        )
        assert (first == again).all()
        assert (first == later).all() == frozen, sampling
        assert (first != other).any()


def test_a_clips_group_does_not_depend_on_the_others():
    samples = table(8, 9, 10)
    whole = training_groups(find_clips(samples, ""), "paper", 3, 0, 4).frames
    part = training_groups(find_clips(samples[samples["clip"] != "c0"], ""), "paper", 3, 0, 4).frames
    assert (whole[1:] == part).all()


def test_long_videos_weigh_more_in_the_authors_groups():
    groups = training_groups(clips(4, 10), "afew", 3, 0, 0)
    assert np.bincount(groups.clips).tolist() == [4, 10]
    assert groups.mask.all()


def test_the_test_sees_every_frame_once():
    videos = clips(2, 4)
    groups = all_frames(videos)
    assert groups.frames.tolist() == [[0, 1, 0, 0], [0, 1, 2, 3]]
    assert groups.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert group_rows(videos, groups).tolist() == [[0, 1, 0, 0], [2, 3, 4, 5]]
    assert sorted(group_rows(videos, groups)[groups.mask].tolist()) == list(range(6))


def test_unknown_rules_and_sizes_are_one_error():
    with pytest.raises(UserError, match=r"model.sampling is 'ckplu'; did you mean 'ckplus'\?"):
        training_groups(clips(4), "ckplu", 3, 0, 0)
    with pytest.raises(UserError, match=r"model\.frames is 5: sampling 'afew' draws groups of 3"):
        training_groups(clips(4), "afew", 5, 0, 0)
