import numpy as np
import pytest
import torch

from fer_repro.config import SamplingConfig
from fer_repro.errors import UserError
from fer_repro.loading.frames import find_clips
from fer_repro.loading.regions import cut_regions, region_boxes
from fer_repro.loading.split import Split
from fer_repro.loading.views import (
    BatchIndex,
    Faces,
    Frames,
    Regions,
    Sequences,
    Triplets,
    clips_of,
    epoch_items,
    epoch_length,
    pass_length,
)


def stills(count=9, targets=None):
    ids = np.arange(10, 10 + count)
    return Split(
        np.zeros((count, 4, 4), np.uint8),
        ids,
        np.arange(count),
        np.zeros(count, int) if targets is None else targets,
    )


def clips(*counts):
    import pandas as pd

    names = [f"c{k}" for k, count in enumerate(counts) for _ in range(count)]
    table = pd.DataFrame(
        {"clip": names, "label": [int(n[1:]) % 2 for n in names], "subject": "", "split": "train"}
    )
    table.index = np.arange(100, 100 + len(names))
    split = stills(len(names))
    return Split(
        split.images, table.index.to_numpy(), split.image_rows, split.targets, find_clips(table, "t")
    )


def test_padding_of_others_is_cut_off():
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    items = BatchIndex(np.arange(12).reshape(3, 4), mask, np.array([5, 6, 7]))
    part = items.take(np.array([2, 0]))
    assert part.positions.tolist() == [[8, 9], [0, 1]]
    assert part.mask.tolist() == [[True, False], [True, True]]
    assert part.targets.tolist() == [7, 5]


def test_faces_show_each_face_alone():
    images = torch.rand(3, 1, 3, 8, 8)
    (shown,) = Faces().inputs(images, torch.ones(3, 1, dtype=bool), np.zeros((3, 1), int), 0, 0)
    assert torch.equal(shown, images[:, 0])
    assert Faces().testing(stills(4)).positions.tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("crops", ["fixed", "affectnet", "random"])
def test_regions_are_cut_from_the_face_as_shown(crops):
    images, samples = torch.rand(2, 1, 3, 16, 16), np.array([[4], [9]])
    (shown,) = Regions(crops).inputs(images, torch.ones(2, 1, dtype=bool), samples, 3, 5)
    expected = cut_regions(images[:, 0], region_boxes(crops, samples[:, 0], 3, 5), 16)
    assert torch.equal(shown, expected)
    assert torch.allclose(shown[:, -1], images[:, 0], atol=1e-6)


def test_random_crops_change_by_epoch_and_stay_in_testing():
    images, samples = torch.rand(2, 1, 3, 16, 16), np.array([[4], [9]])
    mask = torch.ones(2, 1, dtype=bool)
    view = Regions("random")
    first, second = (view.inputs(images, mask, samples, 3, epoch)[0] for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, view.inputs(images, mask, samples, 3, 0)[0])


def test_clips_are_tested_with_all_their_frames():
    split = clips(2, 4, 1)
    items = Frames("paper", 3).testing(split)
    assert items.mask.sum(axis=1).tolist() == [2, 4, 1]
    assert items.positions[items.mask].tolist() == list(range(7))
    assert items.targets.tolist() == [0, 1, 0]


def test_training_groups_stay_within_their_clip():
    split = clips(9, 5, 7)
    items = Frames("paper", 3).training(split, 1, 2)
    assert items.positions.shape == (3, 3)
    for row, (low, high) in zip(items.positions, ((0, 9), (9, 14), (14, 21)), strict=True):
        assert ((row >= low) & (row < high)).all()
        assert (np.diff(row) > 0).all()  # one from each segment


def test_a_view_of_clips_needs_them():
    with pytest.raises(ValueError, match="without its clips"):
        clips_of(stills())


def test_triplets_alternate_and_never_repeat_the_anchor():
    targets = np.array([0, 1, 1, 0, 1, 0, 1])
    items = Triplets(200).training(stills(7, targets), 0, 0)
    for n, (anchor, positive, negative) in enumerate(items.positions.tolist()):
        assert targets[anchor] == targets[positive] == (n + 1) % 2
        assert targets[negative] != targets[anchor]
        assert anchor != positive
    assert set(items.positions[:, 2]) == set(range(7))
    assert (items.targets == targets[items.positions[:, 0]]).all()


def test_triplets_change_by_seed_and_epoch_but_not_in_testing():
    split, view = stills(7, np.array([0, 1, 1, 0, 1, 0, 1])), Triplets(50)
    drawn = [view.training(split, seed, epoch).positions for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert (drawn[0] == drawn[3]).all()
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[0] != drawn[2]).any()
    assert (view.testing(split).positions == view.testing(split).positions).all()
    assert (view.testing(split).positions != drawn[0]).any()


@pytest.mark.parametrize("targets", [[0, 0, 1], [0, 0, 0], [0, 0, 1, 1, 2]])
def test_triplets_need_two_of_two_classes(targets):
    with pytest.raises(UserError, match="two classes with two samples each"):
        Triplets(4).training(stills(len(targets), np.array(targets)), 0, 0)


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


def counts_of(samples, members=3, seed=0, counter=0):
    images = torch.zeros(len(samples), 1, 5, 2)
    ids = np.array(samples)[:, None]
    return Sequences(members).inputs(images, torch.ones(ids.shape, dtype=bool), ids, seed, counter)


def test_sequences_come_with_counts_that_stay(tmp_path):
    shown, counts = counts_of([4, 9, 7])
    assert shown.shape == (3, 5, 2)
    assert counts.shape == (3, 3)
    assert torch.equal(counts, counts_of([4, 9, 7], counter=5)[1])  # in every epoch
    assert torch.equal(counts[[1]], counts_of([9])[1])  # whatever the batch
    assert not torch.equal(counts, counts_of([4, 9, 7], seed=1)[1])


def test_counts_are_those_of_a_bootstrap():
    """As often as a draw with replacement has each sample: 0 in 36.8 % of cases, 1 on average."""
    _, counts = counts_of(range(20_000), members=2)
    drawn = np.bincount(np.random.default_rng(0).integers(0, 20_000, 20_000), minlength=20_000)
    for member in counts.T.numpy():
        assert member.mean() == pytest.approx(1, abs=0.03)
        for number in range(4):
            assert np.mean(member == number) == pytest.approx(np.mean(drawn == number), abs=0.015)
    assert abs(np.corrcoef(counts.T.numpy())[0, 1]) < 0.03  # members draw apart
