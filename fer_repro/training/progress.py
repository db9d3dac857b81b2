"""Progress that reads well, on stderr: a bar on a terminal; in a log a line per epoch and per minute."""

import sys
import time
from typing import Any

from tqdm import tqdm

from fer_repro.terminal import Sparse, about

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
        shown: say anything at all; of several processes one does.
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
        """Count one step; say how long the whole takes, and in a log by the minute how far it is."""
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
        """Tell of a finished epoch.

        Args:
            record: a row of the history.
        """
        now = time.monotonic()
        steps = self._done - self._epoch_first
        rate = steps / self._steps * self._images / max(now - self._epoch_begin, 1e-9)
        line = (
            f"{self.name}  epoch {record['epoch']}/{self._epochs}  loss {record['train_loss']:.4f}  "
            f"train {100 * record['train_accuracy']:.2f} %  val {100 * record['val_accuracy']:.2f} %"
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
