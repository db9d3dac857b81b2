"""The interface of both runtimes, and ONNX Runtime, which needs no torch."""

from pathlib import Path
from typing import Protocol

import numpy as np

from fer_repro.errors import UserError
from fer_repro.inference.spec import ModelSpec, spec_of_metadata

BATCH_BYTES = 1 << 28  # memory for the maps of an automatic batch on a CPU
LARGEST_BATCH = 256
ITEM_BYTES = "item_bytes"
"""The entry of an ONNX file's metadata with the memory of all maps of one face."""


class Backend(Protocol):
    """A network that is ready to compute.

    Attributes:
        runtime: ``torch`` or ``onnx``.
        batch: how many faces it is given at once.
        outputs: names of what ``run`` gives.
    """

    runtime: str
    batch: int
    outputs: list[str]

    def run(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Compute faces (N, C, S, S) uint8; returns what ``FaceNetwork.forward`` returns, float32."""
        ...


def batch_of(item_bytes: int, room: int = BATCH_BYTES) -> int:
    """Choose how many faces are computed together: as many as fit into ``room``, 1 to 256."""
    return max(1, min(LARGEST_BATCH, room // max(1, item_bytes)))


class OnnxBackend:
    """A model file that ``fer-repro export`` wrote, in ONNX Runtime.

    Args:
        path: the file.
        threads: of the computation; 0 leaves it to the runtime.

    Raises:
        UserError: ONNX Runtime is not installed, or the file is missing, damaged or no model of this project.
    """

    runtime = "onnx"

    def __init__(self, path: Path, threads: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError("ONNX Runtime is not installed: pip install 'fer-repro[onnx]'") from None
        if not path.is_file():
            raise UserError(f"{path}: no such file; write one with `fer-repro export MODEL --to {path}`")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # the runtime raises many kinds for a damaged file
            raise UserError(f"{path}: not readable as ONNX: {' '.join(str(error).split())[:200]}") from None
        metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.spec: ModelSpec = spec_of_metadata(metadata, path)
        item_bytes = metadata.get(ITEM_BYTES, "0")[:18]
        inputs = [(one.name, one.type) for one in self._session.get_inputs()]
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]
        if [kind for _, kind in inputs] != ["tensor(uint8)"] or "logits" not in self.outputs:
            raise UserError(
                f"{path}: takes {inputs} and gives {self.outputs}: expected faces as uint8, and logits"
            )
        if not (item_bytes.isascii() and item_bytes.isdigit()):
            raise UserError(f"{path}: metadata '{ITEM_BYTES}' is {item_bytes!r}: expected a whole number")
        self._input = inputs[0][0]
        self.batch = batch_of(int(item_bytes))

    def run(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Compute faces (N, C, S, S) uint8; see ``Backend``."""
        found = self._session.run(self.outputs, {self._input: faces})
        return dict(zip(self.outputs, found, strict=True))
