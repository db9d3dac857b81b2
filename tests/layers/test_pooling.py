"""Pyramid pooling beside the golden, beside adaptive pooling, and what its gradient reaches."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fill import fill

from fer_repro.layers.pooling import PyramidPooling

GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = json.loads((GOLDENS / "spatial_pyramid_pooling.json").read_text())["cases"]
ADAPTIVE = {"max": F.adaptive_max_pool2d, "mean": F.adaptive_avg_pool2d}


@pytest.mark.parametrize("reduction", ADAPTIVE)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["tag"])
def test_windows_are_those_of_the_golden(case, reduction):
    with np.load(GOLDENS / "spatial_pyramid_pooling.npz") as kept:
        expected = kept[f"{case['tag']}_{reduction}"]
    maps = torch.from_numpy(fill(f"spp_{case['tag']}", case["shape"]))
    pooling = PyramidPooling(case["levels"], reduction)
    assert case["shape"][1] * pooling.windows == case["dimensions"]
    np.testing.assert_allclose(pooling(maps), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduction", ADAPTIVE)
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 2, 2, 2), (3, 1, 11, 4), (1, 4, 13, 17)], ids=str)
def test_windows_are_those_of_adaptive_pooling(shape, reduction):
    maps = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))
    for levels in ((1,), (5, 3), (1, 2, 4), (1, 1, 6)):
        expected = torch.cat([ADAPTIVE[reduction](maps, level).flatten(1) for level in levels], dim=1)
        torch.testing.assert_close(PyramidPooling(levels, reduction)(maps), expected, rtol=1e-12, atol=1e-14)


def test_every_place_is_in_a_window_of_every_level():
    maps = torch.zeros(1, 2, 7, 5, requires_grad=True)
    for level in (1, 2, 3, 4, 9):
        (gradient,) = torch.autograd.grad(PyramidPooling((level,), "mean")(maps).sum(), maps)
        assert (gradient > 0).all()
        assert gradient.sum().item() == pytest.approx(2 * level * level)


@pytest.mark.parametrize("levels", [(), (1, 0), (2, -1)])
def test_levels_below_one_are_refused(levels):
    with pytest.raises(ValueError, match="expected at least one, each 1 or more"):
        PyramidPooling(levels, "max")
