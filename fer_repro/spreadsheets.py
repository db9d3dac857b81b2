"""Cells of CSV files: what other programs make of them, and what we read from them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.errors import UserError


def harmless(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would compute; numbers stay what they are.

    Names of classes, people and files come from other people's folders, and CSV files are opened with
    programs that run what begins like a formula.

    >>> harmless("=HYPERLINK(1)"), harmless("happy"), harmless("-1.5")
    ("'=HYPERLINK(1)", 'happy', '-1.5')
    """
    line = text.replace("\r", " ")  # which ends a row for some readers, quoted or not
    if not line.lstrip().startswith(("=", "+", "-", "@")):
        return line
    try:
        [float(number) for number in line.split()]  # one, or an embedding's
    except ValueError:
        return f"'{line}"
    return line


def as_numbers(column: pd.Series) -> pd.Series:
    """Read cells as float64: NaN where there is no number, infinity where it has hundreds of digits.

    pandas keeps whole numbers beyond 64 bits as Python's, which ``pd.to_numeric`` cannot always convert.
    """
    cells = column.astype(str) if column.dtype == object else column
    return pd.to_numeric(cells, errors="coerce").astype(np.float64)


def read_csv(path: Path | str, numeric: Iterable[str] | None = None) -> pd.DataFrame:
    """Read a CSV file of this project.

    Args:
        path: the file.
        numeric: columns where an empty cell is no number; in all others it is an empty text. None lets pandas
            decide.

    Raises:
        UserError: the file is not readable as CSV.
    """
    options: dict[str, Any] = {} if numeric is None else {"na_values": dict.fromkeys(numeric, "")}
    try:
        return pd.read_csv(path, keep_default_na=numeric is None, **options)
    except ValueError as error:  # pandas' own errors are of this kind, and those of UTF-8
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from None
