"""PyTorch as the runtime: batches that fit the device, and smaller ones where they do not."""

from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.inference.backends import BATCH_BYTES, batch_of
from fer_repro.inference.fast import brief_numbers, speed_up
from fer_repro.inference.networks import FaceNetwork
from fer_repro.inference.spec import ModelSpec

GPU_SHARE = 4  # an automatic batch takes at most one part in so many of the free memory


class TorchBackend:
    """A network on a device.

    Args:
        network: from ``fer_repro.inference.networks.load_state``.
        spec: how it is shown faces.
        device: ``auto`` takes CUDA where there is one; else as torch names devices.
        fast: compute it the way of ``fer_repro.inference.fast``.

    Raises:
        UserError: there is no such device.
    """

    runtime = "torch"

    def __init__(self, network: nn.Module, spec: ModelSpec, device: str = "auto", fast: bool = False) -> None:
        self.device, self.fast = _device(device), fast
        self.network = FaceNetwork(network.float(), spec).eval().to(self.device)
        with torch.inference_mode():
            self.outputs: list[str] = list(self.network(_blank_face(spec, self.device)))
        self.batch = batch_of(item_bytes(self.network, spec, self.device), _room(self.device))
        if fast:
            speed_up(self.network, _blank_face(spec, self.device))

    def run(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """Look at faces (N, C, S, S) uint8; a batch that does not fit the device is halved, for good.

        A clip cannot be halved: its frames weigh each other.
        """
        try:
            found = self._forward(faces)
        except torch.OutOfMemoryError:
            if len(faces) == 1 or self.network.view.in_clips:
                raise
            torch.cuda.empty_cache()
            half = max(1, min(self.batch, len(faces)) // 2)
            self.batch = half
            parts = [self.run(faces[i : i + half]) for i in range(0, len(faces), half)]
            found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return found

    def _forward(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode(), brief_numbers(self.device) if self.fast else nullcontext():
            output = self.network(torch.from_numpy(faces).to(self.device))
            return {name: tensor.float().cpu().numpy() for name, tensor in output.items()}


def item_bytes(network: nn.Module, spec: ModelSpec, device: torch.device) -> int:
    """Add up what all layers put out for one face, in bytes: more than is held at any time.

    Args:
        network: a ``FaceNetwork``.
        spec: of it.
        device: where it is.
    """
    total = 0

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        if isinstance(output, Tensor):
            total += output.numel() * output.element_size()

    hooks = [part.register_forward_hook(count) for part in network.modules() if not list(part.children())]
    with torch.inference_mode():
        network(_blank_face(spec, device))
    for hook in hooks:
        hook.remove()
    return total


def _blank_face(spec: ModelSpec, device: torch.device) -> Tensor:
    return torch.zeros(1, spec.channels, spec.face_size, spec.face_size, dtype=torch.uint8, device=device)


def _room(device: torch.device) -> int:
    if device.type != "cuda":
        return BATCH_BYTES
    return int(torch.cuda.mem_get_info(device)[0] // GPU_SHARE)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"device '{name}' cannot be used: {reason}; try auto or cpu") from None
    return device
