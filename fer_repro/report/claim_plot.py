"""All tested claims in one figure: each difference with its interval, beside what the paper has."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_repro.report.ledger import first_sizes, in_words
from fer_repro.report.style import COLOURS, INK, QUIET, new_figure, plain

_UNITS = {"points": "difference (percentage points)", "nats": "difference (nats; right is a lower loss)"}
_HUES = {
    "reproduced": COLOURS[2],
    "direction reproduced": COLOURS[2],
    "not reproduced": COLOURS[1],
    "inconclusive": COLOURS[0],
}


def claim_plot(ledger: pd.DataFrame) -> Figure:
    """Draw every tested comparison around zero: right is where the paper claims to be.

    Args:
        ledger: from ``fer_repro.evaluation.ledger.judge``, or ``read_ledger``.
    """
    words = in_words(ledger)
    rows = words[words["tested"] & (words["kind"] != "absolute")]
    units = [unit for unit in _UNITS if (rows["unit"] == unit).any()]
    counts = [int((rows["unit"] == unit).sum()) for unit in units]
    figure = new_figure(7.6, 0.46 * max(sum(counts), 1) + 0.75 * max(len(units), 1) + 0.6)
    sizes = first_sizes(ledger)
    panels = figure.subplots(max(len(units), 1), 1, squeeze=False, height_ratios=counts or [1])[:, 0]
    for axes, unit in zip(panels, units, strict=False):
        _draw(axes, rows[rows["unit"] == unit], sizes, unit)
    for verdict in dict.fromkeys(rows["verdict"]):
        panels[-1].plot([], [], "o", color=_HUES[verdict], label=verdict)
    panels[-1].plot([], [], "D", color=QUIET, fillstyle="none", label="published, on the paper's data")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, sizes: dict[str, pd.Series], unit: str) -> None:
    axes.axvline(0, color=INK, linewidth=1)
    for y, (_, row) in enumerate(rows.iterrows()):
        hue = _HUES[row["verdict"]]
        axes.plot([row["low"], row["high"]], [y, y], color=hue, linewidth=5, alpha=0.28)
        axes.plot([row["difference"]], [y], "o", color=hue, markersize=7)
        size = row["published"] if np.isfinite(row["published"]) else None
        if size is None and str(row["claim"]) in sizes:
            size = sizes[str(row["claim"])]["published"]
        if size is not None:
            axes.plot([size], [y], "D", color=QUIET, markersize=6, fillstyle="none")
    names = [plain(f"{row['claim'].replace('-', ' ')}\n{row['data']}") for _, row in rows.iterrows()]
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.set_xlabel(_UNITS[unit])
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
