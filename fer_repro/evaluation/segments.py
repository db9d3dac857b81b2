"""Networks and the segments of sequences: weights beside the truth, distances of levels, equal bits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import Store
from fer_repro.files import file_sha256
from fer_repro.loading.split import level_values
from fer_repro.measures.intervals import mean_interval
from fer_repro.measures.saliency import rank_correlation
from fer_repro.runs.loaded_run import load_run, look

Folders = Mapping[str, Mapping[int, Path]]  # arm -> seed -> run
_BINS = 5
_FILES = ("weights.safetensors", "predictions.csv")


def weights_of_test(folders: Folders, store: Store) -> dict[str, np.ndarray]:
    """Let every network weigh the segments of the test sequences.

    Args:
        folders: arm -> seed -> run.
        store: the data set.

    Returns:
        arm -> (S, N, K) of S seeds, N sequences and K segments, each sequence's weights over their mean.
    """
    rows = protocol_rows(store.samples, "test", "official")
    found = {}
    for arm, by_seed in folders.items():
        alphas = [look(load_run(folder, store), rows)["alpha"] for folder in by_seed.values()]
        weights = np.stack(alphas).astype(np.float64)
        found[arm] = weights / weights.mean(axis=2, keepdims=True)
    return found


def true_segments(store: Store) -> np.ndarray:
    """Read the true number of every segment of the test sequences, (N, K); K is 0 where it is not known."""
    rows = protocol_rows(store.samples, "test", "official")
    names = sorted(str(name) for name in store.samples if str(name).startswith("segment_"))
    return store.samples[names].iloc[rows].to_numpy(np.float64)


def weights_by_level(weights: Mapping[str, np.ndarray], truth: np.ndarray) -> pd.DataFrame:
    """Average the weights of segments by their true number, in even bins.

    Args:
        weights: from ``weights_of_test``.
        truth: from ``true_segments``, in [0, 1].

    Returns:
        ``arm``, ``level`` (middle of the bin), ``value`` (mean over seeds), ``low`` and ``high`` (range over
        seeds), ``segments``. Bins without segments are left out.
    """
    bins = np.minimum((truth * _BINS).astype(int), _BINS - 1)
    rows = []
    for arm, values in weights.items():
        for number in range(_BINS):
            chosen = bins == number
            if chosen.any():
                means = values[:, chosen].mean(axis=1)
                level, count = (number + 0.5) / _BINS, int(chosen.sum())
                rows.append((arm, level, means.mean(), means.min(), means.max(), count))
    return pd.DataFrame(rows, columns=["arm", "level", "value", "low", "high", "segments"])


def weight_agreement(weights: Mapping[str, np.ndarray], truth: np.ndarray, confidence: float) -> pd.DataFrame:
    """Correlate the weights of each sequence's segments with their true numbers: Spearman's rho.

    Args:
        weights: from ``weights_of_test``.
        truth: from ``true_segments``.
        confidence: e.g. 0.95.

    Returns:
        ``arm``, ``rho`` (mean over sequences and seeds), ``low`` and ``high`` over seeds.
    """
    there = np.ones(truth.shape, bool)
    rows = []
    for arm, values in weights.items():
        means = [rank_correlation(seed, truth, there).mean for seed in values]
        found = mean_interval(means, confidence)
        rows.append((arm, found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["arm", "rho", "low", "high"])


def level_distances(folders: Folders, store: Store) -> dict[str, np.ndarray]:
    """Measure how far apart the mean features of every two levels are, on the test sequences.

    Args:
        folders: arm -> seed -> run, of arms with one network.
        store: the data set.

    Returns:
        arm -> (L, L), mean over seeds of the distances over their mean, so that arms of other scales compare.
    """
    rows = protocol_rows(store.samples, "test", "official")
    labels = store.samples["label"].to_numpy()[rows]
    found = {}
    for arm, by_seed in folders.items():
        parts = []
        for folder in by_seed.values():
            features = look(load_run(folder, store), rows, _features)["features"].astype(np.float64)
            means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
            distances = np.linalg.norm(means[:, None] - means[None], axis=2)
            parts.append(distances / distances[~np.eye(len(means), dtype=bool)].mean())
        found[arm] = np.mean(parts, axis=0)
    return found


def _features(network: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    features: Tensor = network(*inputs).features
    return {"features": features}


def same_files(first: Mapping[int, Path], second: Mapping[int, Path]) -> pd.DataFrame:
    """Compare weights and predictions of two arms byte for byte.

    Args:
        first: seed -> run.
        second: likewise.

    Returns:
        ``seed``, ``file``, ``first`` and ``second`` (beginnings of the SHA-256) and ``same`` (yes or no).
    """
    rows = []
    for seed, folder in first.items():
        for name in _FILES:
            ours, theirs = (file_sha256(place / name)[:16] for place in (folder, second[seed]))
            rows.append((seed, name, ours, theirs, "yes" if ours == theirs else "no"))
    return pd.DataFrame(rows, columns=["seed", "file", "first", "second", "same"])


def error_table(
    rows: pd.DataFrame, published: pd.DataFrame, store: Store, answers: Sequence[str]
) -> pd.DataFrame:
    """Lay out squared errors by level: of arms, of the constant answer, and of the best published run.

    Args:
        rows: result rows of a regression.
        published: rows of results/published/results.csv of its method.
        store: the data set, whose classes are the levels.
        answers: arms and the constant answer, in order.

    Returns:
        ``answer``, ``level``, ``value``, ``low``, ``high``, ``kind``; of each answer the levels in order.
    """
    levels = {f"mse_{value:g}".replace(".", "_"): f"{value:g}" for value in level_values(store)}
    means = rows[rows["seed"] == ""].set_index(["arm", "metric"])
    parts: list[tuple[str, str, object, object, object, str]] = []
    for answer in answers:
        for metric, level in levels.items():
            row = means.loc[[(answer, metric)]].iloc[0]
            kind = "constant" if row["low"] == "" else "arm"
            parts.append((answer, level, row["value"], row["low"], row["high"], kind))
    whole = published[published["metric"] == "mse"]
    known = whole[whole["arm"].isin(published.loc[published["metric"].isin(levels), "arm"])]
    if len(known):
        arm = str(known["arm"].iloc[int(known["value"].astype(float).argmin())])
        best = published[published["arm"] == arm].set_index("metric")["value"]
        title = f"published, {arm.replace('_', ' ')}"
        parts += [(title, level, best[metric], "", "", "published") for metric, level in levels.items()]
    table = pd.DataFrame(parts, columns=["answer", "level", "value", "low", "high", "kind"])
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in ("value", "low", "high")}
    return table.assign(**numbers)
