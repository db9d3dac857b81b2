"""Which test samples are not independent: those of one person, or of one recording."""

import numpy as np
import pandas as pd

_FROM = ("subject", "original", "clip")
"""What tells groups, the first known one: the person, the video a manipulation was made from, the clip."""


def sample_groups(samples: pd.DataFrame, rows: np.ndarray) -> np.ndarray | None:
    """Group samples by person, else by original video or clip; what knows none of these is its own group.

    Args:
        samples: the sample table.
        rows: (N,) positions in it.

    Returns:
        (N,) int64 numbers of groups; None where every sample is its own or all are of one group, so that
        groups say nothing.
    """
    names = np.array([f"row {row}" for row in rows], object)
    for column in reversed(_FROM):
        if column in samples:
            known = samples[column].to_numpy(object)[rows]
            names = np.where(known != "", [f"{column} {name}" for name in known], names)
    if "original" in samples:  # the real video belongs to what was made from it
        clips = samples["clip"].to_numpy(object)[rows]
        bare = np.array([str(name).startswith("clip ") for name in names])
        names = np.where(bare, [f"original {clip}" for clip in clips], names)
    found, numbers = np.unique(names.astype(str), return_inverse=True)
    return numbers.astype(np.int64) if 1 < len(found) < len(rows) else None
