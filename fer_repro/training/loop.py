"""One epoch of training: what a network returns, and one optimiser step per batch."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from fer_repro.loading.batches import Batch

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Microbatch(NamedTuple):
    """What one forward pass of one process takes of a batch.

    Attributes:
        shown: inputs and targets.
        weight: its items over those of the whole batch, times the number of processes, whose gradients are
            averaged: so the batch's gradient is that of the mean over all its items.
        closes: the last part of its batch; the optimiser steps.
    """

    shown: Batch
    weight: float
    closes: bool


def logits_of(output: Any) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    """Take a network's answer from what it returned: logits (N, K), or numbers (N,) of a regression.

    A tensor is the answer; of a named tuple it is ``values``, or where there are none ``logits``.
    """
    if isinstance(output, Tensor):
        return output
    answer: Tensor = output.values if hasattr(output, "values") else output.logits
    return answer


def hits_of(output: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    """Return which items a network got right, (N,) bool: by the largest logit, or by the tuple's ``hits``.

    Of shares (N, K) the largest counts. A number is never simply right: of a regression none counts.
    """
    if targets.ndim == 1 and targets.is_floating_point():
        return torch.zeros(len(targets), dtype=torch.bool, device=targets.device)
    labels = targets if targets.ndim == 1 else targets.argmax(1)
    if hasattr(output, "hits"):
        hits: Tensor = output.hits(labels)
        return hits
    return logits_of(output).detach().argmax(1) == labels


def train_one_epoch(
    fabric: "Fabric",
    network: Any,  # noqa: ANN401 - Fabric's wrapper
    loss: nn.Module,
    optimiser: Any,  # noqa: ANN401 - Fabric's wrapper
    parts: Iterator[Microbatch],
    tally: Tensor,
    after_step: Callable[[], None],
    clip_norm: float = 0.0,
) -> None:
    """Take one optimiser step per batch.

    Args:
        fabric: scales and runs the backward pass.
        network: set up by Fabric, as is ``optimiser``.
        loss: of the network's output and the targets.
        optimiser: of network and loss.
        parts: the batches, each in one or more parts.
        tally: (3,) float64, raised in place by the sum of losses, the correct and all samples; it stays on
            the device, so no step waits for a number.
        after_step: called after each step.
        clip_norm: largest norm of the gradient of all parameters; 0 does not clip.
    """
    network.train()
    losses, correct, seen = tally.unbind()
    begins = True
    for shown, weight, closes in parts:
        with fabric.no_backward_sync(network, enabled=not closes):
            output = network(*shown.inputs)
            part_loss = loss(output, shown.targets)
            if begins:
                optimiser.zero_grad()
            fabric.backward(part_loss if weight == 1 else part_loss * weight)
        begins = closes
        losses += part_loss.detach() * len(shown.targets)
        correct += hits_of(output, shown.targets).sum()
        seen += len(shown.targets)
        if closes:
            if clip_norm:
                fabric.clip_gradients(network, optimiser, max_norm=clip_norm, error_if_nonfinite=False)
            optimiser.step()
            after_step()


_Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(network: nn.Module, decay: float) -> "torch.optim.swa_utils.AveragedModel":
    """Start the exponential moving average of a network's weights and float buffers.

    Early on less is kept than ``decay``, min(decay, (1 + n) / (10 + n)) after n steps, so that short
    trainings do not end with weights from their beginning.

    Args:
        network: whose weights it follows.
        decay: what is kept of the average at each step.
    """
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    def average(averages: _Tensors, weights: _Tensors, steps: Tensor | int) -> None:
        count = float(steps)
        get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))(averages, weights, steps)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
