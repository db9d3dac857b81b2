"""A look at a live network: evaluation without traces, and what it costs, stage by stage."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn, no_grad
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode without gradients, and each of its parts back into its own mode."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    with no_grad():
        yield
    for part, training in modes.items():
        part.training = training


def count_parameters(module: nn.Module, trainable: bool = False) -> int:
    """Count the distinct parameters of ``module``; a tensor registered twice counts once.

    Args:
        module: any module, on the meta device too.
        trainable: count only those that require a gradient.
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def _rnn_operations(
    steps: Sequence[int],
    inner: Sequence[int],
    recurrent: Sequence[int],
    *_: Any,  # noqa: ANN401 - the operator's further arguments
    **__: Any,  # noqa: ANN401
) -> int:
    """Count one recurrent layer: at each step of each sequence both weight matrices."""
    length, batch, _features = steps
    return 2 * length * batch * (inner[0] * inner[1] + recurrent[0] * recurrent[1])


_COUNTED = {torch.ops.aten.mkldnn_rnn_layer: _rnn_operations}  # which PyTorch's own counter leaves out


def count_flops(module: nn.Module, *inputs: Tensor) -> int:
    """Count the operations of one evaluation-mode forward pass, two per multiply-add.

    Convolutions, matrix products and recurrent layers are counted; normalisations and activations are not.
    Module and inputs may live on the meta device, where nothing is computed.

    Returns:
        Operations for the whole batch: pass a batch of one for the cost per image.
    """
    with evaluating(module), FlopCounterMode(display=False, custom_mapping=_COUNTED) as counter:
        module(*inputs)
    return int(counter.get_total_flops())


def stage_costs(
    network: nn.Module, images: Tensor, added: str = "mask", parts: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Run a network once and report the output and the cost of each of its parts.

    A part without counted operations, such as a normalisation, is added to the one that ran before it.
    Network and images may live on the meta device, where nothing is computed.

    Args:
        network: in any mode; evaluation mode is used and the mode restored.
        images: one image, (1, 3, H, W).
        added: parts whose names begin so are what the method adds.
        parts: dotted path of a submodule -> name; without it the direct children under their own names.

    Returns:
        ``stage`` (the part's name), ``output`` (such as ``64 × 56 × 56``), ``parameters``, ``macs``
        (multiply-adds per image) and ``mask`` (True for what the method adds), in order of execution.
    """
    names = dict(parts) if parts else {name: name for name, _ in network.named_children()}
    chosen = {path: network.get_submodule(path) for path in names}
    outputs: dict[str, str] = {}
    counts = dict.fromkeys(chosen, 0)
    counting = FlopCounterMode(display=False, custom_mapping=_COUNTED)
    with evaluating(network), ExitStack() as hooks, counting as counter:
        for path, part in chosen.items():
            if count_parameters(part):
                begin = functools.partial(_begin, counts, counter, path)
                end = functools.partial(_end, counts, counter, outputs, path)
                hooks.callback(part.register_forward_pre_hook(begin).remove)
                hooks.callback(part.register_forward_hook(end).remove)
        network(images)
    rows: list[list[Any]] = []
    for path, output in outputs.items():
        macs, parameters = counts[path] // 2, count_parameters(chosen[path])
        if rows and not macs:
            rows[-1][2] += parameters
        else:
            rows.append([names[path], output, parameters, macs, names[path].startswith(added)])
    return pd.DataFrame(rows, columns=["stage", "output", "parameters", "macs", "mask"])


def _begin(
    counts: dict[str, int], counter: FlopCounterMode, path: str, module: nn.Module, inputs: object
) -> None:
    counts[path] -= counter.get_total_flops()


def _end(
    counts: dict[str, int],
    counter: FlopCounterMode,
    outputs: dict[str, str],
    path: str,
    module: nn.Module,
    inputs: object,
    output: Tensor,
) -> None:
    """Count what ran since ``_begin``: a slice of a container runs its parts under other names."""
    counts[path] += counter.get_total_flops()
    outputs.setdefault(path, " × ".join(str(side) for side in output.shape[1:]))
