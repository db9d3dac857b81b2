"""How any network's layers respond: how strongly, and the last maps, from which its logits are computed."""

from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating
from fer_repro.layers.margin_heads import SoftmaxHead

KINDS = ("max", "mean")


def map_strength(maps: Tensor) -> dict[str, Tensor]:
    """Summarise the rectified maps (N, C, H, W) of a layer: each of ``KINDS`` -> (N,) float64.

    ``max`` is the mean over a layer's maps of the largest value in each, ``mean`` that of their means.
    """
    rectified = maps.detach().double().clamp_min(0)
    return {"max": rectified.amax(dim=(2, 3)).mean(dim=1), "mean": rectified.mean(dim=(1, 2, 3))}


def layer_strengths(network: nn.Module, images: Tensor, *further: Tensor) -> dict[str, Tensor]:
    """Run a network and summarise the last maps that it computes at each size, before the next one.

    Of a ResNet these are the outputs of the stem and of its stages; values below 0 count as 0, as behind a
    ReLU. Maps of parts of an image, such as regions, are averaged over the image.

    Args:
        network: any that computes maps.
        images: (N, ...) as it takes them.
        further: what else it takes.

    Returns:
        ``max 24 x 24``, ``mean 24 x 24`` and so on, from the first layer to the last, (N,) each.

    Raises:
        UserError: it computes no maps, or not for every image the same number.
    """
    last: dict[tuple[int, int], Tensor] = {}

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point():
            size = (output.shape[2], output.shape[3])
            last.pop(size, None)
            last[size] = output

    with evaluating(network), ExitStack() as hooks:
        for part in network.modules():
            hooks.callback(part.register_forward_hook(note).remove)
        network(images, *further)
    if not last or any(len(maps) % len(images) for maps in last.values()):
        raise UserError(
            f"{type(network).__name__} computes no maps of its images: no layer's activation is known"
        )
    return {
        f"{kind} {height} x {width}": values.reshape(len(images), -1).mean(dim=1)
        for (height, width), maps in last.items()
        for kind, values in map_strength(maps).items()
    }


class LastMaps(NamedTuple):
    """The end of a network: logits = weight . mean of ``maps`` over places + bias.

    Attributes:
        maps: (N, D, h, w).
        weight: (K, D) of the linear layer; of a single logit z, read as (0, z), (2, D).
        bias: (K,).
        logits: (N, K).
    """

    maps: Tensor
    weight: Tensor
    bias: Tensor
    logits: Tensor


def last_maps(network: nn.Module, images: Tensor) -> LastMaps:
    """Run a network in evaluation mode and find the maps whose means are its linear layer's input.

    Args:
        network: any; left in the mode it is in.
        images: (N, ...) as it takes them.

    Raises:
        UserError: the logits are no linear layer's, or its input is not the mean of maps over all places.
    """
    entered: list[tuple[Tensor, nn.Linear | SoftmaxHead, Tensor]] = []

    def note(module: nn.Linear | SoftmaxHead, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        entered.append((inputs[0], module, output))

    with evaluating(network), ExitStack() as hooks, _Means() as means:
        for part in network.modules():
            if isinstance(part, nn.Linear | SoftmaxHead):
                hooks.callback(part.register_forward_hook(note).remove)
        output = network(images)
    logits = getattr(output, "logits", output)
    ends = [(pooled, part) for pooled, part, made in entered if made is logits or _is_single(made, logits)]
    if not ends:
        raise UserError("its logits are not those of a linear layer")
    pooled, linear = ends[-1]
    found = [maps for maps, mean in means.found if torch.equal(mean.flatten(1), pooled)]
    if not found:
        raise UserError("what enters its linear layer is not the mean of maps over all places")
    weight = linear.weight.detach()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    missing = logits.shape[1] - len(weight)  # 1 where z is read as (0, z)
    return LastMaps(found[-1], F.pad(weight, (0, 0, missing, 0)), F.pad(bias, (missing, 0)), logits)


class _Means(TorchDispatchMode):
    """Keeps maps (N, D, h, w) and their means over places, of whatever module or function averages them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator of PyTorch
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mean.dim and args[0].ndim == 4 and {dim % 4 for dim in args[1]} == {2, 3}:
            self.found.append((args[0], output))
        return output


def _is_single(made: Tensor, logits: Tensor) -> bool:
    """Whether logits are (0, z) of a single logit z."""
    return made.ndim == 2 and made.shape[1] == 1 and torch.equal(F.pad(made, (1, 0)), logits)
