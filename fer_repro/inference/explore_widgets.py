"""Explorers on the page: widgets where somebody can use them, one image elsewhere.

Widgets work in a kernel that a Jupyter server has started for a session. A notebook that papermill runs must
give the same bytes every time, and a widget's state does not.
"""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from fer_repro.errors import UserError
from fer_repro.figures.display import figure_html, reading_html, say, show_figure, with_reading
from fer_repro.inference.explore import Choice, Control, Explorer, SeenFace
from fer_repro.inference.own_face import Photograph, read_photograph, take_photographs

_OWN_FACE = (
    "Your own face: an image of up to 10 MB, with some space around the head, or one of the camera of the "
    "machine on which Jupyter runs. It stays in the memory of this notebook's kernel: it is neither written "
    "nor sent on. The network has seen rendered faces only; what it says of a photograph shows how far that "
    "carries, nothing about a person."
)

_SESSION = "JPY_SESSION_NAME"  # a Jupyter server names the open notebook here; papermill and nbconvert do not


def is_live() -> bool:
    """Whether widgets work: a Jupyter server runs this kernel, and ipywidgets is installed."""
    return _SESSION in os.environ and find_spec("ipywidgets") is not None


def show_explorer(
    explorer: Explorer | None, caption: str, reading: str = "", live: bool | None = None
) -> Any:  # noqa: ANN401 - Shown or a widget
    """Show an explorer with its controls, or where widgets do not work, with its initial values.

    Args:
        explorer: None where there are no factors to change.
        caption: what to see in the figure.
        reading: what to do with it and how to read it, shown below.
        live: build widgets; None finds out, and other frontends than Jupyter's own need True.

    Returns:
        A widget, or a piece of HTML.
    """
    if explorer is None:
        return say("These faces are not rendered from known factors, so there are none to change here.")
    if is_live() if live is None else live:
        return _build(explorer, caption, reading)
    seen = explorer.at()
    still = f"{caption} Open the notebook in JupyterLab to change: {', '.join(_names(explorer))}."
    return with_reading(show_figure(seen.figure, still, seen.words), *([reading] if reading else []))


def _names(explorer: Explorer) -> list[str]:
    return [control.name for control in explorer.controls]


def _build(explorer: Explorer, caption: str, reading: str) -> Any:  # noqa: ANN401 - ipywidgets is imported late and has no types
    import ipywidgets

    image, words = ipywidgets.HTML(), ipywidgets.HTML()
    image.layout.max_width = "1000px"
    movers: dict[str, Any] = {control.name: _widget(control) for control in explorer.controls}

    def show(seen: SeenFace) -> None:
        image.value = figure_html(seen.figure, caption, seen.words).replace("<img ", '<img width="100%" ')
        tell(seen.words)

    def tell(text: str) -> None:
        words.value = say(text).markup

    def update(_change: object = None) -> None:
        show(explorer.at(**{name: mover.value for name, mover in movers.items()}))

    for mover in movers.values():
        mover.observe(update, names="value")
    update()
    row = ipywidgets.Layout(flex_flow="row wrap")
    parts = [ipywidgets.HBox(list(movers.values()), layout=row), words, image]
    if explorer.own is not None:
        parts.insert(1, _own_face(explorer.own.frames, explorer.of, show, tell))
        parts.append(ipywidgets.HTML(reading_html(_OWN_FACE)))
    if reading:
        parts.append(ipywidgets.HTML(reading_html(reading)))
    return ipywidgets.VBox(parts)


def _own_face(
    frames: int,
    look: Callable[[Sequence[Photograph]], SeenFace],
    show: Callable[[SeenFace], None],
    tell: Callable[[str], None],
) -> Any:  # noqa: ANN401 - see _build
    """Build the buttons that take photographs; a factor that is changed shows a rendered face again."""
    import ipywidgets

    wide = ipywidgets.Layout(width="auto")
    several = frames > 1
    words = f"Up to {frames} photographs" if several else "Your photograph"
    files = ipywidgets.FileUpload(accept="image/*", multiple=several, description=words, layout=wide)
    words = f"Camera, {frames} frames" if several else "Camera"
    camera = ipywidgets.Button(description=words, icon="camera", layout=wide)

    def answer(take: Callable[[], Sequence[Photograph]]) -> None:
        tell("Looking for a face ...")
        try:
            show(look(take()))
        except UserError as error:
            tell(str(error))

    def chosen(change: Any) -> None:  # noqa: ANN401 - a trait's change
        given = [(file["content"], file["name"]) for file in change["new"]]
        if given:
            files.value = ()  # the widget keeps no copy
            answer(lambda: [read_photograph(*file) for file in given])

    files.observe(chosen, names="value")
    camera.on_click(lambda _: answer(lambda: take_photographs(frames)))
    return ipywidgets.HBox([files, camera])


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
