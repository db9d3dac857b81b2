import json
from pathlib import Path

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.synthetic import challenge as apex
from fer_repro.synthetic import clips
from fer_repro.synthetic.challenge import (
    HARD_OCCLUDERS,
    LISTS,
    draw_challenge,
    extend_stills,
    sample_challenge,
    still_truth,
)
from fer_repro.synthetic.factors import (
    ACTION_COLUMNS,
    CLASSES,
    FACTOR_COLUMNS,
    IDENTITY_COLUMNS,
    check_factors,
)
from fer_repro.synthetic.render import EXPRESSIVE, render
from fer_repro.synthetic.stills import STILLS_COLUMNS, sample_stills

SIZE = 24


@pytest.fixture(scope="module")
def whole():
    return sample_challenge(0)


@pytest.fixture(scope="module")
def stills():
    table = sample_stills(3, {"train": 1, "val": 1, "test": 2}, 1)
    return render(table, SIZE).images, table


@pytest.fixture(scope="module")
def extended(stills):
    return extend_stills(*stills, 3)


def test_both_subsets_show_every_expression_equally_often(whole):
    assert tuple(whole.columns) == (*STILLS_COLUMNS, *LISTS)
    check_factors(whole)
    assert whole["image"].tolist() == list(range(2100))
    assert set(whole["split"]) == {"challenge"}
    assert whole.groupby(["occlusion", "label"]).size().tolist() == [150] * 14
    covered = whole[whole["occlusion"] == 1]
    assert covered.groupby(["occluder", "label"]).size().to_dict() == {
        (kind, label): 30 for kind in HARD_OCCLUDERS for label in range(len(CLASSES))
    }


def test_lists_are_what_the_angles_say(whole):
    turned = whole[whole["occlusion"] == 0]
    assert whole["pose_30"].tolist() == (whole["occlusion"] == 0).astype(int).tolist()
    assert whole["pose_45"].tolist() == [int(abs(yaw) >= 45) for yaw in whole["yaw"]]
    assert turned["yaw"].abs().between(30, 55).all()
    assert 360 < turned["pose_45"].sum() < 480
    assert 470 < (turned["yaw"] > 0).sum() < 580
    assert 0 < (turned["occluder"] != "none").mean() < 0.4  # as often as in the stills


@pytest.mark.parametrize("kind", HARD_OCCLUDERS)
def test_covers_are_larger_than_the_usual_one_of_the_stills(whole, kind):
    hard = whole[(whole["occlusion"] == 1) & (whole["occluder"] == kind)].head(8)
    covered = render(hard, SIZE).occluded.mean()
    assert covered > 1.01 * render(hard.assign(occluder_size=0.5), SIZE).occluded.mean()
    assert 0.10 < covered < 0.45


@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_is_a_person_of_the_stills(seed):
    columns = list(IDENTITY_COLUMNS)
    people = sample_challenge(seed).groupby("subject")[columns].first()
    assert len(people) == 150
    assert people.merge(sample_stills(seed)[columns].drop_duplicates(), on=columns).empty


def test_seeds_decide():
    assert sample_challenge(4, 2).equals(sample_challenge(4, 2))
    assert not sample_challenge(4, 2).equals(sample_challenge(5, 2))


def test_drawn_faces_are_those_of_the_table():
    drawn = draw_challenge(1, 1, SIZE)
    assert np.array_equal(drawn.images, render(drawn.samples, SIZE).images)
    assert drawn.truth["samples"].tolist() == list(range(14))
    assert drawn.truth["occluded"][drawn.samples["occlusion"] == 1].any(axis=(1, 2)).all()


def test_hard_faces_stand_behind_the_unchanged_stills(stills, extended):
    images, table = stills
    assert np.array_equal(extended.images[: len(images)], images)
    assert extended.samples.loc[: len(table) - 1, list(STILLS_COLUMNS)].equals(table)
    assert (extended.samples.loc[: len(table) - 1, list(LISTS)] == 0).all(axis=None)
    assert extended.samples["image"].tolist() == list(range(len(images) + 140))
    assert not extended.samples.isna().any(axis=None)
    hard = extended.samples["split"] == "challenge"
    assert np.array_equal(extended.images[hard], draw_challenge(3, 10, SIZE).images)
    assert extended.samples.dtypes[list(LISTS)].unique().tolist() == [np.dtype("int64")]


def test_truth_is_known_of_the_test_split_and_the_hard_faces(extended):
    rows = extended.truth["samples"]
    assert rows.dtype == np.int64
    assert set(extended.samples["split"].iloc[rows]) == {"test", "challenge"}
    assert len(rows) == len(set(rows)) == 14 + 140
    for name in ("occluded", "expressive"):
        assert extended.truth[name].shape == (154, SIZE, SIZE)
        assert extended.truth[name].dtype == bool
    covered = extended.truth["occluded"].any(axis=(1, 2))
    visible = ~extended.samples["occluder"].iloc[rows].isin(["none", "glasses"]).to_numpy()
    assert covered[visible].all()
    assert not covered[(extended.samples["occluder"].iloc[rows] == "none").to_numpy()].any()


def test_expressive_pixels_are_those_that_relaxing_changes(stills):
    """The oracle draws the face and its relaxed twin without camera effects."""
    _, table = stills
    plain = table.assign(blur=0.0, noise=0.0, jpeg=0).iloc[[3, 5]]  # happy, surprise
    relaxed = plain.assign(**dict.fromkeys(ACTION_COLUMNS, 0.0))
    colours = [render(part, SIZE, colour=True).images.astype(int) for part in (plain, relaxed)]
    difference = np.abs(colours[0] - colours[1]).max(axis=3)
    found = still_truth(table, np.array([3, 5]), SIZE)["expressive"]
    assert found.any(axis=(1, 2)).all()
    assert (difference[found] >= 255 * EXPRESSIVE - 1).all()  # whole grey levels round by at most one
    assert (difference[~found] <= 255 * EXPRESSIVE + 1).all()


def test_truth_follows_the_rows_asked_for(stills):
    _, table = stills
    some = still_truth(table, np.array([5, 2]), SIZE)
    assert some["samples"].tolist() == [5, 2]
    assert np.array_equal(some["occluded"][1], render(table.iloc[[2]], SIZE).occluded[0])


def test_mistakes_are_named(stills):
    with pytest.raises(UserError, match=r"seed -1, 150 people: expected a seed from 0"):
        sample_challenge(-1)
    images, table = stills
    with pytest.raises(UserError, match=r"0 people: expected a seed from 0 and one person"):
        extend_stills(images, table.assign(split="train"), 0)
    with pytest.raises(UserError, match=f"'{FACTOR_COLUMNS[0]}' is missing"):
        still_truth(table.drop(columns=FACTOR_COLUMNS[0]), np.array([0]), SIZE)


MANIFEST = Path(__file__).parents[2] / "data/synthetic_clips/manifest.json"


@pytest.fixture(scope="module")
def settings():
    return json.loads(MANIFEST.read_text()) | {"people": {"train": 3, "val": 1, "test": 2}}


def test_each_clip_gives_its_strongest_frame_as_drawn_there(settings):
    whole = clips.draw(settings)
    stills = apex.draw(settings | {"name": "synthetic_apex", "kind": "apex"})
    assert len(stills.images) == whole.samples["clip"].nunique()
    for image, row in zip(stills.images, stills.samples.itertuples(), strict=True):
        frames = whole.samples[whole.samples["clip"] == row.of_clip]
        assert row.intensity == frames["intensity"].max()
        strongest = frames.index[frames["intensity"].to_numpy().argmax()]
        assert np.array_equal(image, whole.images[strongest])
        assert (row.label, row.subject, row.split) == tuple(frames.iloc[0][["label", "subject", "split"]])


def test_wrong_settings_are_named(settings):
    with pytest.raises(UserError, match="frame"):
        apex.draw(settings | {"name": "synthetic_apex", "kind": "apex", "max_frame": 3})
