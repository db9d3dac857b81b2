import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from fer_repro.config import AugmentationConfig
from fer_repro.data.augmentation import affine_maps, augmented_copy, clean_images, training_images, warp

STRONG = AugmentationConfig(flip=0.5, rotation=30.0, shift=0.1, scale=0.2)
SIZE = 64


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (37, 1, 48, 48), generator=generator, dtype=torch.uint8)


def one(flip=False, degrees=0.0, factor=1.0, right=0.0, down=0.0):
    return torch.from_numpy(
        affine_maps(*(np.array([value]) for value in (flip, degrees, factor, right, down)))
    )


def smooth(images):
    return tv.gaussian_blur(images.float() / 255, [7, 7])[:4]


def test_clean_images_are_the_bilinear_enlargement(images):
    found = clean_images(images, SIZE)
    expected = tv.resize(images.float() / 255, [SIZE, SIZE], InterpolationMode.BILINEAR, antialias=False)
    assert found.shape == (37, 3, SIZE, SIZE)
    assert torch.allclose(found, expected.expand(-1, 3, -1, -1), atol=1e-6)


def test_shrinking_averages(images):
    expected = tv.resize(images.float() / 255, [24, 24], InterpolationMode.BILINEAR, antialias=True)
    assert torch.allclose(clean_images(images, 24)[:, :1], expected, atol=1e-6)


def test_a_flip_is_torchvisions(images):
    faces = smooth(images)
    assert torch.allclose(warp(faces, one(flip=True).expand(4, -1, -1)), tv.hflip(faces), atol=1e-5)


@pytest.mark.parametrize("degrees", [-30.0, -7.3, 12.0, 90.0])
def test_a_rotation_is_torchvisions(images, degrees):
    faces = smooth(images)
    found = warp(faces, one(degrees=degrees).expand(4, -1, -1))
    expected = tv.rotate(faces, degrees, InterpolationMode.BILINEAR, fill=None)
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("flip", [False, True])
def test_the_composition_is_torchvisions(images, flip):
    faces = smooth(images)
    found = warp(faces, one(flip, 20.0, 1.15, 3 / 48, -5 / 48).expand(4, -1, -1))
    flipped = tv.hflip(faces) if flip else faces
    expected = tv.affine(
        flipped, -20.0, [3, -5], 1.15, [0.0, 0.0], InterpolationMode.BILINEAR, fill=None
    )  # tv.affine turns clockwise
    assert (found - expected).abs().max() < 1e-4


def test_corners_of_a_rotated_image_are_black():
    white = torch.ones(1, 1, SIZE, SIZE)
    turned = warp(white, one(degrees=30.0))
    assert turned[0, 0, 0, 0] == 0
    assert turned[0, 0, SIZE // 2, SIZE // 2] == 1


def test_a_sample_is_bit_equal_alone_and_in_any_batch(images):
    samples = np.arange(100, 137)
    whole = training_images(images, samples, SIZE, STRONG, 3, 5)
    for begin, end in [(0, 1), (36, 37), (5, 12), (1, 37)]:
        part = training_images(images[begin:end], samples[begin:end], SIZE, STRONG, 3, 5)
        assert torch.equal(part, whole[begin:end])


def test_every_epoch_seed_and_copy_draws_anew(images):
    samples = np.arange(37)
    drawn = [
        training_images(images, samples, SIZE, STRONG, seed, epoch) for seed in (0, 1) for epoch in (0, 1)
    ]
    drawn += [augmented_copy(images, samples, SIZE, STRONG, 0, copy) for copy in (0, 1)]
    for i, first in enumerate(drawn):
        assert 0 <= float(first.min()) <= float(first.max()) <= 1
        for second in drawn[:i]:
            assert (first - second).flatten(1).abs().max(1).values.min() > 0.01


def test_without_strength_only_the_enlargement_remains(images):
    none = AugmentationConfig(flip=0.0, rotation=0.0, shift=0.0, scale=0.0)
    found = training_images(images, np.arange(37), SIZE, none, 0, 0)
    assert torch.allclose(found, clean_images(images, SIZE), atol=2e-5)


def test_half_of_the_samples_are_flipped():
    ramp = torch.linspace(0, 255, 48).to(torch.uint8).expand(400, 1, 48, 48)
    flips = AugmentationConfig(flip=0.5, rotation=0.0, shift=0.0, scale=0.0)
    found = training_images(ramp, np.arange(400), 48, flips, 0, 0)
    falls = (found[:, 0, 0, 0] > found[:, 0, 0, -1]).float().mean()
    assert 0.4 < float(falls) < 0.6
