"""What a cascade answers in every order, softly and hard, and which rates of its stages make its accuracy.

All numbers come from saved predictions. A cascade's own stages were trained in one order. A network for all
classes prefers none: its probability of a class is a score of that class against the rest, and what it leaves
to the classes of the last block, divided by their sum, is that block.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.measures.cascades import (
    Numbers,
    budget,
    hard_decision,
    independent_accuracy,
    soft_decision,
    stage_rates,
)
from fer_repro.measures.classification import softmax
from fer_repro.runs.loaded_run import load_run
from fer_repro.runs.predictions import read_predictions

_TINY = 1e-300
_ALIKE = 1e-9  # accuracies that differ less do so by rounding


@dataclass(frozen=True)
class StageScores:
    """The scores of one network's stages for the test samples.

    Attributes:
        decided: the class of each stage, S of them, in the paper's order.
        stages: (n, S) p.
        rest: (n, R) q.
        targets: (n,) class indices.
        classes: K names in label order.
    """

    decided: tuple[int, ...]
    stages: Numbers
    rest: Numbers
    targets: np.ndarray
    classes: tuple[str, ...]

    @property
    def others(self) -> list[int]:
        """The classes of the last block."""
        return [c for c in range(len(self.classes)) if c not in self.decided]

    def ordered(self, order: Sequence[int]) -> Numbers:
        """The scores (n, S) of the stages in another order of their classes."""
        return self.stages[:, [self.decided.index(c) for c in order]]


Scores = Mapping[str, Sequence[StageScores]]
"""Arm -> the scores of each seed."""


def stage_scores(folders: Mapping[str, Mapping[int, Path]], store: Store) -> dict[str, list[StageScores]]:
    """Take the scores of all stages from saved predictions.

    Args:
        folders: arm -> seed -> run; networks of one arm or more have ``decided``, the class of each stage.
        store: the data set.

    Raises:
        UserError: no arm is a cascade.
    """
    found = {
        arm: getattr(load_run(next(iter(seeds.values())), store).network, "decided", None)
        for arm, seeds in folders.items()
    }
    decided = next((classes for classes in found.values() if classes), None)
    if decided is None:
        raise UserError(f"arms {', '.join(folders)}: expected one whose network decides in stages")
    return {
        arm: [_scores(folder, tuple(decided), found[arm] is not None) for folder in seeds.values()]
        for arm, seeds in folders.items()
    }


def _scores(folder: Path, decided: tuple[int, ...], in_stages: bool) -> StageScores:
    read = read_predictions(folder / "predictions.csv").of_split("test")
    probabilities = softmax(read.logits.astype(np.float64))
    others = [c for c in range(len(read.classes)) if c not in decided]
    left = probabilities[:, others].sum(axis=1, keepdims=True)
    rest = probabilities[:, others] / np.maximum(left, _TINY)
    stages = probabilities[:, list(decided)]
    if in_stages:  # P(c_s) is a share of what the earlier stages left: of it and of all that comes later
        later = np.cumsum(np.hstack([left, stages[:, ::-1]]), axis=1)[:, ::-1][:, :-1]
        stages = stages / np.maximum(later, _TINY)
    return StageScores(decided, np.clip(stages, 0, 1), rest, read.targets, read.classes)


def accuracy_of_orders(scores: Scores, threshold: float = 0.5) -> pd.DataFrame:
    """Accuracy in every order of the stages, softly and hard: the mean over seeds.

    Args:
        scores: from ``stage_scores``.
        threshold: tau of the hard decision.

    Returns:
        ``arm``, ``order`` (names joined by commas), ``soft``, ``hard`` in [0, 1], ``given`` (the paper's
        order), sorted by arm, then by ``soft``, the best first.
    """
    rows: list[tuple[str, str, float, float, bool]] = []
    for arm, seeds in scores.items():
        first = seeds[0]
        found: list[tuple[str, str, float, float, bool]] = []
        for order in itertools.permutations(first.decided):
            soft = [_hits(each, soft_decision(each.ordered(order), each.rest, order)) for each in seeds]
            hard = [
                float(
                    (hard_decision(each.ordered(order), each.rest, order, threshold) == each.targets).mean()
                )
                for each in seeds
            ]
            names = ", ".join(first.classes[c] for c in order)
            found.append((arm, names, float(np.mean(soft)), float(np.mean(hard)), order == first.decided))
        rows += sorted(found, key=lambda row: (-row[2], row[1]))
    return pd.DataFrame(rows, columns=["arm", "order", "soft", "hard", "given"])


def _hits(scores: StageScores, probabilities: Numbers) -> float:
    return float((probabilities.argmax(axis=1) == scores.targets).mean())


def order_spread(orders: pd.DataFrame) -> pd.DataFrame:
    """Say for each arm what the order is worth: the paper's, its place among all, the best and the worst.

    Where all orders have one accuracy there is no place, no best and no worst.

    Args:
        orders: from ``accuracy_of_orders``.
    """
    rows = []
    for arm, found in orders.groupby("arm", sort=False):
        for kind in ("soft", "hard"):
            given, ranked = found.loc[found["given"], kind].iloc[0], found.sort_values(kind, kind="stable")
            best, worst = ranked.iloc[-1], ranked.iloc[0]
            alike = best[kind] - worst[kind] < _ALIKE
            place = f"{1 + int((found[kind] > given + _ALIKE).sum())} of {len(found)}"
            rows.append(
                {
                    "arm": arm,
                    "decision": kind,
                    "the paper's order": f"{given:.1%}",
                    "its place": "all alike" if alike else place,
                    "best": "" if alike else f"{best[kind]:.1%}, {best['order']}",
                    "worst": "" if alike else f"{worst[kind]:.1%}, {worst['order']}",
                }
            )
    return pd.DataFrame(rows)


def stage_table(seeds: Sequence[StageScores], threshold: float = 0.5) -> pd.DataFrame:
    """Rates of each stage of a hard cascade in the paper's order: the mean over seeds, in percent.

    Args:
        seeds: scores of one arm.
        threshold: tau.

    Returns:
        ``stage``, ``recall`` of its class, ``false alarms`` among the classes that are decided later; for the
        last block its accuracy among faces of its classes, and no false alarms.
    """
    first, rows = seeds[0], []
    rates = [stage_rates(each.stages >= threshold, each.targets, len(each.classes)) for each in seeds]
    for place, c in enumerate(first.decided):
        later = [*first.decided[place + 1 :], *first.others]
        recall = np.mean([rate[place, c] for rate in rates])
        alarms = np.mean(
            [
                (each.stages[np.isin(each.targets, later), place] >= threshold).mean()
                for each in seeds
                if np.isin(each.targets, later).any()
            ]
        )
        rows.append([first.classes[c], f"{recall:.1%}", f"{alarms:.1%}"])
    rows.append(["or else " + ", ".join(first.classes[c] for c in first.others), *_last(seeds)])
    return pd.DataFrame(rows, columns=["stage", "recall", "false alarms"])


def _last(seeds: Sequence[StageScores]) -> list[str]:
    recalls = [np.mean(list(_last_recalls(each).values())) for each in seeds]
    return [f"{np.mean(recalls):.1%}", ""]


def _last_recalls(scores: StageScores) -> dict[int, float]:
    answers = np.asarray(scores.others)[scores.rest.argmax(axis=1)]
    return {
        c: float((answers[scores.targets == c] == c).mean())
        for c in scores.others
        if (scores.targets == c).any()
    }


def independence_table(scores: Scores, threshold: float = 0.5) -> pd.DataFrame:
    """Compare the accuracy of hard cascades with that of stages of the same rates that err independently.

    Args:
        scores: from ``stage_scores``.
        threshold: tau.

    Returns:
        ``arm``, ``measured``, ``if independent``: means over seeds, in percent; ``difference`` in points.
    """
    rows = []
    for arm, seeds in scores.items():
        measured, expected = [], []
        for each in seeds:
            said = each.stages >= threshold
            answers = hard_decision(each.stages, each.rest, each.decided, threshold)
            measured.append(float((answers == each.targets).mean()))
            rates = stage_rates(said, each.targets, len(each.classes))
            counts = np.bincount(each.targets, minlength=len(each.classes)).tolist()
            expected.append(independent_accuracy(rates, _last_recalls(each), each.decided, counts))
        values = 100 * np.mean(measured), 100 * np.mean(expected)
        rows.append([arm, *(f"{value:.1f}" for value in values), f"{values[0] - values[1]:+.1f}"])
    return pd.DataFrame(rows, columns=["arm", "measured", "if independent", "difference"])


def budget_lines(
    counts: Mapping[str, int], order: Sequence[str], recalls: Sequence[float], last_recall: float
) -> pd.DataFrame:
    """Accuracy over the rate of false alarms of a cascade of equal stages, for a data set of these counts.

    Args:
        counts: class -> faces, in label order.
        order: the classes of the stages.
        recalls: of the stages, one line each.
        last_recall: of the last block.

    Returns:
        ``recall``, ``false_alarms``, ``accuracy`` in [0, 1].
    """
    names = list(counts)
    decided = [names.index(name) for name in order]
    rows = [
        [recall, alarms, budget(list(counts.values()), decided, recall, alarms, last_recall)]
        for recall in recalls
        for alarms in np.linspace(0, 0.08, 17)
    ]
    return pd.DataFrame(rows, columns=["recall", "false_alarms", "accuracy"])
