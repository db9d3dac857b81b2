"""Gabor filters and the layer that has them, against plain loops."""

import math

import numpy as np
import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.layers.gabor import FilterLayer, gabor_bank, gabor_kernel, random_bank

cv2 = pytest.importorskip("cv2")


def naive(side, sigma, theta, wavelength, aspect, phase):
    half, rows = side // 2, []
    for y in range(half, -half - 1, -1):
        row = []
        for x in range(half, -half - 1, -1):
            along = x * math.cos(theta) + y * math.sin(theta)
            across = -x * math.sin(theta) + y * math.cos(theta)
            envelope = math.exp(-(along**2 + aspect**2 * across**2) / (2 * sigma**2))
            row.append(envelope * math.cos(2 * math.pi * along / wavelength + phase))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("numbers", [(5, 1.5, 0.3, 4.0, 0.5, 0.7), (7, 2.0, 2.0, 5.0, 1.0, math.pi / 2)])
def test_a_kernel_is_the_formula_and_opencvs(numbers):
    found = gabor_kernel(*numbers).numpy()
    np.testing.assert_allclose(found, naive(*numbers), rtol=1e-12, atol=1e-15)
    side, *rest = numbers
    theirs = cv2.getGaborKernel((side, side), *rest, ktype=cv2.CV_64F)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("side", [0, -3, 4])
def test_even_sides_are_refused(side):
    with pytest.raises(UserError, match=rf"of side {side}: expected an odd number"):
        gabor_kernel(side, 1.0, 0.0, 4.0, 0.5, 0.0)


@pytest.mark.parametrize("bank", [gabor_bank, random_bank])
def test_filters_ignore_brightness_and_have_norm_one(bank):
    filters = bank(16)
    assert filters.shape == (16, 7, 7)
    torch.testing.assert_close(filters.sum((1, 2)), torch.zeros(16, dtype=torch.float64))
    torch.testing.assert_close(filters.norm(dim=(1, 2)), torch.ones(16, dtype=torch.float64))
    directions = filters.flatten(1) @ filters.flatten(1).T - torch.eye(16)
    assert directions.abs().max() < 0.95, "no filter is there twice"


def test_a_bank_has_even_and_odd_filters_of_four_directions():
    even, odd = gabor_bank(8).split(4)
    torch.testing.assert_close(even.flip(1, 2), even)
    torch.testing.assert_close(odd.flip(1, 2), -odd)
    torch.testing.assert_close(even[2], even[0].T)  # 90 and 0 degrees


@pytest.mark.parametrize("count", [0, 2, 10])
def test_banks_of_other_sizes_are_refused(count):
    with pytest.raises(UserError, match=rf"a bank of {count} Gabor filters: expected a multiple of 4"):
        gabor_bank(count)


@pytest.mark.parametrize("use", ["learnt", "fixed", "initial", "factor"])
def test_what_is_learnt(use):
    torch.manual_seed(0)
    bank, layer = gabor_bank(8), FilterLayer(8, use, None if use == "learnt" else gabor_bank(8))
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    layer(images).square().sum().backward()
    assert [name for name, _ in layer.named_parameters()] == ([] if use == "fixed" else ["weight"])
    found = layer.effective().detach().double()
    if use in ("fixed", "initial"):
        grey = torch.rand(1, 1, 16, 16, dtype=torch.float64)
        alone = torch.nn.functional.conv2d(grey, bank[:, None], stride=2, padding=3) * math.sqrt(3)
        ours = torch.nn.functional.conv2d(grey.repeat(1, 3, 1, 1), found, stride=2, padding=3)
        torch.testing.assert_close(ours, alone, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.ones(8).double())
    if use == "factor":
        factors = bank / bank.abs().amax((1, 2), keepdim=True)
        expected = layer.weight.detach().double() * factors[:, None].float().double()
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    assert layer(images).shape == (2, 8, 8, 8)


def test_layers_of_one_seed_have_one_beginning():
    weights = []
    for use in ("learnt", "factor"):
        torch.manual_seed(3)
        weights.append(FilterLayer(8, use, gabor_bank(8)).weight)
    assert torch.equal(*weights)
