"""Real or manipulated, per frame and per video: AUC and log loss of one logit, as arXiv:2004.07676 reports.

A video's logit is the mean of its frames' logits, before any sigmoid. Every class order here is real,
manipulated, and a positive logit says manipulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fer_repro.errors import UserError
from fer_repro.evaluation.groups import sample_groups
from fer_repro.evaluation.row_form import BySeed, Ranked
from fer_repro.layers.ensemble import video_logits
from fer_repro.measures.classification import finite, truth_values
from fer_repro.measures.detection import auc_shares, log_loss_shares
from fer_repro.measures.intervals import mean_shares
from fer_repro.runs.predictions import Predictions

CLASSES = ("real", "manipulated")
REAL_KINDS = ("", "none")


@dataclass(frozen=True)
class Frames:
    """What the sample table says about tested frames.

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


def describe_frames(predictions: Predictions, samples: pd.DataFrame) -> Frames:
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
    return Frames(manipulated, videos.astype(np.int64), np.where(known, kinds, ""), groups)


def forgery_measures(logits: np.ndarray, frames: Frames) -> dict[str, BySeed]:
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


def _level(name: str, logits: np.ndarray, frames: Frames, places: np.ndarray) -> dict[str, BySeed]:
    """Measure frames, or videos, which stand at the places of their first frames."""
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


def forgery_metrics(logits: np.ndarray, frames: Frames) -> dict[str, float]:
    """Give the values of ``forgery_measures`` for one run.

    Args:
        logits: (N,) of the frames.
        frames: what they are.
    """
    return {name: float(found.values[0]) for name, found in forgery_measures(logits[None], frames).items()}


def base_rate_metrics(rate: float, frames: Frames) -> dict[str, float]:
    """What one probability for every frame scores: AUC 1/2, and the log loss of the base rate.

    Args:
        rate: share of manipulated frames in training, in (0, 1).
        frames: the tested ones.
    """
    logit = float(np.log(rate) - np.log1p(-rate))
    return forgery_metrics(np.full(len(frames.manipulated), logit), frames)


def is_manipulation(classes: Sequence[str]) -> bool:
    """Tell whether a data set's classes are real and manipulated, in this order."""
    return tuple(classes) == CLASSES
