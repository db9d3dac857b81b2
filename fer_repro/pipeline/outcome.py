"""The files of a trained arm: weights, history, predictions or scores, explained tensors, metrics."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.datasets.pairs import open_pairs, people_in
from fer_repro.datasets.protocols import stratified
from fer_repro.datasets.samples import CHALLENGE
from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.loading.split import Split, level_values
from fer_repro.loading.views import Faces
from fer_repro.measures.classification import classification_metrics, softmax
from fer_repro.measures.metrics import MAIN, METRICS
from fer_repro.measures.probes import PROBES, read_by_probe
from fer_repro.measures.regression import rank_order, squared_error_shares
from fer_repro.measures.verification import cosine_scores, verification_metrics
from fer_repro.pipeline.arm import Arm, Trained
from fer_repro.runs.numbers import PredictedNumbers, read_numbers, write_numbers
from fer_repro.runs.predictions import (
    AUGMENTED,
    PROBED,
    SPLITS,
    Predictions,
    read_pair_scores,
    read_predictions,
    read_probes,
    write_pair_scores,
    write_predictions,
    write_probes,
)
from fer_repro.training.checkpoint import save_weights
from fer_repro.training.fit import Fitted
from fer_repro.training.predict import embed, predict, tested_rows


def write_outcome(arm: Arm, folds: Sequence[Trained], folder: Path) -> None:
    """Write weights, history, predictions or scores, explained tensors and metrics of all folds.

    Numbers come from the written files, so that anybody gets the same from them.
    """
    for part, trained in zip(arm.folds(), folds, strict=True):
        name = f"weights_fold{part.fold}.safetensors" if part.fold else "weights.safetensors"
        save_weights(folder / name, trained.fitted.weights)
    _write_history(folder / "history.csv", arm, [trained.fitted for trained in folds])
    first = [trained.first for trained in folds if trained.first is not None]
    if first:
        _write_history(folder / "triplets.csv", arm, first)
    _write_explained(folder / "explained.npz", arm.folds()[0], folds[0])
    epochs = [trained.fitted.best_epoch for trained in folds]
    numbers: dict[str, Any] = {
        "best_epoch": epochs if arm.config.data.folds else epochs[0],
        "epochs": max(int(trained.fitted.history[-1]["epoch"]) for trained in folds),
        "parameters": sum(parameter.numel() for parameter in folds[0].network.parameters()),
    }
    if arm.task == "verification":
        _write_scores(folder, arm, folds[0])
        numbers |= _score_metrics(folder / "pairs.csv")
        if arm.hidden:
            _write_probes(folder / PROBED, arm, folds[0])
            read = read_probes(folder / PROBED)
            shares = {f"{kind}_probe": float((read[kind] == read["target"]).mean()) for kind in PROBES}
            numbers["test"] |= _rounded(shares)
    elif arm.task == "regression":
        write_numbers(folder / "predictions.csv", _numbers(arm, folds))
        numbers |= _number_metrics(folder / "predictions.csv")
    else:
        copies = arm.config.recipe.tta_copies
        write_predictions(folder / "predictions.csv", _predictions(arm, folds), augmented=copies > 0)
        numbers |= _prediction_metrics(folder / "predictions.csv", copies > 0)
    (folder / "metrics.json").write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n", "utf-8")


def _write_history(path: Path, arm: Arm, fitted: Sequence[Fitted]) -> None:
    rows = [
        {**({"fold": part.fold} if part.fold else {}), **record}
        for part, each in zip(arm.folds(), fitted, strict=True)
        for record in each.history
    ]
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def _predictions(arm: Arm, folds: Sequence[Trained]) -> Predictions:
    return Predictions(arm.store.classes, *_predicted(arm, folds))


def _numbers(arm: Arm, folds: Sequence[Trained]) -> PredictedNumbers:
    samples, splits, labels, values, _ = _predicted(arm, folds)
    return PredictedNumbers(samples, splits, level_values(arm.store)[labels], values.astype(np.float64))


def _predicted(arm: Arm, folds: Sequence[Trained]) -> list[np.ndarray]:
    """Predict validation and test parts; with folds the test part of every fold, each sample once.

    Returns:
        Samples, splits, labels, and both results of ``predict``.
    """
    parts = [
        _predict(part, trained, name)
        for part, trained in zip(arm.folds(), folds, strict=True)
        for name in (("test",) if part.fold else SPLITS)
        if name != CHALLENGE or name in set(arm.store.samples["split"])
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    if arm.config.data.folds:
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
    return columns


def _predict(arm: Arm, trained: Trained, name: str) -> tuple[np.ndarray, ...]:
    recipe, screen = arm.config.recipe, arm.screen(arm.split(arm.table()[0], name))
    copies = recipe.tta_copies if name in AUGMENTED else 0
    logits, means = predict(
        trained.network,
        screen,
        arm.fabric,
        arm.config.evaluation.batch_size,
        recipe.augmentation,
        copies,
        arm.config.seed,
    )
    if recipe.tta_copies and not copies:
        means = softmax(logits)  # as ``Predictions`` has it
    samples, targets = tested_rows(screen)
    return samples, np.full(len(samples), name), targets, logits, means


def _prediction_metrics(path: Path, augmented: bool) -> dict[str, Any]:
    """Compute from the file, so that anybody gets the same numbers from it."""
    predictions, numbers = read_predictions(path), {}
    for name in dict.fromkeys(predictions.splits.tolist()):
        part = predictions.of_split(name)
        numbers[name] = _rounded(classification_metrics(part.targets, softmax(part.logits)))
        if augmented and name in AUGMENTED:
            numbers[f"{name}_tta"] = _rounded(classification_metrics(part.targets, part.probabilities))
    return numbers


def _number_metrics(path: Path) -> dict[str, Any]:
    """Compute error and rank correlation from the file, so that anybody gets the same numbers from it."""
    predictions, numbers = read_numbers(path), {}
    for name in dict.fromkeys(predictions.splits.tolist()):
        part = predictions.of_split(name)
        error, _ = squared_error_shares(part.values[None], part.targets)
        numbers[name] = _rounded({"mse": error[0]})
        if np.ptp(part.targets) > 0:  # equal numbers have no order
            numbers[name] |= _rounded({"spearman": rank_order(part.values, part.targets)})
    return numbers


def pairs_to_score(arm: Arm) -> pd.DataFrame:
    """Choose the pairs to score: ``test`` shows nobody the network was trained on, ``val`` gives thresholds.

    A set's own lists of these names are taken. Else ``test`` is the first list of people who are all new to
    the network (LFW: ``dev_test``), and ``val`` the first of people it was trained on.

    Raises:
        UserError: every list shows people of the training split.
    """
    pairs, limit = open_pairs(arm.store), arm.config.data.max_test
    learnt, known, strange = set(arm.table()[0]["subject"]), [], []
    for name in dict.fromkeys(pairs["list"]):
        people = set(people_in(pairs[pairs["list"] == name], arm.store.samples))
        known += [name] if people & learnt else []
        strange += [] if people & learnt else [name]
    if not strange:
        raise UserError(f"{arm.store.folder}: every list of pairs shows people of the training split")
    chosen = {"test" if "test" in strange else strange[0]: "test"}
    chosen |= dict.fromkeys(["val"] if "val" in strange else known[:1], "val")
    kept = pairs[pairs["list"].isin(chosen)]
    kept = kept.assign(list=kept["list"].map(chosen))
    if limit:
        kept = kept.groupby(["list", "fold", "same"], sort=False).head(max(1, limit // 4))
    return kept.reset_index(drop=True)


def _write_scores(folder: Path, arm: Arm, trained: Trained) -> None:
    pairs = pairs_to_score(arm)
    rows = np.unique(pairs[["first", "second"]].to_numpy())
    vectors = _embedded(arm, trained, rows)
    first, second = (np.searchsorted(rows, pairs[name].to_numpy()) for name in ("first", "second"))
    write_pair_scores(folder / "pairs.csv", pairs.assign(score=cosine_scores(vectors, first, second)))
    with atomic_write(folder / "embeddings.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, embeddings=vectors.astype(np.float16), samples=rows)


def _write_probes(path: Path, arm: Arm, trained: Trained) -> None:
    """Fit probes to the embeddings of the training people's faces, and let them read the test people's."""
    samples = arm.store.samples
    parts = {name: np.flatnonzero(samples["split"] == name) for name in ("train", "test")}
    known = set(samples["subject"].iloc[parts["train"]])
    if known & set(samples["subject"].iloc[parts["test"]]):
        raise UserError(
            f"{arm.store.folder}: people of the test split are also in train: expected others to read"
        )
    vectors = {name: _embedded(arm, trained, rows).astype(np.float64) for name, rows in parts.items()}
    labels = {name: samples["label"].to_numpy(np.int64)[rows] for name, rows in parts.items()}
    read: dict[str, np.ndarray] = {
        kind: read_by_probe(kind, vectors["train"], labels["train"], vectors["test"], arm.config.seed)
        for kind in PROBES
    }
    write_probes(path, pd.DataFrame({"sample": parts["test"], "target": labels["test"], **read}))


def _embedded(arm: Arm, trained: Trained, rows: np.ndarray) -> np.ndarray:
    """Embed some rows of the sample table, (N, D)."""
    images = arm.store.samples["image"].to_numpy(np.int64)[rows]
    split = Split(arm.store.images, rows, images, np.zeros(len(rows), np.int64))
    return embed(trained.network, arm.screen(split), arm.fabric, arm.config.evaluation.batch_size)


def _score_metrics(path: Path) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, part in read_pair_scores(path).groupby("list", sort=False):
        folds = part["fold"].to_numpy()
        metrics, _ = verification_metrics(
            part["score"].to_numpy(), part["same"].to_numpy(), folds if len(np.unique(folds)) > 1 else None
        )
        numbers[str(name)] = _rounded(metrics)
    return numbers


def _write_explained(path: Path, arm: Arm, trained: Trained) -> None:
    """Keep the tensors the paper shows for some test items of all classes, as float16, and what they show.

    ``samples`` (n,) names each item by the row of its first image; ``rows`` (n, T) all images of a clip,
    -1 at padding.
    """
    if arm.method.explain is None:
        return
    split = arm.split(arm.store.samples if not arm.fold else arm.table()[0], "test")
    screen = arm.screen(split)
    whole = screen.view.testing(split)
    items = whole.take(
        stratified(whole.targets, np.arange(len(whole.targets)), arm.config.evaluation.explained)
    )
    tensors = arm.method.explain(trained.network, *screen.clean(items).inputs)
    if tensors is None:
        return
    arrays = {name: tensor.float().cpu().numpy().astype(np.float16) for name, tensor in tensors.items()}
    rows = np.where(items.mask, split.samples[items.positions], -1)
    arrays["samples"] = rows[:, 0]
    if not isinstance(screen.view, Faces) and rows.shape[1] > 1:
        arrays["rows"] = rows
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **dict(sorted(arrays.items())))  # type: ignore[arg-type]


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.9g}") for name, value in metrics.items()}


def metric_line(metrics: dict[str, Any]) -> str:
    """Write the main test numbers of an arm as one line, for a terminal."""
    said = {"test": "test", "test_tta": "with test-time augmentation"}
    return ", ".join(
        f"{words} {metric.replace('_', ' ')} {_spelt(metric, metrics[name][metric])}"
        for name, words in said.items()
        for metric in MAIN
        if metric in metrics.get(name, {})
    )


def _spelt(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if METRICS[metric].unit == "%" else f"{value:.4f}"
