"""What a generator of synthetic data hands over: pictures, their table, and the truth about them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawn:
    """A synthetic data set in memory.

    Attributes:
        images: (N, H, W) or (N, H, W, 3) uint8.
        samples: the sample table, with the true factors as further columns; see ``check_samples``.
        classes: names in label order.
        note: what a reader of the results must know.
        truth: ``samples`` (n,) rows of the table, and for each of them what is true of its pixels, (n, H, W)
            bool, under the names ``occluded``, ``expressive`` or ``manipulated``; empty where nothing is known.
        pairs: the lists of pairs to verify, with the columns of ``pairs.csv``; None where there are none.
    """

    images: NDArray[np.uint8]
    samples: pd.DataFrame
    classes: tuple[str, ...]
    note: str
    truth: dict[str, NDArray] = field(default_factory=dict)
    pairs: pd.DataFrame | None = None
