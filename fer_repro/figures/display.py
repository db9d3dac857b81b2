"""What notebooks show: figures and tables with captions, readable in Jupyter and in the report alike."""

import base64
import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fer_repro.errors import UserError
from fer_repro.figures.style import png_bytes
from fer_repro.figures.tables import Column, Kind, as_html, columns_of, for_people, result_columns, with_minus
from fer_repro.project_files import NO_PROJECT


def enter_project() -> Path:
    """Make the project's root the working folder, so that a notebook opened from notebooks/ finds its files.

    Raises:
        UserError: no folder from here upwards holds params.yaml.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            os.chdir(folder)
            return folder
    raise UserError(f"{here}: no params.yaml here or above; {NO_PROJECT}")


def file_table(folder: Path | str, about: dict[str, str] | None = None) -> pd.DataFrame:
    """List the files below ``folder``, with what each holds where ``about`` has its file name."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    rows = [(path.as_posix(), (about or {}).get(path.name, "")) for path in files]
    return pd.DataFrame(rows, columns=["file", "holds"])


TABLE_STYLE = """<style>
table.sortable { table-layout: auto; margin: 0.2em 0 1.2em; font-variant-numeric: tabular-nums; }
table.sortable caption { caption-side: top; text-align: left; padding: 0.3em 0.5em; }
table.sortable th, table.sortable td { text-align: left !important; vertical-align: top; padding: 0.3em }
table.sortable thead th { vertical-align: bottom; white-space: normal; }
table.sortable tbody th { font-weight: normal; }
table.sortable th.number, table.sortable td.number { text-align: right !important; }
table.sortable td.number { white-space: nowrap; }
table.sortable td.note { max-width: 32em; }
</style>
"""
"""What a notebook adds to its tables, against its rule that all cells stand right. The report has its own."""


@dataclass(frozen=True, repr=False)
class Shown:
    """A piece of HTML that Jupyter displays as the value of a cell."""

    markup: str

    def __repr__(self) -> str:
        """Give a short text: executed notebooks keep it next to the HTML."""
        return "shown as HTML"

    def _repr_html_(self) -> str:
        return self.markup + (TABLE_STYLE if "<table" in self.markup else "")


def say(text: str) -> Shown:
    """Show a sentence that was made from numbers, as a paragraph."""
    return Shown(f'<p class="said">{html.escape(with_minus(text))}</p>\n')


def with_reading(shown: Shown, *paragraphs: str) -> Shown:
    """Explain below a figure or table how to read it; add nothing below a sentence that there is none.

    Args:
        shown: what may be a sentence alone, because the data set has no data for the figure.
        paragraphs: plain text, with ``*words*`` in italics.
    """
    if "<figure" not in shown.markup and "<table" not in shown.markup:
        return shown
    return Shown(shown.markup + reading_html(*paragraphs))


def reading_html(*paragraphs: str) -> str:
    """Write paragraphs as HTML, ``*words*`` in italics."""
    marked = (re.sub(r"\*(.+?)\*", r"<em>\1</em>", html.escape(with_minus(text))) for text in paragraphs)
    return "".join(f'<p class="said">{text}</p>\n' for text in marked)


def figure_html(figure: Figure, caption: str, alt: str) -> str:
    """Write a figure with its caption and a text for those who cannot see it, all inside the HTML.

    Figures without an image in them are marked, so that a dark page can invert them.
    """
    kind = "plot" if any(axes.images for axes in figure.axes) else "plot lines"
    data = base64.b64encode(png_bytes(figure)).decode("ascii")
    image = f'<img alt="{html.escape(with_minus(alt), quote=True)}" src="data:image/png;base64,{data}">'
    words = f"<figcaption>{html.escape(with_minus(caption))}</figcaption>"
    return f'<figure class="{kind}"><div class="paper">{image}</div>{words}</figure>\n'


def show_figure(figure: Figure, caption: str, alt: str) -> Shown:
    """Show a figure with its caption.

    Args:
        figure: what a function of this package drew.
        caption: what to see in it; the report puts a number before it.
        alt: what the figure shows, for readers who cannot see it.
    """
    return Shown(figure_html(figure, caption, alt))


def show_table(
    frame: pd.DataFrame,
    caption: str,
    columns: Sequence[Column] | None = None,
    kinds: dict[str, Kind] | None = None,
) -> Shown:
    """Show a table with its caption; without ``columns`` every column appears under its own name."""
    return Shown(as_html(frame, columns or columns_of(frame, kinds), caption))


def show_results(table: pd.DataFrame, caption: str) -> Shown:
    """Show measured results beside published ones as people read them.

    Args:
        table: from ``fer_repro.figures.tables.beside_published``.
        caption: printed above the table.
    """
    people = for_people(table)
    return show_table(people, caption, result_columns(people))
