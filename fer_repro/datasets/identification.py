"""Whom a network learns to tell apart before it is tested on pairs of other people."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.errors import UserError


def identification_table(
    samples: pd.DataFrame, people: Collection[str] | None = None, least: int = 2
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Make the table on which a network learns to tell people apart, before it is tested on pairs of others.

    In a set of identities the splits share no person, so an epoch cannot be chosen by the accuracy on its
    ``val``. Here one image of each person with three or more is held out as ``val``, and all others are
    ``train``; there is no test part, because the test is the pairs.

    Args:
        samples: the sample table of a set of identities, or of synthetic faces.
        people: whom to learn; those of the training split if left out.
        least: leave out people with fewer images.

    Returns:
        Rows of ``samples`` under their own index, with labels from 0; and the people in label order.

    Raises:
        UserError: fewer than two people are left.
    """
    wanted = (samples["split"] == "train") if people is None else samples["subject"].isin(list(people))
    chosen = samples[wanted & (samples["subject"] != "")]
    counts = chosen["subject"].value_counts()
    chosen = chosen[chosen["subject"].map(counts) >= least]
    names, labels = np.unique(chosen["subject"].to_numpy(object), return_inverse=True)
    if len(names) < 2:
        raise UserError(
            f"{len(names)} people have {least} images or more among {len(samples)} samples: expected at "
            "least two to tell apart"
        )
    order = pd.Series(hashes(0, Stream.SUBSET, 0, chosen.index.to_numpy()), index=chosen.index)
    held_out = order.groupby(chosen["subject"].to_numpy(object)).idxmin()
    held_out = held_out[counts.reindex(held_out.index).to_numpy() >= 3]
    split = np.where(chosen.index.isin(held_out.to_numpy()), "val", "train")
    return chosen.assign(label=labels, split=split), tuple(map(str, names))
