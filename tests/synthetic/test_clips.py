import json
from pathlib import Path

import numpy as np
import pytest

from fer_repro.datasets.samples import check_samples, read_samples, samples_csv
from fer_repro.errors import UserError
from fer_repro.loading.frames import find_clips
from fer_repro.synthetic.clips import (
    CLIP_COLUMNS,
    DISTRACTORS,
    LENGTHS,
    PASSING,
    PHASES,
    Episode,
    distract,
    draw,
    read_settings,
    sample_clip,
    sample_clips,
    sample_course,
    sample_drift,
    sample_episodes,
)
from fer_repro.synthetic.factors import ACTION_COLUMNS, CLASSES, IDENTITY_COLUMNS, check_factors
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.pairs import sample_pairs
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills

PIPELINE = Path(__file__).parents[2] / "data" / "synthetic_clips" / "manifest.json"
SETTINGS = {
    "name": "synthetic_clips",
    "kind": "clips",
    "seed": 0,
    "size": 48,
    "people": {"train": 42, "val": 7, "test": 14},
    "clips_per_person": 2,
    "min_frames": 5,
    "max_frames": 8,
    "distractors": {"blink": 0.05, "occluder": 0.06, "speech": 0.04, "turned": 0.04},
}
FEW = SETTINGS | {
    "size": 16,
    "people": {"train": 3, "val": 1, "test": 3},
    "min_frames": 2,
    "max_frames": 4,
    "distractors": {"blink": 0.0, "occluder": 0.4, "speech": 0.1, "turned": 0.0},
}


@pytest.fixture(scope="module")
def table():
    return sample_clips(read_settings(SETTINGS))


@pytest.fixture(scope="module")
def few():
    return draw(FEW)


def test_the_table_has_the_form_of_every_set(table):
    assert tuple(table.columns) == CLIP_COLUMNS
    check_samples(table, CLASSES, len(table), "clips")
    check_factors(table)
    assert table["image"].tolist() == list(range(len(table)))
    assert set(table["distractor"]) == set(DISTRACTORS)
    assert set(table["phase"]) == set(PHASES)


def test_clips_are_whole_balanced_and_split_by_people(table):
    clips = find_clips(table, "clips")
    assert len(clips) == 126
    assert set(clips.counts) == {5, 6, 7, 8}
    assert (table["frame"] == table.groupby("clip").cumcount()).all()
    per_class = table.groupby(["split", "label"])["clip"].nunique().unstack()
    assert per_class.loc["train"].tolist() == [12] * 7
    assert per_class.loc["test"].tolist() == [4] * 7
    assert table.groupby("subject")["split"].nunique().max() == 1
    assert table.groupby("subject")[list(IDENTITY_COLUMNS)].nunique().max().max() == 1
    assert table.groupby("subject")["label"].nunique().min() == 2


@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_is_a_person_of_the_other_sets(table, seed):
    columns = list(IDENTITY_COLUMNS)
    people = table[columns].drop_duplicates()
    assert len(people) == 63
    for others in (sample_stills(seed), sample_pairs(seed).samples):
        assert people.merge(others[columns].drop_duplicates(), on=columns).empty


def test_expressions_come_and_some_go_again(table):
    shown = table[table["label"] != CLASSES.index("neutral")]
    assert (table.loc[table["label"] == CLASSES.index("neutral"), ["intensity"]] == 0).all(axis=None)
    apex = shown[shown["phase"] == "apex"]
    assert apex["clip"].nunique() == shown["clip"].nunique()
    assert apex["intensity"].between(0.85, 1.0).all()
    assert apex.groupby("clip")["intensity"].nunique().max() == 1
    assert (shown.loc[shown["phase"] == "neutral", "intensity"] == 0).all()
    assert 0.3 < (shown["intensity"] < 0.5).mean() < 0.5
    for phase, sign in (("onset", 1), ("offset", -1)):
        steps = shown["intensity"].diff()[(shown["phase"] == phase) & (shown["phase"].shift() == phase)]
        assert (sign * steps >= 0).all()
    last = shown.groupby("clip")["phase"].last()
    assert 0.2 < (last == "apex").mean() < 0.9


def test_actions_follow_the_intensity(table):
    """A happy mouth's corners rise in proportion, unless the person speaks."""
    quiet = (table["label"] == CLASSES.index("happy")) & (table["distractor"] != "speech")
    for _, clip in table[quiet].groupby("clip"):
        if len(clip) > 2 and clip["intensity"].max() > clip["intensity"].min():
            line = np.polyfit(clip["intensity"], clip["corner_pull"], 1)
            assert 0.6 < line[0] <= 1.0
            assert np.abs(np.polyval(line, clip["intensity"]) - clip["corner_pull"]).max() < 0.02


def test_what_is_no_expression_never_depends_on_the_class():
    """One key, seven classes: but for the actions and their strength, the same clip."""
    settings = read_settings(SETTINGS)
    person = sample_identities(np.random.default_rng(5), 1).to_dict("records")[0]
    kept = [
        [
            {
                name: value
                for name, value in frame.items()
                if name not in (*ACTION_COLUMNS, "intensity", "phase")
            }
            for frame in sample_clip(np.random.default_rng(key), label, person, settings)
        ]
        for key in range(5)
        for label in range(len(CLASSES))
    ]
    for key in range(5):
        same = kept[7 * key : 7 * key + 7]
        assert all(clip == same[0] for clip in same)
    assert kept[0] != kept[7]


def test_distractors_are_what_they_say(table):
    kinds = table["distractor"]
    assert 0.15 < (kinds != "none").mean() < 0.40
    assert (kinds == "occluder").equals(table["occluder"] != "none")
    assert set(table.loc[kinds == "occluder", "occluder"]) == set(PASSING)
    turned = table["yaw"].abs() >= 30.0
    assert (kinds == "turned").equals(turned)
    assert table["yaw"].abs().max() <= 50.0
    blinks = table[kinds == "blink"]
    assert (blinks["lid_droop"] == 1).all()
    assert (blinks["lid_raise"] == 0).all()
    at_the_apex = table[table["phase"] == "apex"]
    assert set(at_the_apex["distractor"]) == set(DISTRACTORS)


def test_neutral_people_speak(table):
    neutral = table[table["label"] == CLASSES.index("neutral")]
    open_mouth = neutral["jaw_drop"] > 0.1
    assert (open_mouth & (neutral["distractor"] == "speech")).any()
    assert not (open_mouth & (neutral["distractor"] != "speech")).any()


def test_lengths_of_distractors_stay_in_their_bounds_and_never_overlap():
    generator = np.random.default_rng(0)
    lengths = {kind: set() for kind in LENGTHS}
    for _ in range(200):
        episodes = sample_episodes(generator, 20, dict.fromkeys(LENGTHS, 0.1))
        free = 0
        for kind, first, frames in episodes:
            assert first >= free
            free = first + frames
            if free < 20:  # a clip's end may cut one short
                lengths[kind].add(frames)
        assert free <= 20
    assert {kind: (min(seen), max(seen)) for kind, seen in lengths.items()} == LENGTHS


def test_each_kind_begins_as_often_as_its_chance():
    """With chance 1 a kind fills the clip; with 0 none happens; blinks of one frame come at their rate."""
    generator = np.random.default_rng(1)
    none = dict.fromkeys(LENGTHS, 0.0)
    assert sample_episodes(generator, 12, none) == []
    assert len(sample_episodes(generator, 12, none | {"blink": 1.0})) == 12
    blinks = len(sample_episodes(generator, 10_000, none | {"blink": 0.3}))
    assert abs(blinks - 3000) < 5 * np.sqrt(10_000 * 0.3 * 0.7)


STILL = dict.fromkeys((*ACTION_COLUMNS, "yaw"), 0.0) | {"corner_pull": 1.0, "distractor": "none"}


def test_a_head_is_on_the_way_before_and_after_it_is_turned():
    clip = [dict(STILL) for _ in range(8)]
    distract(np.random.default_rng(2), clip, [Episode("turned", 2, 1)])
    yaw = np.array([frame["yaw"] for frame in clip])
    assert 30.0 <= abs(yaw[2]) <= 50.0
    assert yaw[1] == yaw[3] == pytest.approx(np.sign(yaw[2]) * 0.35 * 30.0)
    assert (yaw[[0, 4, 5, 6, 7]] == 0).all()
    assert [frame["distractor"] for frame in clip] == ["none", "none", "turned", *["none"] * 5]


def test_speech_takes_most_of_a_smile_and_changes_with_every_frame():
    clip = [dict(STILL) for _ in range(8)]
    distract(np.random.default_rng(3), clip, [Episode("speech", 1, 4)])
    smile = [frame["corner_pull"] for frame in clip]
    assert [smile[0], *smile[5:]] == [1.0] * 4
    assert max(smile[1:5]) < 0.4
    assert min(smile[1:5]) == pytest.approx(0.3)
    shapes = [tuple(frame[name] for name in ACTION_COLUMNS) for frame in clip[1:5]]
    assert len(set(shapes)) == 4


def test_a_thing_that_passes_goes_on_in_one_direction():
    clip = [dict(STILL) for _ in range(4)]
    distract(np.random.default_rng(4), clip, [Episode("occluder", 1, 2)])
    first, second = clip[1], clip[2]
    assert 0.15 <= abs(second["occluder_x"] - first["occluder_x"]) <= 0.35
    for name in ("occluder", "occluder_y", "occluder_size", "occluder_angle", "occluder_tone"):
        assert first[name] == second[name]
    assert "occluder" not in clip[3]


def test_courses_hold_an_apex_even_in_the_shortest_clips():
    generator = np.random.default_rng(6)
    for frames in (2, 3, 5, 9):
        for _ in range(100):
            intensity, phases = sample_course(generator, frames)
            assert len(phases) == len(intensity) == frames
            assert intensity[phases.index("apex")] == pytest.approx(intensity.max())
            assert intensity.min() >= 0.0
            top = phases.index("apex")
            steps = [PHASES.index(phase) for phase in phases[: top + 1]]
            steps += [4 if phase == "neutral" else PHASES.index(phase) for phase in phases[top + 1 :]]
            assert steps == sorted(steps)


def test_drifts_are_slow_and_bounded():
    generator = np.random.default_rng(7)
    waves = np.array([sample_drift(generator, 12, 5.0) for _ in range(300)])
    assert 4.0 < np.abs(waves).max() <= 5.0
    assert np.abs(np.diff(waves)).max() <= 5.0 * 2.0 * np.pi / 12  # the steepest wave: one period per clip


def test_drawn_clips_come_with_masks_of_what_hides_test_frames(few):
    samples = few.samples
    assert few.images.shape == (len(samples), 16, 16)
    assert few.images.dtype == np.uint8
    assert few.classes == CLASSES
    rows = np.flatnonzero(samples["split"] == "test")
    assert few.truth["samples"].tolist() == rows.tolist()
    hidden = few.truth["occluded"].any(axis=(1, 2))
    assert hidden.tolist() == (samples["occluder"].iloc[rows] != "none").tolist()
    assert hidden.any()


def test_a_table_read_back_draws_the_same_images(few, tmp_path):
    path = tmp_path / "samples.csv"
    path.write_bytes(samples_csv(few.samples))
    again = read_samples(path, CLASSES, len(few.images))
    assert np.array_equal(render(again, 16).images, few.images)


def test_seeds_decide():
    one, two = (sample_clips(read_settings(FEW | {"seed": seed})) for seed in (0, 1))
    assert one.equals(sample_clips(read_settings(FEW)))
    assert not one[list(IDENTITY_COLUMNS)].equals(two[list(IDENTITY_COLUMNS)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": 48}, "unknown key 'sizes'; did you mean 'size'?"),
        ({"people": {"train": 1, "val": 1, "tests": 1}}, "unknown key 'people.tests'; did you mean 'test'?"),
        ({"kind": "pairs"}, "kind is 'pairs'"),
        ({"seed": -1}, "seed is -1"),
        ({"size": 4}, "size is 4"),
        ({"min_frames": 1}, "min_frames is 1"),
        ({"max_frames": 1}, "max_frames is 1: expected 2"),
        ({"clips_per_person": 8}, "clips_per_person is 8"),
        (
            {"distractors": {"blink": 0.6, "occluder": 0.6, "speech": 0.0, "turned": 0.0}},
            "a sum of 1 at most",
        ),
        ({"people": {"train": 0, "val": 0, "test": 0}}, "at least one person"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(UserError) as caught:
        draw(FEW | change)
    assert message in str(caught.value)
    assert str(caught.value).startswith("data/synthetic_clips/manifest.json: ")


@pytest.mark.skipif(
    not PIPELINE.is_file(), reason="data/synthetic_clips is absent; `dvc pull data.dvc` brings it"
)
def test_the_pipelines_settings_give_as_many_clips_of_each_class():
    table = sample_clips(read_settings(json.loads(PIPELINE.read_text(encoding="utf-8"))))
    counts = table.groupby(["split", "label"])["clip"].nunique().unstack()
    assert counts.nunique(axis=1).eq(1).all()
    assert len(table) < 4500  # seven milliseconds each
