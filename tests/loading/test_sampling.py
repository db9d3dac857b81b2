import numpy as np
import pytest

from fer_repro.config import SamplingConfig
from fer_repro.errors import UserError
from fer_repro.loading.split import Split
from fer_repro.loading.views import Faces, epoch_items, epoch_length, pass_length

SHUFFLE, BALANCED = SamplingConfig("shuffle", 0, "uniform"), SamplingConfig("balanced", 0, "uniform")


def make_split(targets):
    count = len(targets)
    return Split(
        np.zeros((count, 2, 2), np.uint8), np.arange(5, 5 + count), np.arange(count), np.array(targets)
    )


def shown(split, sampling, seed, epoch):
    return epoch_items(Faces(), split, sampling, seed, epoch).positions[:, 0]


def test_an_epoch_shows_every_item_once_in_an_order_of_seed_and_epoch():
    split = make_split([0, 1, 2] * 10)
    first = shown(split, SHUFFLE, 0, 0)
    assert sorted(first) == list(range(30))
    assert (first == shown(split, SHUFFLE, 0, 0)).all()
    assert (first != shown(split, SHUFFLE, 0, 1)).any()
    assert (first != shown(split, SHUFFLE, 1, 0)).any()


def test_epochs_of_a_given_size_cut_one_endless_row():
    split, sampling = make_split([0, 1] * 5), SamplingConfig("shuffle", 7, "uniform")
    row = np.concatenate([shown(split, SHUFFLE, 3, number) for number in range(5)])
    for epoch in range(6):
        assert (shown(split, sampling, 3, epoch) == row[7 * epoch : 7 * epoch + 7]).all()
    assert epoch_length(Faces(), split, sampling) == 7


def test_an_epoch_may_be_longer_than_the_data():
    split = make_split([0, 1, 0])
    assert np.bincount(shown(split, SamplingConfig("shuffle", 8, "uniform"), 0, 0)).tolist() in (
        [3, 3, 2],
        [3, 2, 3],
        [2, 3, 3],
    )


def test_balanced_shows_both_classes_by_turns_the_larger_one_once():
    targets = [0] * 4 + [1] * 11
    split = make_split(targets)
    order = shown(split, BALANCED, 0, 0)
    assert len(order) == pass_length(Faces(), split, BALANCED) == 22
    assert np.array(targets)[order].tolist() == [1, 0] * 11
    assert sorted(order[::2]) == list(range(4, 15))
    assert set(order[1::2]) <= set(range(4))
    others = [shown(split, BALANCED, 0, epoch)[1::2] for epoch in range(1, 4)]
    assert any((order[1::2] != other).any() for other in others)


def test_drawing_again_is_even():
    order = np.concatenate([shown(make_split([0] * 5 + [1] * 50), BALANCED, 0, epoch) for epoch in range(40)])
    counts = np.bincount(order[1::2], minlength=5)
    assert counts.sum() == 2000
    assert abs(counts - 400).max() < 5 * np.sqrt(400 * 0.8)


@pytest.mark.parametrize("targets", [[0, 0, 0], [0, 1, 2], [1, 1]])
def test_balanced_needs_two_classes(targets):
    with pytest.raises(UserError, match="balanced needs two classes"):
        shown(make_split(targets), BALANCED, 0, 0)
