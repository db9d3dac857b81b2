"""Deviation sheets: what a paper does not specify or its code does differently, and the choices here."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError, nearest
from fer_repro.figures.display import Shown, show_table
from fer_repro.figures.tables import Column
from fer_repro.files import read_yaml
from fer_repro.sections import STRICT, read_section

FILE = Path("results/published/deviations.yaml")
NOT_MEASURED = "not measured"
COLUMNS = (
    Column("about", "About"),
    Column("paper", "Paper, and its code [C]"),
    Column("chosen", "Here"),
    Column("why", "Why"),
    Column("found", "Effect", "note"),
)


@dataclass(frozen=True, config=STRICT)
class Deviation:
    """One entry of a sheet; ``source`` states where ``effect`` can be seen, "" where none was measured."""

    about: str
    paper: str
    chosen: str
    why: str
    effect: str
    source: str


def read_deviations(path: Path | str = FILE) -> dict[str, tuple[Deviation, ...]]:
    """Read and check the sheets of all methods.

    Raises:
        UserError: naming the file, the method and the entry.
    """
    return {
        str(method): tuple(
            _entry(section, f"{path}: {method}: entry {n}") for n, section in enumerate(sections, 1)
        )
        for method, sections in read_yaml(Path(path)).items()
    }


def _entry(section: object, where: str) -> Deviation:
    found = read_section(Deviation, section, where)
    for name, text in asdict(found).items():
        if name != "source" and not text.strip():
            raise UserError(f"{where}: {name} is empty: expected a sentence")
    if (found.effect == NOT_MEASURED) != (found.source == ""):
        raise UserError(
            f"{where}: effect is '{found.effect}' and source '{found.source}': expected a source for what "
            f"was measured, and none for '{NOT_MEASURED}'"
        )
    return found


def deviation_table(method: str, path: Path | str = FILE) -> pd.DataFrame:
    """Lay out one method's sheet: the fields of ``Deviation``, and ``found``, its effect with the source.

    Raises:
        UserError: there is no sheet of this method.
    """
    sheets = read_deviations(path)
    if method not in sheets:
        raise UserError(f"{path}: no sheet of '{method}'; {nearest(method, sheets)}")
    table = pd.DataFrame([asdict(entry) for entry in sheets[method]])
    found = table["effect"].where(table["source"] == "", table["effect"] + " (" + table["source"] + ")")
    return table.assign(found=found)


def show_deviations(method: str, path: Path | str = FILE) -> Shown:
    """Show one method's sheet as a table; story notebooks end with it."""
    caption = (
        f"What the paper of {method} does not specify or its code does differently, and the choices here."
    )
    return show_table(deviation_table(method, path), caption, COLUMNS)
