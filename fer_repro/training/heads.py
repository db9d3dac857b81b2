"""A recipe's ``head``: what drops features before the linear layer of any method's network, in training only.

The network stays as it is: neither its keys nor what it computes change. A hook notes the features that enter
its linear layer, and the loss, which knows the labels, gets the logits of what is left of them.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.config import Head
from fer_repro.errors import UserError
from fer_repro.layers.cost import evaluating
from fer_repro.layers.embedding import Embedded
from fer_repro.layers.guided_maxout import FeatureDropout, GuidedMaxout, partial_features
from fer_repro.layers.margin_heads import SoftmaxHead
from fer_repro.loading.batches import Batch
from fer_repro.training.loop import logits_of

_LINEAR = (nn.Linear, SoftmaxHead)


class PartialFeaturesLoss(nn.Module):
    """A method's loss, of the logits of what is left of the features.

    Args:
        loss: the method's.
        dropping: what drops features; its scale is trained and kept with the loss, not with the network.
        linear: the network's; no part of this module, so that optimiser and checkpoint see it once.
    """

    def __init__(self, loss: nn.Module, dropping: GuidedMaxout | FeatureDropout, linear: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.dropping = dropping
        self._linear = (linear,)  # a tuple hides it
        self._entered: list[Tensor] = []

    def enter(self, features: Tensor) -> None:
        """Note the features (N, D) that enter the linear layer, until the loss of this batch.

        Raises:
            RuntimeError: others have entered since the last loss: it could not tell which are the batch's.
        """
        if self._entered:
            raise RuntimeError("features twice: a batch passes the linear layer once before its loss")
        self._entered.append(features)

    def forward(self, output: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
        """Compute the mean loss; the output's logits are those of all features.

        Raises:
            RuntimeError: no batch has passed the network in training since the last loss.
        """
        if not self._entered:
            raise RuntimeError("no features: a batch passes the network in training before its loss")
        features = self._entered.pop()
        left, logits = partial_features(self.dropping, features, self._classify, targets)
        loss: Tensor = self.loss(_with(output, left, logits), targets)
        return loss

    def _classify(self, features: Tensor) -> Tensor:
        return _whole(self._linear[0].forward(features))  # without the hook


@contextmanager
def dropping_features(
    head: Head, network: nn.Module, loss: nn.Module, item: Batch | None
) -> Iterator[nn.Module]:
    """Give the loss by which a network is trained under a recipe's ``head``.

    Args:
        head: of the recipe; with ``none`` it is the loss itself.
        network: on the CPU; it has a hook as long as the context lasts.
        loss: the method's.
        item: inputs and targets to find the linear layer by; None for ``none``.

    Raises:
        UserError: see ``linear_layer``.
    """
    if head == "none" or item is None:
        yield loss
        return
    linear = linear_layer(network, loss, item)
    wrapped = PartialFeaturesLoss(loss, GuidedMaxout() if head == "pgm" else FeatureDropout(), linear)

    def note(
        module: nn.Module, inputs: tuple[Tensor, ...]
    ) -> None:  # a function, which copies of networks share
        if module.training:
            wrapped.enter(inputs[0])

    handle = linear.register_forward_pre_hook(note)
    try:
        yield wrapped
    finally:
        handle.remove()


def linear_layer(network: nn.Module, loss: nn.Module, item: Batch) -> nn.Module:
    """Find the linear layer whose output is a network's logits, from which the loss is computed.

    Args:
        network: any; left in the mode it is in.
        loss: its method's.
        item: inputs and targets of one item or more.

    Raises:
        UserError: the logits are no linear layer's, its features are not trained, or the loss does not come
            from these logits.
    """
    passed: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        passed[module] = (inputs[0], output)

    with evaluating(network), torch.enable_grad(), ExitStack() as hooks:
        for part in network.modules():
            if isinstance(part, _LINEAR):
                hooks.callback(part.register_forward_hook(note).remove)
        output = network(*item.inputs)
        logits = logits_of(output)
        found = [part for part, (_, made) in passed.items() if _is(made, logits)]
        if not found:
            raise UserError("its logits are not those of a linear layer")
        features, _ = passed[found[0]]
        if not features.requires_grad:
            raise UserError("the features before its linear layer are frozen")
        leaves = [tensor.detach().requires_grad_() for tensor in (features, logits)]
        value = loss(_with(output, *leaves), item.targets)
        known = torch.autograd.grad(value, leaves, allow_unused=True) if value.requires_grad else (None,)
        if all(each is None for each in known):
            raise UserError("its loss does not come from the logits of its linear layer")
    return found[0]


def _with(output: Any, features: Tensor, logits: Tensor) -> Any:  # noqa: ANN401 - a tensor or a method's named tuple
    """Put other logits into what a network returned, and other embeddings where its head classifies them."""
    if isinstance(output, Tensor):
        return logits
    if isinstance(output, Embedded):
        return output._replace(logits=logits, embeddings=features)
    return output._replace(logits=logits)


def _whole(made: Tensor) -> Tensor:
    """Return the logits of all classes: one logit z of two classes stands for (0, z)."""
    return F.pad(made, (1, 0)) if made.shape[1] == 1 else made


def _is(made: Tensor, logits: Tensor) -> bool:
    padded = made.ndim == 2 and made.shape[1] == 1 and torch.equal(_whole(made), logits)
    return made is logits or padded
