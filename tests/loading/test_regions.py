"""Crops against the fact sheet's geometry."""

import numpy as np
import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.loading.regions import (
    cut_regions,
    landmark_boxes,
    random_boxes,
    region_boxes,
    region_names,
)

ONE = np.arange(1)
SCHEMES = {"fixed": 6, "affectnet": 8, "random": 6, "landmarks": 11}


def ramp(height, width):
    """Channel 0 tells the column's centre, channel 1 the row's, in pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, 0 * x])[None]


@pytest.mark.parametrize("crops", SCHEMES)
def test_the_whole_face_is_always_last(crops):
    boxes = region_boxes(crops, np.arange(3), points=np.full((3, 5, 2), 0.5))
    assert boxes.shape[-2:] == (SCHEMES[crops], 4)
    assert (boxes[..., -1, :] == [0, 0, 1, 1]).all()
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert len(region_names(crops)) == SCHEMES[crops]
    assert region_names(crops)[-1] == "whole face"


def test_fixed_crops_have_the_papers_sizes_and_places():
    boxes = region_boxes("fixed", ONE)
    sides = (boxes[:, 2:] - boxes[:, :2]).round(12)
    assert (sides[:, 0] == sides[:, 1]).all()
    assert sides[:, 0].tolist() == [0.75, 0.75, 0.75, 0.9, 0.85, 1]
    centres = ((boxes[:, 2:] + boxes[:, :2]) / 2).round(12).tolist()
    assert centres == [[0.375, 0.375], [0.625, 0.375], [0.5, 0.625], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]


def test_affectnet_crops_are_the_codes():
    boxes = region_boxes("affectnet", ONE)
    sides = (boxes[:, 2] - boxes[:, 0]).round(12).tolist()
    assert sides == [0.75, 0.75, 0.75, 0.9, 0.8, 0.75, 0.75, 1]
    assert boxes[0].tolist() == [0.125, 0.25, 0.875, 1]
    assert boxes[6].tolist() == [0.125, 0, 0.875, 0.75]


def test_common_boxes_are_truncated_to_pixels():
    """48 pixels: the centre of 0.9 is int(2.4) to int(45.6), of 0.85 int(3.6) to int(44.4)."""
    image = torch.rand(1, 3, 48, 48)
    regions = cut_regions(image, region_boxes("fixed", ONE), 64)
    for n, (top, bottom, left, right) in {
        0: (0, 36, 0, 36), 1: (0, 36, 12, 48), 2: (12, 48, 6, 42), 3: (2, 45, 2, 45), 4: (3, 44, 3, 44),
    }.items():  # fmt: skip
        crop = torch.nn.functional.interpolate(
            image[..., top:bottom, left:right], size=(64, 64), mode="bilinear", align_corners=False
        )
        torch.testing.assert_close(regions[:, n], crop, rtol=1e-6, atol=1e-5)
    assert torch.equal(cut_regions(image, region_boxes("fixed", ONE), 48)[:, -1], image)


def test_width_and_height_are_not_swapped():
    """The authors' code swaps them, which shows on faces that are not square."""
    region = cut_regions(ramp(40, 80), np.array([[0.25, 0.0, 1.0, 0.75]]), 30)[0, 0]
    x, y = region[0], region[1]
    assert (x.min() > 20).item()
    assert (x.max() > 78).item()
    assert (y.max() <= 30).item()


def test_random_crops_are_squares_of_the_stated_sizes():
    boxes = random_boxes(5, np.arange(2000), seed=0, counter=0)[:, :-1]
    sides = boxes[..., 2:] - boxes[..., :2]
    assert np.allclose(sides[..., 0], sides[..., 1])
    assert sides.min() >= 0.7 - 1e-12
    assert sides.max() <= 0.95 + 1e-12
    assert abs(sides.mean() - 0.825) < 0.005
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-12
    assert abs(boxes[..., 0].mean() - (1 - 0.825) / 2) < 0.005


def test_random_crops_depend_on_sample_seed_and_epoch_alone():
    first = region_boxes("random", np.array([4, 7]), seed=1, counter=2)
    assert (region_boxes("random", np.array([7]), seed=1, counter=2)[0] == first[1]).all()
    assert (region_boxes("random", np.array([4, 7]), seed=1, counter=3)[:, :-1] != first[:, :-1]).all()
    assert (region_boxes("random", np.array([4, 7]), seed=2, counter=2)[:, :-1] != first[:, :-1]).all()


def test_boxes_of_their_own_are_cut_between_pixels():
    boxes = np.array([[[0.1, 0.2, 0.6, 0.7], [0.0, 0.0, 1.0, 1.0]]])
    regions = cut_regions(ramp(40, 40).double(), boxes, 20)[0]
    steps = (torch.arange(20) + 0.5).double()
    expected = 4 + steps * (20 / 20)  # the box begins at column 4 and has 20 columns
    torch.testing.assert_close(regions[0, 0], expected.expand(20, 20), rtol=0, atol=1e-9)
    torch.testing.assert_close(regions[0, 1], (8 + steps)[:, None].expand(20, 20), rtol=0, atol=1e-9)


@pytest.mark.parametrize("side", [24, 48, 100])
def test_each_face_is_cut_by_its_own_boxes(side):
    images = torch.rand(3, 3, side, side)
    boxes = random_boxes(5, np.arange(3), 0, 0)
    together = cut_regions(images, boxes, 32)
    assert together.shape == (3, 6, 3, 32, 32)
    for n in range(3):
        torch.testing.assert_close(cut_regions(images[n : n + 1], boxes[n : n + 1], 32)[0], together[n])


def test_large_faces_shrink_without_aliases():
    checks = ((torch.arange(256)[:, None] + torch.arange(256)) % 2).float().expand(1, 3, -1, -1)
    for boxes in (region_boxes("fixed", ONE), random_boxes(5, ONE, 0, 0)):
        inner = cut_regions(checks, boxes, 32)[..., 2:-2, 2:-2]
        assert (inner - 0.5).abs().max() < 0.1


def test_landmark_squares_stay_in_the_face_at_their_size():
    points = np.array([[[0.5, 0.5], [0.05, 0.5], [0.98, 0.99]]])
    boxes = landmark_boxes(points, (0.1, 0.25))
    assert boxes.shape == (1, 7, 4)
    assert np.allclose(boxes[0, 0], [0.4, 0.4, 0.6, 0.6])
    assert np.allclose(boxes[0, 1], [0.0, 0.4, 0.2, 0.6])
    assert np.allclose(boxes[0, 2], [0.8, 0.8, 1.0, 1.0])
    assert np.allclose(boxes[0, 3], [0.25, 0.25, 0.75, 0.75])
    assert np.allclose(boxes[0, 4], [0.0, 0.25, 0.5, 0.75])


def test_mistakes_are_one_error():
    with pytest.raises(UserError, match=r"model.crops is 'fix'; did you mean 'fixed'\?"):
        region_boxes("fix", ONE)
    with pytest.raises(UserError, match="'landmarks' needs five points per face"):
        region_boxes("landmarks", ONE)
    with pytest.raises(UserError, match="is empty"):
        cut_regions(torch.rand(1, 3, 2, 2), np.array([[0.1, 0.1, 0.4, 0.4]]), 8)


@pytest.mark.parametrize("size", [20, 30, 48])
def test_grey_faces_are_cut_as_those_of_three_equal_channels(size):
    """Grey ones are shown as one plane three times."""
    plane = torch.rand(4, 1, 30, 30, generator=torch.Generator().manual_seed(0))
    found = cut_regions(plane.expand(-1, 3, -1, -1), region_boxes("fixed", ONE), size)
    assert found.is_contiguous()
    assert torch.equal(found, cut_regions(plane.repeat(1, 3, 1, 1), region_boxes("fixed", ONE), size))
    left, top, right, bottom = (int(30 * edge + 1e-9) for edge in region_boxes("fixed", ONE)[1])
    crop = plane.repeat(1, 3, 1, 1)[..., top:bottom, left:right]
    smooth = max(crop.shape[-2:]) > size
    expected = torch.nn.functional.interpolate(crop, (size, size), mode="bilinear", antialias=smooth)
    torch.testing.assert_close(found[:, 1], expected, rtol=0, atol=1e-5)
