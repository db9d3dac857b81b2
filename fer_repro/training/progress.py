"""Progress that reads well: a bar on a terminal, one line per epoch in a log. All of it goes to stderr."""

import sys
import time
from typing import Any

from tqdm import tqdm


class Progress:
    """Follows one fit.

    Args:
        name: of the run, e.g. ``synthetic/rmn/0/masked``.
        epochs: at most so many.
        steps: per epoch.
        images: per epoch.
        done: steps that a checkpoint already holds.
        shown: say anything at all; of several processes one does.
    """

    def __init__(
        self, name: str, epochs: int, steps: int, images: int, done: int = 0, shown: bool = True
    ) -> None:
        self.name, self._shown = name, shown
        self._epochs, self._images = epochs, images
        self._total, self._done, self._first = epochs * steps, done, done
        self._begin = self._epoch_begin = time.monotonic()
        self._steps, self._epoch_first = steps, done
        self._bar = tqdm(
            total=self._total, initial=done, desc=name, disable=not (shown and sys.stderr.isatty())
        )

    def step(self) -> None:
        """Count one step."""
        self._done += 1
        self._bar.update()

    def epoch(self, record: dict[str, Any]) -> None:
        """Tell of a finished epoch.

        Args:
            record: a row of the history.
        """
        now = time.monotonic()
        steps = self._done - self._epoch_first
        rate = steps / self._steps * self._images / max(now - self._epoch_begin, 1e-9)
        left = (now - self._begin) / max(self._done - self._first, 1) * (self._total - self._done)
        line = (
            f"{self.name}  epoch {record['epoch']}/{self._epochs}  loss {record['train_loss']:.4f}  "
            f"train {100 * record['train_accuracy']:.2f} %  val {100 * record['val_accuracy']:.2f} %"
            f"{' best' if record['best'] else ''}  {rate:.0f} images/s  "
            f"{tqdm.format_interval(left)} left"
        )
        if self._shown:
            tqdm.write(line, file=sys.stderr)
            sys.stderr.flush()
        self._epoch_begin, self._epoch_first = now, self._done

    def close(self) -> None:
        """Finish the bar."""
        self._bar.close()
