"""Data sets that users add: found by name, read by their adapter, kept where git and DVC ignore them."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np

from fer_repro.datasets.attachments import ConvertedFiles, write_files
from fer_repro.datasets.audit import Audit, Official, audit
from fer_repro.datasets.faces import Detector
from fer_repro.datasets.pair_audit import audit_people
from fer_repro.datasets.pairs import PAIRS, ConvertedPairs, has_pairs, write_pairs
from fer_repro.datasets.samples import Converted
from fer_repro.datasets.store import MANIFEST, Store, open_store, store_writer
from fer_repro.datasets.yunet import named_detector
from fer_repro.errors import UserError, nearest
from fer_repro.terminal import progress


class Adapter(Protocol):
    """What a file in ``datasets/adapters`` defines."""

    CLASSES: tuple[str, ...]
    OFFICIAL: Official | None
    TERMS: str

    def convert(
        self, path: Path, append: Callable[[np.ndarray], None], expect: Callable[[int], None]
    ) -> Converted:
        """Read the publisher's files; pass the images on and return the table."""
        ...


class PeopleAdapter(Adapter, Protocol):
    """An adapter of identities, whose classes are the people and whose table comes with pairs."""

    PAIR_FACTS: dict[str, int]

    def read_classes(self, path: Path) -> tuple[str, ...]:
        """Name the people, in label order."""
        ...


@runtime_checkable
class ResizingAdapter(Protocol):
    """An adapter whose pictures may have any size: ``--size`` stores them as squares."""

    RESIZES: bool

    def convert(
        self, path: Path, append: Callable[[np.ndarray], None], expect: Callable[[int], None], size: int
    ) -> Converted:
        """Read the publisher's files; ``size`` 0 leaves the pictures as they are."""
        ...


@runtime_checkable
class VariantAdapter(Protocol):
    """An adapter with more than one rule; the set "ferplus-plain" is adapter ferplus, variant plain."""

    VARIANTS: dict[str, Official | None]

    def convert(
        self, path: Path, append: Callable[[np.ndarray], None], expect: Callable[[int], None], variant: str
    ) -> Converted:
        """Read the publisher's files by the rule ``variant``, "" for the usual one."""
        ...


@runtime_checkable
class ResizingVariantAdapter(Protocol):
    """An adapter of pictures or videos of any size that knows variants, too: ``ffpp-10fpv``."""

    RESIZES: bool
    VARIANTS: dict[str, Official | None]

    def convert(
        self,
        path: Path,
        append: Callable[[np.ndarray], None],
        expect: Callable[[int], None],
        size: int,
        variant: str,
    ) -> Converted:
        """Read the publisher's files by the rule ``variant``; ``size`` 0 is the adapter's own choice."""
        ...


@runtime_checkable
class FaceFindingAdapter(Protocol):
    """An adapter of videos, in which a detector finds the faces."""

    FINDS_FACES: bool

    def convert(
        self,
        path: Path,
        append: Callable[[np.ndarray], None],
        expect: Callable[[int], None],
        size: int,
        variant: str,
        detector: Detector | None,
    ) -> Converted:
        """Read the publisher's files as others do; ``detector`` None takes the cascades."""
        ...


def dataset_names() -> tuple[str, ...]:
    """The data sets that can be added: the files in ``datasets/adapters``."""
    folder = Path(__file__).parent / "adapters"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__"))


def is_addable(name: str) -> bool:
    """Whether an adapter reads the set: it has the adapter's name, or that name, a hyphen and a variant."""
    return name.partition("-")[0] in dataset_names()


def added_names(stores: Path) -> tuple[str, ...]:
    """The sets in ``stores`` that an adapter has read."""
    found = (path.parent.name for path in stores.glob(f"*/{MANIFEST}"))
    return tuple(sorted(name for name in found if is_addable(name)))


def load_adapter(name: str) -> Adapter:
    """Import the adapter of a data set.

    Args:
        name: the adapter's file, or that and a variant: "ferplus-plain", "folder-office".

    Raises:
        UserError: there is none of that name, or it has no such variant.
    """
    if not is_addable(name):
        raise UserError(f"data set '{name}' is unknown; {nearest(name, dataset_names())}")
    base, hyphen, variant = name.partition("-")
    adapter = import_module(f"fer_repro.datasets.adapters.{base}")
    choices = [base]
    if isinstance(adapter, VariantAdapter):
        choices += [f"{base}-{known}" for known in adapter.VARIANTS]
    named = getattr(adapter, "ANY_VARIANT", False) and re.fullmatch(r"\w+", variant, re.ASCII)
    if hyphen and name not in choices and not named:
        raise UserError(f"data set '{name}' is unknown; {nearest(name, choices)}")
    return cast(Adapter, adapter)


def official_of(name: str) -> Official | None:
    """What is published about a set, if an adapter knows it.

    Raises:
        UserError: there is no adapter of that name.
    """
    adapter, variant = load_adapter(name), name.partition("-")[2]
    return adapter.VARIANTS[variant] if variant and isinstance(adapter, VariantAdapter) else adapter.OFFICIAL


def add_dataset(
    name: str, path: Path, stores: Path, force: bool = False, size: int = 0, detector: str = ""
) -> Store:
    """Check the publisher's files and convert them into ``stores/<name>``, whole or not at all.

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
    adapter = load_adapter(name)
    if size and not isinstance(adapter, ResizingAdapter):
        raise UserError(f"--size {size}: {name} stores its images as they are; leave it out")
    if detector and not isinstance(adapter, FaceFindingAdapter):
        raise UserError(f"--detector {detector}: no faces are searched for in {name}; leave it out")
    finder = named_detector(detector) if detector else None
    classes = adapter.CLASSES or cast(PeopleAdapter, adapter).read_classes(path)
    with store_writer(stores / name, name, classes, force) as writer, ExitStack() as stack:
        steps: list[Callable[[int], None]] = []

        def expect(total: int) -> None:
            steps.append(stack.enter_context(progress(total, "images")))

        def append(images: np.ndarray) -> None:
            writer.append(images)
            for step in steps:
                step(len(images))

        variant = name.partition("-")[2]
        if isinstance(adapter, FaceFindingAdapter):
            converted = adapter.convert(path, append, expect, size, variant, finder)
        elif isinstance(adapter, ResizingVariantAdapter):
            converted = adapter.convert(path, append, expect, size, variant)
        elif isinstance(adapter, ResizingAdapter):
            converted = adapter.convert(path, append, expect, size)
        elif isinstance(adapter, VariantAdapter):
            converted = adapter.convert(path, append, expect, variant)
        else:
            converted = adapter.convert(path, append, expect)
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


def examine(store: Store, digests: np.ndarray | None = None) -> Audit:
    """Audit a set against its official counts, if an adapter knows them.

    Args:
        store: the set.
        digests: ``pixel_digests`` of its images if they are known already.

    Raises:
        UserError: it comes with pairs, and they are missing or were changed.
    """
    name = store.manifest.name
    adapter = load_adapter(name) if is_addable(name) else None
    if has_pairs(store):
        return audit_people(store, cast(PeopleAdapter, adapter).PAIR_FACTS if adapter else None, digests)
    official = official_of(name) if adapter else None
    return audit(name, store.classes, store.images, store.samples, official, digests)
