"""Whether runs belong together, and to a data set: the same samples, targets, recipe and data."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_repro.config import ARM_RATE, DATA_DIGESTS, HEAD
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.loading.split import level_values
from fer_repro.runs.numbers import PredictedNumbers
from fer_repro.runs.predictions import SPLIT, Predictions

if TYPE_CHECKING:
    from fer_repro.runs.folder import AnyRun

WHOLE = 1e-6  # by so much the sum of probabilities in a file, nine digits each, may differ from 1


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


def check_shares(path: Path, predictions: Predictions) -> None:
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


def check_targets(path: Path, predictions: Predictions, store: Store) -> None:
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


def check_numbers(path: Path, predictions: PredictedNumbers, store: Store) -> None:
    """Check that predictions are of a store's samples: each target is the number of its row's level."""
    numbers = level_values(store)[store.samples["label"].to_numpy()]
    there = predictions.samples < len(numbers)
    known = numbers[np.where(there, predictions.samples, 0)]
    good = there & np.isclose(known, predictions.targets, rtol=0, atol=1e-8)
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(
            f"{path}: row {row + 1}: sample {predictions.samples[row]}, target {predictions.targets[row]:g}: "
            f"not that of {store.folder / store.manifest.samples.file}; the set was replaced since: train "
            "the run again, or bring the earlier set back"
        )


def same_samples(ours: Predictions, theirs: Predictions) -> bool:
    """Return whether two runs predicted the same samples, targets and classes."""
    columns = ((ours.samples, theirs.samples), (ours.splits, theirs.splits), (ours.targets, theirs.targets))
    return ours.classes == theirs.classes and all(np.array_equal(*pair) for pair in columns)


def same_tests(ours: Predictions, theirs: Predictions) -> bool:
    """Whether two runs predicted the same test samples, whatever was left out of their validation."""
    return same_samples(ours.of_split(SPLIT), theirs.of_split(SPLIT))


def _shared(section: Any) -> Any:  # noqa: ANN401 - whatever a file holds
    """Leave out what arms that are compared need not share."""
    return (
        {HEAD: "none"} | {name: section[name] for name in section if name != ARM_RATE}
        if isinstance(section, dict)
        else section
    )


def check_terms(runs: "Sequence[AnyRun]", folder: Path, store: Store | None) -> None:
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
