"""How long each notebook takes: measured, kept in notebooks/durations.csv alone, and written at its top.

``python -m fer_repro.pipeline.durations`` writes the sentences anew from that file. With names of notebooks
it measures these first, each in a fresh kernel with its defaults, after a reproduction. Seconds are of
processor time, so that other work on the machine has little influence; an idle machine needs about as many.
"""

import csv
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fer_repro.errors import UserError, exit_code, nearest
from fer_repro.files import atomic_write
from fer_repro.pipeline.inputs import NOTEBOOKS
from fer_repro.pipeline.notebooks import run_notebook

DURATIONS = NOTEBOOKS / "durations.csv"
_SENTENCE = re.compile(r"(?<=\*\*Takes\*\* )about (?:a minute|\d+ seconds|\d+ minutes)")


def spell_duration(seconds: float) -> str:
    """Round to what a reader needs: so coarsely that measuring again seldom changes the text.

    >>> spell_duration(23.0), spell_duration(48.0), spell_duration(151.0)
    ('about 20 seconds', 'about a minute', 'about 3 minutes')
    """
    if seconds < 45:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    return "about a minute" if seconds < 90 else f"about {seconds / 60:.0f} minutes"


def read_durations(path: Path = DURATIONS) -> dict[str, float]:
    """Read notebook -> seconds.

    Raises:
        UserError: the file is missing, or a row is no name with a number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {row["notebook"]: float(row["seconds"]) for row in csv.DictReader(stream)}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the columns notebook and seconds") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: {error}: expected the columns notebook and seconds, one number each"
        ) from None


def write_sentences(durations: dict[str, float], folder: Path = NOTEBOOKS) -> None:
    """Write each notebook's duration into its first cell.

    Raises:
        UserError: a notebook is missing, or its first cell does not state how long it takes.
    """
    for name, seconds in durations.items():
        path = folder / f"{name}.ipynb"
        if not path.is_file():
            raise UserError(
                f"{path}: no such notebook; {nearest(name, [p.stem for p in folder.glob('*.ipynb')])}"
            )
        notebook = json.loads(path.read_text(encoding="utf-8"))
        first = notebook["cells"][0]
        text, found = _SENTENCE.subn(spell_duration(seconds), "".join(first["source"]))
        if found != 1:
            raise UserError(
                f"{path}: first cell: expected once '**Takes** about a minute' or '... 20 seconds'"
            )
        first["source"] = text.splitlines(keepends=True)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def measure(name: str) -> float:
    """Run a notebook with its defaults in a fresh kernel; returns seconds of processor time."""
    import resource  # not on every system

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        run_notebook(name, {}, Path(folder) / f"{name}.ipynb")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(names: Sequence[str]) -> int:
    """Measure the named notebooks, then write all sentences."""
    for name in names:
        seconds = measure(name)
        durations = {**(read_durations() if DURATIONS.is_file() else {}), name: round(seconds, 1)}
        with atomic_write(DURATIONS) as temporary:
            rows = [f"{key},{durations[key]}" for key in sorted(durations)]
            temporary.write_text("\n".join(["notebook,seconds", *rows]) + "\n", encoding="utf-8")
    write_sentences(read_durations())
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main, sys.argv[1:]))
