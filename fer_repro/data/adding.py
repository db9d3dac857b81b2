"""Data sets that users add: found by name, read by their adapter, kept where git and DVC ignore them."""

from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from fer_repro.data.audit import Audit, Official, audit
from fer_repro.data.progress import progress
from fer_repro.data.samples import Converted
from fer_repro.data.store import MANIFEST, Store, open_store, store_writer
from fer_repro.errors import UserError, nearest


class Adapter(Protocol):
    """What a file in ``data/datasets`` defines."""

    CLASSES: tuple[str, ...]
    OFFICIAL: Official
    TERMS: str

    def convert(
        self, path: Path, append: Callable[[np.ndarray], None], expect: Callable[[int], None]
    ) -> Converted:
        """Read the publisher's files; pass the images on and return the table."""
        ...


def dataset_names() -> tuple[str, ...]:
    """The data sets that can be added: the files in ``data/datasets``."""
    folder = Path(__file__).parent / "datasets"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__"))


def load_adapter(name: str) -> Adapter:
    """Import the adapter of a data set.

    Raises:
        UserError: there is none of that name.
    """
    if name not in dataset_names():
        raise UserError(f"data set '{name}' is unknown; {nearest(name, dataset_names())}")
    return cast(Adapter, import_module(f"fer_repro.data.datasets.{name}"))


def add_dataset(name: str, path: Path, stores: Path, force: bool = False) -> Store:
    """Check the publisher's files and convert them into ``stores/<name>``, whole or not at all.

    Args:
        name: the data set.
        path: its file or folder.
        stores: the folder of all added sets.
        force: replace the set if it is there.

    Raises:
        UserError: the files are not as expected, or the set is there already.
    """
    adapter = load_adapter(name)
    with store_writer(stores / name, name, adapter.CLASSES, force) as writer, ExitStack() as stack:
        steps: list[Callable[[int], None]] = []

        def expect(total: int) -> None:
            steps.append(stack.enter_context(progress(total, "images")))

        def append(images: np.ndarray) -> None:
            writer.append(images)
            for step in steps:
                step(len(images))

        converted = adapter.convert(path, append, expect)
        writer.finish(converted.samples, converted.source, converted.note)
    return open_store(stores / name)


def open_added(name: str, stores: Path, verify: bool = False) -> Store:
    """Open a set that was added.

    Raises:
        UserError: it was not added yet, or is damaged.
    """
    load_adapter(name)
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


def examine(store: Store) -> Audit:
    """Audit a set against its official counts, if an adapter knows them."""
    name = store.manifest.name
    official = load_adapter(name).OFFICIAL if name in dataset_names() else None
    return audit(name, store.classes, store.images, store.samples, official)
