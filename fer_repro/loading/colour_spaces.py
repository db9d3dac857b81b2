"""RGB to HSV and HLS and back, on batches; hue runs from 0 to 1 around the circle."""

import torch
from torch import Tensor


def rgb_to_hsv(images: Tensor) -> Tensor:
    """Convert (N, 3, H, W) in [0, 1] to hue in [0, 1), saturation and value; grey has hue 0."""
    hue, low, high = _hue(images)
    spread = high - low
    saturation = torch.where(spread > 0, spread / high, 0.0)
    return torch.stack([hue, saturation, high], dim=1)


def hsv_to_rgb(images: Tensor) -> Tensor:
    """Convert hue (any number of turns), saturation and value (N, 3, H, W) to RGB."""
    hue, saturation, value = images.unbind(1)
    channels = []
    for start in (5.0, 3.0, 1.0):  # sixths of a turn by which a channel is ahead
        turned = torch.remainder(start + 6.0 * hue, 6.0)
        ramp = torch.minimum(turned, 4.0 - turned).clamp(0.0, 1.0)
        channels.append(value - value * saturation * ramp)
    return torch.stack(channels, dim=1)


def rgb_to_hls(images: Tensor) -> Tensor:
    """Convert (N, 3, H, W) in [0, 1] to hue in [0, 1), lightness and saturation; grey has hue 0."""
    hue, low, high = _hue(images)
    spread, double = high - low, high + low
    room = torch.where(double < 1.0, double, 2.0 - double)
    saturation = torch.where(spread > 0, spread / room, 0.0)
    return torch.stack([hue, 0.5 * double, saturation], dim=1)


def hls_to_rgb(images: Tensor) -> Tensor:
    """Convert hue (any number of turns), lightness and saturation (N, 3, H, W) to RGB."""
    hue, lightness, saturation = images.unbind(1)
    reach = saturation * torch.minimum(lightness, 1.0 - lightness)
    channels = []
    for start in (0.0, 8.0, 4.0):  # twelfths of a turn
        turned = torch.remainder(start + 12.0 * hue, 12.0)
        ramp = torch.minimum(turned - 3.0, 9.0 - turned).clamp(-1.0, 1.0)
        channels.append(lightness - reach * ramp)
    return torch.stack(channels, dim=1)


def _hue(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue, smallest and largest channel, each (N, H, W)."""
    red, green, blue = images.unbind(1)
    low, high = images.amin(1), images.amax(1)
    spread = torch.where(high > low, high - low, 1.0)
    hue = torch.where(high == green, (blue - red) / spread + 2.0, (red - green) / spread + 4.0)
    hue = torch.where(high == red, (green - blue) / spread, hue)
    return torch.remainder(hue / 6.0, 1.0), low, high
