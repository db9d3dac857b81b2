"""The one sample table every data set becomes: image row, label, subject, clip, split, and any factors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest
from fer_repro.spreadsheets import as_numbers

SPLITS = ("train", "val", "test")
CHALLENGE = "challenge"
"""A further split: samples beside the official test part, which only lists of hard ones name."""
REQUIRED = ("image", "label", "subject", "clip", "split")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_AT_ONCE = 1 << 16  # rows whose text is taken apart together


@dataclass(frozen=True)
class Converted:
    """What an adapter returns after it has passed on all images.

    Attributes:
        samples: the sample table, ``image`` counting the images in the order they were passed on.
        source: file name -> sha256 of what was read.
        note: what a reader of the results must know about how the set was read, or "".
    """

    samples: pd.DataFrame
    source: dict[str, str]
    note: str = ""


def has_controls(text: str) -> bool:
    """Return whether a name holds line ends, other control characters or bytes that are no UTF-8.

    Such a name breaks the lines of tables and messages, and not every reader gives it back unchanged.
    """
    return _CONTROLS.search(text) is not None


def check_samples(samples: pd.DataFrame, classes: Sequence[str], images: int, where: str) -> pd.DataFrame:
    """Check a sample table and bring it into its one form: required columns first, then the factors by name.

    Several samples may share one image.

    Args:
        samples: columns ``image`` (row of the image array), ``label`` (index into ``classes``), ``subject``
            and ``clip`` (text, "" if unknown or a still), ``split`` (train, val, test or challenge); others
            are factors.
        classes: the class names in label order.
        images: how many images there are.
        where: the file for the message.

    Raises:
        UserError: a column is missing or a value is not allowed; names the row (from 0) and its line.
    """
    for column in REQUIRED:
        if column not in samples.columns:
            raise UserError(
                f"{where}: column '{column}' is missing; expected {', '.join(REQUIRED)}, "
                f"found {', '.join(map(str, samples.columns))}"
            )
    if samples.columns.has_duplicates:
        raise UserError(
            f"{where}: two columns are called '{samples.columns[samples.columns.duplicated()][0]}'"
        )
    if samples.empty:
        raise UserError(f"{where}: no samples; expected at least one row below the header")
    labels = f"0 to {len(classes) - 1} ({', '.join(classes)})"
    table: dict[str, np.ndarray | pd.Series] = {
        "image": _whole_numbers(samples["image"], images, f"0 to {images - 1}, a row of the images", where),
        "label": _whole_numbers(samples["label"], len(classes), labels, where),
    }
    for column in ("subject", "clip", "split"):
        table[column] = _text(samples[column], where)
    bad = ~samples["split"].isin((*SPLITS, CHALLENGE)).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        value = samples["split"].iloc[row]
        raise UserError(f"{where}: {place(row)}: split is {value!r}; {nearest(value, (*SPLITS, CHALLENGE))}")
    factors = sorted(set(samples.columns) - set(REQUIRED))
    for column in factors:
        _refuse(samples[column], samples[column].isna().to_numpy(bool), "a value in every row", where)
        if pd.api.types.is_float_dtype(samples[column]):
            infinite = ~np.isfinite(samples[column].to_numpy(float))
            _refuse(samples[column], infinite, "a finite number", where)
        elif not pd.api.types.is_numeric_dtype(samples[column]):
            _refuse_controls(samples[column], where)
    return pd.concat([pd.DataFrame(table), samples[factors].reset_index(drop=True)], axis=1)


def place(row: int) -> str:
    """Name a row of a table with one header line: the row from 0, and the line an editor shows."""
    return f"row {row} (line {row + 2})"


def samples_csv(samples: pd.DataFrame) -> bytes:
    """The table as byte-stable CSV: line feeds, factors as ``%.9g``, no index."""
    return samples.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def read_samples(path: Path, classes: Sequence[str], images: int) -> pd.DataFrame:
    """Read and check ``samples.csv``; subject, clip and split stay text ("007" and "" included).

    Raises:
        UserError: the file is missing, is no CSV, or holds a value that is not allowed.
    """
    try:
        with path.open(encoding="utf-8") as file:
            table = pd.read_csv(
                file, dtype=dict.fromkeys(REQUIRED, str), keep_default_na=False, low_memory=False
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from None
    return check_samples(table, classes, images, str(path))


def _whole_numbers(column: pd.Series, below: int, expected: str, where: str) -> np.ndarray:
    numbers = as_numbers(column).to_numpy()
    with np.errstate(invalid="ignore"):
        good = (numbers >= 0) & (numbers < below) & (numbers == np.floor(numbers))
    _refuse(column, ~good, expected, where)
    return numbers.astype(np.int64)


def _text(column: pd.Series, where: str) -> pd.Series:
    """Check a column of text; one that is text already is not taken apart, which would cost memory."""
    if not isinstance(column.dtype, pd.StringDtype) or column.isna().any():
        bad = ~column.map(lambda value: isinstance(value, str)).to_numpy(bool)
        _refuse(column, bad, 'text ("" if unknown)', where)
    _refuse_controls(column, where)
    return column.astype("str").reset_index(drop=True)


def _refuse_controls(column: pd.Series, where: str) -> None:
    for begin in range(0, len(column), _AT_ONCE):
        words = [value if isinstance(value, str) else "" for value in column.iloc[begin : begin + _AT_ONCE]]
        if has_controls("".join(words)):  # one search for many: tables have millions of rows
            bad = np.zeros(len(column), bool)
            bad[begin : begin + _AT_ONCE] = [has_controls(word) for word in words]
            _refuse(column, bad, "a name without line ends and control characters", where)


def _refuse(column: pd.Series, bad: np.ndarray, expected: str, where: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        value = column.iloc[row]
        value = value.item() if isinstance(value, np.generic) else value
        raise UserError(f"{where}: {place(row)}: {column.name} is {value!r}: expected {expected}")
