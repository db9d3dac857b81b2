"""Result rows of manipulation runs and ensembles: AUC and log loss of one logit, per frame and per video.

As in arXiv:2004.07676 a video's logit is the mean of its frames' logits, before any sigmoid. Every class
order here is real, manipulated, and a positive logit means manipulated. Arms whose training left out a kind
of manipulation are measured a second time against that kind alone, protocol ``unseen``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from fer_repro.datasets.folds import REAL_KINDS, without_kind
from fer_repro.datasets.protocols import UNSEEN
from fer_repro.errors import UserError
from fer_repro.evaluation.agreement import sample_groups
from fer_repro.evaluation.ensembles import ensemble_name
from fer_repro.evaluation.row_form import (
    COLUMNS,
    INTERVAL_COLUMNS,
    BySeed,
    Quantity,
    Ranked,
    Row,
    Subject,
    compare_by_seed,
    reference_row,
    value_rows,
)
from fer_repro.layers.ensemble import combinations, video_logits
from fer_repro.measures.classification import finite, truth_values
from fer_repro.measures.detection import auc_shares, log_loss_shares
from fer_repro.measures.intervals import mean_shares
from fer_repro.measures.metrics import METRICS
from fer_repro.methods.method import Method, load_method
from fer_repro.runs.folder import Run, by_arm, unseen_kind
from fer_repro.runs.predictions import SPLIT, Predictions

TABLE = ("frame_auc", "frame_log_loss", "video_auc", "video_log_loss")
"""The columns of the paper's table, each for frames and for videos."""
_OFFICIAL = "official"


def measure_forgeries(runs: Sequence[Run], samples: pd.DataFrame) -> dict[str, dict[str, BySeed]]:
    """Measure the test frames of every arm.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table.

    Returns:
        arm -> metric -> its numbers, see ``forgery_measures``.
    """
    frames = describe_frames(runs[0].predictions.of_split(SPLIT), samples)
    found = {}
    for arm, members in by_arm(runs).items():
        logits = [frame_logits(run.predictions.of_split(SPLIT)) for run in members]
        found[arm] = forgery_measures(np.stack(logits), frames)
    return found


def forgery_rows(
    runs: Sequence[Run],
    samples: pd.DataFrame,
    subject: Subject,
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the rows of every network and ensemble: seeds, means, the base rate, differences to the control.

    Args:
        runs: from ``read_runs``, and ensembles of them.
        samples: the sample table.
        subject: method and data set.
        control: the arm without the paper's idea.
        confidence: e.g. 0.95.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        Rows with ``COLUMNS`` and intervals with ``INTERVAL_COLUMNS``; log losses in nats.
    """
    parts = {"": runs, **unseen_parts(runs, samples, load_method(subject.method))}
    terms = (samples, subject, control, confidence, resamples)
    found = [_rows(kind, part, *terms) for kind, part in parts.items()]
    rows, differences, intervals = ([row for part in found for row in part[place]] for place in range(3))
    table = pd.DataFrame([*rows, *differences], columns=list(COLUMNS))
    return table, pd.DataFrame(intervals, columns=list(INTERVAL_COLUMNS))


def unseen_parts(runs: Sequence[Run], samples: pd.DataFrame, method: Method) -> dict[str, list[Run]]:
    """Choose the test frames of arms whose training left out a kind: the real ones and those of that kind.

    Args:
        runs: from ``read_runs``; those of arms that left out no kind, and ensembles, are left out.
        samples: the sample table.
        method: of the runs.

    Returns:
        kind -> runs with these frames of the test part, and all others; no kind that no tested frame shows.
    """
    parts: dict[str, list[Run]] = {}
    for run in runs:
        if kind := unseen_kind(method, run):
            found = run.predictions
            shown = samples["forgery"].to_numpy(str)[found.samples]
            part = found.where((found.splits != SPLIT) | (found.targets == 0) | (shown == kind))
            if len(np.unique(part.of_split(SPLIT).targets)) == 2:
                parts.setdefault(kind, []).append(replace(run, predictions=part))
    return parts


def _rows(
    kind: str,
    runs: Sequence[Run],
    samples: pd.DataFrame,
    subject: Subject,
    control: str,
    confidence: float,
    resamples: int,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Make rows of values, of differences and of intervals: on the whole test part, or against one kind."""
    measured = measure_forgeries(runs, samples)
    constant = _base_rate(runs[0], samples, without_kind(samples, kind) if kind else samples)
    base, protocol = (f"base_rate_unseen_{kind}", UNSEEN) if kind else ("base_rate", _OFFICIAL)
    rows: list[Row] = []
    differences: list[Row] = []
    intervals: list[Row] = []
    for metric in next(iter(measured.values())):
        if kind and metric not in METRICS:
            continue  # names the kind, and there is only one
        quantity = Quantity(protocol, metric)
        arms = {arm: found[metric] for arm, found in measured.items()}
        for arm, members in by_arm(runs).items():
            values = dict(zip((run.seed for run in members), arms[arm].values.tolist(), strict=True))
            rows += value_rows(subject, quantity, arm, values, confidence, resamples)
        note = "every frame gets the training split's share of manipulated frames"
        rows.append(reference_row(subject, quantity, base, constant[metric], note))
        compared = compare_by_seed(subject, quantity, arms, control, confidence, resamples)
        differences += compared[0]
        intervals += compared[1]
    return rows, differences, intervals


def ensemble_table(
    runs: Sequence[Run], samples: pd.DataFrame, control: str, members: Sequence[str]
) -> pd.DataFrame:
    """Lay out networks and ensembles as the paper's table does: the control first, then all combinations.

    Args:
        runs: single networks and ensembles.
        samples: the sample table.
        control: the network that is in no ensemble.
        members: the networks that are combined, in the order of the paper's table.

    Returns:
        ``networks``, e.g. ``plain+attention``; for each single network whether it is among them; the columns
        of ``TABLE`` (means over seeds, AUC in [0, 1] as printed there, natural logarithms), each followed by
        its ``_deviation`` over seeds (n - 1, NaN for one); and ``runs``. An AUC of frames of one kind is NaN.
    """
    measured = measure_forgeries(runs, samples)
    papers = [ensemble_name(chosen) for chosen in combinations(members)]
    order = [arm for arm in dict.fromkeys([control, *papers, *measured]) if arm in measured]
    networks = [arm for arm in order if "+" not in arm]
    rows = []
    for arm in order:
        row: Row = {"networks": arm, **{name: name in arm.split("+") for name in networks}}
        for name in TABLE:
            values = measured[arm][name].values if name in measured[arm] else np.array([np.nan])
            row |= {
                name: values.mean(),
                f"{name}_deviation": values.std(ddof=1) if len(values) > 1 else np.nan,
            }
        rows.append({**row, "runs": len(by_arm(runs)[arm])})
    return pd.DataFrame(rows)


def _base_rate(run: Run, samples: pd.DataFrame, learnt: pd.DataFrame) -> dict[str, float]:
    train = learnt.loc[learnt["split"] == "train", "label"].to_numpy()
    rate = float(np.clip(np.mean(train == 1), 1e-9, 1 - 1e-9))
    return base_rate_metrics(rate, describe_frames(run.predictions.of_split(SPLIT), samples))


CLASSES = ("real", "manipulated")


@dataclass(frozen=True)
class TestFrames:
    """What the sample table states about tested frames.

    Attributes:
        manipulated: (N,) bool.
        videos: (N,) int64, the same number for frames of one video.
        kinds: (N,) names of the manipulation, "" where the frame is real or nothing is known.
        groups: (N,) numbers of groups that are not independent, see ``sample_groups``.
    """

    manipulated: np.ndarray
    videos: np.ndarray
    kinds: np.ndarray
    groups: np.ndarray | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "manipulated", truth_values(self.manipulated, len(self.videos)))

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds of manipulation, sorted."""
        return tuple(sorted(set(self.kinds) - {""}))


def frame_logits(predictions: Predictions) -> np.ndarray:
    """The logit of manipulation (N,): the second column minus the first."""
    logits = np.asarray(predictions.logits, np.float64)
    return np.asarray(logits[:, 1] - logits[:, 0])


def describe_frames(predictions: Predictions, samples: pd.DataFrame) -> TestFrames:
    """Look up video and kind of manipulation of predicted frames.

    Args:
        predictions: of frames.
        samples: the sample table; ``clip`` is the video ("" makes a frame its own), ``forgery`` the kind.

    Raises:
        UserError: a video holds real and manipulated frames, or a target is neither 0 nor 1.
    """
    table = samples.iloc[predictions.samples]
    manipulated = truth_values(predictions.targets, len(predictions.samples), "target")
    clips = table["clip"].to_numpy(str)
    alone = np.array([f"\0{row}" for row in predictions.samples])
    _, videos = np.unique(np.where(clips == "", alone, clips), return_inverse=True)
    mixed = np.flatnonzero(np.isin(videos, videos[manipulated]) & np.isin(videos, videos[~manipulated]))
    if len(mixed):
        raise UserError(f"video '{clips[mixed[0]]}' holds real and manipulated frames: expected one kind")
    kinds = table["forgery"].to_numpy(str) if "forgery" in table else np.full(len(table), "")
    known = manipulated & ~np.isin(kinds, REAL_KINDS)
    groups = sample_groups(samples, predictions.samples)
    return TestFrames(manipulated, videos.astype(np.int64), np.where(known, kinds, ""), groups)


def forgery_measures(logits: np.ndarray, frames: TestFrames) -> dict[str, BySeed]:
    """Measure the numbers of the paper's table, and the AUC of each kind of manipulation against all real.

    Args:
        logits: (S, N) of the frames, one row per seed.
        frames: what they are.

    Returns:
        ``frame_auc``, ``frame_log_loss``, ``video_auc``, ``video_log_loss``, ``video_accuracy`` (at logit 0),
        and of each kind ``frame_auc_<kind>`` and ``video_auc_<kind>``; shares in [0, 1], losses in nats. An
        AUC that is not defined, with frames of one kind only, is left out.
    """
    logits = finite(np.asarray(logits, np.float64), "logits")  # half precision would lose the sums
    videos = np.asarray(frames.videos, np.int64)
    _, means = video_logits(torch.from_numpy(logits.T.copy()), torch.from_numpy(videos))
    by_video = means.numpy().T
    _, first = np.unique(frames.videos, return_index=True)
    truth = frames.manipulated[first]
    hits = mean_shares((by_video > 0) == truth)
    return {
        **_level("frame", logits, frames, np.arange(len(frames.videos))),
        **_level("video", by_video, frames, first),
        "video_accuracy": BySeed(*hits, _taken(frames.groups, first)),
    }


def _level(name: str, logits: np.ndarray, frames: TestFrames, places: np.ndarray) -> dict[str, BySeed]:
    """Measure frames, or videos, each at the position of its first frame."""
    truth, kinds, groups = frames.manipulated[places], frames.kinds[places], _taken(frames.groups, places)
    if truth.all() or not truth.any():
        return {f"{name}_log_loss": BySeed(*log_loss_shares(logits, truth), groups)}
    found = {
        f"{name}_auc": _area(logits, truth, groups),
        f"{name}_log_loss": BySeed(*log_loss_shares(logits, truth), groups),
    }
    for kind in frames.kind_names:
        part = ~truth | (kinds == kind)
        found[f"{name}_auc_{kind}"] = _area(logits[:, part], truth[part], _taken(groups, part))
    return found


def _area(logits: np.ndarray, truth: np.ndarray, groups: np.ndarray | None) -> BySeed:
    return BySeed(*auc_shares(logits, truth), groups, Ranked(logits, truth))


def _taken(groups: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if groups is None else groups[rows]


def forgery_metrics(logits: np.ndarray, frames: TestFrames) -> dict[str, float]:
    """Give the values of ``forgery_measures`` for one run.

    Args:
        logits: (N,) of the frames.
        frames: what they are.
    """
    return {name: float(found.values[0]) for name, found in forgery_measures(logits[None], frames).items()}


def base_rate_metrics(rate: float, frames: TestFrames) -> dict[str, float]:
    """What one probability for every frame scores: AUC 1/2, and the log loss of the base rate.

    Args:
        rate: share of manipulated frames in training, in (0, 1).
        frames: the tested ones.
    """
    logit = float(np.log(rate) - np.log1p(-rate))
    return forgery_metrics(np.full(len(frames.manipulated), logit), frames)
