import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.loading.split import open_split, open_table, read_images

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
