"""A network's predictions, clean and with random test-time augmentation, and the file that keeps them."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.config import AugmentationConfig
from fer_repro.data.batches import Screen, batch_bounds
from fer_repro.data.samples import CHALLENGE
from fer_repro.data.views import Items
from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.measures.classification import finite, softmax
from fer_repro.spreadsheets import as_numbers
from fer_repro.terminal import Sparse
from fer_repro.training.fit import Validate
from fer_repro.training.loop import hits_of, logits_of
from fer_repro.training.processes import rows_of_all, share, total

if TYPE_CHECKING:
    from lightning.fabric import Fabric

SPLITS = ("val", "test", CHALLENGE)


@dataclass(frozen=True)
class Predictions:
    """What one trained network says about samples.

    Attributes:
        classes: K names in label order.
        samples: (N,) rows of the sample table; a clip's first.
        splits: (N,) ``val``, ``test`` or ``challenge``.
        targets: (N,) class indices.
        logits: (N, K) of the clean images.
        probabilities: (N, K) mean of the softmax over the augmented copies; where there were none, the
            softmax of the logits.

    Raises:
        UserError: logits or probabilities are not finite.
    """

    classes: tuple[str, ...]
    samples: np.ndarray
    splits: np.ndarray
    targets: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        """Refuse answers that are not finite: their largest would be the first class."""
        finite(self.logits, "logits")
        finite(self.probabilities, "probabilities")

    def of_split(self, name: str) -> "Predictions":
        """Keep the rows of one split."""
        return self.where(self.splits == name)

    def where(self, rows: np.ndarray) -> "Predictions":
        """Keep some rows, given as (N,) bool."""
        kept = (self.samples, self.splits, self.targets, self.logits, self.probabilities)
        return Predictions(self.classes, *(column[rows] for column in kept))


def predict(
    network: nn.Module,
    screen: Screen,
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
        screen: shows the split.
        fabric: device and precision.
        batch_size: items per batch.
        augmentation: of the recipe.
        copies: how many; 0 gives no probabilities.
        seed: of the run; copies draw from it by sample, whatever the batches.

    Returns:
        Logits (N, K) float32 and mean probabilities (N, K) float64, zeros without copies; in the order of the
        tested items.
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


def item_batches(screen: Screen, batch_size: int, fabric: "Fabric | None" = None) -> Iterator[Items]:
    """Yield the items that are tested, batch by batch.

    Args:
        screen: shows the split.
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


def tested_samples(screen: Screen) -> tuple[np.ndarray, np.ndarray]:
    """Name the tested items by the row of their first picture; returns rows (N,) and targets (N,)."""
    items = screen.view.testing(screen.split)
    return screen.split.samples[items.positions[:, 0]], items.targets


def embed(network: nn.Module, screen: Screen, fabric: "Fabric", batch_size: int) -> np.ndarray:
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


def validation(
    screen: Screen,
    fabric: "Fabric",
    batch_size: int,
    criterion: Callable[[Any, Tensor], Tensor] = cross_entropy,
) -> Validate:
    """Make the ``validate`` of ``fit``: mean loss and accuracy over the clean items of a split.

    Args:
        screen: shows the validation split.
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


def write_predictions(path: Path, predictions: Predictions, augmented: bool = True) -> None:
    """Write ``predictions.csv``: sample, split, target, logit_<class>..., tta_<class>..., floats as %.9g.

    Nine digits bring every float32 logit back exactly.

    Args:
        path: the file.
        predictions: rows in the order of the file, validation before test.
        augmented: write the ``tta_`` columns; without test-time augmentation there are none.
    """
    columns = {
        "sample": predictions.samples,
        "split": predictions.splits,
        "target": predictions.targets,
        **{f"logit_{name}": predictions.logits[:, k] for k, name in enumerate(predictions.classes)},
    }
    if augmented:
        copies = predictions.probabilities
        columns |= {f"tta_{name}": copies[:, k] for k, name in enumerate(predictions.classes)}
    with atomic_write(path) as temporary:
        pd.DataFrame(columns).to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def read_predictions(path: Path) -> Predictions:
    """Read ``predictions.csv`` and check every row.

    Raises:
        UserError: naming file, row (1 is the first below the header) and what was expected.
    """
    try:
        table = pd.read_csv(path, dtype={"split": str}, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the predictions of a trained run") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as CSV: {' '.join(str(error).split())}") from None
    classes = tuple(re.findall(r"(?<=^logit_).+$", "\n".join(map(str, table.columns)), re.MULTILINE))
    expected = ["sample", "split", "target", *_prefixed("logit_", classes), *_prefixed("tta_", classes)]
    augmented = len(table.columns) > 3 + len(classes)
    if list(table.columns) != expected[: None if augmented else 3 + len(classes)] or not classes:
        raise UserError(
            f"{path}: the columns are {', '.join(map(str, table.columns))}; expected sample, split, target, "
            "logit_<class>... and, with test-time augmentation, tta_<class>... with the same classes"
        )
    numbers = table.drop(columns="split").apply(as_numbers)
    _check_rows(path, table, numbers, len(classes))
    logits = numbers[_prefixed("logit_", classes)].to_numpy(np.float64)
    return Predictions(
        classes,
        numbers["sample"].to_numpy(np.int64),
        table["split"].to_numpy(str),
        numbers["target"].to_numpy(np.int64),
        logits,
        numbers[_prefixed("tta_", classes)].to_numpy(np.float64) if augmented else softmax(logits),
    )


def _check_rows(path: Path, table: pd.DataFrame, numbers: pd.DataFrame, classes: int) -> None:
    whole = numbers[["sample", "target"]]
    odd = {
        "a number in every column but split": ~np.isfinite(numbers.to_numpy(np.float64)).all(1),
        "sample a whole number from 0": (whole["sample"] % 1 != 0) | ~whole["sample"].between(0, 2**53),
        f"target a class index from 0 to {classes - 1}": ~whole["target"].isin(range(classes)),
        f"split one of {', '.join(SPLITS)}": ~table["split"].isin(SPLITS),
        "every sample once": numbers["sample"].duplicated(),
    }
    for rule, wrong in odd.items():
        rows = np.flatnonzero(wrong)
        if len(rows):
            values = ",".join(map(str, table.iloc[rows[0]].tolist()[:6]))
            raise UserError(f"{path}: row {rows[0] + 1} ({values},...): expected {rule}")


def _prefixed(prefix: str, names: Sequence[str]) -> list[str]:
    return [prefix + name for name in names]
