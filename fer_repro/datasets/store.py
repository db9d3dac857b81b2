"""Images, or sequences, as one memory-mapped array beside the sample table: written atomically, hashed."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from fer_repro.datasets.samples import check_samples, has_controls, read_samples, samples_csv
from fer_repro.errors import UserError
from fer_repro.files import atomic_folder, file_sha256
from fer_repro.sections import STRICT, PositiveInt, read_section
from fer_repro.synthetic.factors import DISTANCE

MANIFEST, IMAGES, SAMPLES = "manifest.json", "images.npy", "samples.csv"
PIXELS, MEASUREMENTS = "uint8", "float16"
ORIGIN = "samples.csv of the set"  # among the sources of a set that shares another's images


@dataclass(frozen=True, config=STRICT)
class FileEntry:
    """A file of the set, relative to the folder of the manifest, and its sha256."""

    file: str
    sha256: str


@dataclass(frozen=True, config=STRICT)
class Manifest:
    """What ``manifest.json`` holds; ``count`` counts images, ``source`` gives file name -> sha256.

    A set of sequences has ``numbers`` float16: its "images" are arrays of ``height`` rows in time and
    ``width`` measurements. Manifests of images do not name it.
    """

    name: str
    classes: tuple[str, ...]
    count: PositiveInt
    height: PositiveInt
    width: PositiveInt
    channels: Literal[1, 3]
    source: dict[str, str]
    images: FileEntry
    samples: FileEntry
    note: str
    numbers: Literal["uint8", "float16"] = "uint8"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image array: (N, H, W) grey or (N, H, W, 3) RGB."""
        grey = (self.count, self.height, self.width)
        return grey if self.channels == 1 else (*grey, 3)

    def as_json(self) -> str:
        """Byte-stable JSON: sorted keys, two spaces."""
        values = asdict(self)
        if self.numbers == PIXELS:
            del values["numbers"]
        return json.dumps(values, indent=2, sort_keys=True) + "\n"


class Store:
    """A data set on disk, opened.

    Attributes:
        folder: where ``manifest.json`` and ``samples.csv`` lie.
        manifest: what the set is.
        images: (N, H, W) or (N, H, W, 3) uint8, memory-mapped and read-only; sequences (N, T, D) are float16.
        samples: the sample table; ``image`` is a row of ``images``.
    """

    def __init__(self, folder: Path, manifest: Manifest, images: np.ndarray, samples: pd.DataFrame) -> None:
        self.folder = folder
        self.manifest = manifest
        self.images = images
        self.samples = samples

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.manifest.classes

    @property
    def has_sequences(self) -> bool:
        """Whether its samples are sequences of measurements, not images."""
        return self.manifest.numbers == MEASUREMENTS

    @property
    def has_wanted_images(self) -> bool:
        """Whether each clip is an image and what it is to become; all are labelled by that distance, 0."""
        return self.classes == DISTANCE and set(self.samples["clip"].value_counts()) == {2}

    @property
    def digests(self) -> dict[str, str]:
        """Sha256 of all that a run may see, by name: images, samples, classes, and files such as pairs.csv.

        They do not depend on the place of the set, on its note, or on the files that it was made from.
        """
        beside = self.images_file.parent
        attached = {
            name: sha256 for name, sha256 in self.manifest.source.items() if (beside / name).is_file()
        }
        return {
            "classes": hashlib.sha256("\n".join(self.classes).encode()).hexdigest(),
            "images": self.manifest.images.sha256,
            "samples": self.manifest.samples.sha256,
            **attached,
        }

    @property
    def digest(self) -> str:
        """Sha256 of ``digests``."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    @property
    def images_file(self) -> Path:
        """Where the pixels lie: in the folder, or in the set that the manifest points to."""
        return _images_file(self.folder, self.manifest)


class StoreWriter:
    """Takes images in chunks and then the table; memory stays at one chunk.

    Attributes:
        folder: the temporary folder, for further files of the set.
        count: how many images were taken so far.
    """

    def __init__(self, folder: Path, target: Path, name: str, classes: Sequence[str]) -> None:
        self.folder = folder
        self.count = 0
        self.finished = False
        self._target, self._name, self._classes = target, name, tuple(classes)
        self._file: BinaryIO | None = None
        self._shape: tuple[int, ...] = ()
        self._numbers = np.dtype(PIXELS)

    def append(self, images: np.ndarray) -> None:
        """Write the next images, (n, H, W) or (n, H, W, 3) uint8, all of one size; or float16 (n, T, D).

        Raises:
            UserError: another type or shape than the images before.
        """
        grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[-1] == 3
        sequences = grey and images.dtype == MEASUREMENTS
        if not sequences and (images.dtype != np.uint8 or not (grey or colour)):
            raise UserError(
                f"images of {self._name}: found {images.dtype} {images.shape}: "
                "expected uint8 (N, H, W) grey or (N, H, W, 3) RGB, or float16 (N, T, D) sequences"
            )
        if sequences and not np.isfinite(images).all():
            row = int(np.isfinite(images).all(axis=(1, 2)).argmin()) + self.count
            raise UserError(f"images of {self._name}: sequence {row} holds a number that is not finite")
        if self._file is None:
            self._shape, self._numbers = images.shape[1:], images.dtype
            self._file = (self.folder / IMAGES).open("wb")
            self._write_header()
        if (images.shape[1:], images.dtype) != (self._shape, self._numbers):
            raise UserError(
                f"images of {self._name}: image {self.count} is {images.shape[1:]}: expected {self._shape} "
                f"{self._numbers} like the ones before"
            )
        self._file.write(np.ascontiguousarray(images).data)
        self.count += len(images)

    def finish(self, samples: pd.DataFrame, source: Mapping[str, str], note: str = "") -> None:
        """Write the sample table and the manifest.

        Raises:
            UserError: there are no images, or the table does not fit them.
        """
        if self._file is None or self.count == 0:
            raise UserError(f"images of {self._name}: none; expected at least one")
        self._file.seek(0)
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        height, width = self._shape[:2]
        manifest = Manifest(
            name=self._name,
            classes=self._classes,
            count=self.count,
            height=height,
            width=width,
            channels=3 if len(self._shape) == 3 else 1,
            source=dict(source),
            images=FileEntry(IMAGES, file_sha256(self.folder / IMAGES)),
            samples=FileEntry(SAMPLES, ""),
            note=note,
            numbers="uint8" if self._numbers == PIXELS else "float16",
        )
        _write_table(self.folder, self._target, manifest, samples)
        self.finished = True

    def close(self) -> None:
        """Close the image file; safe to call twice."""
        if self._file is not None:
            self._file.close()

    def _write_header(self) -> None:
        # numpy pads the header so that a first axis of any length fits in place
        assert self._file is not None
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": self._numbers.newbyteorder("<").str,
                "fortran_order": False,
                "shape": (self.count, *self._shape),
            },
        )


@contextmanager
def store_writer(
    folder: Path, name: str, classes: Sequence[str], force: bool = False
) -> Iterator[StoreWriter]:
    """Write a set chunk by chunk; ``folder`` appears, or is replaced, only when all went well.

    Call ``append`` for the images and ``finish`` once at the end.

    Raises:
        UserError: ``folder`` exists and ``force`` is false, two classes share a name, or a name holds line
            ends or other control characters.
    """
    if len(set(classes)) != len(classes) or not classes:
        raise UserError(f"classes of {name} are {', '.join(classes) or 'none'}: expected different names")
    for one in classes:
        if has_controls(one) or one != one.strip() or not one:
            raise UserError(
                f"class {one!r} of {name}: expected a name without line ends, control characters and blanks "
                "at its ends"
            )
    with atomic_folder(folder, force) as temporary:
        writer = StoreWriter(temporary, folder, name, classes)
        try:
            yield writer
            if not writer.finished:
                raise RuntimeError(f"the writer of {folder} was left before finish()")
        finally:
            writer.close()


def write_store(
    folder: Path,
    name: str,
    classes: Sequence[str],
    images: np.ndarray,
    samples: pd.DataFrame,
    source: Mapping[str, str],
    note: str = "",
    force: bool = False,
) -> Store:
    """Write a set whose images fit in memory.

    Args:
        folder: becomes the store; absent before, or replaced with ``force``.
        name: the data set.
        classes: class names in label order.
        images: (N, H, W) or (N, H, W, 3) uint8.
        samples: see ``check_samples``.
        source: file name -> sha256 of what the set was made from.
        note: what a reader of the results must know.
        force: replace an existing folder.

    Raises:
        UserError: the folder exists, or images and samples do not fit together.
    """
    with store_writer(folder, name, classes, force) as writer:
        writer.append(images)
        writer.finish(samples, source, note)
    return open_store(folder)


@contextmanager
def view_writer(folder: Path, store: Store, samples: pd.DataFrame, force: bool = False) -> Iterator[Path]:
    """Write a set that shares the images of ``store`` by a relative path; yields it for further files.

    So a prepared set of real faces holds no image, and none becomes an output of the pipeline.

    Raises:
        UserError: the folder exists and ``force`` is false, or the samples do not fit the images.
    """
    # by the names that the user gave: where stores/ is a link, it may lead elsewhere in another copy
    images = store.folder / store.manifest.images.file
    relative = os.path.relpath(Path(os.path.normpath(images.absolute())), folder.resolve())
    with atomic_folder(folder, force) as temporary:
        values = asdict(store.manifest)
        values["images"]["file"] = Path(relative).as_posix()
        values["source"].setdefault(ORIGIN, store.manifest.samples.sha256)
        manifest = read_section(Manifest, values, str(folder / MANIFEST))
        _write_table(temporary, folder, manifest, samples)
        yield temporary


def open_store(folder: Path | str, verify: bool = False) -> Store:
    """Open a set: sizes, types and every row of the table are checked, and the table's hash.

    Args:
        folder: holds ``manifest.json``.
        verify: also read all images and compare their hash.

    Raises:
        UserError: naming the file, and the row where there is one.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    images = _open_images(folder, manifest)
    samples = read_samples(folder / manifest.samples.file, manifest.classes, manifest.count)
    entries = [(folder / manifest.samples.file, manifest.samples.sha256)]
    if verify:
        entries.append((_images_file(folder, manifest), manifest.images.sha256))
    for path, expected in entries:
        found = file_sha256(path)
        if found != expected:
            raise UserError(
                f"{path}: sha256 is {found[:12]}...: {folder / MANIFEST} records {expected[:12]}...; "
                "the file was changed after the set was written, make the set again"
            )
    return Store(folder, manifest, images, samples)


def _write_table(folder: Path, target: Path, manifest: Manifest, samples: pd.DataFrame) -> None:
    checked = check_samples(samples, manifest.classes, manifest.count, str(target / SAMPLES))
    text = samples_csv(checked)
    (folder / SAMPLES).write_bytes(text)
    values = {**asdict(manifest), "samples": {"file": SAMPLES, "sha256": hashlib.sha256(text).hexdigest()}}
    whole = read_section(Manifest, values, str(target / MANIFEST))
    (folder / MANIFEST).write_text(whole.as_json(), encoding="utf-8")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; expected the folder of a data set") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested too deeply
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    return read_section(Manifest, values, str(path))


def _images_file(folder: Path, manifest: Manifest) -> Path:
    if Path(manifest.images.file).is_absolute():
        raise UserError(
            f"{folder / MANIFEST}: images.file is {manifest.images.file!r}: expected a path relative to it"
        )
    return Path(os.path.normpath(folder.resolve() / manifest.images.file))


def _open_images(folder: Path, manifest: Manifest) -> np.ndarray:
    path = _images_file(folder, manifest)
    elsewhere = path.parent / MANIFEST
    if path.parent != folder.resolve() and elsewhere.exists():
        origin = _read_manifest(path.parent)
        found = origin.images.sha256
        if found != manifest.images.sha256:
            raise UserError(
                f"{path}: sha256 is {found[:12]}...: {folder / MANIFEST} was made for "
                f"{manifest.images.sha256[:12]}...; the images were replaced since, prepare the set again"
            )
        if manifest.source.get(ORIGIN, origin.samples.sha256) != origin.samples.sha256:
            raise UserError(
                f"{path.parent / SAMPLES}: the samples were replaced since {folder / MANIFEST} was made, "
                "prepare the set again"
            )
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {folder / MANIFEST} expects the images there") from None
    except (ValueError, EOFError, OSError) as error:
        raise UserError(
            f"{path}: not readable as an array of {manifest.count} images, cut off or damaged? ({error})"
        ) from None
    if images.dtype != manifest.numbers or images.shape != manifest.shape:
        raise UserError(
            f"{path}: holds {images.dtype} {images.shape}: {folder / MANIFEST} records {manifest.numbers} "
            f"{manifest.shape}"
        )
    return images
