"""The specification in a model file: what rebuilds the network and prepares faces as in training.

It is JSON in the metadata of a safetensors or ONNX file, so a model is one file, and reading it needs no
torch.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic.dataclasses import dataclass

from fer_repro.datasets.faces import POLICIES
from fer_repro.errors import UserError, nearest
from fer_repro.inference.catalogue import trained_on
from fer_repro.sections import STRICT, PositiveInt, read_section

KEY = "fer_repro"
"""The entry of a file's metadata that holds the JSON."""
LARGEST_SIDE = 4096  # pixels; a file that asks for more would exhaust the machine's memory
Colour = Literal["grey", "rgb"]
FaceTask = Literal["expression", "verification", "manipulation"]
Shows = Literal["images", "frames", "regions"]


@dataclass(frozen=True, config=STRICT)
class OfficialNetwork:
    """A network of a paper's own code.

    Attributes:
        identifier: of the layout, a key of ``Method.official``.
        constructor: the arguments it is built with, and what else describes it, such as a padding.
    """

    identifier: str
    constructor: dict[str, bool | int | float | str | None]


@dataclass(frozen=True, config=STRICT)
class ModelSpec:
    """One trained network.

    Attributes:
        version: of this format.
        method: a key of ``methods``.
        arm: of the method; "" for a network of a paper's own code.
        official: that network; None for an arm.
        task: what it was trained for.
        classes: names in the order of the logits; none for verification, where classes were people.
        outputs: how many logits there are.
        options: the ``model`` section of the recipe; empty for ``official``.
        shows: what one sample is: images, frames of a clip, or regions of a face.
        regions: their names in order, the whole face last; none where ``shows`` is another.
        image_size: side of the network's images in pixels.
        face_size: side to which a face is cut first, as in the training data.
        colour: of the training data; colour images are made grey for ``grey``.
        crop: policy of ``fer_repro.datasets.faces`` about a tight box; it adds the method's margin.
        standardise: subtract ImageNet's mean and divide by its deviation before the network.
        dataset: what it was trained on.
        pretraining: what it started from.
        source: where the weights come from.
        threshold: cosine from which two faces are one person, by the validation pairs; None without.
        weights_sha256: of the tensors, see ``fer_repro.inference.networks``.
    """

    version: Literal[1]
    method: str
    arm: str
    official: OfficialNetwork | None
    task: FaceTask
    classes: tuple[str, ...]
    outputs: PositiveInt
    options: dict[str, bool | int | float | str]
    shows: Shows
    regions: tuple[str, ...]
    image_size: PositiveInt
    face_size: PositiveInt
    colour: Colour
    crop: str
    standardise: bool
    dataset: str
    pretraining: str
    source: str
    threshold: float | None
    weights_sha256: str

    @property
    def name(self) -> str:
        """Method with arm or official identifier, for people."""
        return f"{self.method} {self.official.identifier if self.official else self.arm}"

    @property
    def trained_on(self) -> str:
        """``synthetic faces``, the name of a data set, ``as published`` or ``unknown``."""
        return trained_on(self.dataset, self.official is not None)

    @property
    def channels(self) -> int:
        """1 grey or 3 RGB."""
        return 1 if self.colour == "grey" else 3

    def as_json(self) -> str:
        """Byte-stable JSON on one line."""
        return json.dumps(asdict(self), sort_keys=True)


def of_faces(task: str, inputs: str, where: str) -> tuple[FaceTask, Shows]:
    """Return task and inputs of a network that sees faces.

    Args:
        task: of the method, or of the run.
        inputs: of the method.
        where: the run or the file, for the message.

    Raises:
        UserError: it sees something else.
    """
    if task not in get_args(FaceTask) or inputs not in get_args(Shows):
        raise UserError(
            f"{where}: a network for {task} that takes {inputs}: expected one that takes faces; what a run "
            "predicts is in its predictions.csv"
        )
    return cast(FaceTask, task), cast(Shows, inputs)


def read_spec(text: str, where: str) -> ModelSpec:
    """Read and check what ``as_json`` wrote.

    Args:
        text: the JSON.
        where: the file, for messages.

    Raises:
        UserError: it is no JSON, a key is wrong, the crop policy is unknown, or sizes are out of range.
    """
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: metadata '{KEY}' is not readable as JSON: {error}") from None
    spec = read_section(ModelSpec, values, f"{where}: metadata '{KEY}'")
    if spec.crop not in POLICIES:
        raise UserError(f"{where}: crop is '{spec.crop}'; {nearest(spec.crop, POLICIES)}")
    if spec.task != "verification" and len(spec.classes) != spec.outputs:
        raise UserError(f"{where}: names {len(spec.classes)} classes for {spec.outputs} outputs")
    for side in (spec.image_size, spec.face_size):
        if side > LARGEST_SIDE:
            raise UserError(f"{where}: images of {side} pixels a side: expected at most {LARGEST_SIDE}")
    return spec


def spec_of_metadata(metadata: dict[str, str], where: Path) -> ModelSpec:
    """Find the model in the metadata of a file.

    Raises:
        UserError: there is none.
    """
    if KEY not in metadata:
        raise UserError(
            f"{where}: no model of this project: its metadata have no '{KEY}'; name a run's folder, or a "
            "file that `fer-repro import` or `fer-repro export` wrote"
        )
    return read_spec(metadata[KEY], str(where))
