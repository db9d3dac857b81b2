"""Pairs of faces that a network takes for what they are not, side by side with their scores."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.report.figures import show_face
from fer_repro.report.style import COLOURS, INK, bare, new_figure

Array = np.ndarray


def worst_pairs(pairs: pd.DataFrame, threshold: float, count: int) -> pd.DataFrame:
    """Pick the pairs furthest on the wrong side of the threshold, both kinds of error in turn.

    Args:
        pairs: columns ``first``, ``second``, ``same`` (0 or 1) and ``score``.
        threshold: same from this score on.
        count: at most so many.

    Returns:
        Rows of ``pairs`` with ``said`` (0 or 1): the worst of each kind first. One kind fills up where the
        other has too few.
    """
    said = (pairs["score"] >= threshold).astype(int)
    wrong = pairs.assign(said=said, miss=(pairs["score"] - threshold).abs())[said != pairs["same"]]
    order = wrong.sort_values(["miss", "first", "second"], ascending=[False, True, True], kind="stable")
    turn = order.groupby("same").cumcount()
    mixed = order.assign(turn=turn).sort_values(["turn", "same"], kind="stable")
    return mixed.head(count).drop(columns=["turn", "miss"]).reset_index(drop=True)


def pair_gallery(first: Array, second: Array, pairs: pd.DataFrame, columns: int = 3) -> Figure:
    """Draw pairs of faces: above what they are and what the network said, below the score.

    Args:
        first: (P, H, W) or (P, H, W, 3), uint8 or in [0, 1].
        second: alike.
        pairs: P rows with ``same``, ``said`` (0 or 1) and ``score``.
        columns: pairs per row.
    """
    rows = max(1, -(-len(pairs) // columns))
    figure = new_figure(7.6, rows * (7.6 / columns / 2 + 0.42) + 0.1)
    figure.set_layout_engine("constrained", wspace=0.06)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        bare(axes)
    words = {0: "different", 1: "same"}
    for axes, one, other, (_, row) in zip(panels, first, second, pairs.iterrows(), strict=False):
        show_face(axes, _beside(one, other))
        same, said = int(row["same"]), int(row["said"])
        axes.set_title(f"{words[same]} {'person' if same else 'persons'}", fontsize=8.5, pad=3, loc="left",
                       fontweight="normal")  # fmt: skip
        axes.set_xlabel(f"said {words[said]}, score {row['score']:.2f}".replace("-", "−"), fontsize=8.5,
                        loc="left", color=COLOURS[1] if said != same else INK)  # fmt: skip
    return figure


def _beside(one: Array, other: Array) -> Array:
    """Put two faces beside each other with a white gap."""
    white = 255 if one.dtype == np.uint8 else 1
    gap = np.full((one.shape[0], max(1, one.shape[1] // 24), *one.shape[2:]), white, dtype=one.dtype)
    return np.concatenate([one, gap, other], axis=1)
