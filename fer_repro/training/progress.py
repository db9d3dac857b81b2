"""Progress of a training on screen, and how fast its epochs went and what memory they took."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from tqdm import tqdm

from fer_repro.terminal import Sparse, about

if TYPE_CHECKING:
    from lightning.fabric import Fabric

FIRST = 10.0  # seconds until the whole time is estimated
LONG = 3600.0  # seconds of an arm from which on a faster way is named


class Progress:
    """Follows one fit.

    Args:
        name: of the run, e.g. ``synthetic/rmn/0/masked``.
        epochs: at most so many.
        steps: per epoch.
        images: per epoch.
        done: steps that a checkpoint already holds.
        shown: print anything at all; of several processes one does.
        faster: what would shorten a training of hours.
    """

    def __init__(
        self,
        name: str,
        epochs: int,
        steps: int,
        images: int,
        done: int = 0,
        shown: bool = True,
        faster: str = "",
    ) -> None:
        self.name, self._shown, self._faster = name, shown, faster
        self._epochs, self._images = epochs, images
        self._total, self._done, self._first = epochs * steps, done, done
        self._begin = self._epoch_begin = time.monotonic()
        self._steps, self._epoch_first = steps, done
        self._estimated = False
        self._lines = Sparse()
        self._bar = tqdm(
            total=self._total, initial=done, desc=name, disable=not (shown and sys.stderr.isatty())
        )

    def step(self) -> None:
        """Count one step; report how long the whole takes, and in a log every minute how far it is."""
        self._done += 1
        self._bar.update()
        if not self._shown:
            return
        if not self._estimated and time.monotonic() - self._begin >= FIRST:
            self._estimate()
        if self._bar.disable and self._lines.is_due():
            self._say(
                f"{self.name}  step {self._done} of {self._total}  {self._pace():.3g} s a step  "
                f"{about(self._left())} left"
            )

    def epoch(self, record: dict[str, Any]) -> None:
        """Report a finished epoch.

        Args:
            record: a row of the history.
        """
        now = time.monotonic()
        steps = self._done - self._epoch_first
        rate = steps / self._steps * self._images / max(now - self._epoch_begin, 1e-9)
        if "val_accuracy" in record:
            right = f"train {100 * record['train_accuracy']:.2f} %  val {100 * record['val_accuracy']:.2f} %"
        else:
            right = f"val loss {record['val_loss']:.4f}"
        line = (
            f"{self.name}  epoch {record['epoch']}/{self._epochs}  loss {record['train_loss']:.4f}  {right}"
            f"{' best' if record['best'] else ''}  {rate:.0f} images/s  "
            f"{about(self._left())} left"
        )
        if self._shown:
            self._say(line)
        self._lines.reset()
        self._epoch_begin, self._epoch_first = now, self._done

    def close(self) -> None:
        """Finish the bar."""
        self._bar.close()

    def _pace(self) -> float:
        """Give the seconds of a step, with the validations so far."""
        return (time.monotonic() - self._begin) / max(self._done - self._first, 1)

    def _left(self) -> float:
        return self._pace() * (self._total - self._done)

    def _estimate(self) -> None:
        self._estimated, left = True, self._left()
        if left >= LONG:
            self._say(
                f"{self.name}: about {about(left)} for this arm on this machine: {self._total - self._done} "
                f"steps at {self._pace():.3g} s, and validation{self._faster and f'; {self._faster}'}"
            )

    @staticmethod
    def _say(line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()


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
        """Yield batches and count the time that reading and augmenting them took on the host."""
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
            (absent where the system does not report it).
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
