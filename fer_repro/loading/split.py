"""The parts of a data set as a run sees them: train, val, test, and what a limit keeps of them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fer_repro.datasets.draws import Stream, uniforms
from fer_repro.datasets.protocols import stratified
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.loading.frames import Clips, find_clips


@dataclass(frozen=True)
class Split:
    """One split of a store: 24 bytes per image in memory, the pixels stay on disk.

    Attributes:
        images: all images of the store, (M, H, W) or (M, H, W, 3) uint8, memory-mapped.
        samples: (N,) int64 rows of the sample table, ascending.
        image_rows: (N,) int64 rows of ``images``.
        targets: (N,) int64 class indices.
        clips: its clips, where it was opened with them.
        shares: (N, K) float32 shares of the classes in the votes, where they are trained on.
        values: (N,) float32 true numbers of a regression; else None.
    """

    images: np.ndarray
    samples: np.ndarray
    image_rows: np.ndarray
    targets: np.ndarray
    clips: Clips | None = None
    shares: np.ndarray | None = None
    values: np.ndarray | None = None

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples)

    def take(self, positions: np.ndarray) -> "Split":
        """Choose samples of a split of single faces by their positions (N,), which may repeat."""
        return replace(
            self,
            samples=self.samples[positions],
            image_rows=self.image_rows[positions],
            targets=self.targets[positions],
            shares=None if self.shares is None else self.shares[positions],
            values=None if self.values is None else self.values[positions],
        )


def open_split(store: Store, name: str, limit: int = 0, in_clips: bool = False) -> Split:
    """Choose the samples of one split.

    Args:
        store: the data set.
        name: ``train``, ``val``, ``test`` or ``challenge``.
        limit: at most so many samples or clips, in the classes' proportions, the same for every seed and arm;
            0 keeps all.
        in_clips: gather the frames of each clip, too.

    Raises:
        UserError: the split is empty, or the frames of a clip contradict each other.
    """
    return open_table(store, store.samples, name, limit, in_clips)


def open_table(store: Store, table: pd.DataFrame, name: str, limit: int = 0, in_clips: bool = False) -> Split:
    """Choose the samples of one split of another table than the store's own.

    Args:
        store: the data set.
        table: some rows of its sample table under their own index, with labels and splits of its own.
        name: of the split.
        limit: see ``open_split``.
        in_clips: see ``open_split``.

    Raises:
        UserError: see ``open_split``.
    """
    needed = list(table.columns) if in_clips else ["image", "label"]  # text is expensive to copy
    part = table.loc[(table["split"] == name).to_numpy(), needed]
    where = store.folder / "samples.csv"
    if part.empty:
        raise UserError(f"{where}: no row of split '{name}'; expected at least one")
    clips = None
    if in_clips:
        clips = _limited(find_clips(part, str(where)), limit)
        part = part.loc[np.sort(clips.rows)]
    else:
        labels = np.zeros(len(store.samples), np.int64)
        labels[part.index] = part["label"]
        part = part.loc[stratified(labels, part.index.to_numpy(), limit)]
    rows, images, targets = (
        np.array(column, np.int64) for column in (part.index, part["image"], part["label"])
    )
    return Split(store.images, rows, images, targets, clips)


def level_values(store: Store) -> np.ndarray:
    """Read the number that each class stands for where a set is for regression: (K,) float64, increasing.

    Raises:
        UserError: a class is no number, or they do not increase.
    """
    try:
        values = np.array([float(name) for name in store.classes])
    except ValueError:
        values = np.zeros(0)
    if not len(values) or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise UserError(
            f"{store.folder}: classes are {', '.join(store.classes)}: expected increasing numbers to regress"
        )
    return values


def _limited(clips: Clips, limit: int) -> Clips:
    kept = stratified(clips.targets, np.arange(len(clips)), limit)
    frames = np.repeat(np.isin(np.arange(len(clips)), kept), clips.counts)
    names = tuple(clips.names[clip] for clip in kept)
    return Clips(clips.rows[frames], clips.counts[kept], clips.targets[kept], names)


def two_class_counts(targets: np.ndarray, wanted_by: str) -> np.ndarray:
    """Count the samples of two classes: (2,).

    Args:
        targets: (N,) class indices.
        wanted_by: the setting that needs them, for the message.

    Raises:
        UserError: there are other classes, or one of the two has no samples.
    """
    counts = np.bincount(targets, minlength=2)
    if len(counts) != 2 or not counts.all():
        raise UserError(f"{wanted_by} needs two classes with samples: found {counts.tolist()}")
    return counts


def read_images(split: Split, positions: np.ndarray) -> Tensor:
    """Read some images of a split in one gather.

    Args:
        split: the samples.
        positions: (N,) positions within the split.

    Returns:
        (N, C, H, W) uint8, C = 1 grey or 3 RGB, whose channels lie together; sequences (N, 1, T, D) float16.
    """
    pixels = torch.from_numpy(np.asarray(split.images[split.image_rows[positions]]))
    return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)


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
