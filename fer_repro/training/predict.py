"""A network's predictions: clean, with random test-time augmentation, as embeddings, and for validation."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.config import AugmentationConfig
from fer_repro.loading.batches import BatchBuilder, batch_bounds
from fer_repro.loading.views import BatchIndex
from fer_repro.terminal import Sparse
from fer_repro.training.fit import Validate
from fer_repro.training.loop import hits_of, logits_of
from fer_repro.training.processes import rows_of_all, share, total

if TYPE_CHECKING:
    from lightning.fabric import Fabric


def predict(
    network: nn.Module,
    screen: BatchBuilder,
    fabric: "Fabric",
    batch_size: int,
    augmentation: AugmentationConfig,
    copies: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Run a network over a split, clean and augmented.

    As in the RMN code each of ``copies`` draws the training augmentation anew, the clean image is not among
    them, and the softmax outputs are summed; here they are divided by ``copies``.

    Args:
        network: on ``fabric``'s device; left in evaluation mode.
        screen: builds the split's batches.
        fabric: device and precision.
        batch_size: items per batch.
        augmentation: of the recipe.
        copies: how many; 0 gives no probabilities.
        seed: of the run; copies draw from it by sample, whatever the batches.

    Returns:
        Logits (N, K) float32 and mean probabilities (N, K) float64, zeros without copies; in the order of the
        tested items. Of a regression numbers (N,), and zeros.
    """
    network.eval()
    logits, means = [], []
    for items in item_batches(screen, batch_size, fabric):
        logits.append(_forward(network, fabric, screen.clean(items).inputs))
        total = torch.zeros_like(logits[-1], dtype=torch.float64)
        for copy in range(copies):
            shown = screen.copy(items, augmentation, seed, copy)
            total += F.softmax(_forward(network, fabric, shown.inputs).double(), dim=1)
        means.append(total / max(copies, 1))
    return rows_of_all(logits, fabric).numpy(), rows_of_all(means, fabric).numpy()


def item_batches(
    screen: BatchBuilder, batch_size: int, fabric: "Fabric | None" = None
) -> Iterator[BatchIndex]:
    """Yield the items that are tested, batch by batch.

    Args:
        screen: builds the split's batches.
        batch_size: items per batch.
        fabric: whose processes share each batch: every item comes once among them.
    """
    items = screen.view.testing(screen.split)
    least = max(2, fabric.world_size) if fabric else 2
    lines, is_first = Sparse(), fabric is None or fabric.is_global_zero
    for begin, end in batch_bounds(len(items.targets), batch_size, least):
        if is_first and lines.is_due():
            print(f"tested {begin} of {len(items.targets)}", file=sys.stderr, flush=True)
        batch = items.take(slice(begin, end))
        yield share(batch, fabric) if fabric else batch


def tested_rows(screen: BatchBuilder) -> tuple[np.ndarray, np.ndarray]:
    """Name the tested items by the row of their first image; returns rows (N,) and targets (N,)."""
    items = screen.view.testing(screen.split)
    return screen.split.samples[items.positions[:, 0]], items.targets


def embed(network: nn.Module, screen: BatchBuilder, fabric: "Fabric", batch_size: int) -> np.ndarray:
    """Embed every tested image of a split with a network that has ``embed``; returns (N, D) float32."""
    network.eval()
    parts = []
    embedding: Any = network
    for items in item_batches(screen, batch_size, fabric):
        with torch.no_grad(), fabric.autocast():
            parts.append(embedding.embed(*screen.clean(items).inputs).float())
    return rows_of_all(parts, fabric).numpy()


def cross_entropy(output: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    """Compute the mean cross-entropy of a network's logits."""
    return F.cross_entropy(logits_of(output).double(), targets)


def squared_error(output: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    """Compute the mean squared error of a network's numbers."""
    return F.mse_loss(logits_of(output).double(), targets.double())


def validation(
    screen: BatchBuilder,
    fabric: "Fabric",
    batch_size: int,
    criterion: Callable[[Any, Tensor], Tensor] = cross_entropy,
) -> Validate:
    """Make the ``validate`` of ``fit``: mean loss and accuracy, 0 of a regression, over clean items.

    Args:
        screen: builds the validation split's batches.
        fabric: device and precision.
        batch_size: items per batch.
        criterion: mean loss of a network's output and targets.
    """

    def validate(network: nn.Module) -> tuple[float, float]:
        network.eval()
        tally = torch.zeros(3, dtype=torch.float64, device=fabric.device)
        for items in item_batches(screen, batch_size, fabric):
            if not len(items.targets):  # others have them all; the mean of none is NaN
                continue
            shown = screen.clean(items)
            with torch.no_grad(), fabric.autocast():
                output = network(*shown.inputs)
            tally[0] += criterion(output, shown.targets).double() * len(shown.targets)
            tally[1] += hits_of(output, shown.targets).sum()
            tally[2] += len(shown.targets)
        loss, correct, count = total(tally, fabric).tolist()
        return loss / count, correct / count

    return validate


def _forward(network: nn.Module, fabric: "Fabric", inputs: tuple[Tensor, ...]) -> Tensor:
    with torch.no_grad(), fabric.autocast():
        return logits_of(network(*inputs)).float()
