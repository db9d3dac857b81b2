"""Trained runs read back from their folders, and checked to belong together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from fer_repro.config import run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.pair_scores import PAIR_SCORES, read_pair_scores
from fer_repro.evaluation.predict import Predictions, read_predictions
from fer_repro.files import read_json

WHOLE = 1e-6  # by so much the sum of probabilities in a file, nine digits each, may miss 1


@dataclass(frozen=True)
class Run:
    """One trained arm and seed.

    Attributes:
        arm: of the method.
        seed: of the run.
        config: what its config.json holds.
        predictions: validation, test and challenge.
    """

    arm: str
    seed: int
    config: dict[str, Any]
    predictions: Predictions


@dataclass(frozen=True)
class PairRun:
    """One trained arm and seed, tested on pairs.

    Attributes:
        arm: of the method.
        seed: of the run.
        config: what its config.json holds.
        pairs: its pairs.csv.
    """

    arm: str
    seed: int
    config: dict[str, Any]
    pairs: pd.DataFrame


class _AnyRun(Protocol):
    @property
    def arm(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def config(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=_AnyRun)


def read_runs(
    root: Path | str, dataset: str, method: str, seeds: Iterable[int], arms: Iterable[str]
) -> list[Run]:
    """Read the runs of all seeds and arms that predict classes, and check that they belong together.

    Raises:
        UserError: a file is missing or damaged, or a run saw other samples or another recipe than the first.
    """
    runs: list[Run] = []
    for arm, seed, folder in _folders(root, dataset, method, seeds, arms):
        predictions = read_predictions(folder / "predictions.csv")
        _check_shares(folder / "predictions.csv", predictions)
        runs.append(Run(arm, seed, read_run_config(folder), predictions))
        if not _same_samples(predictions, runs[0].predictions):
            raise UserError(
                f"{folder / 'predictions.csv'}: other samples, targets or classes than {runs[0].arm}, "
                f"seed {runs[0].seed}; arms and seeds are compared on the same samples only, train them again"
            )
        _check_recipe(runs[0], runs[-1], folder)
    return runs


def read_pair_runs(
    root: Path | str, dataset: str, method: str, seeds: Iterable[int], arms: Iterable[str]
) -> list[PairRun]:
    """Read the runs of all seeds and arms that score pairs, and check that they belong together.

    Raises:
        UserError: a file is missing or damaged, or a run saw other pairs or another recipe than the first.
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
        _check_recipe(runs[0], runs[-1], folder)
    return runs


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


def _same_samples(ours: Predictions, theirs: Predictions) -> bool:
    columns = ((ours.samples, theirs.samples), (ours.splits, theirs.splits), (ours.targets, theirs.targets))
    return ours.classes == theirs.classes and all(np.array_equal(*pair) for pair in columns)


def _check_recipe(first: _AnyRun, run: _AnyRun, folder: Path) -> None:
    if run.config["recipe"] != first.config["recipe"]:
        raise UserError(
            f"{folder / 'config.json'}: another recipe than {first.arm}, seed {first.seed}; "
            "arms are compared on equal terms only, train them again"
        )
