"""Trained runs read back from their folders, and checked to belong together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import numpy as np
import pandas as pd

from fer_repro.config import TASK, method_arms, run_folder
from fer_repro.datasets.store import Store, open_store
from fer_repro.errors import UserError
from fer_repro.files import read_json
from fer_repro.measures.metrics import MAIN
from fer_repro.measures.regression import explained_variance
from fer_repro.methods.method import Method, Task, load_method
from fer_repro.params import read_params
from fer_repro.runs.checks import (
    check_numbers,
    check_shares,
    check_targets,
    check_terms,
    same_samples,
    same_tests,
)
from fer_repro.runs.numbers import PredictedNumbers, read_numbers
from fer_repro.runs.predictions import (
    PAIR_SCORES,
    PROBED,
    SPLIT,
    Predictions,
    read_pair_scores,
    read_predictions,
    read_probes,
)
from fer_repro.sections import read_section


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
    """A run that verifies: ``pairs`` is its pairs.csv, ``probes`` its probes.csv, empty where it has none."""

    pairs: pd.DataFrame
    probes: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class NumberRun(AnyRun):
    """A run that predicts numbers: ``predictions`` of validation, test and challenge."""

    predictions: PredictedNumbers


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
        classified: runs that predict classes; else empty.
        pairs: runs that verify; else empty.
        pretraining: what the networks started from.
        recipe: of all of them.
        numbers: runs of a regression; else empty.
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
    numbers: list[NumberRun] = field(default_factory=list)

    @property
    def runs(self) -> Sequence[AnyRun]:
        """All runs, whatever they predict."""
        return self.pairs or self.numbers or self.classified


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

    def read(path: Path) -> Predictions:
        predictions = read_predictions(path)
        check_shares(path, predictions)
        return predictions

    folders = _folders(root, dataset, method, seeds, arms)
    form = _Form("predictions.csv", read, same_tests, check_targets, "samples, targets or classes", "samples")
    built, runs, alike = load_method(method), _read_all(Run, folders, store, form), dict[str, Run]()
    for run, (_, _, folder) in zip(runs, folders, strict=True):  # validation may leave out a kind
        first = alike.setdefault(unseen_kind(built, run), run)
        if not same_samples(run.predictions, first.predictions):
            raise _differing_samples(folder / form.file, first, form)
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

    def same(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
        return bool(ours.drop(columns="score").equals(theirs.drop(columns="score")))

    folders = _folders(root, dataset, method, seeds, arms)
    form = _Form(PAIR_SCORES, read_pair_scores, same, lambda path, pairs, store: None, "pairs", "pairs")
    built, runs = load_method(method), _read_all(PairRun, folders, store, form)
    return [
        _with_probes(built, run, folder, store) for run, (_, _, folder) in zip(runs, folders, strict=True)
    ]


def _with_probes(method: Method, run: PairRun, folder: Path, store: Store | None) -> PairRun:
    """Add what probes read in a run's embeddings, where its method hides labels."""
    if not method.hidden(run.arm, run.config["recipe"].get("model", {})):
        return run
    path = folder / PROBED
    probes = read_probes(path)
    if store is not None:
        tested = store.samples.index[store.samples["split"] == SPLIT]
        labels = store.samples["label"].reindex(probes["sample"]).to_numpy()
        if list(tested) != list(probes["sample"]) or not np.array_equal(labels, probes["target"]):
            raise UserError(
                f"{path}: other faces or labels than the test part of {store.folder}: train the run again"
            )
    return replace(run, probes=probes)


def read_number_runs(
    root: Path | str,
    dataset: str,
    method: str,
    seeds: Iterable[int],
    arms: Iterable[str],
    store: Store | None = None,
) -> list[NumberRun]:
    """Read the runs of all seeds and arms that predict numbers, and check that they belong together.

    Arguments as of ``read_runs``.

    Raises:
        UserError: a file is missing or damaged, a run saw other samples, data or another recipe than the
            first, or it was trained on other data than ``store`` holds.
    """

    def same(ours: PredictedNumbers, theirs: PredictedNumbers) -> bool:
        names = ("samples", "splits", "targets")
        return all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in names)

    folders = _folders(root, dataset, method, seeds, arms)
    form = _Form("predictions.csv", read_numbers, same, check_numbers, "samples or targets", "samples")
    return _read_all(NumberRun, folders, store, form)


@dataclass(frozen=True)
class _Form:
    """How runs of one task are read: their file, what must be the same, and what a store must have."""

    file: str
    read: Callable[[Path], Any]
    same: Callable[[Any, Any], bool]
    check: Callable[[Path, Any, Store], None]
    parts: str
    units: str


def _differing_samples(path: Path, first: AnyRun, form: _Form) -> UserError:
    return UserError(
        f"{path}: other {form.parts} than {first.arm}, seed {first.seed}; arms and seeds are "
        f"compared on the same {form.units} only, train them again"
    )


def _read_all(
    kind: type[R], folders: Sequence[tuple[str, int, Path]], store: Store | None, form: _Form
) -> list[R]:
    runs: list[R] = []
    first: Any = None
    for arm, seed, folder in folders:
        path = folder / form.file
        found = form.read(path)
        first = found if first is None else first
        runs.append(kind(arm, seed, read_run_config(folder), found))  # type: ignore[call-arg]
        if not form.same(found, first):
            raise _differing_samples(path, runs[0], form)
        check_terms(runs, folder, store)
        if store is not None:
            form.check(path, found, store)
    return runs


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
    scale = np.where(own["unit"] == "%", 100.0, 1.0)
    return not name or bool(np.isclose(own["value"].astype(float), scale * known[name], atol=1e-6).any())


def kept_accuracy(folder: Path) -> float:
    """Read a run's accuracy on its validation part, in percent, of the epoch whose weights were kept.

    With folds it is their mean. A regression has no accuracy: its share of explained variance is taken.

    Raises:
        UserError: there is no history of a training.
    """
    path = folder / "history.csv"
    try:
        history = pd.read_csv(path)
        if "val_accuracy" not in history and "val_loss" in history:
            part = read_numbers(folder / "predictions.csv").of_split("val")
            if not len(part.targets):
                raise ValueError("no validation part")
            return 100 * explained_variance(part.values, part.targets)
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
    chosen = list(seeds) or read_params(params_file).seeds_of(method)
    store = open_store(Path(prepared_root) / dataset)
    first = run_folder(runs_root, dataset, method, chosen[0], trained[0])
    config = read_run_config(first)
    options = read_section(built.options, config["recipe"]["model"], f"{first / 'config.json'}: recipe.model")
    task, place = run_task(config, first), (runs_root, dataset, method, chosen, trained, store)
    classified = read_runs(*place) if task not in ("verification", "regression") else []
    pairs = read_pair_runs(*place) if task == "verification" else []
    numbers = read_number_runs(*place) if task == "regression" else []
    return TrainedRuns(
        params_file, built, dataset, task, Path(runs_root), store, classified, pairs,
        built.pretraining_name(options), config["recipe"], numbers,
    )  # fmt: skip


def _folders(
    root: Path | str, dataset: str, method: str, seeds: Iterable[int], arms: Iterable[str]
) -> list[tuple[str, int, Path]]:
    chosen = list(seeds)
    return [(arm, seed, run_folder(root, dataset, method, seed, arm)) for arm in arms for seed in chosen]
