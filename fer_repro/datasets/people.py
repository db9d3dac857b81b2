"""Folders of people, one folder for each person."""

import re
from pathlib import Path

from fer_repro.datasets.image_files import ImageFile, subfolders, visible
from fer_repro.datasets.names import composed
from fer_repro.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".bmp", ".tif", ".tiff", ".webp")


def find_folder(path: Path) -> Path:
    """Find the folder that holds the people: ``path``, or the only folder in it.

    Raises:
        UserError: there are no images below it.
    """
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected a folder with one folder per person")
    folders = subfolders(path)
    for folder in (path, *(folders if len(folders) == 1 else ())):
        if any(_is_image(file) for person in subfolders(folder) for file in visible(person)):
            return folder
    raise UserError(
        f"{path}: no images below it; expected <person>/<image>, with one of {', '.join(SUFFIXES)}"
    )


def find_people(path: Path) -> tuple[str, ...]:
    """The people's names in label order: those of their folders, sorted; accents composed.

    Raises:
        UserError: see ``find_folder``.
    """
    return tuple(composed(person.name) for person in subfolders(find_folder(path)))


def find_images(folder: Path) -> list[ImageFile]:
    """List the images of all people, by person, then number, then name; other files are left out.

    A person is a class; the split is still ``test`` for all. The factor ``number`` is what the name ends in,
    before its suffix, or -1: 4 of Abel_Pacheco_0004.jpg, 10 of s1/10.pgm.

    Raises:
        UserError: a person's folder holds no image, or another folder, whose images would be skipped.
    """
    photos = []
    for label, person in enumerate(subfolders(folder)):
        entries = visible(person)
        folders = [entry for entry in entries if entry.is_dir()]
        if folders:
            raise UserError(f"{folders[0]}: a folder in a person's folder; expected <person>/<image>")
        files = sorted(filter(_is_image, entries), key=number_of)  # of equal numbers: by name, as they come
        if not files:
            raise UserError(f"{person}: no images; expected at least one of this person")
        photos += [
            ImageFile(file, label, "test", composed(person.name), factors={"number": number_of(file)})
            for file in files
        ]
    return photos


def number_of(file: Path) -> int:
    """The number that a file's name ends in, or -1."""
    digits = re.search(r"[0-9]{1,9}$", file.stem)
    return int(digits[0]) if digits else -1


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file()
