"""The stages of a live network, in the order they run: output size, parameters, operations."""

import functools
from contextlib import ExitStack
from typing import Any

import pandas as pd
from torch import Tensor, nn, no_grad
from torch.utils.flop_counter import FlopCounterMode

from fer_repro.layers.cost import count_parameters


def stage_costs(network: nn.Module, images: Tensor, added: str = "mask") -> pd.DataFrame:
    """Run a network once and say of each of its direct children what it gives and costs.

    A child without counted operations, such as a normalisation, is added to the one that ran before it.
    Network and images may live on the meta device, where nothing is computed.

    Args:
        network: in any mode; evaluation mode is used and the mode restored.
        images: one image, (1, 3, H, W).
        added: children whose names begin so are what the method adds.

    Returns:
        ``stage`` (the child's name), ``output`` (such as ``64 × 56 × 56``), ``parameters``, ``macs``
        (multiply-adds per image) and ``mask`` (True for what the method adds), in order of execution.
    """
    children = {name: child for name, child in network.named_children() if count_parameters(child)}
    outputs: dict[str, str] = {}
    training = network.training
    network.eval()
    with ExitStack() as hooks, FlopCounterMode(display=False) as counter, no_grad():
        for name, child in children.items():
            keep = functools.partial(_keep_size, outputs, name)
            hooks.callback(child.register_forward_hook(keep).remove)
        network(images)
    network.train(training)
    top = type(network).__name__
    rows: list[list[Any]] = []
    for name, output in outputs.items():
        macs = sum(counter.get_flop_counts().get(f"{top}.{name}", {}).values()) // 2
        parameters = count_parameters(children[name])
        if rows and not macs:
            rows[-1][2] += parameters
        else:
            rows.append([name, output, parameters, macs, name.startswith(added)])
    return pd.DataFrame(rows, columns=["stage", "output", "parameters", "macs", "mask"])


def _keep_size(outputs: dict[str, str], name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
    outputs.setdefault(name, " × ".join(str(side) for side in output.shape[1:]))
