"""Agreement of attention with the truth over seeds and items, as rows of one table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.measures.intervals import mean_shares, spread_interval
from fer_repro.measures.variance_components import spread

COLUMNS = ("weights", "mean", "low", "high", "by_seed", "above_zero", "items", "of")


def agreement_row(
    name: str, values: np.ndarray, groups: np.ndarray | None, confidence: float
) -> dict[str, object]:
    """Average a measure over seeds and items, with an interval that knows of both.

    Args:
        name: of what was measured.
        values: (S, N), one row per seed; items with NaN under any seed are left out.
        groups: (N,) group of each item, such as its person; None where items are independent.
        confidence: such as 0.95.

    Returns:
        ``COLUMNS``: name, mean and interval (Student's t over seeds and groups), the means of the seeds, the
        share of items whose mean over seeds is above zero (%), how many items count, of how many.
    """
    numbers = np.asarray(values, np.float64)
    used = np.asarray(~np.isnan(numbers).any(axis=0))
    kept = numbers[:, used]
    mean, low, high = (float("nan"),) * 3
    clusters = None if groups is None else groups[used]
    independent = used.sum() if clusters is None else len(np.unique(clusters))
    if kept.shape[1]:
        mean = float(kept.mean())
    if independent > 1:
        found = spread_interval(spread(*mean_shares(kept, None), clusters), confidence)
        low, high = found.low, found.high
    seeds = tuple(float(row.mean()) for row in kept) if kept.shape[1] else ()
    above = 100 * float((kept.mean(axis=0) > 0).mean()) if kept.shape[1] else float("nan")
    cells = (name, mean, low, high, seeds, above, int(used.sum()), len(used))
    return dict(zip(COLUMNS, cells, strict=True))


def agreement_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Put rows under each other, in ``COLUMNS``; an empty table where there are none."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))
