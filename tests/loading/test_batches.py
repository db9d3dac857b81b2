from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_repro.config import AugmentationConfig, DistortionConfig, load_config
from fer_repro.loading.augmentation import augmented_copy, clean_images, training_images
from fer_repro.loading.batches import BatchBuilder, batch_bounds
from fer_repro.loading.distortions import distort
from fer_repro.loading.split import Split
from fer_repro.loading.views import BatchIndex, Faces, Frames, Sequences

PLAIN = {"crop": 0.0, "jitter": None, "erase": None, "resampling": "two_step"}
AUGMENTATION = AugmentationConfig(flip=0.5, rotation=30.0, shift=0.1, scale=0.1, **PLAIN)

NOTHING = (0.0, 0.0)
HALVED = DistortionConfig(  # shrunk by half and enlarged, nothing else
    **{"nearest": 1.0, "nearest_scale": 0.5},
    **dict.fromkeys(("colour", "brightness", "contrast", "hue", "saturation", "value"), 0.0),
    **{"noise": 0.0, "iso_colour": NOTHING, "iso_intensity": NOTHING, "gaussian": NOTHING},
    **{"linear": 0.0, "linear_scale": (0.7, 0.9), "jpeg": 0.0, "quality": (50, 99)},
)


def make_recipe(**changes):
    config = load_config(Path(__file__).parents[2] / "params.yaml", "rmn", "synthetic", "masked", 0)
    return replace(config.recipe, augmentation=AUGMENTATION, **changes)


@pytest.fixture
def split():
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8)).astype(np.uint8)
    return Split(images, np.arange(20, 32), np.arange(12)[::-1], np.arange(12) % 3)


def items():
    mask = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]], bool)
    return BatchIndex(np.array([[4, 5, 6], [1, 1, 1], [0, 2, 0]]), mask, np.array([2, 0, 1]))


def pixels(split, position):
    return torch.from_numpy(split.images[split.image_rows[position]])[None, None]


def test_every_frame_is_augmented_by_its_own_sample_and_padding_is_empty(split):
    shown = BatchBuilder(Frames("paper", 3), split, 16, lambda tensor: tensor).training(
        items(), make_recipe(), 7, 3
    )
    frames, mask = shown.inputs
    assert frames.shape == (3, 3, 3, 16, 16)
    assert shown.targets.tolist() == [2, 0, 1]
    assert torch.equal(mask, torch.from_numpy(items().mask))
    for row in range(3):
        for column in range(3):
            position = items().positions[row, column]
            expected = training_images(
                pixels(split, position), split.samples[[position]], 16, AUGMENTATION, 7, 3
            )[0]
            found = frames[row, column]
            assert torch.equal(found, expected if items().mask[row, column] else torch.zeros_like(expected))


@pytest.mark.parametrize("view", [Faces(), Frames("paper", 3)])
def test_batches_of_a_row_are_those_shown_alone(split, view):
    """Enlarged together, with padding that differs between them, distorted, and with targets of their own."""
    screen = BatchBuilder(view, split, 16, lambda tensor: tensor)
    every = items() if view.in_clips else Faces().testing(split)
    row = [every.take(slice(0, 1)), every.take(slice(1, 3)), every.take(np.array([1]))]
    recipe = make_recipe(distortions=replace(HALVED, nearest=0.5, jpeg=0.5))
    found = list(screen.training_row(row, recipe, 1, 2))
    assert len(found) == 3
    for batch, shown in zip(row, found, strict=True):
        alone = screen.training(batch, recipe, 1, 2)
        assert all(torch.equal(a, b) for a, b in zip(shown.inputs, alone.inputs, strict=True))
        assert torch.equal(shown.targets, alone.targets)


def test_a_row_fills_a_tile_and_has_one_batch_at_least(split):
    batch = items()  # of nine images with padding
    for size, expected in ((48, 2**18 // (9 * 48**2)), (224, 1)):
        assert BatchBuilder(Faces(), split, size, lambda tensor: tensor).row_length(batch) == expected


def test_clean_and_copies_of_faces(split):
    screen = BatchBuilder(Faces(), split, 16, lambda tensor: tensor)
    faces = Faces().testing(split).take(np.array([3, 7]))
    (clean,) = screen.clean(faces).inputs
    (copy,) = screen.copy(faces, AUGMENTATION, 1, 2).inputs
    for place, position in enumerate((3, 7)):
        image, sample = pixels(split, position), split.samples[[position]]
        assert torch.equal(clean[place], clean_images(image, 16)[0])
        assert torch.equal(copy[place], augmented_copy(image, sample, 16, AUGMENTATION, 1, 2)[0])


def test_distortions_follow_the_augmentation(split):
    screen, faces = BatchBuilder(Faces(), split, 16, lambda tensor: tensor), Faces().testing(split)
    (plain,) = screen.training(faces, make_recipe(), 1, 2).inputs
    (found,) = screen.training(faces, make_recipe(distortions=HALVED), 1, 2).inputs
    assert torch.equal(found, distort(plain, split.samples, 1, 2, HALVED))
    assert not torch.equal(found, plain)


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(10, 5, [5, 5]), (11, 5, [5, 6]), (12, 5, [5, 5, 2]), (1, 5, [1]), (3, 1, [1, 2])],
)
def test_a_last_batch_of_one_joins_the_one_before(count, size, lengths):
    assert [end - begin for begin, end in batch_bounds(count, size)] == lengths


def voted_split():
    """Four faces; the third one's votes are split between two classes."""
    shares = np.array([[1, 0, 0], [0, 1, 0], [0.25, 0, 0.75], [0, 0, 1]], np.float32)
    ids = np.arange(4)
    images = np.zeros((4, 8, 8), np.uint8)
    return Split(images, ids + 10, ids, shares.argmax(1), shares=shares), shares


def test_votes_are_learnt_as_shares_or_drawn_anew_in_every_epoch():
    split, shares = voted_split()
    screen, recipe = BatchBuilder(Faces(), split, 8, lambda tensor: tensor), make_recipe()
    items = Faces().training(split, 0, 0).take(np.array([2, 0, 3]))
    assert screen.training(items, recipe, 0, 0).targets.tolist() == [2, 0, 2]
    learnt = screen.training(items, replace(recipe, targets="shares"), 0, 0).targets
    assert learnt.tolist() == shares[[2, 0, 3]].tolist()
    drawn = [
        screen.training(items, replace(recipe, targets="drawn"), 0, epoch).targets.tolist()
        for epoch in range(400)
    ]
    assert {tuple(row[1:]) for row in drawn} == {(0, 2)}
    assert {row[0] for row in drawn} == {0, 2}
    assert 0.68 < np.mean([row[0] == 2 for row in drawn]) < 0.82
    assert screen.clean(items).targets.tolist() == [2, 0, 2]


def test_a_short_last_batch_joins_the_one_before_where_processes_need_their_share():
    assert batch_bounds(19, 8, 4) == [(0, 8), (8, 19)]
    assert batch_bounds(20, 8, 4) == [(0, 8), (8, 16), (16, 20)]
    assert batch_bounds(3, 8, 4) == [(0, 3)]


def test_sequences_are_neither_enlarged_nor_augmented():
    values = np.random.default_rng(1).normal(0, 3, (6, 20, 4)).astype(np.float16)
    levels = np.array([0, 0.33, 0.66], np.float32)
    labels = np.arange(6) % 3
    split = Split(values, np.arange(6), np.arange(6)[::-1], labels, values=levels[labels])
    builder = BatchBuilder(Sequences(2), split, 0, lambda tensor: tensor)
    chosen = BatchIndex(np.array([[4], [1]]), np.ones((2, 1), bool), labels[[4, 1]])
    recipe = make_recipe(image_size=0)
    assert builder.row_length(chosen) == 1
    for shown in (builder.clean(chosen), builder.training(chosen, recipe, 3, 1)):
        assert shown.inputs[0].dtype == torch.float32
        assert torch.equal(shown.inputs[0], torch.from_numpy(values[[1, 4]]).float())
        assert shown.targets.dtype == torch.float32
        assert shown.targets.tolist() == levels[[1, 1]].tolist()
