import colorsys

import cv2
import numpy as np
import pytest
import torch

from fer_repro.loading.distortions import hls_to_rgb, hsv_to_rgb, rgb_to_hls, rgb_to_hsv


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    images = generator.random((2, 3, 8, 8), np.float32)
    images[0, :, 0] = images[0, :1, 0]  # greys
    images[0, :, 1, :3] = np.eye(3)  # pure colours
    images[0, :, 2, 0], images[0, :, 2, 1] = 0.0, 1.0
    return torch.from_numpy(images)


@pytest.mark.parametrize(
    ("convert", "single"), [(rgb_to_hsv, colorsys.rgb_to_hsv), (rgb_to_hls, colorsys.rgb_to_hls)]
)
def test_conversions_are_pythons(images, convert, single):
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).double()
    found = convert(images.double()).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    expected = np.array([single(*pixel) for pixel in pixels.tolist()])
    assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("convert", "code"),
    [(rgb_to_hsv, cv2.COLOR_RGB2HSV), (rgb_to_hls, cv2.COLOR_RGB2HLS)],
)
def test_conversions_are_opencvs(images, convert, code):
    for image, found in zip(images, convert(images), strict=True):
        expected = cv2.cvtColor(image.permute(1, 2, 0).contiguous().numpy(), code)
        expected[..., 0] /= 360
        assert np.allclose(found.permute(1, 2, 0).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("convert", "single"), [(hsv_to_rgb, colorsys.hsv_to_rgb), (hls_to_rgb, colorsys.hls_to_rgb)]
)
def test_ways_back_are_pythons(images, convert, single):
    images = images.double()
    images[:, 0] = 3.0 * images[:, 0] - 1.0  # hues may have turned beyond the circle
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    found = convert(images).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    expected = np.array([single(hue % 1.0, *rest) for hue, *rest in pixels.tolist()])
    assert np.allclose(found, expected, atol=1e-12)
