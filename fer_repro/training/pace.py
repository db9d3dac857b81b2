"""How fast an epoch went, where its time went, and the memory it took."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from lightning.fabric import Fabric

if sys.platform != "win32":
    import resource

T = TypeVar("T")


class Pace:
    """Times one epoch's training, without its validation.

    Args:
        fabric: whose device computes.
    """

    def __init__(self, fabric: "Fabric") -> None:
        self._device = fabric.device
        self._waited = 0.0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._begin = time.perf_counter()

    def fed(self, batches: Iterable[T]) -> Iterator[T]:
        """Hand on batches and count the time that reading and augmenting them took on the host."""
        source = iter(batches)
        while True:
            begin = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            self._waited += time.perf_counter() - begin
            yield batch

    def epoch(self, number: int, items: float) -> dict[str, float]:
        """Close the epoch.

        Args:
            number: of the epoch, from 1.
            items: that it trained on since the start of this object, in all processes.

        Returns:
            epoch; seconds; images_per_second (items for clips); data_share, the share of the time in which
            the loop waited for data; memory_mb, the highest so far: of the accelerator, else of the process
            (absent where the system does not tell).
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds = time.perf_counter() - self._begin
        record = {
            "epoch": number,
            "seconds": round(seconds, 3),
            "images_per_second": round(items / seconds, 1),
            "data_share": round(self._waited / seconds, 4),
        }
        memory = self._memory()
        return record if memory is None else {**record, "memory_mb": round(memory, 1)}

    def _memory(self) -> float | None:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        if sys.platform == "win32":
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB elsewhere
