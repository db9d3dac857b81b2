"""What the runs of a method on a data set show about a claim, from their files, unrounded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.config import HEAD, paper_recipe, run_folder
from fer_repro.datasets.protocols import UNSEEN
from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.agreement import sample_groups
from fer_repro.evaluation.ensembles import ensemble_runs
from fer_repro.evaluation.forgery_rows import describe_frames, frame_logits, unseen_parts
from fer_repro.evaluation.number_rows import PROTOCOL, training_mean
from fer_repro.evaluation.pair_rows import score_pairs
from fer_repro.evaluation.probe_rows import METRICS as PROBE_METRICS
from fer_repro.evaluation.probe_rows import PROTOCOL as PROBED
from fer_repro.evaluation.probe_rows import frequent_label, probe_groups, probe_hits
from fer_repro.evaluation.row_form import Subject, subject_of
from fer_repro.evaluation.rows import TESTED, tested_samples, ways_of_testing
from fer_repro.loading.split import level_values
from fer_repro.measures.metrics import METRICS, Metric
from fer_repro.measures.variance_components import Floats, Spread, spread
from fer_repro.methods.method import load_method
from fer_repro.runs.folder import AnyRun, NumberRun, PairRun, Run, TrainedRuns, by_arm, kept_accuracy
from fer_repro.runs.predictions import SPLIT

CHOSEN = "chosen by validation"
"""The arm that an ensemble is compared with: of each seed the member that validation prefers."""


@dataclass(frozen=True)
class Evidence:
    """All arms and seeds of a method, on the same samples, by one metric.

    Attributes:
        method: name.
        dataset: name.
        protocol: which samples count.
        metric: a key of ``METRICS``.
        augmented: with test-time augmentation.
        arms: arm -> (S, N) hits of samples, accuracies of folds, logits of the positive class, or numbers.
        seeds: (S,) in the order of the rows.
        targets: (N,) class indices; for logits whether manipulated; for numbers the true ones.
        groups: (N,) samples of one number are not independent; None where all are.
        chance: accuracy, or error of a number, in ``METRICS``' unit, of answers without an image.
        pretraining: what the networks started from.
        note: of the recipe.
        recipe: dotted keys of the run's recipe, and ``max_train``, ``max_test``, ``select_on``, ``smoke``.
        paper: those of the paper's recipe; empty where params.yaml has none.
        validation: arm -> (S,) accuracy of the kept epochs on the validation part, in percent (the explained
            variance of a regression); not of arms that combine others.
        members: those of which ``CHOSEN`` is one for each seed; empty without it.
    """

    method: str
    dataset: str
    protocol: str
    metric: str
    augmented: bool
    arms: Mapping[str, NDArray]
    seeds: tuple[int, ...]
    targets: NDArray
    groups: NDArray | None
    chance: float
    pretraining: str
    note: str
    recipe: Mapping[str, Any]
    paper: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    def by_seed(self, arm: str) -> dict[int, float]:
        """An arm's value with each seed, in the metric's unit."""
        values, _ = self._shares(arm, METRICS[self.metric])
        return {seed: float(value) for seed, value in zip(self.seeds, values, strict=True)}

    def with_chosen(self, members: Sequence[str]) -> "Evidence":
        """Add an arm ``CHOSEN``: of each seed the member that is best on the validation part."""
        best = [max(members, key=lambda arm: self.validation[arm][k]) for k in range(len(self.seeds))]
        values = np.stack([self.arms[arm][k] for k, arm in enumerate(best)])
        validation = tuple(self.validation[arm][k] for k, arm in enumerate(best))
        return replace(
            self,
            arms={**self.arms, CHOSEN: values},
            validation={**self.validation, CHOSEN: validation},
            members=tuple(members),
        )

    def spread(self, arm: str) -> Spread:
        """An arm's value over seeds and samples, in the metric's unit."""
        return spread(*self._shares(arm, METRICS[self.metric]), self.groups)

    def gain(self, arm: str, rival: str) -> Spread:
        """How much better ``arm`` is than ``rival``, paired by seed and sample; for losses rival - arm."""
        metric = METRICS[self.metric]
        (ours, our_shares), (theirs, their_shares) = (self._shares(name, metric) for name in (arm, rival))
        sign = -1.0 if metric.lower_is_better else 1.0
        return spread(sign * (ours - theirs), sign * (our_shares - their_shares), self.groups)

    def is_at_chance(self, arm: str) -> bool:
        """Return whether these trained networks answer no better than without an image, within two errors.

        Logits are judged by their area, since a loss may suffer from overconfidence alone. What is to be
        hidden never is: there chance is the aim.
        """
        if METRICS[self.metric].kept == "hits" and METRICS[self.metric].lower_is_better:
            return False
        ranks = METRICS[self.metric].kept == "scores"
        found = spread(*self._shares(arm, METRICS["auc"] if ranks else METRICS[self.metric]), self.groups)
        level = 50.0 if ranks else self.chance
        error = np.sqrt(found.sample_variance + found.both_variance)  # of these networks, other samples
        if METRICS[self.metric].kept == "numbers" and METRICS[self.metric].lower_is_better:
            return bool(found.value >= level - 2 * error)
        return bool(found.value <= level + 2 * error)

    def _shares(self, arm: str, metric: Metric) -> tuple[Floats, Floats]:
        if arm not in self.arms:
            raise UserError(
                f"{self.method} on {self.dataset}: no run of arm '{arm}'; {nearest(arm, self.arms)}"
            )
        if metric.measure is None:
            raise UserError(f"{self.method} on {self.dataset}: no run keeps what {metric.words} needs")
        values, shares = metric.measure(self.arms[arm], self.targets)
        return metric.scale * values, metric.scale * shares


def read_evidence(found: TrainedRuns) -> list[Evidence]:
    """Gather what runs from ``open_runs`` show, whatever they were tested on."""
    subject, samples = subject_of(found), found.store.samples
    if found.task == "verification":
        evidence = [pair_evidence(found.pairs, subject), *probe_evidence(found.pairs, samples, subject)]
    elif found.task == "manipulation":
        evidence = forgery_evidence(found.classified, samples, subject)
    elif found.task == "regression":
        constant = training_mean(samples, level_values(found.store))
        evidence = number_evidence(found.numbers, samples, subject, constant)
    else:
        evidence = expression_evidence(found.classified, samples, subject)
    paper = flat(paper_recipe(found.params_file, found.method.name) or {})
    validation: dict[str, tuple[float, ...]] = {}
    for run in found.runs:
        folder = run_folder(found.root, found.dataset, subject.method, run.seed, run.arm)
        validation[run.arm] = (*validation.get(run.arm, ()), kept_accuracy(folder))
    return [replace(each, paper=paper, validation=validation) for each in evidence]


def expression_evidence(runs: Sequence[Run], samples: pd.DataFrame, subject: Subject) -> list[Evidence]:
    """Gather hits by every protocol of the data set, clean and augmented, for both accuracies.

    Args:
        runs: from ``read_runs``.
        samples: the sample table; predictions name its rows.
        subject: method and data set.
    """
    predictions = runs[0].predictions
    found = []
    tested = np.isin(predictions.splits, TESTED)
    for protocol, rows in tested_samples(runs[0].config, samples, subject.method).items():
        chosen = tested & np.isin(predictions.samples, rows)
        if chosen.sum() < 2:  # a single sample allows no conclusion about others
            continue
        targets = predictions.targets[chosen]
        groups = sample_groups(samples, predictions.samples[chosen])
        shares = np.bincount(targets) / len(targets)
        levels = {"accuracy": shares.max(), "mean_class_accuracy": 1 / np.count_nonzero(shares)}
        for tta in ways_of_testing(runs[0], predictions.where(chosen)):
            hits = _hits(runs, chosen, tta != "none")
            found += [
                _evidence(runs, subject, protocol, metric, tta != "none", hits, targets, groups, 100 * level)
                for metric, level in levels.items()
            ]
    return found


def forgery_evidence(runs: Sequence[Run], samples: pd.DataFrame, subject: Subject) -> list[Evidence]:
    """Gather logits of manipulation by frame and by video, of networks and of the paper's ensemble, and hits.

    A video's logit is the mean of its frames'. The mean class accuracy is of frames, at logit 0. Frames of a
    video, and videos made of one, are one group.

    Args:
        runs: from ``read_runs``.
        samples: the sample table; ``clip`` is the video, ``original`` what a manipulated one was made of.
        subject: method and data set.

    Returns:
        Those of the whole test part, and of each kind that the training of some arms left out.
    """
    built = load_method(subject.method)
    complete = len(built.ensemble) > 1 and set(built.ensemble) <= {run.arm for run in runs}
    together = ensemble_runs(runs, built.ensemble, built.ensemble_rule) if complete else []
    parts = [("official", [*runs, *together])]
    parts += [(UNSEEN, found) for found in unseen_parts(runs, samples, built).values()]
    return [each for protocol, part in parts for each in _by_level(protocol, part, samples, subject)]


def _by_level(protocol: str, runs: Sequence[Run], samples: pd.DataFrame, subject: Subject) -> list[Evidence]:
    """Gather frames and videos by area and log loss."""
    frames = describe_frames(runs[0].predictions.of_split(SPLIT), samples)
    logits = _stack(runs, lambda run: frame_logits(run.predictions.of_split(SPLIT)))
    _, first = np.unique(frames.videos, return_index=True)
    counts = np.bincount(frames.videos)
    by_video = {
        arm: np.stack([np.bincount(frames.videos, weights=row) / counts for row in rows])
        for arm, rows in logits.items()
    }
    groups = frames.videos if frames.groups is None else frames.groups
    levels = {
        "frame": (logits, frames.manipulated, groups),
        "video": (by_video, frames.manipulated[first], groups[first]),
    }
    found = [
        _evidence(runs, subject, protocol, f"{level}_{name}", False, *kept, 50.0)
        for level, kept in levels.items()
        for name in ("auc", "log_loss")
    ]
    if len(np.unique(frames.manipulated)) < 2:  # no mean of both recalls
        return found
    right = {arm: (rows > 0) == frames.manipulated for arm, rows in logits.items()}
    kept = (right, frames.manipulated.astype(np.int64), groups)
    return [*found, _evidence(runs, subject, protocol, "mean_class_accuracy", False, *kept, 50.0)]


def pair_evidence(runs: Sequence[PairRun], subject: Subject) -> Evidence:
    """Gather the accuracy of each fold at the threshold of all others; folds share no people.

    A list without folds gives the hits of its pairs, at the threshold of the validation list.

    Args:
        runs: from ``read_pair_runs``.
        subject: method and data set.
    """
    results = {id(run): score_pairs(run.pairs) for run in runs}
    first = results[id(runs[0])]
    folds = np.unique(first.folds) if first.folds.any() else np.array([], int)

    def units(run: PairRun) -> NDArray:
        hits = results[id(run)].hits
        return np.array([hits[first.folds == fold].mean() for fold in folds]) if len(folds) else hits

    accuracies = _stack(runs, units)
    same = runs[0].pairs.loc[runs[0].pairs["list"] == SPLIT, "same"].mean()
    count = next(iter(accuracies.values())).shape[1]
    level = 100 * float(max(same, 1 - same))
    targets = np.zeros(count, int)
    return _evidence(runs, subject, first.protocol, "pair_accuracy", False, accuracies, targets, None, level)


def probe_evidence(runs: Sequence[PairRun], samples: pd.DataFrame, subject: Subject) -> list[Evidence]:
    """Gather the test faces whose label each probe reads in the embeddings; nothing without probes.

    Args:
        runs: from ``read_pair_runs``.
        samples: the sample table.
        subject: method and data set.
    """
    if not len(runs[0].probes):
        return []
    targets, groups = runs[0].probes["target"].to_numpy(), probe_groups(runs, samples)
    level = 100 * frequent_label(runs, samples)
    return [
        _evidence(runs, subject, PROBED, metric, False, probe_hits(runs, kind), targets, groups, level)
        for metric, kind in PROBE_METRICS.items()
    ]


def number_evidence(
    runs: Sequence[NumberRun], samples: pd.DataFrame, subject: Subject, constant: float
) -> list[Evidence]:
    """Gather predicted numbers, to be judged by squared error and by rank correlation.

    Args:
        runs: from ``read_number_runs``.
        samples: the sample table.
        subject: method and data set.
        constant: the answer that needs no sample.
    """
    test = runs[0].predictions.of_split(SPLIT)
    values = _stack(runs, lambda run: run.predictions.of_split(SPLIT).values)
    groups = sample_groups(samples, test.samples)
    levels = {"mse": float(np.mean((test.targets - constant) ** 2)), "spearman": 0.0}
    if np.ptp(test.targets) == 0:  # distances to what is wanted: no order, and no answer without an image
        levels = {"mse": np.inf}
    return [
        _evidence(runs, subject, PROTOCOL, metric, False, values, test.targets, groups, level)
        for metric, level in levels.items()
    ]


def _hits(runs: Sequence[Run], chosen: NDArray, augmented: bool) -> dict[str, NDArray]:
    def right(run: Run) -> NDArray:
        part = run.predictions.where(chosen)
        scores = part.probabilities if augmented else part.logits
        return np.asarray(scores.argmax(1) == part.targets)

    return _stack(runs, right)


def _stack(runs: Iterable[Any], kept: Callable[[Any], NDArray]) -> dict[str, NDArray]:
    return {arm: np.stack([kept(run) for run in members]) for arm, members in by_arm(list(runs)).items()}


def _evidence(
    runs: Sequence[AnyRun],
    subject: Subject,
    protocol: str,
    metric: str,
    augmented: bool,
    arms: Mapping[str, NDArray],
    targets: NDArray,
    groups: NDArray | None,
    chance: float,
) -> Evidence:
    seeds = tuple(run.seed for run in runs if run.arm == runs[0].arm)
    return Evidence(
        subject.method, subject.dataset, protocol, metric, augmented, arms, seeds, targets, groups,
        float(chance), subject.pretraining, subject.note, _recipe(runs[0].config),
    )  # fmt: skip


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten the recipe, and name what limits the data and what chose the epoch."""
    known = ("max_train", "max_test", "select_on")
    data = {key: value for key, value in config.get("data", {}).items() if key in known}
    return {HEAD: "none", **flat(config["recipe"]), **data, "smoke": config.get("smoke", False)}


def flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Name a recipe's numbers by dotted keys: ``model.width``."""
    found: dict[str, Any] = {}
    for key, value in recipe.items():
        inner = flat(value) if isinstance(value, dict) else None
        found |= {key: value} if inner is None else {f"{key}.{name}": each for name, each in inner.items()}
    return found
