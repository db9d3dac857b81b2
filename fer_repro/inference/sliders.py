"""Controls for explorers: widgets where somebody sits before a notebook, a picture where nobody does.

A notebook that papermill runs must give the same bytes every time, and a widget's state is none of them.
So widgets are built only in a kernel that a Jupyter server has started for a session.
"""

import os
from importlib.util import find_spec
from typing import Any

from fer_repro.figures.display import figure_html, reading_html, say, show_figure, with_reading
from fer_repro.inference.explore import Choice, Control, Explorer

_SESSION = "JPY_SESSION_NAME"  # a Jupyter server names the open notebook here; papermill and nbconvert do not


def is_live() -> bool:
    """Say whether somebody can move widgets: a Jupyter server runs this kernel, and ipywidgets is there."""
    return _SESSION in os.environ and find_spec("ipywidgets") is not None


def show_explorer(
    explorer: Explorer | None, caption: str, reading: str = "", live: bool | None = None
) -> Any:  # noqa: ANN401 - Shown or a widget
    """Show an explorer with its controls, or where nobody can move them, as it starts.

    Args:
        explorer: None where there is nothing to move.
        caption: what to see in the figure.
        reading: what to do with it and how to read it, said below.
        live: build widgets; None finds out, and other frontends than Jupyter's own need True.

    Returns:
        A widget, or a piece of HTML.
    """
    if explorer is None:
        return say("These faces are not rendered from known factors, so there is nothing to move here.")
    if is_live() if live is None else live:
        return _build(explorer, caption, reading)
    seen = explorer.at()
    still = f"{caption} Open the notebook in JupyterLab to move: {', '.join(_names(explorer))}."
    return with_reading(show_figure(seen.figure, still, seen.words), *([reading] if reading else []))


def _names(explorer: Explorer) -> list[str]:
    return [control.name for control in explorer.controls]


def _build(explorer: Explorer, caption: str, reading: str) -> Any:  # noqa: ANN401 - ipywidgets is imported late and has no types
    import ipywidgets

    picture, words = ipywidgets.HTML(), ipywidgets.Label()
    picture.layout.max_width = "1000px"
    movers: dict[str, Any] = {control.name: _widget(control) for control in explorer.controls}

    def update(_change: object = None) -> None:
        seen = explorer.at(**{name: mover.value for name, mover in movers.items()})
        picture.value = figure_html(seen.figure, caption, seen.words).replace("<img ", '<img width="100%" ')
        words.value = seen.words

    for mover in movers.values():
        mover.observe(update, names="value")
    update()
    below = [ipywidgets.HTML(reading_html(reading))] if reading else []
    row = ipywidgets.Layout(flex_flow="row wrap")
    return ipywidgets.VBox([ipywidgets.HBox(list(movers.values()), layout=row), words, picture, *below])


def _widget(control: Control) -> Any:  # noqa: ANN401 - see _build
    import ipywidgets

    style = {"description_width": "initial"}
    if isinstance(control, Choice):
        return ipywidgets.Dropdown(
            options=control.options, value=control.value, description=control.label, style=style
        )
    kind = ipywidgets.IntSlider if float(control.step).is_integer() else ipywidgets.FloatSlider
    number = int if kind is ipywidgets.IntSlider else float
    return kind(
        value=number(control.value),
        min=number(control.low),
        max=number(control.high),
        step=number(control.step),
        description=control.label,
        continuous_update=False,  # a figure takes a third of a second; those in between would queue
        style=style,
    )
