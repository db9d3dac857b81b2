"""Pairs of templates, each of several images of one person: kept beside the images as one array."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.attachments import attached_file
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError

TEMPLATE_PAIRS = "template_pairs.npy"


def read_numbers(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a list with one entry per line, separated by blanks, without header.

    Args:
        path: the list.
        columns: name -> type ("str", "int64", "int32", "float64") of every column.

    Raises:
        UserError: the list is missing, has other columns, or a value of another kind.
    """
    names = list(columns)
    expected = f"expected lines of {' '.join(names)}"
    try:
        with path.open(encoding="utf-8") as file:
            found = len(file.readline().split())
        if found != len(names):
            table = None
        else:
            table = pd.read_csv(path, sep=r"\s+", header=None, names=names, dtype=columns, index_col=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {expected}") from None
    except ValueError as error:  # pandas' own errors are of this kind, and those of UTF-8
        raise UserError(f"{path}: not readable: {' '.join(str(error).split())}; {expected}") from None
    if table is None:
        raise UserError(f"{path}: line 1: {found} columns: {expected}")
    incomplete = table.isna().any(axis=1).to_numpy()
    if incomplete.any():
        raise UserError(f"{path}: line {int(np.argmax(incomplete)) + 1}: a value is missing; {expected}")
    return table


def read_template_pairs(path: Path, templates: np.ndarray) -> np.ndarray:
    """Read the pairs to verify, one per line: two templates and 1 (same person) or 0.

    Args:
        path: the list.
        templates: the templates that have images.

    Returns:
        (P, 3) int32.

    Raises:
        UserError: the list is not as expected, names a template without images, or has pairs of one kind.
    """
    pairs = read_numbers(path, dict.fromkeys(("template", "other", "same"), "int32")).to_numpy(np.int32)
    wrong = ~np.isin(pairs[:, 2], (0, 1))
    unknown = ~np.isin(pairs[:, :2], templates).all(axis=1)
    for bad, expected in ((wrong, "same 0 or 1"), (unknown, "templates that have images")):
        if bad.any():
            line = int(np.argmax(bad))
            raise UserError(f"{path}: line {line + 1}: {pairs[line].tolist()}: expected {expected}")
    if len(np.unique(pairs[:, 2])) < 2:
        raise UserError(f"{path}: all {len(pairs)} pairs are of one kind: expected same and different")
    return pairs


def write_template_pairs(path: Path, pairs: np.ndarray) -> None:
    """Write the pairs, (P, 3) int32: two templates, same."""
    np.save(path, pairs, allow_pickle=False)


def pairs_writer(pairs: np.ndarray) -> partial:
    """What writes the pairs to a path, for ``ConvertedFiles``."""
    return partial(write_template_pairs, pairs=pairs)


def open_template_pairs(store: Store) -> np.ndarray:
    """Open the pairs of a set, (P, 3) int32, memory-mapped: two templates, same.

    Raises:
        UserError: the set has none, or they were changed.
    """
    return np.load(attached_file(store, TEMPLATE_PAIRS), mmap_mode="r", allow_pickle=False)
