"""Export of models: safetensors with a card, or ONNX files that run without torch.

The graph of an ONNX file holds the preprocessing, its metadata the description. It takes cropped uint8 faces
and gives the numbers of ``FaceNetwork``; the number of faces is left open, and for a network of clips the
number of frames. ``export_onnx`` compares it with torch before it is kept.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_write, check_name, keep_existing
from fer_repro.inference.backends import ITEM_BYTES, OnnxBackend
from fer_repro.inference.cards import write_card
from fer_repro.inference.hub import CARD
from fer_repro.inference.loading import MODEL, ONNX, open_weights
from fer_repro.inference.model import Model
from fer_repro.inference.networks import FaceNetwork, load_state, state_digest, write_model
from fer_repro.inference.run_models import find_manifest, read_run_facts
from fer_repro.inference.spec import KEY, ModelSpec
from fer_repro.inference.torch_backend import TorchBackend, item_bytes
from fer_repro.runs.predictions import read_predictions
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills
from fer_repro.terminal import doing

OPSET = 18
FEW, MANY = 2, 7  # faces of the comparison; 5 are in the example the graph is made from
EXAMPLE = 5
COMPARED = 1 + FEW + MANY  # synthetic faces, and as many images of noise
TOLERANCE = 1e-3  # of probabilities, and of any output as a share of the largest number; measured: far below


@dataclass(frozen=True)
class AnswerDifference:
    """How far a graph's numbers are from PyTorch's on synthetic faces and on images of noise.

    Attributes:
        probabilities: largest difference of a probability; 0 where the network names no classes.
        outputs: largest difference of any output number: logits, weights, embeddings.
        scale: largest output number.
        names_classes: whether there are probabilities.
    """

    probabilities: float
    outputs: float
    scale: float
    names_classes: bool = True

    @property
    def is_large(self) -> bool:
        """Whether the graph is refused; NaN is."""
        return not (self.probabilities <= TOLERANCE and self.outputs <= TOLERANCE * max(1.0, self.scale))

    def as_dict(self) -> dict[str, float | None]:
        """As JSON shows it."""
        return {
            "faces compared": COMPARED,
            "largest difference of probabilities": self.probabilities if self.names_classes else None,
            "largest difference": self.outputs,
            "largest output": self.scale,
        }


def export_onnx(network: nn.Module, spec: ModelSpec, path: Path, explained: bool = False) -> AnswerDifference:
    """Write a network as ONNX, and compare it with torch on synthetic faces and on noise.

    Args:
        network: in evaluation mode, on the CPU.
        spec: how faces are prepared for it.
        path: the file to write.
        explained: its outputs include the maps of ``FaceNetwork``.

    Returns:
        How far ONNX Runtime is from torch.

    Raises:
        UserError: the packages of the extra ``onnx`` are missing, the network cannot be exported, or the
            runtime gives other numbers.
    """
    _check_onnx()
    import onnx

    network = network.float()
    with doing("making the ONNX graph"):
        proto = _graph(FaceNetwork(network, spec, exported=True, explained=explained).eval(), spec)
        metadata = {KEY: spec.as_json(), ITEM_BYTES: str(_item_bytes(network, spec))}
        onnx.helper.set_model_props(proto, metadata)
    with atomic_write(path) as temporary, doing("comparing it with PyTorch"):
        onnx.save(proto, temporary)
        parts = [compare(network, spec, temporary, count, explained) for count in (1, FEW, MANY)]
        worst = np.max(parts, axis=0).tolist()  # NaN is the largest
        found = AnswerDifference(worst[0], worst[1], worst[2], names_classes=bool(spec.classes))
        if found.is_large:
            raise UserError(
                f"{path}: ONNX Runtime differs from torch by {found.outputs:.3g}, values to "
                f"{found.scale:.3g}, and by {found.probabilities:.3g} in probabilities: not kept"
            )
    return found


def _check_onnx() -> None:
    """Refuse before anything is written; torch's exporter needs onnxscript."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"{missing[0]} is not installed: pip install 'fer-repro[onnx]' or {' '.join(missing)}"
        )


def compare(
    network: nn.Module, spec: ModelSpec, path: Path, count: int, explained: bool = False
) -> tuple[float, float, float]:
    """Give both runtimes the same synthetic faces, and the same images of noise.

    Args:
        network: in evaluation mode.
        spec: how faces are prepared for it.
        path: the ONNX file.
        count: of either; of a network of clips, frames.
        explained: see ``export_onnx``.

    Returns:
        The largest difference of a probability, of any output, and the largest number in them.
    """
    backend, worst = OnnxBackend(path), (0.0, 0.0, 0.0)
    exact = FaceNetwork(network, spec, explained=explained)
    for faces in (_drawn(spec, count), _noise(spec, count)):
        with torch.inference_mode():
            expected = {name: tensor.numpy() for name, tensor in exact(torch.from_numpy(faces)).items()}
        found = backend.run(faces)
        if set(found) != set(expected):
            raise UserError(f"{path}: has the outputs {', '.join(found)}; expected {', '.join(expected)}")
        worst = np.maximum(worst, _differences(found, expected, bool(spec.classes))).tolist()
    return worst[0], worst[1], worst[2]


def _differences(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], names_classes: bool
) -> tuple[float, float, float]:
    outputs = np.max([np.abs(found[name] - expected[name]).max() for name in expected])
    shares = [softmax(each["logits"], axis=1) for each in (found, expected)] if names_classes else [0.0, 0.0]
    scale = np.max([np.abs(values).max() for values in expected.values()])
    return float(np.max(np.abs(shares[0] - shares[1]))), float(outputs), float(scale)


def _graph(network: FaceNetwork, spec: ModelSpec) -> Any:  # noqa: ANN401 - onnx.ModelProto
    example = torch.from_numpy(_noise(spec, EXAMPLE))
    with torch.inference_mode():
        names = list(network(example))
    many = torch.export.Dim("frames" if spec.shows == "frames" else "faces")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # PyTorch remembers how an LSTM ran before, and would freeze the number of frames in the next graph
    getattr(torch.ops.aten.lstm.input, "_dispatch_cache", {}).clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=({0: many},),
                output_names=names,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(f"{spec.name} cannot be exported: {str(error).splitlines()[0]}") from None
    assert program is not None
    return _without_traces(program.model_proto)


def _without_traces(proto: Any) -> Any:  # noqa: ANN401 - onnx.ModelProto
    """Drop the exporter's notes, among them stack traces with the folders of this machine."""
    graph = proto.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    return proto


def _drawn(spec: ModelSpec, count: int) -> np.ndarray:
    table = sample_stills(0, {"train": 1}, 1).head(count)
    pixels = render(table, spec.face_size, spec.channels == 3, supersample=1).images
    return pixels.transpose(0, 3, 1, 2).copy() if spec.channels == 3 else pixels[:, None]  # (N, C, S, S)


def _noise(spec: ModelSpec, count: int) -> np.ndarray:
    shape = (count, spec.channels, spec.face_size, spec.face_size)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _item_bytes(network: nn.Module, spec: ModelSpec) -> int:
    return item_bytes(FaceNetwork(network, spec).eval(), spec, torch.device("cpu"))


def export_model(
    source: str | Path,
    to: Path,
    variant: str = "",
    fold: int = 0,
    colour: str = "",
    face_size: int = 0,
    force: bool = False,
    half: bool = False,
) -> dict[str, Any]:
    """Write a model.

    Args:
        source: what ``fer_repro.load`` takes, but no ONNX file.
        to: a ``.onnx`` or ``.safetensors`` file, or a folder for both and the card.
        variant: of an official checkpoint.
        fold: of a run tested fold by fold.
        colour: grey or rgb, where the manifest of a run's data is gone.
        face_size: likewise.
        force: replace files of these names.
        half: round weights to float16, half the file; networks compute in float32 all the same.

    Returns:
        What was written: ``safetensors``, ``card``, ``onnx``, the ``AnswerDifference`` from torch, and of
        rounded weights what ``rounding_of`` measured.

    Raises:
        UserError: the model cannot be read or exported, the name is of another kind, a file exists, or a
            weight is too large for float16.
    """
    if to.suffix not in ("", ".onnx", ".safetensors"):
        raise UserError(
            f"{to}: expected a folder, .onnx or .safetensors; {nearest(to.suffix, ('.onnx', '.safetensors'))}"
        )
    check_name(to)
    weights = to if to.suffix else to / MODEL
    card = to.with_suffix(".md") if to.suffix else to / CARD
    graph = to if to.suffix else to / ONNX
    keep_existing(
        {"": [weights, card, graph], ".safetensors": [weights, card], ".onnx": [graph]}[to.suffix], force
    )
    if to.suffix in ("", ".onnx"):
        _check_onnx()
    path, shade = Path(source), cast(Any, colour or None)
    with doing(f"reading {path}"):
        state, spec = open_weights(path, variant, fold, shade, face_size)
    run = path if (path / "config.json").is_file() else None
    done: dict[str, Any] = {}
    if half:
        with doing("rounding its weights"):
            state, spec, done["rounding"] = _rounded(state, spec, run)
    if to.suffix in ("", ".safetensors"):
        with doing(f"writing {weights} and its card"):
            write_model(weights, state, spec)
            write_card(card, spec, run, rounding=done.get("rounding"))
        done |= {"safetensors": str(weights), "card": str(card)}
    if to.suffix in ("", ".onnx"):
        found = export_onnx(load_state(spec, state, str(path)), spec, graph)
        done |= {"onnx": str(graph), **found.as_dict()}
    return done


def _rounded(
    state: dict[str, torch.Tensor], spec: ModelSpec, run: Path | None
) -> tuple[dict[str, torch.Tensor], ModelSpec, dict[str, Any]]:
    rounded = {name: each.half() if each.is_floating_point() else each for name, each in state.items()}
    for name, each in rounded.items():
        if not torch.isfinite(each).all():
            raise UserError(f"{spec.name}: '{name}' has numbers beyond float16; export it without --half")
    new = replace(spec, weights_sha256=state_digest(rounded))
    networks = [load_state(spec, dict(each), spec.name) for each in (state, rounded)]
    return rounded, new, rounding_of(networks, spec, run)


def rounding_of(networks: Sequence[nn.Module], spec: ModelSpec, run: Path | None) -> dict[str, Any]:
    """Measure what rounded weights change on the test part of a run's data set.

    Args:
        networks: before and after, both computed in float32 here.
        spec: of both.
        run: that they are of.

    Returns:
        ``weights``, their type; of a run of single images whose data set is here also ``test_samples``,
        ``accuracy_before`` and ``accuracy_after`` in [0, 1], and ``answers_changed``.
    """
    found: dict[str, Any] = {"weights": "float16"}
    if run is None or spec.shows == "frames" or not spec.classes:
        return found
    try:
        store = open_store(find_manifest(run, read_run_facts(run))[0].parent)
    except UserError:  # the data set is not on this machine
        return found
    test = read_predictions(run / "predictions.csv").of_split("test")
    images = store.images[store.samples["image"].to_numpy()[test.samples]]
    faces = images if images.ndim == 4 else images[..., None]  # (N, H, W, C)
    models = [Model(spec, TorchBackend(network, spec, "cpu")) for network in networks]
    before, after = (each.predict(faces, detector="none")["prediction"].to_numpy() for each in models)
    labels = np.array(spec.classes)[test.targets]
    return found | {
        "test_samples": len(labels),
        "accuracy_before": float((before == labels).mean()),
        "accuracy_after": float((after == labels).mean()),
        "answers_changed": int((before != after).sum()),
    }
