"""How far a long job is: a bar on a terminal, now and then a line in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int, unit: str, every: int = 10_000) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many more are done; writes to stderr.

    Args:
        total: how many there will be.
        unit: what is counted, e.g. "images".
        every: without a terminal, one line per so many.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, unit=f" {unit}", leave=False) as bar:
            yield bar.update
        return
    done = 0

    def log(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done // every > before // every or done == total:
            print(f"{done} of {total} {unit}", file=sys.stderr, flush=True)

    yield log
