"""The lists of occluded and turned faces of RAN (arXiv:1905.04075): lines that hold a key and a label.

They are public in kaiwang960112/Challenge-condition-FER-dataset, which states no licence: users supply them.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_repro.datasets.names import is_listed_file
from fer_repro.errors import UserError


@dataclass(frozen=True)
class ChallengeList:
    """One list.

    Attributes:
        stems: the names under which its file is distributed, without ``.txt``.
        pattern: one line, with the groups ``key`` and ``label``.
        size: different keys of the published list.
        sha256: of its lines "key label", sorted, unique, newline-terminated.
    """

    stems: tuple[str, ...]
    pattern: str
    size: int
    sha256: str


def find_list(challenge: ChallengeList, folders: Sequence[Path]) -> Path | None:
    """The first file of that name in the folders, or None."""
    paths = (
        folder / f"{stem}{end}" for folder in folders for stem in challenge.stems for end in (".txt", "")
    )
    return next((path for path in paths if is_listed_file(path)), None)


def read_list(path: Path, challenge: ChallengeList) -> dict[str, int]:
    """Read a list: key -> label.

    Raises:
        UserError: naming the line that is not as expected, or a key with two labels.
    """
    entries: dict[str, int] = {}
    pattern = re.compile(challenge.pattern)
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        match = pattern.fullmatch(line.strip())
        if match is None:
            raise UserError(f"{path}: line {number}: {line[:60]!r}: expected the form {challenge.pattern}")
        key, label = match["key"], int(match["label"])
        if entries.setdefault(key, label) != label:
            raise UserError(f"{path}: line {number}: '{key}' is {label}: an earlier line has {entries[key]}")
    if not entries:
        raise UserError(f"{path}: no lines; expected {challenge.size}")
    return entries


def list_digest(entries: Mapping[str, int]) -> str:
    """Sha256 of the lines "key label", sorted by key, newline-terminated."""
    return hashlib.sha256("".join(f"{key} {entries[key]}\n" for key in sorted(entries)).encode()).hexdigest()


def mark_lists(
    lists: Mapping[str, ChallengeList], folders: Sequence[Path], labels: Mapping[str, int], every: set[str]
) -> tuple[dict[str, set[str]], str]:
    """Read the lists that are there and compare them with the samples.

    Args:
        lists: column name -> list.
        folders: where the files may lie.
        labels: key -> label of the samples that the data set keeps.
        every: all keys that the data set's files name, kept or not.

    Returns:
        Column name -> keys, of the lists that are there, and a note on what they are.

    Raises:
        UserError: a list names a key that the data set does not have.
    """
    marked, notes = {}, []
    for column, challenge in lists.items():
        path = find_list(challenge, folders)
        if path is None:
            continue
        entries = read_list(path, challenge)
        unknown = sorted(set(entries) - every)
        if unknown:
            raise UserError(f"{path}: '{unknown[0]}' is no image of this data set; expected its names only")
        origin = "as published" if list_digest(entries) == challenge.sha256 else "NOT the published list"
        other = sum(labels.get(key, label) != label for key, label in entries.items())
        differing = f", {other} with another label than here" if other else ""
        notes.append(f"{column}: {len(entries)} images, {origin}{differing}.")
        marked[column] = set(entries)
    return marked, " ".join(notes)
