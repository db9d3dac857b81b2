"""What a run says about pairs: the file ``pairs.csv`` of a run, one score per pair."""

from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.spreadsheets import as_numbers

PAIR_SCORES = "pairs.csv"
COLUMNS = ("list", "first", "second", "same", "fold", "score")
LISTS = ("val", "test")
LARGEST = 2**31  # of row numbers and folds


def write_pair_scores(path: Path, table: pd.DataFrame) -> None:
    """Write ``pairs.csv``, scores as %.9g, so that every float32 cosine comes back exactly.

    Args:
        path: the file.
        table: ``list`` (val or test), ``first`` and ``second`` (rows of the sample table), ``same`` (0 or 1),
            ``fold`` (from 1; 0 in a list without folds), ``score`` (cosine; higher is more alike). Further
            columns are left out.

    Raises:
        UserError: a column is missing, or a value is not allowed; nothing is written then.
    """
    _check_columns(path, table)
    chosen = _checked(path, table[list(COLUMNS)])
    with atomic_write(path) as temporary:
        chosen.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def read_pair_scores(path: Path) -> pd.DataFrame:
    """Read a run's ``pairs.csv`` and check every row.

    Returns:
        ``COLUMNS``, whole numbers as int64, scores as float64, in the file's order.

    Raises:
        UserError: naming file, row (1 is the first below the header) and what was expected.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the scored pairs of a trained run") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from None
    _check_columns(path, table)
    return _checked(path, table[list(COLUMNS)])


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column not in table:
            found = ", ".join(map(str, table.columns))
            raise UserError(
                f"{path}: column '{column}' is missing; expected {', '.join(COLUMNS)}, found {found}"
            )


def _checked(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        raise UserError(f"{path}: no pairs; expected at least one row below the header")
    numbers = table.drop(columns="list").apply(as_numbers)
    whole = {
        name: (numbers[name] >= 0) & (numbers[name] < LARGEST) & (numbers[name] % 1 == 0)
        for name in ("first", "second", "same", "fold")
    }
    rules = {
        f"list one of {', '.join(LISTS)}": table["list"].isin(LISTS),
        "first a row of the sample table, a whole number from 0": whole["first"],
        "second a row of the sample table, a whole number from 0": whole["second"],
        "two different samples": numbers["first"] != numbers["second"],
        "same 0 or 1": numbers["same"].isin((0, 1)),
        "fold a whole number, 0 in a list without folds": whole["fold"],
        "score a finite number": pd.Series(np.isfinite(numbers["score"]), index=table.index),
    }
    for rule, good in rules.items():
        rows = np.flatnonzero(~good.to_numpy(bool))
        if len(rows):
            values = ",".join(map(str, table.iloc[rows[0]].tolist()))
            raise UserError(f"{path}: row {rows[0] + 1} ({values}): expected {rule}")
    for name in LISTS:
        inside = (table["list"] == name).to_numpy()
        none = inside & (numbers["fold"] == 0).to_numpy()
        if none.any() and (none != inside).any():
            raise UserError(
                f"{path}: row {int(none.argmax()) + 1} of list '{name}' has no fold, others have: "
                "expected a fold for every pair of a list or for none"
            )
    counts = numbers[["first", "second", "same", "fold"]].astype(np.int64)
    return pd.concat([table["list"].astype(str), counts, numbers["score"]], axis=1).reset_index(drop=True)
