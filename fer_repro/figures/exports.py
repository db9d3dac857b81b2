"""One table in five formats: CSV and JSON for programs, HTML, Markdown and LaTeX as people read it."""

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
    as_latex,
    as_markdown,
    for_people,
    result_columns,
)
from fer_repro.files import atomic_write
from fer_repro.spreadsheets import harmless


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


def write_formats(path: Path | str, numbers: pd.DataFrame, parts: Sequence[TablePart]) -> tuple[Path, ...]:
    """Write one table in five formats, byte-stable.

    Args:
        path: without suffix.
        numbers: for ``.csv`` and ``.json``.
        parts: for ``.md``, ``.tex`` and ``.html``, under each other.

    Returns:
        The files.
    """
    texts = {
        ".csv": as_csv(numbers),
        ".json": as_json(numbers),
        ".md": "\n".join(as_markdown(part.frame, part.columns, part.caption) for part in parts),
        ".tex": "\n".join(as_latex(part.frame, part.columns, part.caption) for part in parts),
        ".html": "\n".join(as_html(part.frame, part.columns, part.caption) for part in parts),
    }
    base = Path(path)
    files = {base.with_name(base.name + suffix): text for suffix, text in texts.items()}
    for file, text in files.items():
        with atomic_write(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return tuple(files)


def export_results(table: pd.DataFrame, path: Path | str, caption: str) -> tuple[Path, ...]:
    """Write measured results beside published ones in all formats.

    Args:
        table: from ``fer_repro.figures.tables.beside_published``.
        path: without suffix.
        caption: printed with the table.
    """
    people = for_people(table)
    part = TablePart(caption, people, result_columns(people))
    return write_formats(path, table[[column.name for column in NUMBERS]], [part])
