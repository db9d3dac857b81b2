"""Clips and which of their frames are used: FAN's groups for training, all frames for testing.

The paper (arXiv:1907.00193, Sec. 3.2) splits a video into K segments and draws one frame from each. Its
authors' code draws groups of three once, when the data set is built, one group for each frame of a video, and
keeps them for all epochs; its segments share their end frames, and those of CK+ end at three fifths of the
sequence, so that the apex is never trained on.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_repro.datasets.draws import Stream, uniforms
from fer_repro.errors import UserError, nearest

SAMPLINGS = {
    "paper": "one frame from each of K equal segments, drawn anew in every epoch",
    "afew": "groups of three as the authors' code draws them for AFEW, once",
    "ckplus": "groups of three as the authors' code draws them for CK+, once",
}
_SHORT = {"afew": 3, "ckplus": 5}  # videos of so many frames or fewer have no segments


@dataclass(frozen=True)
class Clips:
    """The clips of a sample table, in the order of their first rows.

    Attributes:
        rows: (F,) int64 rows of the table, clip after clip, in the table's order within a clip.
        counts: (N,) int64 frames per clip, 1 or more.
        targets: (N,) int64 class indices.
        names: N clip names; a still is a clip of one frame without name.
    """

    rows: np.ndarray
    counts: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.counts)

    @property
    def starts(self) -> np.ndarray:
        """Where each clip begins in ``rows``, (N,) int64."""
        return np.cumsum(self.counts) - self.counts


class Groups(NamedTuple):
    """Frames that are used together.

    Attributes:
        clips: (G,) int64 positions of the clips.
        frames: (G, K) int64 frames within their clip, from 0; 0 at padding.
        mask: (G, K) bool, false at padding.
    """

    clips: np.ndarray
    frames: np.ndarray
    mask: np.ndarray


def find_clips(samples: pd.DataFrame, where: str) -> Clips:
    """Gather the frames of each clip.

    Args:
        samples: the sample table or a part of it, indexed by row number; frames are in their order in time.
        where: the file for messages.

    Raises:
        UserError: the frames of a clip differ in label, subject or split.
    """
    stills = pd.Series([f"\0{row}" for row in samples.index], index=samples.index)
    keys = samples["clip"].where(samples["clip"] != "", stills)
    codes, found = pd.factorize(keys)  # numbered by first row
    for column in ("label", "subject", "split"):
        kinds = samples[column].groupby(codes).nunique()
        if (kinds > 1).any():
            name = found[int(kinds.index[kinds > 1][0])]
            values = sorted({str(value) for value in samples.loc[(keys == name).to_numpy(), column]})
            raise UserError(
                f"{where}: clip '{name}': {column} is {' and '.join(values)}: expected one for all its frames"
            )
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    rows = samples.index.to_numpy(np.int64)[order]
    firsts = order[np.cumsum(counts) - counts]
    targets = samples["label"].to_numpy(np.int64)[firsts]
    names = tuple("" if name.startswith("\0") else str(name) for name in found)
    return Clips(rows, counts.astype(np.int64), targets, names)


def training_groups(clips: Clips, sampling: str, frames: int, seed: int, epoch: int) -> Groups:
    """Draw the groups of one epoch, as a pure function of seed, epoch and the table's rows.

    Args:
        clips: what to draw from.
        sampling: a key of ``SAMPLINGS``.
        frames: K, frames per group; 3 under the authors' rules.
        seed: the run's seed.
        epoch: from 0; the authors' groups are the same in all.

    Raises:
        UserError: the sampling is unknown, or its groups have another size.
    """
    if sampling not in SAMPLINGS:
        raise UserError(f"model.sampling is '{sampling}'; {nearest(sampling, SAMPLINGS)}")
    if sampling == "paper":
        return _segments(clips, frames, seed, epoch)
    if frames != 3:
        raise UserError(
            f"model.frames is {frames}: sampling '{sampling}' draws groups of 3, as its authors do"
        )
    return _frozen(clips, _SHORT[sampling], seed)


def all_frames(clips: Clips) -> Groups:
    """Take every frame of every clip once, padded to the longest: how FAN is tested."""
    frames = np.arange(clips.counts.max())
    mask = frames < clips.counts[:, None]
    return Groups(np.arange(len(clips)), np.where(mask, frames, 0), mask)


def group_rows(clips: Clips, groups: Groups) -> np.ndarray:
    """Return the rows of the sample table that a group shows, (G, K); the first frame's at padding."""
    return clips.rows[clips.starts[groups.clips][:, None] + groups.frames]


def _segments(clips: Clips, frames: int, seed: int, epoch: int) -> Groups:
    """One group per clip: segment k of n frames is [k n / K, (k + 1) n / K); short clips repeat frames."""
    drawn = uniforms(seed, Stream.FRAMES, epoch, clips.rows[clips.starts], frames)  # (N, K)
    counts = clips.counts[:, None]
    chosen = np.floor((np.arange(frames) + drawn) * counts / frames).astype(np.int64)
    chosen = np.minimum(chosen, counts - 1)  # rounding may reach n
    return Groups(np.arange(len(clips)), chosen, np.ones(chosen.shape, bool))


def _frozen(clips: Clips, short: int, seed: int) -> Groups:
    """One group for each frame of each video, bounds included; short videos: that frame and two of all."""
    owner = np.repeat(np.arange(len(clips)), clips.counts)  # (G,)
    frame = np.arange(len(owner)) - clips.starts[owner]
    last = clips.counts[owner] - 1
    part = clips.counts[owner] // short
    end = last if short == 3 else 3 * part
    low = np.stack([np.zeros_like(part), part, 2 * part], axis=1)  # (G, 3)
    high = np.stack([part, 2 * part, end], axis=1)
    is_short = (clips.counts[owner] <= short)[:, None]
    low = np.where(is_short, np.stack([frame, 0 * frame, 0 * frame], axis=1), low)
    high = np.where(is_short, np.stack([frame, last, last], axis=1), high)
    drawn = uniforms(seed, Stream.FRAMES, 0, clips.rows, 3)
    chosen = low + np.floor(drawn * (high - low + 1)).astype(np.int64)
    return Groups(owner, chosen, np.ones(chosen.shape, bool))
