import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.loading.frames import Clips
from fer_repro.loading.split import (
    Split,
    distinct,
    level_values,
    official_validation,
    open_split,
    open_table,
    read_images,
)

COUNT = 103


def make_store(folder, channels=1):
    rng = np.random.default_rng(0)
    shape = (COUNT, 6, 5) if channels == 1 else (COUNT, 6, 5, 3)
    images = rng.integers(0, 256, shape).astype(np.uint8)
    samples = pd.DataFrame(
        {
            "image": np.arange(COUNT)[::-1],
            "label": np.arange(COUNT) % 3,
            "subject": "",
            "clip": "",
            "split": ["train"] * 81 + ["val"] * 22,
        }
    )
    return write_store(folder, "toy", ("a", "b", "c"), images, samples, {}), images, samples


def test_every_sample_comes_with_its_image_and_target(tmp_path):
    store, images, samples = make_store(tmp_path / "s")
    split = open_split(store, "train")
    assert split.samples.tolist() == list(range(81))
    assert split.targets.tolist() == samples["label"][:81].tolist()
    read = read_images(split, np.array([3, 80, 3]))
    for place, position in enumerate((3, 80, 3)):
        assert (read[place, 0].numpy() == images[samples["image"][position]]).all()


def test_rgb_images_come_channel_first(tmp_path):
    store, images, samples = make_store(tmp_path / "s", channels=3)
    read = read_images(open_split(store, "val"), np.array([2]))
    expected = images[samples["image"][83]]
    assert read.shape == (1, 3, 6, 5)
    for channel in range(3):
        assert (read[0, channel].numpy() == expected[:, :, channel]).all()


def test_another_table_gives_its_own_labels_and_splits(tmp_path):
    store, _, samples = make_store(tmp_path / "s")
    table = store.samples.iloc[[90, 7, 30]].assign(label=[2, 0, 1], split=["train", "val", "train"])
    split = open_table(store, table.sort_index(), "train")
    assert split.samples.tolist() == [30, 90]
    assert split.targets.tolist() == [1, 2]
    assert split.image_rows.tolist() == samples["image"][[30, 90]].tolist()


def clip_store(folder):
    """Clips of 3, 1 and 4 frames, twice each, that alternate in the table; classes 0 and 1."""
    names = ["a", "b", "a", "c", "a", "c", "c", "c"]
    rows = [f"{name}{turn}" for turn in range(2) for name in names]
    labels = [turn for turn in range(2) for _ in names]
    samples = pd.DataFrame(
        {"image": range(16), "label": labels, "subject": "", "clip": rows, "split": "train"}
    )
    return write_store(folder, "toy", ("x", "y"), np.zeros((16, 4, 4), np.uint8), samples, {})


def test_a_limit_of_clips_keeps_whole_clips(tmp_path):
    store = clip_store(tmp_path / "s")
    split = open_split(store, "train", limit=2, in_clips=True)
    assert sorted(split.clips.targets.tolist()) == [0, 1]
    for name, count in zip(split.clips.names, split.clips.counts, strict=True):
        frames = store.samples.index[store.samples["clip"] == name]
        assert count == len(frames)
        assert set(frames) <= set(split.samples)
    assert len(split) == split.clips.counts.sum()


def test_a_limit_keeps_a_fixed_subset_over_all_classes(tmp_path):
    store = make_store(tmp_path / "s")[0]
    split = open_split(store, "train", limit=20)
    assert len(split) == 20
    assert set(split.targets) == {0, 1, 2}
    assert (np.diff(split.samples) > 0).all()
    assert len(open_split(store, "train", limit=500)) == 81


def test_an_empty_split_is_named(tmp_path):
    with pytest.raises(UserError, match=r"samples.csv: no row of split 'test'"):
        open_split(make_store(tmp_path / "s")[0], "test")


# 12 manipulated and 5 real, mixed; sample numbers begin at 30, images lie elsewhere
TARGETS = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1])


def make_split(targets=TARGETS, **more):
    count = len(targets)
    rows = np.arange(count)
    return Split(np.zeros((99, 2, 2), np.uint8), 30 + rows, 50 + 2 * rows, np.array(targets), **more)


def of_class(split, label):
    return split.samples[split.targets == label]


def test_the_larger_class_gives_its_first_samples_once_and_the_smaller_as_many_draws():
    chosen = official_validation(make_split(), 8, seed=0)
    manipulated = [30, 31, 33, 34]  # the first four ones of TARGETS, counted by hand
    assert of_class(chosen, 1).tolist() == manipulated
    assert len(of_class(chosen, 0)) == 4
    assert set(of_class(chosen, 0)) <= {32, 36, 37, 41, 45}


@pytest.mark.parametrize("limit", [0, 24, 25, 1000])
def test_without_a_limit_that_bites_every_sample_of_the_larger_class_is_there(limit):
    chosen = official_validation(make_split(), limit, seed=0)
    assert of_class(chosen, 1).tolist() == sorted(30 + np.flatnonzero(TARGETS))
    assert len(of_class(chosen, 0)) == 12  # of five faces: some again


def test_the_larger_class_may_be_the_real_one():
    chosen = official_validation(make_split(1 - TARGETS), 6, seed=0)
    assert of_class(chosen, 0).tolist() == [30, 31, 33]
    assert len(of_class(chosen, 1)) == 3


def test_images_and_labels_stay_with_their_samples_in_the_tables_order():
    chosen = official_validation(make_split(), 0, seed=3)
    rows = chosen.samples - 30
    assert (np.diff(rows) >= 0).all()
    assert (chosen.image_rows == 50 + 2 * rows).all()
    assert (chosen.targets == TARGETS[rows]).all()


def test_draws_depend_on_the_seed_alone_and_fall_evenly():
    split = make_split()
    first, again, other = (official_validation(split, 0, seed) for seed in (0, 0, 1))
    assert (first.samples == again.samples).all()
    assert (first.samples != other.samples).any()
    drawn = np.concatenate([of_class(official_validation(split, 0, seed), 0) for seed in range(400)])
    counts = np.bincount(drawn)[[32, 36, 37, 41, 45]]
    assert counts.sum() == 4800
    assert (abs(counts - 960) < 4 * np.sqrt(960 * 0.8)).all()  # four deviations of a binomial


def test_distinct_keeps_each_sample_once():
    split = official_validation(make_split(), 0, seed=0)
    once = distinct(split)
    assert once.samples.tolist() == sorted(set(split.samples.tolist()))
    assert (once.targets == TARGETS[once.samples - 30]).all()


def test_shares_of_votes_go_with_their_samples():
    shares = np.arange(34, dtype=np.float32).reshape(17, 2)
    chosen = official_validation(make_split(shares=shares), 8, seed=0)
    assert (chosen.shares == shares[chosen.samples - 30]).all()


@pytest.mark.parametrize("targets", [[1, 1, 1], [0, 0], [0, 1, 2]])
def test_other_than_two_classes_are_refused(targets):
    with pytest.raises(UserError, match="two classes"):
        official_validation(make_split(np.array(targets)), 0, seed=0)


def test_clips_are_refused():
    clips = Clips(np.arange(17), np.array([17]), np.array([1]), ("a",))
    with pytest.raises(UserError, match="single faces"):
        official_validation(make_split(clips=clips), 0, seed=0)


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (("0", "0.33", "1"), True),
        (("a", "b", "c"), False),
        (("1", "0.5", "0"), False),
        (("0", "1", "nan"), False),
    ],
)
def test_levels_are_increasing_numbers(tmp_path, names, good):
    _, images, samples = make_store(tmp_path / "s")
    store = write_store(tmp_path / "levels", "toy", names, images, samples, {})
    if good:
        assert level_values(store).tolist() == [0, 0.33, 1]
    else:
        with pytest.raises(UserError, match="expected increasing numbers"):
            level_values(store)


def test_chosen_samples_keep_their_numbers():
    rows = np.arange(3)
    split = Split(np.zeros((3, 2, 2)), rows, rows, rows, values=np.array([0, 0.5, 1]))
    assert split.take(np.array([2, 0])).values.tolist() == [1, 0]
