"""Interactive figures of trained networks: a few factors to change, and the network's answer to the face.

An explorer does not depend on notebooks or widgets: ``at`` takes the factors that are changed, ``of`` the
reader's own photographs, and both give the figure, and its content as text. explore_widgets.py shows it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.region_weights import common_boxes
from fer_repro.figures.explored import frames_explored, masks_explored, regions_explored
from fer_repro.inference.faces_in import FaceFormat
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
from fer_repro.inference.own_face import Photograph, cut_faces
from fer_repro.measures.saliency import region_coverage
from fer_repro.runs.loaded_run import load_run
from fer_repro.synthetic.factors import CLASSES

PEOPLE = 8  # of a data set among whom one may choose
FRAMES = 8  # of a rendered clip
NOWHERE = "no frame"
RENDERED_CROP = "square"
"""The crop whose result is most like a rendered face, whatever the method's own: of 60 test faces, each put
into a larger image, found and cut again, RMN names 73 % right and RAN 85 % (stored: 78 and 83 %); by
``padded``, RAN's own, 43 and 58 %, by ``scale`` 38 and 32 %."""


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
class OwnFaces:
    """How a network looks at faces that were not rendered.

    Attributes:
        form: how its training data show faces.
        look: makes the figure of (N, S, S) or (N, S, S, 3) uint8 faces.
        frames: N: 1, or the frames of a clip.
    """

    form: FaceFormat
    look: Callable[[np.ndarray], SeenFace]
    frames: int = 1


@dataclass(frozen=True)
class Explorer:
    """A trained network with factors to change.

    Attributes:
        controls: the factors, with their initial values.
        look: makes the figure of the network's answer from the factors, by their names.
        own: how it looks at the reader's own face; None where it cannot.
    """

    controls: tuple[Control, ...]
    look: Callable[..., SeenFace]
    own: OwnFaces | None = None

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

    def of(self, photographs: Sequence[Photograph]) -> SeenFace:
        """Make the figure of the largest face in each of the reader's photographs; nothing is kept of them.

        Args:
            photographs: in the order of time; fewer than the network has frames are repeated.

        Raises:
            UserError: there is none, one shows no face, or this explorer takes none.
        """
        if self.own is None:
            raise UserError("this explorer takes no photographs: expected one of faces")
        if not photographs:
            raise UserError("no photograph: expected one, as from read_photograph or take_photographs")
        places = np.linspace(0, len(photographs) - 1, self.own.frames).round().astype(int)
        seen = self.own.look(cut_faces([photographs[place] for place in places], self.own.form))
        names = ", ".join(dict.fromkeys(photographs[place].name for place in places))
        return SeenFace(seen.figure, f"{names}: {seen.words}")


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
        seen = masks_of(render_like([pose.of(people[person])], store).images, expression)
        return SeenFace(seen.figure, f"Person {person}, {pose.words}. {seen.words}")

    def masks_of(images: np.ndarray, expression: str = "") -> SeenFace:
        found = look_at_images(run, images)
        masks = [found[f"mask{stage}"][0] for stage in range(1, 5) if f"mask{stage}" in found]
        likely = found["probabilities"][0]
        figure = masks_explored(images[0], masks, run.classes, likely, expression)
        return SeenFace(figure, said(run.classes, likely))

    return Explorer(face_controls(people, "happy"), look, OwnFaces(face_format(store), masks_of))


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
        covered = region_coverage(rendered.occluded, np.array(list(boxes.values())))[0]
        seen = regions_of(rendered.images, covered, expression)
        return SeenFace(seen.figure, f"Person {person}, {pose.words}. {seen.words}")

    def regions_of(images: np.ndarray, covered: np.ndarray | None = None, expression: str = "") -> SeenFace:
        found = look_at_images(run, images)
        weights, likely = found["weights"][0], found["probabilities"][0]
        figure = regions_explored(images[0], boxes, weights, covered, run.classes, likely, expression)
        heaviest = list(boxes)[int(weights.argmax())]
        words = f"Heaviest region: {heaviest}, {weights.max():.3f}. {said(run.classes, likely)}"
        return SeenFace(figure, words)

    return Explorer(face_controls(people, "happy"), look, OwnFaces(face_format(store), regions_of))


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
        seen = frames_of(render_like(rows, store).images, levels, hidden, expression)
        covered = f"{occluder} in frame {frame}" if hidden else "no occluder"
        words = f"Person {person}, {expression}, apex at frame {int(apex)}, {covered}. {seen.words}"
        return SeenFace(seen.figure, words)

    def frames_of(
        images: np.ndarray,
        levels: np.ndarray | None = None,
        hidden: Sequence[int] = (),
        expression: str = "",
    ) -> SeenFace:
        found = look_at_images(run, images)
        weights, likely = found["weights"][0], found["probabilities"][0]
        figure = frames_explored(
            images, found["alpha"][0], weights, levels, hidden, run.classes, likely, expression
        )
        return SeenFace(figure, f"Heaviest frame: {int(weights.argmax())}. {said(run.classes, likely)}")

    numbers = tuple(str(place) for place in range(FRAMES))
    controls = (
        Choice("person", "Person", tuple(people), next(iter(people))),
        Choice("expression", "Expression", CLASSES, "surprise"),
        Slider("apex", "Apex at frame", 0, FRAMES - 1, 1, 4),
        Choice("occluder", "Occluder", ("hand", "block", "hair", "mask"), "hand"),
        Choice("frame", "In frame", (NOWHERE, *numbers), NOWHERE),
    )
    return Explorer(controls, look, OwnFaces(face_format(store), frames_of, FRAMES))


def face_format(store: Store) -> FaceFormat:
    """Describe how rendered faces show a head: what a photograph must be cut to.

    Args:
        store: of a set that is rendered.
    """
    return FaceFormat(RENDERED_CROP, int(store.images.shape[1]), "rgb" if store.images.ndim == 4 else "grey")


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


def said(names: tuple[str, ...], likely: np.ndarray) -> str:
    """Write the most likely of the classes as a sentence."""
    best = int(likely.argmax())
    return f"The network predicts {names[best]}, {likely[best]:.0%}."
