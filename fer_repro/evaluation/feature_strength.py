"""How strong features of trained networks are, how sure their answers, and what hangs on the most active."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fer_repro.datasets.store import Store
from fer_repro.layers.guided_maxout import GuidedMaxout, kept_shares
from fer_repro.measures.intervals import mean_interval, wilson_interval
from fer_repro.runs.loaded_run import load_run, look

Seen = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
"""Arm -> for each seed ``probabilities`` (n, K), ``norms`` (n,), an answer (n,) for each of ``WITHOUT``."""
WITHOUT = {"all features": 0.0, "without a quarter": 0.25, "without half": 0.5}
"""Words -> the share of the features, the most active ones, that a network has to do without."""
_COLUMNS = ["arm", "class", "value", "low", "high"]


def look_at_features(folders: Mapping[str, Mapping[int, Path]], store: Store, rows: np.ndarray) -> Seen:
    """Let every network answer for some faces, with all of its features and without the most active ones.

    Args:
        folders: arm -> seed -> run of a method whose network returns features and its classifier.
        store: the data set.
        rows: (n,) of the sample table.
    """
    return {
        arm: [look(load_run(folder, store), rows, _answers) for folder in seeds.values()]
        for arm, seeds in folders.items()
    }


def _answers(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    output = network(images)
    drop, count = GuidedMaxout(), len(output.features)
    found = {"probabilities": output.logits.softmax(dim=1), "norms": output.features.norm(dim=1)}
    for words, share in WITHOUT.items():
        left = drop(output.features, torch.full((count,), 2 * share))  # keeps 1 - q / 2
        found[words] = output.classifier(left).argmax(dim=1)
    return found


def strength_table(seen: Seen, targets: np.ndarray, confidence: float) -> pd.DataFrame:
    """Length of the features and confidence of the answers: the mean over faces and seeds.

    Args:
        seen: from ``look_at_features``.
        targets: (n,) class indices.
        confidence: of Student's interval over the seeds, e.g. 0.95.

    Returns:
        ``arm``, ``length of h`` and ``interval``, ``confidence`` and ``accuracy`` in percent.
    """
    rows = []
    for arm, seeds in seen.items():
        lengths = mean_interval([float(seed["norms"].mean()) for seed in seeds], confidence)
        sure = np.mean([seed["probabilities"].max(1).mean() for seed in seeds])
        right = np.mean([(seed["probabilities"].argmax(1) == targets).mean() for seed in seeds])
        bounds = f"{lengths.low:.2f} to {lengths.high:.2f}" if len(seeds) > 1 else ""
        rows.append([arm, f"{lengths.value:.2f}", bounds, f"{100 * sure:.1f}", f"{100 * right:.1f}"])
    columns = ["arm", "length of h", "interval", "confidence", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


def confidences_and_hits(seen: Seen, targets: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Arm -> confidence of each answer of all seeds, and whether it is right, both (S n,)."""
    return {
        arm: (
            np.concatenate([seed["probabilities"].max(1) for seed in seeds]),
            np.concatenate([seed["probabilities"].argmax(1) == targets for seed in seeds]),
        )
        for arm, seeds in seen.items()
    }


def accuracy_without(seen: Seen, targets: np.ndarray, confidence: float) -> pd.DataFrame:
    """Accuracy of each arm with all features, and without the most active, over seeds.

    Args:
        seen: from ``look_at_features``.
        targets: (n,) class indices.
        confidence: of Wilson's interval for the faces, e.g. 0.95.

    Returns:
        ``arm``, ``class`` (one of ``WITHOUT``), ``value``, ``low``, ``high`` in [0, 1].
    """
    rows = []
    for arm, seeds in seen.items():
        for words in WITHOUT:
            share = float(np.mean([seed[words] == targets for seed in seeds]))
            rows.append([arm, words, share, *wilson_interval(share * len(targets), len(targets), confidence)])
    return pd.DataFrame(rows, columns=_COLUMNS)


def shares_that_would_be_kept(seen: Seen, targets: np.ndarray) -> pd.DataFrame:
    """Share of the features that training would keep of test faces, of those known and of the others.

    Args:
        seen: from ``look_at_features``.
        targets: (n,) class indices.

    Returns:
        As ``accuracy_without``; ``low`` and ``high`` are the lowest and the highest of the seeds.
    """
    rows = []
    for arm, seeds in seen.items():
        found: dict[str, list[float]] = {"right answers": [], "wrong answers": []}
        for seed in seeds:
            q = torch.from_numpy(seed["probabilities"][np.arange(len(targets)), targets])
            kept, right = kept_shares(q).numpy(), seed["probabilities"].argmax(1) == targets
            for words, chosen in zip(found, (right, ~right), strict=True):
                found[words] += [float(kept[chosen].mean())] if chosen.any() else []
        rows += [
            [arm, words, float(np.mean(each)), min(each), max(each)] for words, each in found.items() if each
        ]
    return pd.DataFrame(rows, columns=_COLUMNS)
