"""Which samples a number is computed over: the official split, the clean test set, limited subsets."""

import numpy as np
import pandas as pd

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.datasets.samples import CHALLENGE, SPLITS
from fer_repro.errors import UserError, nearest

PROTOCOLS = {
    "official": "every sample of the split, as published",
    "clean": "only samples whose pixels occur neither in Training nor in PublicTest",
    "occlusion": "test faces on the list of occluded ones (RAN, arXiv:1905.04075)",
    "pose_30": "test faces on the list of heads turned by more than 30 degrees (RAN)",
    "pose_45": "test faces on the list of heads turned by more than 45 degrees (RAN)",
}
UNSEEN = "unseen"
"""Test faces that are real, or of the kind of manipulation that an arm's training left out."""
LISTS = ("occlusion", "pose_30", "pose_45")
"""Protocols that choose by a column of their name, from the test part or from samples beside it."""
_COLUMNS = {"official": (), "clean": ("in_training", "in_public"), **{name: (name,) for name in LISTS}}


def protocols_of(samples: pd.DataFrame) -> tuple[str, ...]:
    """Name the protocols that a sample table knows the columns of."""
    return tuple(name for name in PROTOCOLS if set(_COLUMNS[name]) <= set(samples))


def protocol_rows(samples: pd.DataFrame, split: str, protocol: str) -> np.ndarray:
    """Choose the samples of a split that a protocol counts.

    Args:
        samples: the sample table; ``clean`` needs the columns ``in_training`` and ``in_public``, a list the
            column of its name.
        split: train, val or test; lists name test samples and those of the split ``challenge``.
        protocol: a key of ``PROTOCOLS``.

    Returns:
        (N,) int64 positions in the table, ascending.

    Raises:
        UserError: the protocol is unknown, or the table does not have the columns it needs.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol is '{protocol}'; {nearest(protocol, PROTOCOLS)}")
    if split not in SPLITS:
        raise UserError(f"split is '{split}'; {nearest(split, SPLITS)}")
    for column in _COLUMNS[protocol]:
        if column not in samples:
            raise UserError(
                f"protocol '{protocol}' needs the column '{column}': the data set has none; prepare it first"
            )
    chosen = (samples["split"] == split).to_numpy()
    if protocol == "clean":
        return np.flatnonzero(chosen & ~samples[list(_COLUMNS["clean"])].to_numpy(bool).any(axis=1))
    if protocol in LISTS:
        beside = (samples["split"] == CHALLENGE).to_numpy() if split == "test" else False
        return np.flatnonzero((chosen | beside) & samples[protocol].to_numpy(bool))
    return np.flatnonzero(chosen)


def check_subjects(samples: pd.DataFrame, where: str) -> None:
    """Refuse a table in which a known person is in two splits.

    Args:
        samples: the sample table; subjects "" are unknown and not checked.
        where: the file for the message.

    Raises:
        UserError: naming the first such subject and the splits.
    """
    for subject in crossing_subjects(samples)[:1]:
        order = (*SPLITS, CHALLENGE).index
        splits = sorted(set(samples.loc[samples["subject"] == subject, "split"]), key=order)
        raise UserError(
            f"{where}: subject '{subject}' is in {' and '.join(splits)}: expected every person in one split"
        )


def crossing_subjects(samples: pd.DataFrame) -> tuple[str, ...]:
    """The known subjects that are in more than one split, sorted."""
    known = samples[samples["subject"] != ""]
    splits = known.groupby("subject")["split"].nunique()
    return tuple(sorted(splits.index[splits > 1]))


def stratified(labels: np.ndarray, rows: np.ndarray, maximum: int) -> np.ndarray:
    """Choose ``maximum`` of ``rows`` in the classes' proportions, every class at least once if there is room.

    Places are given by largest remainder; within a class by a hash of the row, so that the choice does
    not follow a period in the table.

    Args:
        labels: (M,) class of every row of the table.
        rows: (N,) positions to choose from, ascending.
        maximum: how many to keep; 0 keeps all.

    Returns:
        (min(N, maximum),) positions, ascending.
    """
    if maximum == 0 or maximum >= len(rows):
        return rows
    classes, members, sizes = np.unique(labels[rows], return_inverse=True, return_counts=True)
    least = int(maximum >= len(classes))
    shares = sizes * (maximum / len(rows))
    places = np.maximum(np.floor(shares).astype(int), least)
    while places.sum() < maximum:  # at most once per class
        places[np.argmax(np.where(places < sizes, shares - places, -np.inf))] += 1
    while places.sum() > maximum:
        places[np.argmax(np.where(places > least, places - shares, -np.inf))] -= 1
    order = np.argsort(hashes(0, Stream.SUBSET, 0, rows), kind="stable")
    chosen = [order[members[order] == number][: places[number]] for number in range(len(classes))]
    return np.sort(rows[np.concatenate(chosen)])
