"""Names in lists and on the disk: joined in one Unicode form, and broken links reported.

Archives made on macOS decompose accents (NFD), most lists and other systems compose them (NFC): the names
look the same and are different bytes. Names are compared as ``composed`` gives them, everywhere.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from fer_repro.errors import UserError, did_you_mean


def composed(name: str) -> str:
    """Bring a name into the form in which names are compared, NFC."""
    return unicodedata.normalize("NFC", name)


def spelling(name: str) -> str:
    """Bring names that differ only in capitals, blanks or Unicode form to the same text."""
    return "".join(composed(unicodedata.normalize("NFKC", name).casefold()).split())


def check_links(entries: Iterable[Path]) -> None:
    """Refuse broken links: the files that they should lead to would be skipped.

    Raises:
        UserError: naming the first one.
    """
    for entry in entries:
        if entry.is_symlink() and not entry.exists():
            raise UserError(
                f"{entry}: a link to {entry.readlink()}, which does not exist or leads back to itself; "
                "repair or delete it"
            )


def is_listed_file(path: Path) -> bool:
    """Return whether an optional file exists.

    Raises:
        UserError: a broken link has its name.
    """
    check_links([path])
    return path.is_file()


def check_forms(entries: Iterable[Path]) -> None:
    """Refuse two names in one folder that differ in their Unicode form alone.

    Raises:
        UserError: naming both.
    """
    seen: dict[str, Path] = {}
    for entry in entries:
        if entry.name.isascii():
            continue
        other = seen.setdefault(composed(entry.name), entry)
        if other != entry:
            raise UserError(
                f"{entry.parent}: {other.name!a} and {entry.name!a} are one name, '{entry.name}', in two "
                "Unicode forms: expected one of them; rename or delete the other"
            )


class ListedFiles:
    """Finds the files that a list names below a folder, whatever Unicode form the list and the disk use.

    Args:
        folder: what the list's names are relative to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[Path, dict[str, Path]] = {}

    def find(self, name: str, where: str) -> Path:
        """Find a file.

        Args:
            name: as in the list, with ``/`` between folders.
            where: the place in the list, for the message.

        Raises:
            UserError: there is no such file; names the nearest one.
        """
        path = self.folder / name
        if path.is_file():
            return path
        found = self.folder
        for part in Path(name).parts:
            entries = self._inside(found)
            entry = entries.get(composed(part))
            if entry is None:
                hint = did_you_mean(part, [file.name for file in entries.values()])
                raise UserError(f"{path}: no such file, expected for {where}; {hint or 'no similar name'}")
            found = entry
        check_links([found])
        if not found.is_file():
            raise UserError(f"{path}: a folder, expected a file for {where}")
        return found

    def _inside(self, folder: Path) -> dict[str, Path]:
        if folder not in self._entries:
            entries = sorted(folder.iterdir()) if folder.is_dir() else []
            check_forms(entries)
            self._entries[folder] = {composed(entry.name): entry for entry in entries}
        return self._entries[folder]
