"""What a class count decides for cosine losses, in numbers: scales, bounds of confidence, step sizes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.report.angles import fixed_scale


def scale_table(classes: Sequence[int]) -> pd.DataFrame:
    """Say what AdaCos's scale allows for some class counts C, from its formulas alone.

    Args:
        classes: class counts, 2 or more.

    Returns:
        ``C``; ``fixed s``, √2 ln(C − 1); ``P, orthogonal``, the probability of the true class at angle 0 with
        all others at a right angle; ``P, simplex``, with all class vectors as far apart as C of them can be;
        ``lowest loss``, −ln of the latter; ``settled s``, where the dynamic scale comes to rest then.
    """
    rows = []
    for count in classes:
        scale, others = fixed_scale(count), count - 1
        simplex = 1 / (1 + others * np.exp(-scale * (1 + 1 / others)))
        rows.append(
            {
                "C": count,
                "fixed s": scale,
                "P, orthogonal": 1 / (1 + others * np.exp(-scale)),
                "P, simplex": simplex,
                "lowest loss": -np.log(simplex),
                "settled s": np.log(others) * others / count,
            }
        )
    return pd.DataFrame(rows)


def reduction_table(classes: Sequence[int], batch: int, dimensions: int) -> pd.DataFrame:
    """Say how strong P2SGrad's gradients are under each way to average, and what loss remains.

    Args:
        classes: class counts C.
        batch: N, samples in a batch.
        dimensions: D, of an embedding.

    Returns:
        ``C``; the factors ``1/N`` and ``2/(N C)`` on the summed gradients; ``weaker``, the ratio C/2 of both;
        ``lowest loss``, half the squared residuals of a sample divided by C, below which features on their
        class vectors cannot come: (C/D − 1)/2, or 0 where C vectors can all be orthogonal.
    """
    rows = [
        {
            "C": count,
            "1/N": 1 / batch,
            "2/(N C)": 2 / (batch * count),
            "weaker": count / 2,
            "lowest loss": max(count / dimensions - 1, 0) / 2,
        }
        for count in classes
    ]
    return pd.DataFrame(rows)
