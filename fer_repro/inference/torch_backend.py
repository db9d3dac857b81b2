"""PyTorch as the runtime: batches that fit the device, and a faster form of the same network.

The faster form folds batch normalisations, computes in channels-last order, and in bfloat16 where the
processor has it. Folding alone changes a prediction by rounding (about 1e-6); bfloat16, which keeps eight
bits of a number's digits, by up to some hundredths of a probability.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fer_repro.errors import UserError
from fer_repro.inference.backends import BATCH_BYTES, batch_of
from fer_repro.inference.networks import FaceNetwork
from fer_repro.inference.spec import ModelSpec

GPU_SHARE = 4  # an automatic batch takes at most one part in so many of the free memory


class TorchBackend:
    """A network on a device.

    Args:
        network: from ``fer_repro.inference.networks.load_state``.
        spec: how faces are prepared for it.
        device: ``auto`` takes CUDA where there is one; else as torch names devices.
        fast: compute it in the faster form, see this module.

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
        """Compute faces (N, C, S, S) uint8; a batch that does not fit the device is halved, for good.

        A clip cannot be halved: the weights of its frames depend on one another.
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
    """Add up the outputs of all layers for one face, in bytes: more than is held at any time.

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


CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def fold_batch_norms(network: nn.Module, *inputs: Tensor) -> int:
    """Fold each batch normalisation into the convolution whose output it takes, in place.

    The network runs once, to see which one takes which output. A layer that is not one to one with its
    partner is left as it is.

    Args:
        network: in evaluation mode.
        *inputs: what it is called with; one face is enough.

    Returns:
        How many were folded.
    """
    places = {module: name for name, module in network.named_modules()}
    chosen = _pairs(network, *inputs)
    for convolution, norm in chosen:
        plain = nn.BatchNorm2d(norm.num_features, norm.eps, affine=norm.affine).eval()
        plain.load_state_dict(norm.state_dict())
        transposed = isinstance(convolution, nn.ConvTranspose2d)
        plain.to(convolution.weight.device)
        _put(network, places[convolution], fuse_conv_bn_eval(convolution, plain, transpose=transposed))
        _put(network, places[norm], getattr(norm, "act", None) or nn.Identity())  # timm's carry an activation
    return len(chosen)


def speed_up(network: nn.Module, *inputs: Tensor) -> None:
    """Fold batch normalisations, store weights channels last, those of convolutions as bfloat16; in place.

    Call it within ``brief_numbers`` afterwards: all other layers keep float32 weights.

    Args:
        network: in evaluation mode, on its device.
        *inputs: see ``fold_batch_norms``.
    """
    fold_batch_norms(network, *inputs)
    network.to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS) and has_bfloat16(module.weight.device):
            module.to(torch.bfloat16)  # else every call would convert them


@contextmanager
def brief_numbers(device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 what autocast allows, if the device has instructions for it."""
    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
        yield


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; imitating them would be slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    tells = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in tells)


def _pairs(network: nn.Module, *inputs: Tensor) -> list[tuple[Any, Any]]:
    """Find convolutions whose output goes into a batch normalisation, and nothing else of the two kinds."""
    outputs: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensor is kept, so that no other takes its id
    found: dict[nn.Module, set[nn.Module]] = {}

    def gave(module: nn.Module, given: object, output: Tensor) -> None:
        outputs[id(output)] = (module, output)

    def takes(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        source = outputs.get(id(given[0]))
        found.setdefault(module, set()).add(source[0] if source else module)

    hooks = []
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            hooks.append(module.register_forward_hook(gave))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(takes))
    with torch.inference_mode():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    chosen = [(sources.pop(), norm) for norm, sources in found.items() if len(sources) == 1]
    sources = [source for source, _ in chosen]
    return [(source, norm) for source, norm in chosen if source is not norm and sources.count(source) == 1]


def _put(network: nn.Module, place: str, module: nn.Module) -> None:
    parent, _, name = place.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
