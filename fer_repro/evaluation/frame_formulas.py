"""FAN's two formulas of evaluation, on the same trained networks and the same clips.

Eq. 4 of arXiv:1907.00193 averages [f_i ; v] with the weights alpha beta. The authors' evaluation code weighs
the numerator by alpha alone and divides by the sum of alpha beta, so that its clip feature is s [v ; v] with
one number s = sum(alpha) / sum(alpha beta) > 1 per clip: relation attention no longer chooses frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.config import run_folder
from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.frame_weights import clip_logits, look_at_clips
from fer_repro.evaluation.groups import sample_groups
from fer_repro.evaluation.reopened import Reopened, reopen
from fer_repro.measures.classification import softmax
from fer_repro.measures.intervals import Interval, paired_difference
from fer_repro.methods.fan import FrameAttentionNetwork

COLUMNS = (
    "seed", "eq4", "authors", "difference", "changed", "confidence_eq4", "confidence_authors", "scale",
)  # fmt: skip


@dataclass(frozen=True)
class FormulaComparison:
    """What the choice of the formula does to the test clips.

    Attributes:
        table: one row per seed, in ``COLUMNS``: accuracy with Eq. 4 and with the authors' formula (%), their
            difference (authors' minus Eq. 4, points), clips that get another class (%), mean probability of
            the class that is answered (%), and the median of s.
        difference: of the accuracies, authors' minus Eq. 4, in points, over seeds and clips; clips of one
            person are taken together.
        sureness: name of a formula -> probability of the class that is answered and whether it is right, both
            (seeds x clips,), as a reliability diagram takes them.
    """

    table: pd.DataFrame
    difference: Interval
    sureness: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Answers:
    paper: np.ndarray
    authors: np.ndarray
    targets: np.ndarray
    scale: np.ndarray
    samples: np.ndarray


def compare_formulas(
    root: Path | str,
    dataset: str,
    seeds: Sequence[int],
    store: Store,
    arm: str = "self_relation",
    confidence: float = 0.95,
    resamples: int = 2000,
    limit: int = 0,
) -> FormulaComparison:
    """Predict the test clips of every seed's network twice, once with each formula.

    Args:
        root: where FAN's runs live.
        dataset: of the runs.
        seeds: which.
        store: the data set.
        arm: one with relation attention.
        confidence: of the interval.
        resamples: of the bootstrap for one seed.
        limit: at most so many clips; 0 takes all.

    Raises:
        UserError: a run is missing, or its arm has no relation attention.
    """
    rows, answers, groups = [], [], None
    for seed in seeds:
        run = reopen(run_folder(root, dataset, "fan", seed, arm), store)
        answers.append(_answer_twice(run, limit))
        rows.append([seed, *_numbers(answers[-1])])
        groups = sample_groups(store.samples, answers[-1].samples)
    paper, authors = (
        np.stack([getattr(each, kind).argmax(1) == each.targets for each in answers])
        for kind in ("paper", "authors")
    )
    difference = paired_difference(authors, paper, confidence, resamples, clusters=groups)
    scaled = Interval(100 * difference.value, 100 * difference.low, 100 * difference.high, difference.kind)
    sureness = {
        "Eq. 4": (_sureness([each.paper for each in answers]), paper.ravel()),
        "authors' formula": (_sureness([each.authors for each in answers]), authors.ravel()),
    }
    return FormulaComparison(pd.DataFrame(rows, columns=list(COLUMNS)), scaled, sureness)


def _sureness(logits: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([softmax(each).max(1) for each in logits])


def _answer_twice(run: Reopened, limit: int) -> _Answers:
    network = run.network
    if not isinstance(network, FrameAttentionNetwork) or network.attention != "self_relation":
        raise UserError(f"arm '{run.config['arm']}' has no relation attention: both formulas need it")
    clips = protocol_rows(run.store.samples, "test", "official")
    before, answers = network.reference_evaluation, []
    for authors in (False, True):
        network.reference_evaluation = authors
        answers.append(clip_logits(run, clips, limit))
    network.reference_evaluation = before
    weights = look_at_clips(run, clips, limit)
    scale = weights["alpha"].sum(1) / (weights["alpha"] * weights["beta"]).sum(1)
    (paper, targets), (others, _) = answers
    return _Answers(paper, others, targets, scale, weights["samples"])


def _numbers(found: _Answers) -> list[float]:
    classes = [answer.argmax(1) for answer in (found.paper, found.authors)]
    paper, authors = (100 * float(np.mean(answer == found.targets)) for answer in classes)
    sure = [100 * float(softmax(answer).max(1).mean()) for answer in (found.paper, found.authors)]
    changed = 100 * float(np.mean(classes[0] != classes[1]))
    return [paper, authors, authors - paper, changed, *sure, float(np.median(found.scale))]
