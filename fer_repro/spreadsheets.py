"""Cells of CSV files: what other programs make of them, and what we read from them."""

import numpy as np
import pandas as pd


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
