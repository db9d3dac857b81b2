"""Trained runs read back from their folders, and checked to belong together."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import numpy as np
import pandas as pd

from fer_repro.config import ARM_RATE, DATA_DIGESTS, TASK, method_arms, run_folder
from fer_repro.datasets.store import Store, open_store
from fer_repro.errors import UserError
from fer_repro.files import read_json
from fer_repro.measures.metrics import MAIN
from fer_repro.methods.method import Method, Task, load_method
from fer_repro.params import read_params
from fer_repro.runs.predictions import (
    PAIR_SCORES,
    SPLIT,
    SPLITS,
    Predictions,
    read_pair_scores,
    read_predictions,
)
from fer_repro.sections import read_section

WHOLE = 1e-6  # by so much the sum of probabilities in a file, nine digits each, may differ from 1


@dataclass(frozen=True)
class AnyRun:
    """One trained arm and seed.

    Attributes:
        arm: of the method.
        seed: of the run.
        config: what its config.json holds.
    """

    arm: str
    seed: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Run(AnyRun):
    """A run that predicts classes: ``predictions`` of validation, test and challenge."""

    predictions: Predictions


@dataclass(frozen=True)
class PairRun(AnyRun):
    """A run that verifies: ``pairs`` is its pairs.csv."""

    pairs: pd.DataFrame


R = TypeVar("R", bound=AnyRun)


@dataclass(frozen=True)
class TrainedRuns:
    """All seeds and arms of a method on a data set.

    Attributes:
        params_file: usually ``params.yaml``.
        method: that was trained.
        dataset: its name.
        task: what it was trained for.
        root: where the runs live.
        store: the data set.
        classified: runs that predict classes; empty under verification.
        pairs: runs that verify; else empty.
        pretraining: what the networks started from.
        recipe: of all of them.
    """

    params_file: Path
    method: Method
    dataset: str
    task: Task
    root: Path
    store: Store
    classified: list[Run]
    pairs: list[PairRun]
    pretraining: str
    recipe: Mapping[str, Any]


def read_runs(
    root: Path | str,
    dataset: str,
    method: str,
    seeds: Iterable[int],
    arms: Iterable[str],
    store: Store | None = None,
) -> list[Run]:
    """Read the runs of all seeds and arms that predict classes, and check that they belong together.

    Args:
        root: where runs live.
        dataset: that they were trained on.
        method: that was trained.
        seeds: which.
        arms: which.
        store: the data set as it is now; None checks the runs alone.

    Raises:
        UserError: a file is missing or damaged, a run saw other samples, data or another recipe than the
            first, or it was trained on other data than ``store`` holds.
    """
    runs: list[Run] = []
    alike: dict[str, Run] = {}  # by the kind that training and validation leave out: the first run
    for arm, seed, folder in _folders(root, dataset, method, seeds, arms):
        predictions = read_predictions(folder / "predictions.csv")
        _check_shares(folder / "predictions.csv", predictions)
        runs.append(Run(arm, seed, read_run_config(folder), predictions))
        _check_samples(runs[-1], runs[0], folder, (SPLIT,))
        kind = unseen_kind(load_method(method), runs[-1])
        _check_samples(runs[-1], alike.setdefault(kind, runs[-1]), folder)
        _check_terms(runs, folder, store)
        if store is not None:
            _check_targets(folder / "predictions.csv", predictions, store)
    return runs


def unseen_kind(method: Method, run: Run) -> str:
    """Name the kind of manipulation that a run's training and validation left out; "" where there is none."""
    model = run.config["recipe"].get("model", {})
    return method.unseen(run.arm, model) if run.arm in method.arms else ""


def read_pair_runs(
    root: Path | str,
    dataset: str,
    method: str,
    seeds: Iterable[int],
    arms: Iterable[str],
    store: Store | None = None,
) -> list[PairRun]:
    """Read the runs of all seeds and arms that score pairs, and check that they belong together.

    Arguments as of ``read_runs``.

    Raises:
        UserError: a file is missing or damaged, a run saw other pairs, data or another recipe than the
            first, or it was trained on other data than ``store`` holds.
    """
    runs: list[PairRun] = []
    for arm, seed, folder in _folders(root, dataset, method, seeds, arms):
        pairs = read_pair_scores(folder / PAIR_SCORES)
        runs.append(PairRun(arm, seed, read_run_config(folder), pairs))
        if not pairs.drop(columns="score").equals(runs[0].pairs.drop(columns="score")):
            raise UserError(
                f"{folder / PAIR_SCORES}: other pairs than {runs[0].arm}, seed {runs[0].seed}; "
                "arms and seeds are compared on the same pairs only, train them again"
            )
        _check_terms(runs, folder, store)
    return runs


def check_data(folder: Path, config: Mapping[str, Any], store: Store) -> None:
    """Refuse a run that was trained on other data than a store holds; both may have one name.

    Runs of versions that kept no digest of their data cannot be judged: a line on stderr reports it.

    Args:
        folder: of the run.
        config: what its config.json holds.
        store: the data set as it is now.

    Raises:
        UserError: naming what differs.
    """
    known = config.get(DATA_DIGESTS)
    if known is None:
        print(
            f"note: {folder}: keeps no digest of its data, so it is unknown whether it was trained on "
            f"those of {store.folder}; train it again to be certain",
            file=sys.stderr,
            flush=True,
        )
        return
    if differing := _differing(known, store.digests):
        raise UserError(
            f"{folder}: was trained on other data than {store.folder} holds now: {differing}; the set was "
            "replaced since: train the run again, or bring the earlier set back"
        )


def _differing(known: Any, others: Mapping[str, str]) -> str:  # noqa: ANN401 - whatever a file holds
    if not isinstance(known, dict):
        return "all of them"
    names = [name for name in sorted({*known, *others}) if known.get(name) != others.get(name)]
    return ", ".join(f"other {name}" for name in names)


def rest_on(rows: pd.DataFrame, folder: Path) -> bool:
    """Whether result rows were made of this very run: its seed's row has the number of its metrics.json.

    Rows and runs are joined by name; a run that was trained again since has another accuracy.

    Args:
        rows: of the run's data set and method, with ``arm``, ``seed``, ``metric``, ``unit`` and ``value``.
        folder: of the run.
    """
    known = read_json(folder / "metrics.json", "the metrics of a trained run").get(SPLIT, {})
    name = next((name for name in MAIN if name in known), "")
    own = rows[(rows["arm"] == folder.name) & (rows["seed"].astype(str) == folder.parent.name)]
    own = own[own["metric"] == name]
    scale = np.where(own["unit"] == "fraction", 1.0, 100.0)
    return not name or bool(np.isclose(own["value"].astype(float), scale * known[name], atol=1e-6).any())


def kept_accuracy(folder: Path) -> float:
    """Read a run's accuracy on its validation part, in percent, of the epoch whose weights were kept.

    With folds it is their mean.

    Raises:
        UserError: there is no history of a training.
    """
    path = folder / "history.csv"
    try:
        history = pd.read_csv(path)
        kept = history[history["best"] == 1]
        folds = kept["fold"] if "fold" in kept else pd.Series(0, index=kept.index)
        return 100 * float(kept.groupby(folds)["val_accuracy"].last().mean())
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not the history of a training ({error!r}); train the run again") from None


def by_arm(runs: Sequence[R]) -> dict[str, list[R]]:
    """Gather the runs of each arm, in the order of ``runs``."""
    arms: dict[str, list[R]] = {}
    for run in runs:
        arms.setdefault(run.arm, []).append(run)
    return arms


def read_run_config(folder: Path) -> dict[str, Any]:
    """Read a run's ``config.json``.

    Raises:
        UserError: it is missing, no JSON or no configuration.
    """
    path = folder / "config.json"
    config = read_json(path, "the configuration of a trained run")
    if not isinstance(config, dict) or not isinstance(config.get("recipe"), dict):
        raise UserError(f"{path}: key 'recipe' is missing; expected the configuration of a trained run")
    return config


def run_task(config: Mapping[str, Any], folder: Path) -> Task:
    """Read what a run was trained for.

    Args:
        config: from ``read_run_config``.
        folder: of the run, for messages.

    Raises:
        UserError: it is not recorded, as in runs of earlier versions.
    """
    tasks, task = get_args(Task), config.get(TASK)
    if task not in tasks:
        raise UserError(
            f"{folder / 'config.json'}: {TASK} is {task!r}: expected {', '.join(tasks)}; a run of an earlier "
            f'version does not record it: add a line such as "{TASK}": "{tasks[0]}"'
        )
    return cast(Task, task)


def open_runs(
    params_file: Path | str,
    method: str,
    dataset: str,
    runs_root: Path | str = "runs",
    prepared_root: Path | str = "prepared",
    seeds: Sequence[int] = (),
    arms: Sequence[str] = (),
) -> TrainedRuns:
    """Read all seeds and arms of a method on a data set.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of ``methods``.
        dataset: a key of ``data``.
        runs_root: where runs live.
        prepared_root: where prepared data sets live.
        seeds: which; empty takes those of ``params_file``.
        arms: which; empty takes those of ``params_file``.

    Raises:
        UserError: a run is missing, does not fit the others, or was trained on other data.
    """
    built, params_file = load_method(method), Path(params_file)
    trained = list(arms) or list(method_arms(params_file, method))
    chosen = list(seeds) or read_params(params_file).seeds
    store = open_store(Path(prepared_root) / dataset)
    first = run_folder(runs_root, dataset, method, chosen[0], trained[0])
    config = read_run_config(first)
    options = read_section(built.options, config["recipe"]["model"], f"{first / 'config.json'}: recipe.model")
    task, place = run_task(config, first), (runs_root, dataset, method, chosen, trained, store)
    classified = read_runs(*place) if task != "verification" else []
    pairs = read_pair_runs(*place) if task == "verification" else []
    return TrainedRuns(
        params_file, built, dataset, task, Path(runs_root), store, classified, pairs,
        built.pretraining_name(options), config["recipe"],
    )  # fmt: skip


def _folders(
    root: Path | str, dataset: str, method: str, seeds: Iterable[int], arms: Iterable[str]
) -> list[tuple[str, int, Path]]:
    chosen = list(seeds)
    return [(arm, seed, run_folder(root, dataset, method, seed, arm)) for arm in arms for seed in chosen]


def _check_shares(path: Path, predictions: Predictions) -> None:
    """Check that there are rows, and that the probabilities of each are some."""
    shares = predictions.probabilities
    if not len(shares) or len(predictions.classes) < 2:
        found = f"{len(shares)} rows of {len(predictions.classes)} classes"
        raise UserError(f"{path}: {found}: expected at least one row of two or more")
    good = (shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) < WHOLE)
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(
            f"{path}: row {row + 1}: tta_ columns are {shares[row].tolist()}: expected shares that sum to 1"
        )


def _check_targets(path: Path, predictions: Predictions, store: Store) -> None:
    """Check that predictions are of a store's samples: each target is the label of its row."""
    labels = store.samples["label"].to_numpy()
    there = predictions.samples < len(labels)
    good = there & (labels[np.where(there, predictions.samples, 0)] == predictions.targets)
    if not good.all() or predictions.classes != store.classes:
        row = int(np.argmin(good))
        what = f"row {row + 1}: sample {predictions.samples[row]}, target {predictions.targets[row]}"
        what = f"classes {', '.join(predictions.classes)}" if good.all() else what
        raise UserError(
            f"{path}: {what}: not those of {store.folder / store.manifest.samples.file}; the set was "
            "replaced since: train the run again, or bring the earlier set back"
        )


def _check_samples(run: Run, first: Run, folder: Path, splits: Sequence[str] = SPLITS) -> None:
    """Refuse a run with other samples of these splits than another one."""
    parts = [each.predictions.where(np.isin(each.predictions.splits, splits)) for each in (run, first)]
    if not _same_samples(*parts):
        raise UserError(
            f"{folder / 'predictions.csv'}: other samples, targets or classes than {first.arm}, "
            f"seed {first.seed}; arms and seeds are compared on the same samples only, train them again"
        )


def _same_samples(ours: Predictions, theirs: Predictions) -> bool:
    columns = ((ours.samples, theirs.samples), (ours.splits, theirs.splits), (ours.targets, theirs.targets))
    return ours.classes == theirs.classes and all(np.array_equal(*pair) for pair in columns)


def _shared(section: Any) -> Any:  # noqa: ANN401 - whatever a file holds
    """Leave out what arms that are compared need not share."""
    return (
        {name: section[name] for name in section if name != ARM_RATE}
        if isinstance(section, dict)
        else section
    )


def _check_terms(runs: Sequence[AnyRun], folder: Path, store: Store | None) -> None:
    """Check that the last run was trained with the recipe and on the data of the first, and of the store."""
    first, run = runs[0], runs[-1]
    for key, words in {"recipe": "another recipe", "data": "other limits of the data"}.items():
        if _shared(run.config.get(key)) != _shared(first.config.get(key)):
            raise UserError(
                f"{folder / 'config.json'}: {words} than {first.arm}, seed {first.seed}; "
                "arms and seeds are compared with equal settings only, train them again"
            )
    ours, theirs = (each.config.get(DATA_DIGESTS) for each in (run, first))
    if ours is not None and theirs is not None and (differing := _differing(ours, theirs)):
        raise UserError(
            f"{folder}: was trained on other data than {first.arm}, seed {first.seed}: {differing}; arms "
            "and seeds are compared on the same data only, train them again"
        )
    known_to_lack = any(DATA_DIGESTS not in each.config for each in runs[:-1])
    if store is not None and not (ours is None and known_to_lack):  # one line for all of them
        check_data(folder, run.config, store)
