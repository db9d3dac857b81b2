import numpy as np
import pandas as pd
import pytest

from fer_repro.data.loading import batch_bounds, batches, epoch_order, gather, open_split
from fer_repro.data.store import write_store
from fer_repro.errors import UserError

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


def test_every_sample_comes_once_with_its_image_and_target(tmp_path):
    store, images, samples = make_store(tmp_path / "s")
    split = open_split(store, "train")
    found = []
    for batch in batches(split, epoch_order(split, 3, 1), 10):
        for i in range(len(batch.samples)):
            sample = int(batch.samples[i])
            found.append(sample)
            assert (batch.images[i, 0].numpy() == images[samples["image"][sample]]).all()
            assert int(batch.targets[i]) == samples["label"][sample]
    assert sorted(found) == list(range(81))


def test_rgb_images_come_channel_first(tmp_path):
    store, images, samples = make_store(tmp_path / "s", channels=3)
    split = open_split(store, "val")
    batch = gather(split, np.array([2]))
    expected = images[samples["image"][83]]
    assert batch.images.shape == (1, 3, 6, 5)
    for channel in range(3):
        assert (batch.images[0, channel].numpy() == expected[:, :, channel]).all()


def test_the_order_depends_on_seed_and_epoch_only(tmp_path):
    split = open_split(make_store(tmp_path / "s")[0], "train")
    first = epoch_order(split, 0, 0)
    assert (first == epoch_order(split, 0, 0)).all()
    assert sorted(first) == list(range(81))
    assert any(first != epoch_order(split, 0, 1))
    assert any(first != epoch_order(split, 1, 0))


def test_a_resumed_epoch_continues_with_the_same_batches(tmp_path):
    split = open_split(make_store(tmp_path / "s")[0], "train")
    order = epoch_order(split, 0, 0)
    whole = [batch.samples.tolist() for batch in batches(split, order, 10)]
    assert [batch.samples.tolist() for batch in batches(split, order, 10, first=4)] == whole[4:]


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(10, 5, [5, 5]), (11, 5, [5, 6]), (12, 5, [5, 5, 2]), (1, 5, [1]), (3, 1, [1, 2])],
)
def test_a_last_batch_of_one_joins_the_one_before(count, size, lengths):
    assert [end - begin for begin, end in batch_bounds(count, size)] == lengths


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
