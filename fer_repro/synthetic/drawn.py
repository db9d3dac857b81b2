"""What a generator of synthetic data hands over: pictures, their table, and the truth about them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.errors import UserError

TRUTH = "truth.npz"


@dataclass(frozen=True)
class Drawn:
    """A synthetic data set in memory.

    Attributes:
        images: (N, H, W) or (N, H, W, 3) uint8.
        samples: the sample table, with the true factors as further columns; see ``check_samples``.
        classes: names in label order.
        note: what a reader of the results must know.
        truth: ``samples`` (n,) rows of the table, and for each of them what is true of its pixels, (n, H, W)
            bool, under the names ``occluded``, ``expressive`` or ``manipulated``; empty where all is unknown.
        pairs: the lists of pairs to verify, with the columns of ``pairs.csv``; None where there are none.
    """

    images: NDArray[np.uint8]
    samples: pd.DataFrame
    classes: tuple[str, ...]
    note: str
    truth: dict[str, NDArray] = field(default_factory=dict)
    pairs: pd.DataFrame | None = None


def write_truth(folder: Path, truth: Mapping[str, NDArray]) -> str:
    """Write ``truth.npz`` into a store that is being made; returns its sha256, for the manifest's sources."""
    path = folder / TRUTH
    with path.open("wb") as file:
        np.savez_compressed(file, **dict(sorted(truth.items())))  # type: ignore[arg-type]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_truth(folder: Path | str) -> dict[str, NDArray]:
    """Read what is true of the pixels of a prepared set; see ``Drawn``.

    Raises:
        UserError: nothing is known of this set.
    """
    path = Path(folder) / TRUTH
    if not path.is_file():
        raise UserError(f"{path}: no such file; only prepared synthetic sets have one")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in sorted(file.files)}
