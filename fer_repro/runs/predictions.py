"""A run's predictions on its test data, as files keep them: classes of samples, and scores of pairs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from fer_repro.datasets.samples import CHALLENGE
from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.measures.classification import finite, softmax
from fer_repro.measures.probes import PROBES
from fer_repro.spreadsheets import as_numbers

P = TypeVar("P")

SPLIT = "test"
"""The split that results are of."""
AUGMENTED = ("val", SPLIT)
"""The splits that test-time augmentation is for; no paper has it for hard faces."""
SPLITS = (*AUGMENTED, CHALLENGE)
PAIR_SCORES = "pairs.csv"
PROBED = "probes.csv"
PROBE_COLUMNS = ("sample", "target", *PROBES)
PAIR_COLUMNS = ("list", "first", "second", "same", "fold", "score")
_LISTS = ("val", "test")
_LARGEST = 2**31  # of row numbers and folds


@dataclass(frozen=True)
class Predictions:
    """The predictions of one trained network for samples.

    Attributes:
        classes: K names in label order.
        samples: (N,) rows of the sample table; a clip's first.
        splits: (N,) ``val``, ``test`` or ``challenge``.
        targets: (N,) class indices.
        logits: (N, K) of the clean images.
        probabilities: (N, K) mean of the softmax over the augmented copies; where there were none, the
            softmax of the logits.

    Raises:
        UserError: logits or probabilities are not finite.
    """

    classes: tuple[str, ...]
    samples: np.ndarray
    splits: np.ndarray
    targets: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        """Refuse predictions that are not finite: their largest would be the first class."""
        finite(self.logits, "logits")
        finite(self.probabilities, "probabilities")

    def of_split(self, name: str) -> "Predictions":
        """Keep the rows of one split."""
        return self.where(self.splits == name)

    def where(self, rows: np.ndarray) -> "Predictions":
        """Keep some rows, given as (N,) bool."""
        kept = (self.samples, self.splits, self.targets, self.logits, self.probabilities)
        return Predictions(self.classes, *(column[rows] for column in kept))


def write_predictions(path: Path, predictions: Predictions, augmented: bool = True) -> None:
    """Write ``predictions.csv``: sample, split, target, logit_<class>..., tta_<class>..., floats as %.9g.

    Nine digits bring every float32 logit back exactly.

    Args:
        path: the file.
        predictions: rows in the order of the file, validation before test.
        augmented: write the ``tta_`` columns; without test-time augmentation there are none.
    """
    columns = {
        "sample": predictions.samples,
        "split": predictions.splits,
        "target": predictions.targets,
        **{f"logit_{name}": predictions.logits[:, k] for k, name in enumerate(predictions.classes)},
    }
    if augmented:
        copies = predictions.probabilities
        columns |= {f"tta_{name}": copies[:, k] for k, name in enumerate(predictions.classes)}
    with atomic_write(path) as temporary:
        pd.DataFrame(columns).to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


PACKED = "predictions.npz"
"""What a record keeps of ``predictions.csv``, in half precision; numbers of a regression are in single."""


def pack_predictions(folder: Path, target: Path) -> None:
    """Write ``predictions.csv`` of a run's folder as ``PACKED``: logits and probabilities as float16.

    Args:
        folder: of the run; one with ``PACKED`` alone is read, too.
        target: another folder.
    """
    found = read_predictions(folder / "predictions.csv")
    write_packed(
        target,
        found.splits,
        classes=np.array(found.classes),
        samples=found.samples.astype(np.int32),
        targets=found.targets.astype(np.int16),
        logits=found.logits.astype(np.float16),
        probabilities=found.probabilities.astype(np.float16),
    )


def write_packed(target: Path, splits: np.ndarray, **columns: np.ndarray) -> None:
    """Write ``PACKED`` in a folder: the columns as they are, the (N,) splits as codes."""
    names, codes = np.unique(splits, return_inverse=True)
    kept: dict[str, Any] = {**columns, "splits": names, "codes": codes.astype(np.uint8)}
    with atomic_write(target / PACKED) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **kept)


def read_packed(path: Path, make: Callable[[Mapping[str, np.ndarray], np.ndarray], P]) -> P:
    """Read what ``write_packed`` wrote and make of its columns and splits what they are.

    Raises:
        UserError: the file is damaged, or ``make`` found too little in it.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            return make(kept, kept["splits"][kept["codes"]])
    except (OSError, ValueError, KeyError, IndexError, BadZipFile) as error:
        raise UserError(
            f"{path}: not readable as packed predictions ({error!r}); record the runs again"
        ) from None


def _unpacked(columns: Mapping[str, np.ndarray], splits: np.ndarray) -> Predictions:
    shares = columns["probabilities"].astype(np.float64)
    return Predictions(
        tuple(map(str, columns["classes"])),
        columns["samples"].astype(np.int64),
        splits,
        columns["targets"].astype(np.int64),
        columns["logits"].astype(np.float64),
        shares / shares.sum(1, keepdims=True),
    )


def read_predictions(path: Path) -> Predictions:
    """Read ``predictions.csv`` and check every row; where there is only ``PACKED`` beside it, read that.

    Raises:
        UserError: naming file, row (1 is the first below the header) and what was expected.
    """
    if not path.exists() and (packed := path.with_name(PACKED)).is_file():
        return read_packed(packed, _unpacked)
    table = read_table(path)
    classes = tuple(re.findall(r"(?<=^logit_).+$", "\n".join(map(str, table.columns)), re.MULTILINE))
    expected = ["sample", "split", "target", *_prefixed("logit_", classes), *_prefixed("tta_", classes)]
    augmented = len(table.columns) > 3 + len(classes)
    if list(table.columns) != expected[: None if augmented else 3 + len(classes)] or not classes:
        raise UserError(
            f"{path}: the columns are {', '.join(map(str, table.columns))}; expected sample, split, target, "
            "logit_<class>... and, with test-time augmentation, tta_<class>... with the same classes"
        )
    numbers = table.drop(columns="split").apply(as_numbers)
    _check_rows(path, table, numbers, len(classes))
    logits = numbers[_prefixed("logit_", classes)].to_numpy(np.float64)
    return Predictions(
        classes,
        numbers["sample"].to_numpy(np.int64),
        table["split"].to_numpy(str),
        numbers["target"].to_numpy(np.int64),
        logits,
        numbers[_prefixed("tta_", classes)].to_numpy(np.float64) if augmented else softmax(logits),
    )


def read_table(path: Path) -> pd.DataFrame:
    """Read ``predictions.csv`` without checks of its rows.

    Raises:
        UserError: it is missing or no table.
    """
    try:
        return pd.read_csv(path, dtype={"split": str}, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the predictions of a trained run") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from None


def _check_rows(path: Path, table: pd.DataFrame, numbers: pd.DataFrame, classes: int) -> None:
    odd = odd_rows(table, numbers)
    odd[f"target a class index from 0 to {classes - 1}"] = ~numbers["target"].isin(range(classes))
    refuse_rows(path, table, odd)


def odd_rows(table: pd.DataFrame, numbers: pd.DataFrame) -> dict[str, Any]:
    """Find rows, (N,) bool, that break what holds for all predictions, by the rule they break."""
    return {
        "a number in every column but split": ~np.isfinite(numbers.to_numpy(np.float64)).all(1),
        "sample a whole number from 0": (numbers["sample"] % 1 != 0) | ~numbers["sample"].between(0, 2**53),
        f"split one of {', '.join(SPLITS)}": ~table["split"].isin(SPLITS),
        "every sample once": numbers["sample"].duplicated(),
    }


def refuse_rows(path: Path, table: pd.DataFrame, odd: dict[str, Any]) -> None:
    """Raise an error for the first row that ``odd_rows`` found."""
    for rule, wrong in odd.items():
        rows = np.flatnonzero(wrong)
        if len(rows):
            values = ",".join(map(str, table.iloc[rows[0]].tolist()[:6]))
            raise UserError(f"{path}: row {rows[0] + 1} ({values},...): expected {rule}")


def _prefixed(prefix: str, names: Sequence[str]) -> list[str]:
    return [prefix + name for name in names]


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
    chosen = _checked(path, table[list(PAIR_COLUMNS)])
    with atomic_write(path) as temporary:
        chosen.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def read_pair_scores(path: Path) -> pd.DataFrame:
    """Read a run's ``pairs.csv`` and check every row.

    Returns:
        ``PAIR_COLUMNS``, whole numbers as int64, scores as float64, in the file's order.

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
    return _checked(path, table[list(PAIR_COLUMNS)])


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    for column in PAIR_COLUMNS:
        if column not in table:
            found = ", ".join(map(str, table.columns))
            raise UserError(
                f"{path}: column '{column}' is missing; expected {', '.join(PAIR_COLUMNS)}, found {found}"
            )


def _checked(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        raise UserError(f"{path}: no pairs; expected at least one row below the header")
    numbers = table.drop(columns="list").apply(as_numbers)
    whole = {
        name: (numbers[name] >= 0) & (numbers[name] < _LARGEST) & (numbers[name] % 1 == 0)
        for name in ("first", "second", "same", "fold")
    }
    rules = {
        f"list one of {', '.join(_LISTS)}": table["list"].isin(_LISTS),
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
    for name in _LISTS:
        inside = (table["list"] == name).to_numpy()
        none = inside & (numbers["fold"] == 0).to_numpy()
        if none.any() and (none != inside).any():
            raise UserError(
                f"{path}: row {int(none.argmax()) + 1} of list '{name}' has no fold, others have: "
                "expected a fold for every pair of a list or for none"
            )
    counts = numbers[["first", "second", "same", "fold"]].astype(np.int64)
    return pd.concat([table["list"].astype(str), counts, numbers["score"]], axis=1).reset_index(drop=True)


def write_probes(path: Path, table: pd.DataFrame) -> None:
    """Write ``probes.csv``: what probes read in the embeddings of the test faces.

    Args:
        path: the file.
        table: ``sample`` (row of the sample table), ``target`` and for each of ``PROBES`` its answer, class
            indices.
    """
    with atomic_write(path) as temporary:
        table[list(PROBE_COLUMNS)].to_csv(temporary, index=False, lineterminator="\n")


def read_probes(path: Path) -> pd.DataFrame:
    """Read a run's ``probes.csv``: ``PROBE_COLUMNS`` as int64.

    Raises:
        UserError: the file is missing, or a value is no whole number from 0.
    """
    table = read_table(path)
    if list(table) != list(PROBE_COLUMNS):
        found = ", ".join(map(str, table.columns))
        raise UserError(f"{path}: columns are {found}: expected {', '.join(PROBE_COLUMNS)}")
    numbers = table.apply(as_numbers)
    whole = ((numbers >= 0) & (numbers < _LARGEST) & (numbers % 1 == 0)).all(axis=1)
    refuse_rows(path, table, {"whole numbers from 0": ~whole.to_numpy()})
    return numbers.astype(np.int64)
