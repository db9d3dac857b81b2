"""Pyramid pooling: one value of each window of a map, at several levels (arXiv:1406.4729, Sec. 2.2)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Reduction = Literal["max", "mean"]


class PyramidPooling(nn.Module):
    """Divide maps into l x l windows for each level l, and keep the maximum or the mean of every window.

    Window i of l covers rows floor(i H / l) up to, not including, ceil((i + 1) H / l), and columns alike: the
    windows of ``torch.nn.functional.adaptive_max_pool2d``, whose gradient has no deterministic form on a GPU.
    Neighbours overlap where l does not divide the side, and of a map smaller than l places are repeated.

    Args:
        levels: windows along a side, such as (1, 2, 4); a level that is named n times is kept n times.
        reduction: what is kept of a window; of the only one of level 1 it is the global maximum or mean.

    Raises:
        ValueError: there is no level, or one is below 1.
    """

    def __init__(self, levels: Sequence[int], reduction: Reduction) -> None:
        super().__init__()
        if not levels or min(levels) < 1:
            raise ValueError(f"levels are {tuple(levels)}: expected at least one, each 1 or more")
        self.levels = tuple(levels)
        self.reduction = reduction

    @property
    def windows(self) -> int:
        """How many values it keeps of a map."""
        return sum(level * level for level in self.levels)

    def forward(self, maps: Tensor) -> Tensor:
        """Pool maps (N, C, h, w) into (N, C x windows): level after level, in each channel, row, column."""
        return torch.cat([self._level(maps, level) for level in self.levels], dim=1)

    def _level(self, maps: Tensor, level: int) -> Tensor:
        rows, columns = (_bounds(side, level) for side in maps.shape[2:])
        windows = [maps[:, :, top:bottom, left:right] for top, bottom in rows for left, right in columns]
        reduced = [getattr(window, _REDUCED[self.reduction])(dim=(2, 3)) for window in windows]
        return torch.stack(reduced, dim=2).flatten(1)  # (N, C x level x level)


_REDUCED = {"max": "amax", "mean": "mean"}


def _bounds(side: int, level: int) -> list[tuple[int, int]]:
    return [(i * side // level, -(-(i + 1) * side // level)) for i in range(level)]
