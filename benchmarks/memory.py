"""How much memory does a set take as it grows? Anonymous resident memory of fresh processes.

The images are a sparse file: its length is real, its pixels take no room on the disk. The sample table is
written out in full. Pages of the mapped file itself are the system's, which takes them back at need; so
``RssAnon`` is counted, what the process holds for itself.
"""

import hashlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.processes import in_process, memory
from benchmarks.tables import Settings, Table

COUNTS = (10_000, 100_000, 1_000_000)
QUICK = (20_000, 220_000)
LIMIT = 200  # bytes per added image
SIDE = 48
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def measure(settings: Settings) -> Table:
    """Open ever larger sets, each in its own process."""
    counts = QUICK if settings.quick else COUNTS
    with TemporaryDirectory() as folder:
        held = [held_bytes(sparse_store(Path(folder) / str(count), count)) for count in counts]
    rows = []
    for at, (count, used) in enumerate(zip(counts, held, strict=True)):
        added = f"{(used - held[at - 1]) / (count - counts[at - 1]):.0f}" if at else ""
        rows.append([f"{count:,}", f"{used / 2**20:.1f}", added])
    return Table(
        "Memory as the set grows",
        f"Anonymous resident memory of a process with a set of {SIDE} x {SIDE} grey images and its "
        f"training split open, after four batches. Aim: at most {LIMIT} bytes per added image.",
        ("images", "RssAnon, MiB", "bytes per added image"),
        rows,
    )


def sparse_store(folder: Path, count: int) -> Path:
    """Write a set of ``count`` black images that take no disk space, with a table of its own, in full.

    Args:
        folder: becomes the set.
        count: images and samples; nine tenths are for training.
    """
    from fer_repro.datasets.store import FileEntry, Manifest

    folder.mkdir(parents=True)
    np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, SIDE, SIDE))
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="\n") as file:
        file.write("image,label,subject,clip,split\n")
        for row in range(count):
            split = "train" if row % 10 else ("val", "test")[row // 10 % 2]
            file.write(f"{row},{row % len(CLASSES)},S{row // 20:06d},,{split}\n")
    table = FileEntry("samples.csv", hashlib.sha256((folder / "samples.csv").read_bytes()).hexdigest())
    images = FileEntry("images.npy", "0" * 64)
    manifest = Manifest("sparse", CLASSES, count, SIDE, SIDE, 1, {}, images, table, "black, for its size")
    (folder / "manifest.json").write_text(manifest.as_json(), encoding="utf-8")
    return folder


def held_bytes(folder: Path, batches: int = 4) -> int:
    """Open a set in a fresh process, prepare some batches of it, and read that process's anonymous memory."""
    return int(in_process("memory", str(folder), str(batches)))


def open_and_show(folder: Path, batches: int) -> int:
    """Do in this process what ``held_bytes`` measures; returns bytes."""
    import torch

    from fer_repro.datasets.store import open_store
    from fer_repro.loading.augmentation import clean_images
    from fer_repro.loading.split import open_split, read_images

    torch.set_num_threads(1)
    store = open_store(folder)
    split = open_split(store, "train")
    for batch in np.array_split(np.linspace(0, len(split) - 1, 64 * batches).astype(np.int64), batches):
        assert not clean_images(read_images(split, batch), SIDE).any()
    assert len(store.samples) > len(split)  # both are still held
    return memory("RssAnon")


if __name__ == "__main__":
    print(open_and_show(Path(sys.argv[1]), int(sys.argv[2])))
