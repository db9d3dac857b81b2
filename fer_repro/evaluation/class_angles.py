"""Where faces stand to the class vectors of a cosine head: angles, and how sure the softmax is of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fer_repro.config import run_folder
from fer_repro.datasets.store import Store
from fer_repro.evaluation.reopened import look, reopen
from fer_repro.layers.embedding import EmbeddingClassifier, explain_angles
from fer_repro.measures.classification import softmax


@dataclass(frozen=True)
class ClassAngles:
    """What one network makes of some faces.

    Attributes:
        cosines: (N, C) to every class vector.
        logits: (N, C), as at test time.
        targets: (N,) class indices.
        scale: the head's s.
        lengths: (C,) of the class vectors.
    """

    cosines: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    scale: float
    lengths: np.ndarray


def class_angles(
    root: Path | str,
    dataset: str,
    method: str,
    arms: Sequence[str],
    seed: int,
    store: Store,
    split: str = "val",
) -> dict[str, ClassAngles]:
    """Measure the angles of one split's faces for the arms of one seed.

    Where pairs are verified, ``val`` is the held-out face of each person the network has learnt; people of
    the test list have no class vector.

    Args:
        root: where runs live.
        dataset: its name.
        method: one whose networks are of the class ``EmbeddingClassifier``.
        arms: which.
        seed: of the runs.
        store: the data set.
        split: of the table that was learnt from.
    """
    found = {}
    for arm in arms:
        run = reopen(run_folder(root, dataset, method, seed, arm), store)
        rows = run.rows(split)
        seen = look(run, rows, _angles_and_logits)
        network: Any = run.network
        found[arm] = ClassAngles(
            seen["cosines"],
            seen["logits"],
            run.table["label"].loc[rows].to_numpy(np.int64),
            float(network.head.scale),
            np.linalg.norm(network.head.weight.detach().numpy(), axis=1),
        )
    return found


def _angles_and_logits(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    classifier: EmbeddingClassifier = network  # type: ignore[assignment]
    return {**explain_angles(classifier, images), "logits": classifier(images).logits}


def angle_table(angles: Mapping[str, ClassAngles]) -> pd.DataFrame:
    """Put angles and probabilities into numbers: one row per arm.

    Args:
        angles: arm -> from ``class_angles``.

    Returns:
        ``arm``; ``faces``; ``s``; medians over faces ``own angle`` to the true class and ``other angle``, in
        degrees, and ``P``, the softmax probability of the true class; ``right (%)``, whose true class is the
        likeliest; ``mean |W|``, the length of the class vectors.
    """
    rows = []
    for arm, found in angles.items():
        degrees = np.degrees(np.arccos(np.clip(found.cosines.astype(np.float64), -1, 1)))
        own = np.zeros(degrees.shape, bool)
        own[np.arange(len(own)), found.targets] = True
        likely = softmax(found.logits)[own]
        rows.append(
            {
                "arm": arm,
                "faces": len(own),
                "s": found.scale,
                "own angle": np.median(degrees[own]),
                "other angle": np.median(degrees[~own]),
                "P": np.median(likely),
                "right (%)": 100 * np.mean(found.logits.argmax(axis=1) == found.targets),
                "mean |W|": found.lengths.mean(),
            }
        )
    return pd.DataFrame(rows)
