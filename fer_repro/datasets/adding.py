"""Data sets that users add: found by name, read by their adapter, kept where git and DVC ignore them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from fer_repro.datasets.attachments import ConvertedFiles, write_files
from fer_repro.datasets.audit import Audit, Official, audit
from fer_repro.datasets.dataset import Conversion, is_addable, load_dataset
from fer_repro.datasets.pair_audit import audit_people
from fer_repro.datasets.pairs import PAIRS, ConvertedPairs, has_pairs, write_pairs
from fer_repro.datasets.store import MANIFEST, Store, open_store, store_writer
from fer_repro.datasets.yunet import named_detector
from fer_repro.errors import UserError
from fer_repro.terminal import progress


def added_names(stores: Path) -> tuple[str, ...]:
    """The sets in ``stores`` that an adapter has read."""
    found = (path.parent.name for path in stores.glob(f"*/{MANIFEST}"))
    return tuple(sorted(name for name in found if is_addable(name)))


def official_of(name: str) -> Official | None:
    """What is published about a set, if an adapter knows it.

    Raises:
        UserError: there is no adapter of that name.
    """
    dataset, variant = load_dataset(name), name.partition("-")[2]
    return dataset.variants.get(variant, dataset.official)


def add_dataset(
    name: str, path: Path, stores: Path, force: bool = False, size: int = 0, detector: str = ""
) -> Store:
    """Check the publisher's files and convert them into ``stores/<name>``, atomically.

    Args:
        name: the data set.
        path: its file or folder.
        stores: the folder of all added sets.
        force: replace the set if it is there.
        size: side of the stored images; 0 leaves them as they are.
        detector: what finds the faces of videos, see ``fer_repro.datasets.yunet.named_detector``; "" takes
            the faces of ``faces.parquet`` in their folder, or the cascades.

    Raises:
        UserError: the files are not as expected, or the set is there already.
    """
    dataset = load_dataset(name)
    if size and not dataset.resizes:
        raise UserError(f"--size {size}: {name} stores its images as they are; leave it out")
    if detector and not dataset.finds_faces:
        raise UserError(f"--detector {detector}: no faces are searched for in {name}; leave it out")
    finder = named_detector(detector) if detector else None
    classes = dataset.read_classes(path) if dataset.read_classes else dataset.classes
    with store_writer(stores / name, name, classes, force) as writer, ExitStack() as stack:
        steps: list[Callable[[int], None]] = []

        def expect(total: int) -> None:
            steps.append(stack.enter_context(progress(total, "images")))

        def append(images: np.ndarray) -> None:
            writer.append(images)
            for step in steps:
                step(len(images))

        converted = dataset.convert(Conversion(path, append, expect, size, name.partition("-")[2], finder))
        source = dict(converted.source)
        if isinstance(converted, ConvertedFiles):
            source |= write_files(writer.folder, converted)
        if isinstance(converted, ConvertedPairs):
            source[PAIRS] = write_pairs(writer.folder, converted.pairs)
        writer.finish(converted.samples, source, converted.note)
    return open_store(stores / name)


def open_added(name: str, stores: Path, verify: bool = False) -> Store:
    """Open a set that was added.

    Raises:
        UserError: it was not added yet, or is damaged.
    """
    load_dataset(name)
    return open_manifest(name, stores / name / MANIFEST, verify)


def open_manifest(name: str, manifest: Path, verify: bool = False) -> Store:
    """Open an added set by its manifest, as params.yaml names it.

    Raises:
        UserError: it was not added yet, is damaged, or is another set.
    """
    if not manifest.exists():
        raise UserError(
            f"{manifest}: no such file; data set '{name}' was not added yet, "
            f"run: fer-repro data add {name} PATH"
        )
    store = open_store(manifest.parent, verify)
    if store.manifest.name != name:
        raise UserError(f"{manifest}: holds data set '{store.manifest.name}': expected '{name}'")
    return store


def examine(store: Store, digests: np.ndarray | None = None) -> Audit:
    """Audit a set against its official counts, if an adapter knows them.

    Args:
        store: the set.
        digests: ``pixel_digests`` of its images if they are known already.

    Raises:
        UserError: it comes with pairs, and they are missing or were changed.
    """
    name = store.manifest.name
    dataset = load_dataset(name) if is_addable(name) else None
    if has_pairs(store):
        return audit_people(store, dict(dataset.pair_facts) if dataset else None, digests)
    official = official_of(name) if dataset else None
    return audit(name, store.classes, store.images, store.samples, official, digests)
