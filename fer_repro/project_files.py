"""Where the project's own files are: in the folder of a project, else those that come with the package.

In a clone they lie around the package. A wheel carries copies, which the build makes (setup.py): ``lay_out``
writes them, and ``fer-repro new`` writes a project with the same function. Nothing but Python is needed here.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

from fer_repro.errors import UserError

PACKAGE = Path(__file__).parent
IN_WHEEL = "project"
"""Folder of the package that holds the copies in a wheel."""
STORE = "dvcstore/files/md5"
TRACKED = ("data", "networks")
"""Folders that the embedded store holds, each with a pointer ``<folder>.dvc``."""
FILES = (
    ".dvc/.gitignore", ".dvc/config", ".dvc/plots", ".dvcignore", ".gitattributes", ".gitignore",
    *(f"{folder}.dvc" for folder in TRACKED),
    "docs/verdicts.md", "dvc.yaml", "notebooks", "params.yaml", "results/published",
)  # fmt: skip
"""What makes a project, besides the tracked folders: files, and folders with all that is in them."""
NO_PROJECT = "start in the project's top folder, or make a project: fer-repro new FOLDER"
"""What helps where a command needs a project and there is none."""


def packaged(name: str | Path = "") -> Path:
    """Where a file of the project lies that comes with the package; only to be read.

    Args:
        name: relative to the project's top folder; that folder itself if empty.
    """
    inside = PACKAGE / IN_WHEEL
    return (inside if inside.is_dir() else PACKAGE.parent) / name


def project_file(path: Path) -> Path:
    """Where to read a file of the project: the one that is named, or the package's where no project is.

    Args:
        path: as a command takes it, e.g. ``params.yaml``.

    Returns:
        ``path`` where it is there, was not meant as a file of the project, or lies in a folder above: then
        its reader names that folder. Else the file that comes with the package.
    """
    own = packaged(path)
    above = any((folder / path).exists() for folder in Path.cwd().parents)
    return path if path.exists() or path.is_absolute() or above or not own.exists() else own


def project_sources(root: Path) -> list[Path]:
    """List the files below a clone that ``lay_out`` reads, sorted."""
    places = [root / name for name in (*FILES, STORE)]
    found = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    return sorted(file for file in found if file.is_file() and ".ipynb_checkpoints" not in file.parts)


def lay_out(root: Path, folder: Path) -> None:
    """Write the files of a project into a folder, with its data and networks.

    Args:
        root: a clone, or what a wheel carries of it.
        folder: to write to; nothing in it is replaced but files of these names.

    Raises:
        UserError: the embedded store is damaged.
    """
    stored = root / STORE
    for file in project_sources(root):
        if not file.is_relative_to(stored):
            place = folder / file.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    for name in TRACKED:
        if stored.is_dir():
            unpack(root, name, folder / name)
        else:
            shutil.copytree(root / name, folder / name)


def unpack(root: Path, name: str, folder: Path) -> None:
    """Write a tracked folder from the embedded store, as ``dvc pull`` does, without DVC.

    Args:
        root: holds the pointer ``<name>.dvc`` and the store.
        name: one of ``TRACKED``.
        folder: to write to.

    Raises:
        UserError: the pointer names no folder, or the store holds another content than its names say.
        OSError: a file of the store is missing.
    """
    pointer = root / f"{name}.dvc"
    found = re.search(r"^- md5: (\w+\.dir)$", pointer.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise UserError(f"{pointer}: expected one line '- md5: DIGEST.dir'")
    for entry in json.loads(_stored(root, found[1])):
        path = folder / entry["relpath"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_stored(root, entry["md5"]))


def _stored(root: Path, md5: str) -> bytes:
    path = root / STORE / md5[:2] / md5[2:]
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        raise UserError(f"{path}: another content than its name says; `git checkout {STORE}` restores it")
    return content
