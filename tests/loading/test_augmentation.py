"""Images in another size: the library's interpolation, whatever the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from fer_repro.config import AugmentationConfig, EraseConfig, JitterConfig
from fer_repro.datasets.draws import Stream
from fer_repro.loading.augmentation import (
    affine_maps,
    augmented_copy,
    clean_images,
    draw_changes,
    drawn_maps,
    erase,
    jitter,
    pixel_centres,
    resize,
    training_images,
    warp,
)

PLAIN = {"crop": 0.0, "jitter": None, "erase": None, "resampling": "two_step"}
STRONG = AugmentationConfig(flip=0.5, rotation=30.0, shift=0.1, scale=0.2, **PLAIN)
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
    assert torch.allclose(warp(faces, one(flip=True).expand(4, -1, -1), 48), tv.hflip(faces), atol=1e-5)


@pytest.mark.parametrize("degrees", [-30.0, -7.3, 12.0, 90.0])
def test_a_rotation_is_torchvisions(images, degrees):
    faces = smooth(images)
    found = warp(faces, one(degrees=degrees).expand(4, -1, -1), 48)
    expected = tv.rotate(faces, degrees, InterpolationMode.BILINEAR, fill=None)
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("flip", [False, True])
def test_the_composition_is_torchvisions(images, flip):
    faces = smooth(images)
    found = warp(faces, one(flip, 20.0, 1.15, 3 / 48, -5 / 48).expand(4, -1, -1), 48)
    flipped = tv.hflip(faces) if flip else faces
    expected = tv.affine(
        flipped, -20.0, [3, -5], 1.15, [0.0, 0.0], InterpolationMode.BILINEAR, fill=None
    )  # tv.affine turns clockwise
    assert (found - expected).abs().max() < 1e-4


def test_corners_of_a_rotated_image_are_black():
    white = torch.ones(1, 1, SIZE, SIZE)
    turned = warp(white, one(degrees=30.0), SIZE)
    assert turned[0, 0, 0, 0] == 0
    assert turned[0, 0, SIZE // 2, SIZE // 2] == 1


EVERYTHING = AugmentationConfig(
    flip=0.5,
    rotation=30.0,
    shift=0.1,
    scale=0.2,
    crop=0.3,
    jitter=JitterConfig(0.3, 0.3, 0.3),
    erase=EraseConfig(0.5, (0.02, 0.3), 3.3),
    resampling="two_step",
)


@pytest.mark.parametrize("config", [STRONG, EVERYTHING, replace(EVERYTHING, resampling="composed")])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_is_bit_equal_alone_and_in_any_batch(images, config, channels):
    images = images.expand(-1, channels, -1, -1).clone()
    samples = np.arange(100, 137)
    whole = training_images(images, samples, SIZE, config, 3, 5)
    for begin, end in [(0, 1), (36, 37), (5, 12), (1, 37)]:
        part = training_images(images[begin:end], samples[begin:end], SIZE, config, 3, 5)
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
    none = AugmentationConfig(flip=0.0, rotation=0.0, shift=0.0, scale=0.0, **PLAIN)
    found = training_images(images, np.arange(37), SIZE, none, 0, 0)
    assert torch.allclose(found, clean_images(images, SIZE), atol=2e-5)


def test_half_of_the_samples_are_flipped():
    ramp = torch.linspace(0, 255, 48).to(torch.uint8).expand(400, 1, 48, 48)
    flips = AugmentationConfig(flip=0.5, rotation=0.0, shift=0.0, scale=0.0, **PLAIN)
    found = training_images(ramp, np.arange(400), 48, flips, 0, 0)
    falls = (found[:, 0, 0, 0] > found[:, 0, 0, -1]).float().mean()
    assert 0.4 < float(falls) < 0.6


def test_one_resampling_without_strength_is_the_enlargement(images):
    none = AugmentationConfig(0.0, 0.0, 0.0, 0.0, **{**PLAIN, "resampling": "composed"})
    found = training_images(images, np.arange(37), SIZE, none, 0, 0)
    assert torch.allclose(found, clean_images(images, SIZE), atol=2e-5)


def test_one_resampling_of_a_smooth_face_is_close_to_two():
    """A linear ramp: both are exact inside, so they differ at the black corners alone."""
    ramp = torch.linspace(0, 255, 48).to(torch.uint8).expand(8, 1, 48, 48)
    turned = AugmentationConfig(0.5, 20.0, 0.0, 0.0, **PLAIN)
    two = training_images(ramp, np.arange(8), SIZE, turned, 0, 0)
    one_step = training_images(ramp, np.arange(8), SIZE, replace(turned, resampling="composed"), 0, 0)
    middle = slice(SIZE // 4, -SIZE // 4)
    assert (two - one_step)[..., middle, middle].abs().max() < 0.01
    assert (two - one_step).abs().mean() < 0.02
    assert one_step[0, 0, 0, 0] == 0


def test_images_that_shrink_are_smoothed_in_both(images):
    small = SIZE // 4
    one_step = replace(STRONG, resampling="composed")
    found = [training_images(images, np.arange(37), small, each, 0, 0) for each in (STRONG, one_step)]
    assert torch.equal(*found)


def test_positions_are_rounded_as_one_by_one(images):
    """Trained numbers depend on their last digits: a x + (b y + c) in float32."""
    maps = drawn_maps(STRONG, draw_changes(0, Stream.TRAINING, 0, np.arange(3)))
    centres = [np.float32(2 * k + 1) / np.float32(24) - np.float32(1) for k in range(24)]
    grid = [[[[a * x + (b * y + c) for a, b, c in each] for x in centres] for y in centres] for each in maps]
    floats = images[:3].float() / 255
    expected = torch.nn.functional.grid_sample(floats, torch.tensor(np.array(grid)), align_corners=False)
    assert torch.equal(warp(floats, torch.from_numpy(maps), 24), expected)


def test_one_resampling_of_images_in_their_size_is_that_of_two(images):
    found = [
        training_images(images, np.arange(37), 48, each, 0, 0)
        for each in (STRONG, replace(STRONG, resampling="composed"))
    ]
    assert torch.equal(*found)


def test_a_crop_is_a_window_of_the_image():
    """Positions name themselves in a ramp: the corners of the result tell where the window lay."""
    config = AugmentationConfig(0.0, 0.0, 0.0, 0.0, **{**PLAIN, "crop": 0.5})
    draws = draw_changes(0, Stream.TRAINING, 0, np.arange(500))
    maps = drawn_maps(config, draws).astype(float)
    sides, corners = maps[:, 0, 0], maps[:, :, 2]
    assert maps[:, 0, 1].tolist() == maps[:, 1, 0].tolist() == [0.0] * 500
    assert 0.5 <= sides.min() < 0.52
    assert 0.98 < sides.max() <= 1
    assert (np.abs(corners) <= 1 - sides[:, None] + 1e-6).all()  # within the image
    assert np.corrcoef(corners.T)[0, 1] == pytest.approx(0, abs=0.15)  # right and down apart
    assert np.abs(corners.mean(0)).max() < 0.05


def test_jitter_against_torchvision(images):
    faces = images[:3].expand(-1, 3, -1, -1).float() / 255 * torch.tensor([1.0, 0.7, 0.4])[:, None, None]
    drawn = {"brightness": [0.1, 0.5, 0.9], "contrast": [0.9, 0.2, 0.5], "saturation": [0.3, 1.0, 0.0]}
    draws = {name: np.array(values) for name, values in drawn.items()}
    found = jitter(faces, JitterConfig(0.4, 0.2, 0.6), draws)
    for k, face in enumerate(faces):
        face = tv.adjust_brightness(face, 1 + (2 * drawn["brightness"][k] - 1) * 0.4)
        mean, sharper = face.mean(), 1 + (2 * drawn["contrast"][k] - 1) * 0.2  # of all channels
        face = (mean + (face - mean) * sharper).clamp(0, 1)
        face = tv.adjust_saturation(face, 1 + (2 * drawn["saturation"][k] - 1) * 0.6)
        assert (found[k] - face).abs().max() < 1e-3  # its weights of grey have three digits and one more


def test_erasing_takes_the_drawn_share_of_images_and_area():
    white = torch.ones(2000, 1, 40, 40)
    draws = draw_changes(0, Stream.TRAINING, 3, np.arange(2000))
    black = (erase(white, EraseConfig(0.25, (0.1, 0.2), 2.0), draws) == 0)[:, 0]
    areas = black.double().mean((1, 2))
    hit = areas > 0
    assert 0.21 < hit.double().mean() < 0.29
    assert 0.08 < areas[hit].min() < 0.12
    assert 0.18 < areas[hit].max() < 0.22
    for image in black[hit][:50]:  # one whole rectangle
        rows, columns = image.any(1), image.any(0)
        assert int(image.sum()) == int(rows.sum()) * int(columns.sum())
        assert 1 / 2.5 < int(columns.sum()) / int(rows.sum()) < 2.5
    assert torch.equal(erase(white, EraseConfig(0.0, (0.1, 0.2), 2.0), draws), white)


def photos(side, count=5, channels=3):
    return torch.rand(count, channels, *side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("side", "size"), [(48, 64), (36, 64), (57, 64), (48, 224), (3, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_enlarging_is_interpolate_and_stays_within_its_range(side, size, channels):
    images = photos((side, side), channels=channels)
    found = resize(images, size)
    expected = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.amin() >= images.amin() - 1e-6
    assert found.amax() <= images.amax() + 1e-6


def test_sides_that_differ_are_enlarged_each_by_its_own_share():
    images = photos((10, 30))
    expected = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(images, 32), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [(100, 100), (100, 20)])
def test_shrinking_has_no_aliases(side):
    images = photos(side)
    expected = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(resize(images, 32), expected, rtol=0, atol=1e-6)
    stripes = torch.zeros(1, 1, 96, 96)
    stripes[..., ::2] = 1
    found = resize(stripes, 32)[..., 1:-1]
    assert (found - 0.5).abs().max() < 0.06  # every third column alone would be 0 or 1


@pytest.mark.parametrize("side", [48, 100])
def test_an_image_does_not_depend_on_its_batch(side):
    images = photos((side, side), count=37)
    alone = torch.cat([resize(images[n : n + 1], 64) for n in range(37)])
    assert torch.equal(resize(images, 64), alone)


def test_images_in_their_size_are_themselves():
    images = photos((64, 64))
    assert resize(images, 64) is images


@pytest.mark.parametrize("side", [24, 80])
def test_grey_shown_as_three_channels_stays_one_plane(side):
    grey = photos((side, side), channels=1)
    found = resize(grey.expand(-1, 3, -1, -1), 48)
    assert found.stride(1) == 0
    assert torch.equal(found, resize(grey, 48).expand(-1, 3, -1, -1))


def test_centres_lie_half_a_pixel_within():
    like = torch.zeros(1, dtype=torch.float64)
    np.testing.assert_allclose(pixel_centres(4, like).numpy(), [-0.75, -0.25, 0.25, 0.75])
