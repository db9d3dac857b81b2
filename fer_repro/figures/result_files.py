"""Reading the files of runs: histories, explained tensors, predictions and result rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro import files
from fer_repro.config import run_folder
from fer_repro.errors import UserError, nearest
from fer_repro.spreadsheets import as_numbers, read_csv

EMPTY_ROWS = [
    "method", "arm", "paper", "table", "dataset", "protocol", "split", "metric", "unit", "value",
    "pretraining", "tta", "source", "note", "seed", "deviation", "runs", "low", "high",
]  # fmt: skip
NUMBERS = ("value", "deviation", "runs", "low", "high")
TEXT = {name: str for name in EMPTY_ROWS if name not in NUMBERS}


def read_rows(path: Path) -> pd.DataFrame:
    """Read result rows, published or measured; empty text stays empty text.

    Raises:
        UserError: the file is missing or is no table of result rows.
    """
    try:
        rows = pd.read_csv(path, dtype=TEXT, keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the evaluate stage writes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path}: not readable as a table of result rows: {error}") from None
    missing = [name for name in EMPTY_ROWS[:14] if name not in rows]
    if missing:
        raise UserError(f"{path}: column '{missing[0]}' is missing; {nearest(missing[0], map(str, rows))}")
    for name in NUMBERS:
        if name in rows and not pd.api.types.is_numeric_dtype(rows[name]) and len(rows):
            odd = as_numbers(rows[name]).isna() & rows[name].notna()
            row = int(np.argmax(odd.to_numpy()))
            raise UserError(f"{path}: row {row + 1}: {name} is {rows[name].iloc[row]!r}: expected a number")
    return rows


def read_all_rows(results: Path, trained: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Read the rows of every pair of data set and method that has any; an empty table when none has."""
    files = [results / dataset / method / "rows.csv" for dataset, method in trained]
    tables = [read_rows(file) for file in files if file.is_file()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=EMPTY_ROWS)


def run_folders(root: Path | str, dataset: str, method: str) -> list[tuple[int, str, Path]]:
    """List the runs of one method on one data set: seed, arm and folder, by seed and arm."""
    top = run_folder(root, dataset, method, 0).parent
    found = [
        (int(folder.parent.name), folder.name, folder)
        for folder in top.glob("*/*")
        if folder.is_dir() and folder.parent.name.isdecimal()
    ]
    return sorted(found)


def read_history(root: Path | str, dataset: str, method: str) -> pd.DataFrame:
    """Read the learning curves of all arms and seeds of one method on one data set.

    Returns:
        The columns of history.csv after ``arm`` and ``seed``; empty when there is no run.
    """
    tables = []
    for seed, arm, folder in run_folders(root, dataset, method):
        if (folder / "history.csv").is_file():
            table = read_csv(folder / "history.csv")
            table.insert(0, "seed", seed)
            table.insert(0, "arm", arm)
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["arm", "seed", "epoch"])


def read_explained(folder: Path | str) -> dict[str, np.ndarray]:
    """Read the tensors that ``explain`` gave for a run's explained images.

    Raises:
        UserError: the run kept none, or the file is damaged.
    """
    path = Path(folder) / "explained.npz"
    if not path.is_file():
        raise UserError(f"{path}: no such file; the train stage writes it for methods that can explain")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in sorted(file.files)}
    except Exception as error:  # a damaged archive raises many kinds, one that asks for too much MemoryError
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not readable as arrays: {reason}; train the run again") from None


def stages(explained: dict[str, np.ndarray], kind: str) -> list[np.ndarray]:
    """Pick the arrays whose names begin with ``kind``, in the order of the number that ends their names.

    >>> [a.shape for a in stages({"mask2": np.zeros((1, 4, 2, 2)), "mask1": np.zeros((1, 2, 4, 4))}, "mask")]
    [(1, 2, 4, 4), (1, 4, 2, 2)]
    """
    names = [name for name in explained if name.startswith(kind) and name[-1].isdigit()]
    order = sorted(names, key=lambda name: int("".join(c for c in name if c.isdigit())))
    return [explained[name] for name in order]


@dataclass(frozen=True)
class ExplainedFaces:
    """Some explained images: which (positions among the explained ones), their pixels and their labels."""

    chosen: np.ndarray
    images: np.ndarray
    titles: list[str]


def choose_explained(
    explained: dict[str, np.ndarray],
    images: np.ndarray,
    samples: pd.DataFrame,
    classes: Sequence[str],
    count: int,
) -> ExplainedFaces:
    """Choose ``count`` explained images of as many classes as possible.

    Args:
        explained: from ``read_explained``; ``samples`` names the rows of the sample table.
        images: all images of the data set.
        samples: its sample table.
        classes: names in index order.
        count: at most so many.
    """
    rows = samples.iloc[explained.get("samples", np.zeros(0, dtype=int))]
    repeat = rows.groupby("label").cumcount().to_numpy()
    chosen = np.sort(np.argsort(repeat, kind="stable")[:count])
    titles = [str(classes[label]) for label in rows["label"].iloc[chosen]]
    return ExplainedFaces(chosen, np.asarray(images[rows["image"].iloc[chosen]]), titles)


def json_or_nothing(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a JSON file, or give an empty dictionary where there is none.

    Raises:
        UserError: the file is damaged.
    """
    return files.read_json(path, "JSON") if path.is_file() else {}


def explained_or_nothing(folder: Path | str) -> dict[str, np.ndarray]:
    """Read a run's explained tensors, or nothing where its method keeps none."""
    return read_explained(folder) if (Path(folder) / "explained.npz").is_file() else {}


def settings_table(text: str) -> pd.DataFrame:
    """Lay out a configuration (JSON) as dotted keys and values."""
    rows: list[dict[str, str]] = []

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                walk(f"{prefix}.{key}" if prefix else key, value[key])
        else:
            rows.append({"setting": prefix, "value": str(value)})

    walk("", json.loads(text))
    return pd.DataFrame(rows, columns=["setting", "value"])
