"""One look for every figure, and bytes that do not change when nothing changed.

The colours are those of Okabe and Ito, which readers with any colour vision can distinguish; lines also
differ in dash and marker. Figures have a white background in light and dark pages.
"""

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, PercentFormatter

INK, QUIET, FAINT, PAPER = "#1f2933", "#66727f", "#dfe4e8", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a8518a", "#b58900", "#3f4f8f", "#6b6b6b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
RATES = LinearSegmentedColormap.from_list("rates", ["#ffffff", "#cfe3f1", "#7fb5d9", "#2f7fb8", "#0b3c68"])
DASHES = (0, (3, 2))  # of a line to compare with
GREY = "#cdd5dc"  # of an area behind lines
HEAT = "magma"  # ordered in lightness, so it also reads in grey

Panels = list[Axes]
_RC: dict[Any, Any] = {
    "figure.facecolor": PAPER,
    "figure.dpi": 100,
    "axes.facecolor": PAPER,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 8.0,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.0,
    "font.family": "DejaVu Sans",  # part of matplotlib, so text looks alike everywhere
    "font.size": 9.5,
    "savefig.facecolor": PAPER,
}
DPI = 150


def apply_style() -> None:
    """Set matplotlib's defaults to this project's look; every figure function calls it."""
    mpl.rcParams.update(_RC)


def new_figure(width: float, height: float) -> Figure:
    """Make an empty styled figure of ``width`` by ``height`` inches, outside pyplot's list of figures."""
    apply_style()
    return Figure(figsize=(width, height), layout="constrained")


def arm_colours(arms: Iterable[str]) -> dict[str, str]:
    """Give each arm its colour, in the order named."""
    return {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(arms)}


def arm_markers(arms: Iterable[str]) -> dict[str, str]:
    """Give each arm its marker, in the order named."""
    return {arm: MARKERS[i % len(MARKERS)] for i, arm in enumerate(arms)}


def legend_columns(labels: Iterable[str], most: int = 4, width: float = 7.4) -> int:
    """Compute how many columns of a legend fit below a figure, by its longest label.

    Args:
        labels: its texts, in the legend's usual size.
        most: at most so many.
        width: of the figure, inches.

    >>> legend_columns(["attention_siamese, train"] * 4), legend_columns(["plain", "attention"])
    (3, 2)
    """
    lengths = [len(label) for label in labels]
    fitting = int(width / (0.066 * max(lengths, default=1) + 0.55))
    return max(1, min(most, len(lengths), fitting))


def panel_grid(
    count: int, most: int, height: float, extra: float, shared: bool = True
) -> tuple[Figure, Panels]:
    """Make a figure with a panel for each of ``count`` things.

    Args:
        count: of things.
        most: panels side by side.
        height: of a row, inches.
        extra: inches for what is around all rows.
        shared: all panels have the same axes.

    Returns:
        The figure and its ``count`` panels, row by row.
    """
    columns = max(min(most, count), 1)
    rows = max(-(-count // columns), 1)
    figure = new_figure(7.6, height * rows + extra)
    panels = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, list(panels[:count])


def label_edges(panels: Panels, most: int, across: str, up: str) -> None:
    """Label the axes of ``panel_grid`` below the last panel of each column and left of each row.

    Args:
        panels: of ``panel_grid``.
        most: as given there.
        across: what the horizontal axis is.
        up: what the vertical one is.
    """
    columns = max(min(most, len(panels)), 1)
    for place, axes in enumerate(panels):
        axes.set_ylabel("" if place % columns else up)
        if place >= len(panels) - columns:
            axes.set_xlabel(across)
            axes.tick_params(labelbottom=True)


def plain(name: object) -> str:
    """Make a name of the user's data harmless in a figure: a dollar sign is no formula there."""
    return str(name).replace("$", r"\$")


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Compute how many inches a line of text is wide.

    Args:
        text: one line, not yet ``plain``.
        size: of the font, points.
        weight: ``normal`` or ``bold``.
    """
    font = FontProperties(family=_RC["font.family"], size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrapped(text: object, width: float, size: float, weight: str = "normal") -> str:
    """Break a text into lines that fit a width: after spaces, underscores and hyphens, else anywhere.

    Args:
        text: not yet ``plain``; its own lines stay apart.
        width: of the longest line, inches.
        size: of the font, points.
        weight: ``normal`` or ``bold``.

    Returns:
        The lines, ``plain``.
    """
    lines: list[str] = []
    for part in str(text).splitlines():
        lines.append("")
        for word in re.findall(r"[^ _-]*[ _-]|[^ _-]+", part):
            if lines[-1] and text_width((lines[-1] + word).rstrip(), size, weight) > width:
                lines.append("")
            for letter in word if text_width(word.rstrip(), size, weight) > width else [word]:
                if lines[-1] and text_width((lines[-1] + letter).rstrip(), size, weight) > width:
                    lines.append("")
                lines[-1] += letter
    return plain("\n".join(line.rstrip() for line in lines))


class _Percent(PercentFormatter):
    """Prints fractions as percent with as many decimals as the closest ticks need, the same for all."""

    def __init__(self) -> None:
        super().__init__(1.0, decimals=0)

    def set_locs(self, locs: list[float]) -> None:
        """Choose the decimals for the ticks ``locs``, fractions."""
        percents = 100 * np.asarray(locs, dtype=float)
        self.decimals = next((n for n in (0, 1, 2) if np.allclose(percents, percents.round(n), atol=1e-6)), 3)
        super().set_locs(locs)


def percent_axis(*chosen: Axis) -> None:
    """Print the ticks of axes in [0, 1] as percent, at steps of 1, 2 or 5 rather than of 2.5."""
    for axis in chosen:
        axis.set_major_formatter(_Percent())
        if isinstance(locator := axis.get_major_locator(), MaxNLocator):
            locator.set_params(steps=[1, 2, 5, 10])


def bare(axes: Axes) -> None:
    """Take ticks and frame off axes that show an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def png_bytes(figure: Figure) -> bytes:
    """Render ``figure`` as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context(_RC), _laid_out(figure):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Lay a figure out beforehand; ``savefig`` would draw everything once more to do so."""
    engine, dpi = figure.get_layout_engine(), figure.dpi
    if engine is None:
        yield
        return
    figure.dpi = DPI
    engine.execute(figure)
    figure.dpi = dpi
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
