"""Pictures in another size: the library's interpolation, whatever the batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fer_repro.loading.augmentation import pixel_centres, resize


def pictures(side, count=5, channels=3):
    return torch.rand(count, channels, *side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("side", "size"), [(48, 64), (36, 64), (57, 64), (48, 224), (3, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_enlarging_is_interpolate_and_stays_within_its_range(side, size, channels):
    images = pictures((side, side), channels=channels)
    found = resize(images, size)
    expected = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.amin() >= images.amin() - 1e-6
    assert found.amax() <= images.amax() + 1e-6


def test_sides_that_differ_are_enlarged_each_by_its_own_share():
    images = pictures((10, 30))
    expected = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(images, 32), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [(100, 100), (100, 20)])
def test_shrinking_has_no_aliases(side):
    images = pictures(side)
    expected = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(resize(images, 32), expected, rtol=0, atol=1e-6)
    stripes = torch.zeros(1, 1, 96, 96)
    stripes[..., ::2] = 1
    found = resize(stripes, 32)[..., 1:-1]
    assert (found - 0.5).abs().max() < 0.06  # every third column alone would be 0 or 1


@pytest.mark.parametrize("side", [48, 100])
def test_a_picture_does_not_depend_on_its_batch(side):
    images = pictures((side, side), count=37)
    alone = torch.cat([resize(images[n : n + 1], 64) for n in range(37)])
    assert torch.equal(resize(images, 64), alone)


def test_pictures_in_their_size_are_themselves():
    images = pictures((64, 64))
    assert resize(images, 64) is images


@pytest.mark.parametrize("side", [24, 80])
def test_grey_shown_as_three_channels_stays_one_plane(side):
    grey = pictures((side, side), channels=1)
    found = resize(grey.expand(-1, 3, -1, -1), 48)
    assert found.stride(1) == 0
    assert torch.equal(found, resize(grey, 48).expand(-1, 3, -1, -1))


def test_centres_lie_half_a_pixel_within():
    like = torch.zeros(1, dtype=torch.float64)
    np.testing.assert_allclose(pixel_centres(4, like).numpy(), [-0.75, -0.25, 0.25, 0.75])
