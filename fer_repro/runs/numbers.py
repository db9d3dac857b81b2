"""A regression's predictions on its test data, as files keep them: true and predicted number of a sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.measures.classification import finite
from fer_repro.runs.predictions import PACKED, odd_rows, read_packed, read_table, refuse_rows, write_packed
from fer_repro.spreadsheets import as_numbers


@dataclass(frozen=True)
class PredictedNumbers:
    """The predictions of one network of a regression.

    Attributes:
        samples: (N,) rows of the sample table.
        splits: (N,) ``val``, ``test`` or ``challenge``.
        targets: (N,) float64 true numbers.
        values: (N,) float64 predicted ones.

    Raises:
        UserError: a number is not finite.
    """

    samples: np.ndarray
    splits: np.ndarray
    targets: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        """Refuse numbers that are not finite."""
        finite(self.targets, "targets")
        finite(self.values, "predictions")

    def of_split(self, name: str) -> "PredictedNumbers":
        """Keep the rows of one split."""
        rows = self.splits == name
        return PredictedNumbers(self.samples[rows], self.splits[rows], self.targets[rows], self.values[rows])


COLUMNS = ("sample", "split", "target", "prediction")


def write_numbers(path: Path, numbers: PredictedNumbers) -> None:
    """Write ``predictions.csv`` of a regression, ``COLUMNS``, floats as %.9g."""
    columns = (numbers.samples, numbers.splits, numbers.targets, numbers.values)
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def read_numbers(path: Path) -> PredictedNumbers:
    """Read ``predictions.csv`` of a regression and check every row; or ``PACKED``, where that is there alone.

    Raises:
        UserError: naming file, row (1 is the first below the header) and what was expected.
    """
    if not path.exists() and (packed := path.with_name(PACKED)).is_file():
        return read_packed(packed, _unpacked)
    table = read_table(path)
    if tuple(table.columns) != COLUMNS:
        raise UserError(
            f"{path}: the columns are {', '.join(map(str, table.columns))}; expected those of a regression, "
            f"{', '.join(COLUMNS)}"
        )
    if table.empty:
        raise UserError(f"{path}: no predictions; expected at least one row below the header")
    numbers = table.drop(columns="split").apply(as_numbers)
    refuse_rows(path, table, odd_rows(table, numbers))
    return PredictedNumbers(
        numbers["sample"].to_numpy(np.int64),
        table["split"].to_numpy(str),
        numbers["target"].to_numpy(np.float64),
        numbers["prediction"].to_numpy(np.float64),
    )


def pack_numbers(folder: Path, target: Path) -> None:
    """Write ``predictions.csv`` of a run's folder as ``PACKED``, what was predicted in single precision.

    Args:
        folder: of the run; one with ``PACKED`` alone is read, too.
        target: another folder.
    """
    found = read_numbers(folder / "predictions.csv")
    samples, values = found.samples.astype(np.int32), found.values.astype(np.float32)
    write_packed(target, found.splits, samples=samples, targets=found.targets, values=values)


def _unpacked(columns: Mapping[str, np.ndarray], splits: np.ndarray) -> PredictedNumbers:
    samples, values = columns["samples"].astype(np.int64), columns["values"].astype(np.float64)
    return PredictedNumbers(samples, splits, columns["targets"], values)
