"""Real or manipulated, per frame and per video: AUC and log loss of one logit, as arXiv:2004.07676 reports.

A video's logit is the mean of its frames' logits, before any sigmoid. Every class order here is real,
manipulated, and a positive logit says manipulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from fer_repro.errors import UserError
from fer_repro.evaluation.predict import Predictions
from fer_repro.layers.ensemble import video_logits

CLASSES = ("real", "manipulated")
REAL_KINDS = ("", "none")


@dataclass(frozen=True)
class Frames:
    """What the sample table says about tested frames.

    Attributes:
        manipulated: (N,) bool.
        videos: (N,) int64, the same number for frames of one video.
        kinds: (N,) names of the manipulation, "" where the frame is real or nothing is known.
    """

    manipulated: np.ndarray
    videos: np.ndarray
    kinds: np.ndarray

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds of manipulation, sorted."""
        return tuple(sorted(set(self.kinds) - {""}))


def frame_logits(predictions: Predictions) -> np.ndarray:
    """The logit of manipulation (N,): the second column minus the first."""
    return predictions.logits[:, 1] - predictions.logits[:, 0]


def describe_frames(predictions: Predictions, samples: pd.DataFrame) -> Frames:
    """Look up video and kind of manipulation of predicted frames.

    Args:
        predictions: of frames.
        samples: the sample table; ``clip`` is the video ("" makes a frame its own), ``forgery`` the kind.

    Raises:
        UserError: a video holds real and manipulated frames.
    """
    table = samples.iloc[predictions.samples]
    manipulated = predictions.targets == 1
    clips = table["clip"].to_numpy(str)
    alone = np.array([f"\0{row}" for row in predictions.samples])
    _, videos = np.unique(np.where(clips == "", alone, clips), return_inverse=True)
    mixed = np.flatnonzero(np.isin(videos, videos[manipulated]) & np.isin(videos, videos[~manipulated]))
    if len(mixed):
        raise UserError(f"video '{clips[mixed[0]]}' holds real and manipulated frames: expected one kind")
    kinds = table["forgery"].to_numpy(str) if "forgery" in table else np.full(len(table), "")
    known = manipulated & ~np.isin(kinds, REAL_KINDS)
    return Frames(manipulated, videos.astype(np.int64), np.where(known, kinds, ""))


def binary_auc(logits: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties counting half, in [0, 1]; NaN with one kind.

    Args:
        logits: (N,).
        positive: (N,) bool.
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(logits)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def log_loss(logits: np.ndarray, positive: np.ndarray) -> float:
    """Mean of -log of the sigmoid's probability of the truth, in nats: log(1 + exp(z)) - y z.

    Args:
        logits: (N,) z.
        positive: (N,) bool y.
    """
    return float(np.mean(np.logaddexp(0, logits) - positive * logits))


def forgery_metrics(logits: np.ndarray, frames: Frames) -> dict[str, float]:
    """Compute the numbers of the paper's table, and the AUC of each kind of manipulation against all real.

    Args:
        logits: (N,) of the frames.
        frames: what they are.

    Returns:
        ``frame_auc``, ``frame_log_loss``, ``video_auc``, ``video_log_loss``, ``video_accuracy`` (at logit 0),
        and of each kind ``frame_auc_<kind>`` and ``video_auc_<kind>``; shares in [0, 1], losses in nats.
    """
    names, means = video_logits(torch.from_numpy(logits), torch.from_numpy(frames.videos))
    first = pd.Series(np.arange(len(logits))).groupby(frames.videos).first().loc[names.numpy()].to_numpy()
    by_video, truth, kinds = means.numpy(), frames.manipulated[first], frames.kinds[first]
    found = {
        "frame_auc": binary_auc(logits, frames.manipulated),
        "frame_log_loss": log_loss(logits, frames.manipulated),
        "video_auc": binary_auc(by_video, truth),
        "video_log_loss": log_loss(by_video, truth),
        "video_accuracy": float(np.mean((by_video > 0) == truth)),
    }
    for kind in frames.kind_names:
        of_frame, of_video = ~frames.manipulated | (frames.kinds == kind), ~truth | (kinds == kind)
        found[f"frame_auc_{kind}"] = binary_auc(logits[of_frame], frames.manipulated[of_frame])
        found[f"video_auc_{kind}"] = binary_auc(by_video[of_video], truth[of_video])
    return found


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
