"""One table in five formats: CSV and JSON for programs, HTML, Markdown and LaTeX as people read it.

The pipeline writes CSV and Markdown; ``python -m fer_repro.report.formats`` makes the others from the CSV.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.figures.tables import (
    NUMBERS,
    Column,
    as_html,
    as_markdown,
    for_people,
    printed_rows,
    result_columns,
    with_words,
)
from fer_repro.files import atomic_write
from fer_repro.spreadsheets import harmless, read_csv

KEPT = ("csv", "md")
_NUMERIC = (
    "value", "deviation", "low", "high", "runs", "published", "measured", "gap", "seeds", "parameters",
    "flops",
)  # fmt: skip


@dataclass(frozen=True)
class TablePart:
    """A table for people.

    Attributes:
        caption: printed with it.
        frame: one row per result.
        columns: what to show, in order.
    """

    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]


def as_csv(frame: pd.DataFrame) -> str:
    """Write the numbers themselves, to six decimals, under their short names; no text is a formula."""
    plain = frame.rename(columns=lambda name: harmless(str(name)))
    for name in plain:
        if not pd.api.types.is_numeric_dtype(plain[name]):
            plain[name] = [harmless(one) if isinstance(one, str) else one for one in plain[name]]
    return plain.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def as_latex(frame: pd.DataFrame, columns: Sequence[Column], caption: str = "") -> str:
    """Write a booktabs table."""
    align = "".join("l" if c.kind in ("text", "note") else "r" for c in columns)
    lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{align}}}", r"\toprule"]
    if caption:
        lines.insert(2, rf"\caption{{{_latex(caption)}}}")
    lines += [" & ".join(_latex(c.heading) for c in columns) + r" \\", r"\midrule"]
    lines += [" & ".join(_latex(text) for text in texts) + r" \\" for texts in printed_rows(frame, columns)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
}


def _latex(text: str) -> str:
    line = " ".join(text.splitlines())
    return "".join(_LATEX.get(c, rf"\{c}" if c in "&%$#_{}" else c) for c in line)


_FOR_PEOPLE = {"md": as_markdown, "tex": as_latex, "html": as_html}


def as_json(frame: pd.DataFrame) -> str:
    """Write a list with one object per row; numbers to nine digits, missing ones as null."""
    rows = [
        {str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict(orient="records")
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell
    """Convert a cell to a JSON value."""
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.9g}") if isinstance(value, float) else value


def as_text_of(kind: str, numbers: pd.DataFrame, parts: Sequence[TablePart]) -> str:
    """Write one table in one format.

    Args:
        kind: ``csv`` or ``json``, made of the numbers; ``md``, ``tex`` or ``html``, made of the parts.
        numbers: for programs.
        parts: for people, under each other.
    """
    if kind == "csv":
        return as_csv(numbers)
    if kind == "json":
        return as_json(numbers)
    return "\n".join(_FOR_PEOPLE[kind](part.frame, part.columns, part.caption) for part in parts)


def write_formats(
    path: Path | str, numbers: pd.DataFrame, parts: Sequence[TablePart], kinds: Sequence[str] = KEPT
) -> tuple[Path, ...]:
    """Write one table, byte-stable, in each format as ``as_text_of`` makes it.

    Args:
        path: without suffix.
        numbers: for programs.
        parts: for people.
        kinds: of files; those that git keeps if not given.

    Returns:
        The files.
    """
    base, files = Path(path), []
    for kind in kinds:
        files.append(base.with_name(f"{base.name}.{kind}"))
        with atomic_write(files[-1]) as temporary:
            temporary.write_text(as_text_of(kind, numbers, parts), encoding="utf-8")
    return tuple(files)


def read_kept_table(path: Path) -> pd.DataFrame:
    """Read a CSV that ``write_formats`` wrote; empty text stays empty text.

    Raises:
        UserError: the file is not readable as CSV.
    """
    return read_csv(path, _NUMERIC)


def as_kept(table: pd.DataFrame) -> pd.DataFrame:
    """Round numbers to those that the CSV keeps: a table printed now and one made of the CSV then agree."""
    rounded = table.copy()
    for name in rounded.select_dtypes("float"):
        rounded[name] = [float(f"{value:.6f}") for value in rounded[name]]
    return rounded


def results_part(table: pd.DataFrame) -> TablePart:
    """Lay out measured results beside published ones.

    Args:
        table: columns of ``NUMBERS``, as ``fer_repro.figures.tables.beside_published`` gives them.
    """
    people = for_people(with_words(table))
    caption = "Measured beside published, with the interval of the mean over seeds and the gap."
    return TablePart(caption, people, result_columns(people))


def export_results(table: pd.DataFrame, path: Path | str) -> tuple[Path, ...]:
    """Write measured results beside published ones.

    Args:
        table: from ``fer_repro.figures.tables.beside_published``.
        path: without suffix.
    """
    table = as_kept(table)
    return write_formats(path, table[[column.name for column in NUMBERS]], [results_part(table)])
