"""Which faces judge an epoch of a classifier of real and manipulated faces: all, or as the authors' code."""

import numpy as np

from fer_repro.datasets.draws import Stream, uniforms
from fer_repro.errors import UserError
from fer_repro.loading.split import Split, two_class_counts


def official_validation(split: Split, limit: int, seed: int) -> Split:
    """Choose validation samples as the authors' code of arXiv:2004.07676 does with several loading processes.

    Both classes count equally: the larger gives its first samples in the table's order, each once, which on
    FaceForensics++ are mostly fakes of one kind; the smaller is drawn with replacement. The choice is the
    same in every epoch.

    Args:
        split: the whole validation part, single faces.
        limit: at most so many samples, 6000 in that code; 0 takes the larger class whole.
        seed: the run's seed.

    Returns:
        As many samples of one class as of the other, in the table's order; some of the smaller class several
        times.

    Raises:
        UserError: the split holds clips, or not two classes.
    """
    if split.clips is not None:
        raise UserError("sampling.validation official chooses single faces, but the method sees clips")
    sizes = two_class_counts(split.targets, "sampling.validation official")
    count = min(int(max(sizes)), limit // 2) if limit else int(max(sizes))
    larger = int(sizes.argmax())
    first = np.flatnonzero(split.targets == larger)[:count]
    members = np.flatnonzero(split.targets != larger)
    drawn = uniforms(seed, Stream.VALIDATION, 0, np.arange(count), 1)[:, 0]
    again = members[(drawn * len(members)).astype(np.int64)]
    return split.take(np.sort(np.concatenate([first, again])))


def distinct(split: Split) -> Split:
    """Keep each sample once; the order stays."""
    return split.take(np.sort(np.unique(split.samples, return_index=True)[1]))
