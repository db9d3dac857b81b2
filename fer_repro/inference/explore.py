"""Interactive figures of trained networks: a few factors to change, and the network's answer to the face.

An explorer does not depend on notebooks or widgets: ``at`` takes the factors that are changed and gives the
figure, and its content as text. Controls are widgets in a kernel that a Jupyter server has started
for a session, and one image elsewhere: a notebook that papermill runs must give the same bytes every time,
and a widget's state does not.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.region_weights import common_boxes
from fer_repro.figures.display import figure_html, reading_html, say, show_figure, with_reading
from fer_repro.figures.explored import frames_explored, masks_explored, regions_explored
from fer_repro.inference.moved_faces import (
    OCCLUDERS,
    Row,
    can_render_again,
    course,
    look_at_images,
    render_like,
    with_expression,
    with_occluder,
    with_yaw,
)
from fer_repro.measures.saliency import region_coverage
from fer_repro.runs.loaded_run import load_run
from fer_repro.synthetic.factors import CLASSES

PEOPLE = 8  # of a data set among whom one may choose
FRAMES = 8  # of a rendered clip
NOWHERE = "no frame"


@dataclass(frozen=True)
class Slider:
    """A number to change."""

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float


@dataclass(frozen=True)
class Choice:
    """A value to choose from a list."""

    name: str
    label: str
    options: tuple[str, ...]
    value: str


Control = Slider | Choice


@dataclass(frozen=True)
class SeenFace:
    """What an explorer shows: a figure, and the same as text for those who cannot see it."""

    figure: Figure
    words: str


@dataclass(frozen=True)
class Explorer:
    """A trained network with factors to change.

    Attributes:
        controls: the factors, with their initial values.
        look: makes the figure of the network's answer from the factors, by their names.
    """

    controls: tuple[Control, ...]
    look: Callable[..., SeenFace]

    def at(self, **moved: float | str) -> SeenFace:
        """Make the figure with some factors changed and the others at their initial values.

        Raises:
            UserError: a factor is unknown, or its value out of range.
        """
        values: dict[str, float | str] = {control.name: control.value for control in self.controls}
        for name in moved:
            if name not in values:
                raise UserError(f"unknown factor '{name}'; {nearest(name, values)}")
        for control in self.controls:
            _check(control, moved.get(control.name, control.value))
        return self.look(**(values | moved))


class Pose(NamedTuple):
    """How a person is shown: the factors of ``face_controls`` besides the person.

    Attributes:
        expression: a class.
        intensity: 0 to 1.
        yaw: degrees from the front.
        occluder: a key of ``OCCLUDERS``.
    """

    expression: str
    intensity: float
    yaw: float
    occluder: str

    def of(self, row: Row) -> Row:
        """Apply this pose to the person of a row."""
        shown = with_expression(row, self.expression, self.intensity)
        return with_occluder(with_yaw(shown, self.yaw), self.occluder)

    @property
    def words(self) -> str:
        """Describe it as text."""
        face = f"{self.expression} at {self.intensity:.2f}"
        return f"{face}, rotated by {self.yaw:g} degrees, occluder: {self.occluder}"


def _check(control: Control, value: float | str) -> None:
    if isinstance(control, Choice):
        if value not in control.options:
            raise UserError(f"{control.name} is {value!r}; {nearest(str(value), control.options)}")
    elif isinstance(value, str) or not control.low <= value <= control.high:
        raise UserError(f"{control.name} is {value!r}; expected {control.low:g} to {control.high:g}")


def explore_masks(folder: Path | str, store: Store) -> Explorer | None:
    """Change a face and show the masks of a Residual Masking Network.

    Args:
        folder: of a run, one seed and arm.
        store: the data set it was trained on.

    Returns:
        None where faces are not rendered, and so cannot be rendered again.
    """
    if not can_render_again(store):
        return None
    run, people = load_run(folder, store), people_of(store.samples, "test")

    def look(person: str, expression: str, intensity: float, yaw: float, occluder: str) -> SeenFace:
        pose = Pose(expression, intensity, yaw, occluder)
        image = render_like([pose.of(people[person])], store).images
        found = look_at_images(run, image)
        masks = [found[f"mask{stage}"][0] for stage in range(1, 5) if f"mask{stage}" in found]
        likely = found["probabilities"][0]
        figure = masks_explored(image[0], masks, run.classes, likely, expression)
        return SeenFace(figure, f"Person {person}, {pose.words}. {_said(run.classes, likely)}")

    return Explorer(face_controls(people, "happy"), look)


def explore_regions(folder: Path | str, store: Store) -> Explorer | None:
    """Occlude or rotate a face and show the weights of the regions of a Region Attention Network.

    Args:
        folder: of a run, one seed and arm with attention.
        store: the data set it was trained on.

    Returns:
        None where faces are not rendered, and so cannot be rendered again.
    """
    if not can_render_again(store):
        return None
    run, people = load_run(folder, store), people_of(store.samples, "test")
    boxes = common_boxes(run.config["recipe"]["model"]["crops"])

    def look(person: str, expression: str, intensity: float, yaw: float, occluder: str) -> SeenFace:
        pose = Pose(expression, intensity, yaw, occluder)
        rendered = render_like([pose.of(people[person])], store)
        found = look_at_images(run, rendered.images)
        weights, likely = found["weights"][0], found["probabilities"][0]
        covered = region_coverage(rendered.occluded, np.array(list(boxes.values())))[0]
        figure = regions_explored(
            rendered.images[0], boxes, weights, covered, run.classes, likely, expression
        )
        heaviest = list(boxes)[int(weights.argmax())]
        words = f"Heaviest region: {heaviest}, {weights.max():.3f}. {_said(run.classes, likely)}"
        return SeenFace(figure, f"Person {person}, {pose.words}. {words}")

    return Explorer(face_controls(people, "happy"), look)


def explore_frames(folder: Path | str, store: Store) -> Explorer | None:
    """Move the apex of a rendered clip, or occlude one of its frames, and show the weights of the frames.

    Args:
        folder: of a run of Frame Attention Networks, one seed and arm with attention.
        store: the data set it was trained on.

    Returns:
        None where faces are not rendered, and so cannot be rendered again.
    """
    if not can_render_again(store):
        return None
    run, people = load_run(folder, store), people_of(store.samples, "test")

    def look(person: str, expression: str, apex: float, occluder: str, frame: str) -> SeenFace:
        levels = course(FRAMES, int(apex))
        rows = [with_expression(people[person], expression, level) for level in levels.tolist()]
        hidden = [] if frame == NOWHERE else [int(frame)]
        for place in hidden:
            rows[place] = with_occluder(rows[place], occluder)
        images = render_like(rows, store).images
        found = look_at_images(run, images)
        weights, likely = found["weights"][0], found["probabilities"][0]
        figure = frames_explored(
            images, found["alpha"][0], weights, levels, hidden, run.classes, likely, expression
        )
        words = (
            f"Person {person}, {expression}, apex at frame {int(apex)}, "
            f"{f'{occluder} in frame {frame}' if hidden else 'no occluder'}. "
            f"Heaviest frame: {int(weights.argmax())}. {_said(run.classes, likely)}"
        )
        return SeenFace(figure, words)

    numbers = tuple(str(place) for place in range(FRAMES))
    controls = (
        Choice("person", "Person", tuple(people), next(iter(people))),
        Choice("expression", "Expression", CLASSES, "surprise"),
        Slider("apex", "Apex at frame", 0, FRAMES - 1, 1, 4),
        Choice("occluder", "Occluder", ("hand", "block", "hair", "mask"), "hand"),
        Choice("frame", "In frame", (NOWHERE, *numbers), NOWHERE),
    )
    return Explorer(controls, look)


def people_of(samples: pd.DataFrame, split: str, count: int = PEOPLE) -> dict[str, Row]:
    """Choose people of a split, each with the factors of one image in which nothing hides the face.

    Args:
        samples: the table of a synthetic set.
        split: of it.
        count: at most so many people, evenly spread.

    Returns:
        Subject -> factors, seen from the front.
    """
    part = samples[(samples["split"] == split) & (samples["occluder"] == "none")]
    first = part.drop_duplicates("subject").reset_index(drop=True)
    chosen = np.linspace(0, len(first) - 1, min(count, len(first))).astype(int)
    rows = [
        {str(name): value for name, value in row.items()} for row in first.iloc[chosen].to_dict("records")
    ]
    return {str(row["subject"]): with_yaw(row, 0.0) for row in rows}


def face_controls(people: Mapping[str, Row], expression: str) -> tuple[Control, ...]:
    """Name the factors of a face that can be changed, with the names that ``Pose`` has.

    Args:
        people: among whom one may choose; the first one is the initial value.
        expression: the initial value.
    """
    return (
        Choice("person", "Person", tuple(people), next(iter(people))),
        Choice("expression", "Expression", CLASSES, expression),
        Slider("intensity", "Intensity", 0.0, 1.0, 0.05, 0.9),
        Slider("yaw", "Rotation (degrees)", -60.0, 60.0, 5.0, 0.0),
        Choice("occluder", "Occluder", tuple(OCCLUDERS), "none"),
    )


def _said(names: tuple[str, ...], likely: np.ndarray) -> str:
    best = int(likely.argmax())
    return f"The network predicts {names[best]}, {likely[best]:.0%}."


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

    image, words = ipywidgets.HTML(), ipywidgets.Label()
    image.layout.max_width = "1000px"
    movers: dict[str, Any] = {control.name: _widget(control) for control in explorer.controls}

    def update(_change: object = None) -> None:
        seen = explorer.at(**{name: mover.value for name, mover in movers.items()})
        image.value = figure_html(seen.figure, caption, seen.words).replace("<img ", '<img width="100%" ')
        words.value = seen.words

    for mover in movers.values():
        mover.observe(update, names="value")
    update()
    below = [ipywidgets.HTML(reading_html(reading))] if reading else []
    row = ipywidgets.Layout(flex_flow="row wrap")
    return ipywidgets.VBox([ipywidgets.HBox(list(movers.values()), layout=row), words, image, *below])


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
