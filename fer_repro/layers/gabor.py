"""Gabor filters, and a first layer of them: fixed, as initial values, or as factors of learnt ones.

A Gabor filter is a wave below a Gaussian. It answers to edges of one direction and one width, and one without
a mean ignores how bright the image is.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError

Use = Literal["learnt", "fixed", "initial", "factor"]
"""What a first layer has of given filters: nothing, all it has, its initial values, or factors."""

SIDE = 7  # of the filters of a first layer, as a ResNet's
DIRECTIONS = 4  # 0, 45, 90 and 135 degrees
_PHASES = (0.0, math.pi / 2)  # even and odd
_SHORTEST = 4.0  # pixels, the wavelength of the first filters; each further one is sqrt(2) times the last
_SIGMA = 0.56  # of the wavelength: a bandwidth of one octave
_ASPECT = 0.5


def gabor_kernel(
    side: int, sigma: float, theta: float, wavelength: float, aspect: float, phase: float
) -> Tensor:
    """Sample a Gabor filter as OpenCV's ``getGaborKernel`` does, whose coordinates fall from +h to -h.

    g = exp(-(x'^2 + aspect^2 y'^2) / (2 sigma^2)) cos(2 pi x' / wavelength + phase), with
    x' = x cos(theta) + y sin(theta) and y' = -x sin(theta) + y cos(theta).

    Args:
        side: of the filter, odd, 2 h + 1.
        sigma: of the Gaussian, pixels.
        theta: direction of the wave, radians.
        wavelength: in pixels.
        aspect: gamma; below 1 the Gaussian is longer across the wave.
        phase: psi, radians.

    Returns:
        (side, side) float64.

    Raises:
        UserError: ``side`` is not odd.
    """
    if side < 1 or side % 2 == 0:
        raise UserError(f"a Gabor filter of side {side}: expected an odd number, such as {max(side, 0) + 1}")
    falling = torch.arange(side // 2, -(side // 2) - 1, -1, dtype=torch.float64)
    y, x = torch.meshgrid(falling, falling, indexing="ij")
    along = x * math.cos(theta) + y * math.sin(theta)
    across = -x * math.sin(theta) + y * math.cos(theta)
    envelope = torch.exp(-(along.square() + (aspect * across).square()) / (2 * sigma**2))
    return envelope * torch.cos(2 * math.pi * along / wavelength + phase)


def gabor_bank(count: int) -> Tensor:
    """Make filters of four directions: even ones, odd ones, and again at the next longer wavelength.

    Args:
        count: a multiple of 4; with 8 there is one wavelength, 4 pixels.

    Returns:
        (count, 7, 7) float64, each of mean 0 and norm 1.

    Raises:
        UserError: ``count`` is no such number.
    """
    if count < DIRECTIONS or count % DIRECTIONS:
        raise UserError(
            f"a bank of {count} Gabor filters: expected a multiple of {DIRECTIONS}, one for each direction"
        )
    kernels = []
    for n in range(count // DIRECTIONS):
        wavelength, phase = _SHORTEST * math.sqrt(2) ** (n // len(_PHASES)), _PHASES[n % len(_PHASES)]
        for step in range(DIRECTIONS):
            theta = math.pi * step / DIRECTIONS
            kernels.append(gabor_kernel(SIDE, _SIGMA * wavelength, theta, wavelength, _ASPECT, phase))
    return _without_mean(torch.stack(kernels))


def random_bank(count: int) -> Tensor:
    """Draw filters of the same mean and norm as Gabor's, (count, 7, 7) float64, from the global generator."""
    return _without_mean(torch.randn(count, SIDE, SIDE, dtype=torch.float64))


def _without_mean(filters: Tensor) -> Tensor:
    filters = filters - filters.mean(dim=(1, 2), keepdim=True)
    return filters / filters.norm(dim=(1, 2), keepdim=True)


class FilterLayer(nn.Module):
    """A first layer: a 7x7 convolution of stride 2 without bias, with or without given filters.

    With ``fixed`` it has no parameter. With ``factor`` each of its weights is multiplied by a given one,
    scaled to a largest size of 1, and what is learnt begins as in a layer without filters.

    Args:
        count: of its channels, W.
        use: of the filters.
        filters: (W, 7, 7); each is the same for all three colours. None with ``learnt``.
    """

    filters: Tensor | None

    def __init__(self, count: int, use: Use = "learnt", filters: Tensor | None = None) -> None:
        super().__init__()
        weight = torch.empty(count, 3, SIDE, SIDE)
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")  # drawn in all arms alike
        given = torch.zeros(count, SIDE, SIDE) if filters is None else filters.to(weight.dtype)
        coloured = (given / math.sqrt(3)).unsqueeze(1).repeat(1, 3, 1, 1)  # norm 1
        largest = given.abs().amax(dim=(1, 2))[:, None, None, None]
        self.weight = None if use == "fixed" else nn.Parameter(coloured if use == "initial" else weight)
        self.register_buffer("filters", {"fixed": coloured, "factor": given.unsqueeze(1) / largest}.get(use))

    def effective(self) -> Tensor:
        """Return the filters that images are convolved with, (W, 3, 7, 7)."""
        if self.weight is None:
            assert self.filters is not None
            return self.filters
        return self.weight if self.filters is None else self.weight * self.filters

    def forward(self, images: Tensor) -> Tensor:
        """Convolve images (N, 3, H, W) to maps (N, count, H/2, W/2)."""
        return F.conv2d(images, self.effective(), stride=2, padding=SIDE // 2)
