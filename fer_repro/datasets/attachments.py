"""Further files that an adapter writes beside the images of its set, each with its hash in the manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fer_repro.datasets.samples import Converted
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.files import file_sha256


@dataclass(frozen=True)
class ConvertedFiles(Converted):
    """What an adapter returns when its set has further files.

    Attributes:
        files: name -> what writes the file to the path that it is given.
    """

    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


def write_files(folder: Path, converted: ConvertedFiles) -> dict[str, str]:
    """Write the files into a store that is being made; returns name -> sha256 for the manifest's sources."""
    for name, write in converted.files.items():
        write(folder / name)
    return {name: file_sha256(folder / name) for name in converted.files}


def attached_file(store: Store, name: str) -> Path:
    """Find a further file of a set; it lies beside the images, which a prepared set shares.

    Raises:
        UserError: the set has no such file, or it is missing or was changed.
    """
    path = store.images_file.parent / name
    expected = store.manifest.source.get(name)
    if expected is None:
        raise UserError(f"{store.folder}: data set '{store.manifest.name}' comes without {name}")
    if not path.is_file() or file_sha256(path) != expected:
        raise UserError(f"{path}: missing or changed since the set was added; add the set again")
    return path
