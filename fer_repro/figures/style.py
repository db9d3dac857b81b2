"""One look for every figure, and files that do not change when nothing changed.

The colours are those of Okabe and Ito, which readers with any colour vision can distinguish; lines also
differ in dash and marker. Figures have a white background in light and dark pages.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from fer_repro.errors import UserError
from fer_repro.files import atomic_write

INK, QUIET, FAINT, PAPER = "#1f2933", "#66727f", "#dfe4e8", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a8518a", "#b58900", "#3f4f8f", "#6b6b6b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
RATES = LinearSegmentedColormap.from_list("rates", ["#ffffff", "#cfe3f1", "#7fb5d9", "#2f7fb8", "#0b3c68"])
HEAT = "magma"  # ordered in lightness, so it also reads in grey

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
    "svg.hashsalt": "fer_repro",
    "svg.fonttype": "path",
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


def plain(name: object) -> str:
    """Make a name of the user's data harmless in a figure: a dollar sign is no formula there."""
    return str(name).replace("$", r"\$")


def bare(axes: Axes) -> None:
    """Take ticks and frame off axes that show an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def png_bytes(figure: Figure) -> bytes:
    """Render ``figure`` as PNG; the same figure gives the same bytes."""
    return _render(figure, "png")


def _render(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    # an SVG is laid out with its own measures of text, so there matplotlib has to do it
    with mpl.rc_context(_RC), _laid_out(figure) if kind == "png" else nullcontext():
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
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


def save_figure(figure: Figure, path: Path | str) -> tuple[Path, ...]:
    """Write ``figure`` atomically; the same figure gives the same bytes.

    Args:
        figure: any matplotlib figure.
        path: ends in ``.png`` or ``.svg``; without a suffix both files are written.

    Returns:
        The files written.

    Raises:
        UserError: the suffix is another one.
    """
    target = Path(path)
    suffixes = {"": (".png", ".svg"), ".png": (".png",), ".svg": (".svg",)}.get(target.suffix)
    if suffixes is None:
        raise UserError(f"{target}: figures are saved as .png or .svg, not '{target.suffix}'")
    written = tuple(target.with_suffix(suffix) for suffix in suffixes)
    for file in written:
        with atomic_write(file) as temporary:
            temporary.write_bytes(_render(figure, file.suffix[1:]))
    return written
