"""Models as ONNX files that run without torch: preprocessing in the graph, description in the metadata.

The graph takes faces as they were cut, uint8, and gives the numbers of ``FaceNetwork``; how many faces there
are is left open, for a network of clips how many frames. ``export_onnx`` compares it with torch before it
keeps it.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.inference.backends import ITEM_BYTES, OnnxBackend
from fer_repro.inference.networks import FaceNetwork
from fer_repro.inference.spec import KEY, ModelSpec
from fer_repro.inference.torch_backend import item_bytes

OPSET = 18
FEW, MANY = 2, 7  # faces of the comparison; 5 are in the example the graph is made from
EXAMPLE = 5
TOLERANCE = 1e-3  # of the largest logit; what is measured is far below


def export_onnx(network: nn.Module, spec: ModelSpec, path: Path) -> float:
    """Write a network as ONNX, and compare it with torch on faces of noise.

    Args:
        network: in evaluation mode, on the CPU.
        spec: how it is shown faces.
        path: the file to write.

    Returns:
        The largest difference of any output number between ONNX Runtime and torch.

    Raises:
        UserError: the packages of the extra ``onnx`` are missing, the network cannot be exported, or the
            runtime gives other numbers.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'fer-repro[onnx]'") from None
    network = network.float()
    proto = _graph(FaceNetwork(network, spec, exported=True).eval(), spec)
    metadata = {KEY: spec.as_json(), ITEM_BYTES: str(_item_bytes(network, spec))}
    onnx.helper.set_model_props(proto, metadata)
    with atomic_write(path) as temporary:
        onnx.save(proto, temporary)
        differences = [compare(network, spec, temporary, count) for count in (1, FEW, MANY)]
        largest = float(np.max([difference for difference, _ in differences]))  # NaN is the largest here
        scale = float(np.max([scale for _, scale in differences]))
        if not largest <= TOLERANCE * max(1.0, scale):
            raise UserError(
                f"{path}: ONNX Runtime differs from torch by {largest:.3g}, values to {scale:.3g}: not kept"
            )
    return largest


def compare(network: nn.Module, spec: ModelSpec, path: Path, count: int) -> tuple[float, float]:
    """Give both runtimes the same faces of noise.

    Args:
        network: in evaluation mode.
        spec: how it is shown faces.
        path: the ONNX file.
        count: faces, or frames of a clip.

    Returns:
        The largest difference of any output, and the largest number in it.
    """
    faces = _noise(spec, count)
    with torch.inference_mode():
        expected = {
            name: tensor.numpy()
            for name, tensor in FaceNetwork(network, spec)(torch.from_numpy(faces)).items()
        }
    found = OnnxBackend(path).run(faces)
    if set(found) != set(expected):
        raise UserError(f"{path}: has the outputs {', '.join(found)}; expected {', '.join(expected)}")
    difference = np.max([np.abs(found[name] - expected[name]).max() for name in expected])
    return float(difference), float(np.max([np.abs(values).max() for values in expected.values()]))


def _graph(network: FaceNetwork, spec: ModelSpec) -> Any:  # noqa: ANN401 - onnx.ModelProto
    example = torch.from_numpy(_noise(spec, EXAMPLE))
    with torch.inference_mode():
        names = list(network(example))
    many = torch.export.Dim("frames" if spec.shows == "frames" else "faces")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
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
    return program.model_proto


def _noise(spec: ModelSpec, count: int) -> np.ndarray:
    shape = (count, spec.channels, spec.face_size, spec.face_size)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _item_bytes(network: nn.Module, spec: ModelSpec) -> int:
    return item_bytes(FaceNetwork(network, spec).eval(), spec, torch.device("cpu"))
