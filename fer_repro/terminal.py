"""What commands show while they work and when they are done: progress, steps and tables.

Progress goes to stderr: a bar or a spinner on a terminal, lines in a log. Tables go to stdout.
"""

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

ENDLESS = 100_000  # columns: a line that is not for a terminal is never cut


@contextmanager
def progress(total: int, unit: str, every: int = 10_000) -> Iterator[Callable[[int], None]]:
    """Return a function to call with how many more are done; writes to stderr.

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


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Print what is being done, for steps of seconds of unknown length; writes to stderr.

    Args:
        what: e.g. "reading the checkpoint".
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True, highlight=False).status(Text(f"{what} ...")):
            yield
        return
    print(f"{what} ...", file=sys.stderr, flush=True)
    yield


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print a table on stdout.

    On a terminal it has the terminal's width, and long cells are folded. Elsewhere each row is one line and
    no cell is cut, whatever the width.

    Args:
        headings: of the columns.
        rows: their cells.
        right: headings of the columns that are set to the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(
            Text(heading), justify="right" if heading in right else "left", overflow="fold", no_wrap=False
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=None if on_terminal else ENDLESS, highlight=False)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        print(line.rstrip())


def fit_path(path: str, width: int) -> str:
    """Cut a path to its end where it is longer than ``width``; a row of dots replaces the rest."""
    return path if len(path) <= width else f"…{path[1 - width :]}"


class Sparse:
    """Decides when the next line of a log is printed.

    Args:
        seconds: between two lines.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self.reset()

    def is_due(self) -> bool:
        """Return whether so much time has passed since the last line; if so, start again."""
        due = time.monotonic() - self._said >= self._seconds
        if due:
            self.reset()
        return due

    def reset(self) -> None:
        """A line was written."""
        self._said = time.monotonic()


def about(seconds: float) -> str:
    """Print a duration roughly, in one unit.

    >>> about(42.4), about(312), about(7500), about(2e6)
    ('42 s', '5 min', '2.1 hours', '23 days')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    number, unit = (hours, "hours") if hours < 48 else (hours / 24, "days")
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
