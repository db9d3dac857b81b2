"""A network's predictions, clean and with random test-time augmentation, and the file that keeps them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.config import AugmentationConfig
from fer_repro.data.augmentation import augmented_copy, clean_images
from fer_repro.data.loading import Split, batches
from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.training.loop import Validate, logits_of

if TYPE_CHECKING:
    from lightning.fabric import Fabric

SPLITS = ("val", "test")


@dataclass(frozen=True)
class Predictions:
    """What one trained network says about samples.

    Attributes:
        classes: K names in label order.
        samples: (N,) rows of the sample table.
        splits: (N,) ``val`` or ``test``.
        targets: (N,) class indices.
        logits: (N, K) of the clean images.
        probabilities: (N, K) mean of the softmax over the augmented copies.
    """

    classes: tuple[str, ...]
    samples: np.ndarray
    splits: np.ndarray
    targets: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray

    def of_split(self, name: str) -> "Predictions":
        """Keep the rows of one split."""
        return self.where(self.splits == name)

    def where(self, rows: np.ndarray) -> "Predictions":
        """Keep some rows, given as (N,) bool."""
        kept = (self.samples, self.splits, self.targets, self.logits, self.probabilities)
        return Predictions(self.classes, *(column[rows] for column in kept))


def predict(
    network: nn.Module,
    split: Split,
    fabric: "Fabric",
    image_size: int,
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
        split: the samples.
        fabric: device and precision.
        image_size: pixels.
        batch_size: samples per batch.
        augmentation: of the recipe.
        copies: how many; 0 gives no probabilities.
        seed: of the run; copies draw from it by sample, whatever the batches.

    Returns:
        Logits (N, K) float32 and mean probabilities (N, K) float64, in the split's order.
    """
    network.eval()
    logits, means = [], []
    for batch in batches(split, np.arange(len(split)), batch_size):
        images = fabric.to_device(batch.images)
        logits.append(_forward(network, fabric, clean_images(images, image_size)))
        total = torch.zeros_like(logits[-1], dtype=torch.float64)
        for copy in range(copies):
            augmented = augmented_copy(images, batch.samples, image_size, augmentation, seed, copy)
            total += F.softmax(_forward(network, fabric, augmented).double(), dim=1)
        means.append(total / max(copies, 1))
    return torch.cat(logits).cpu().numpy(), torch.cat(means).cpu().numpy()


def validation(split: Split, fabric: "Fabric", image_size: int, batch_size: int) -> Validate:
    """Make the ``validate`` of ``fit``: mean cross-entropy and accuracy over the clean samples of a split.

    Args:
        split: the validation samples.
        fabric: device and precision.
        image_size: pixels.
        batch_size: samples per batch.
    """

    def validate(network: nn.Module) -> tuple[float, float]:
        network.eval()
        loss = torch.zeros((), dtype=torch.float64, device=fabric.device)
        correct = torch.zeros((), dtype=torch.int64, device=fabric.device)
        for batch in batches(split, np.arange(len(split)), batch_size):
            logits = _forward(network, fabric, clean_images(fabric.to_device(batch.images), image_size))
            targets = fabric.to_device(batch.targets)
            loss += F.cross_entropy(logits.double(), targets, reduction="sum")
            correct += (logits.argmax(1) == targets).sum()
        return loss.item() / len(split), correct.item() / len(split)

    return validate


def _forward(network: nn.Module, fabric: "Fabric", images: Tensor) -> Tensor:
    with torch.no_grad(), fabric.autocast():
        return logits_of(network(images)).float()


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write ``predictions.csv``: sample, split, target, logit_<class>..., tta_<class>..., floats as %.9g.

    Nine digits bring every float32 logit back exactly.

    Args:
        path: the file.
        predictions: rows in the order of the file, validation before test.
    """
    columns = {
        "sample": predictions.samples,
        "split": predictions.splits,
        "target": predictions.targets,
        **{f"logit_{name}": predictions.logits[:, k] for k, name in enumerate(predictions.classes)},
        **{f"tta_{name}": predictions.probabilities[:, k] for k, name in enumerate(predictions.classes)},
    }
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
    if list(table.columns) != expected or not classes:
        raise UserError(
            f"{path}: the columns are {', '.join(map(str, table.columns))}; expected sample, split, target, "
            "logit_<class>... and tta_<class>... with the same classes"
        )
    numbers = table.drop(columns="split").apply(pd.to_numeric, errors="coerce")
    _check_rows(path, table, numbers, len(classes))
    return Predictions(
        classes,
        numbers["sample"].to_numpy(np.int64),
        table["split"].to_numpy(str),
        numbers["target"].to_numpy(np.int64),
        numbers[_prefixed("logit_", classes)].to_numpy(np.float64),
        numbers[_prefixed("tta_", classes)].to_numpy(np.float64),
    )


def _check_rows(path: Path, table: pd.DataFrame, numbers: pd.DataFrame, classes: int) -> None:
    whole = numbers[["sample", "target"]]
    odd = {
        "a number in every column but split": ~np.isfinite(numbers.to_numpy(np.float64)).all(1),
        "sample a whole number from 0": (whole["sample"] % 1 != 0) | (whole["sample"] < 0),
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
