"""Pairs of images, same person or not: read strictly, kept as ``pairs.csv`` beside the sample table.

Two forms are read. The list of LFW (Huang et al., technical report 07-49, 2007): a first line ``10 300`` (ten
folds of 300 same, then 300 different pairs), ``500`` (no folds), or none; then ``name i j`` for one person or
``name i name j`` for two, separated by tabs or, where names hold no blanks, by blanks. And a plain table
with the header ``first,second,same`` or ``first,second,same,fold``, whose paths are relative to the folder.

``pairs.csv`` has the columns ``list`` (the protocol's name), ``first`` and ``second`` (rows of the set's
sample table), ``same`` (0 or 1) and ``fold`` (from 1; 0 in lists without folds). The store's manifest names
its hash among the sources, so that the set's digest follows it. A prepared set shares it, as it shares the
images.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.names import composed
from fer_repro.datasets.samples import Converted, place
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError, did_you_mean, nearest

PAIRS = "pairs.csv"
COLUMNS = ("list", "first", "second", "same", "fold")


@dataclass(frozen=True)
class ConvertedPairs(Converted):
    """What an adapter of identities returns.

    Attributes:
        pairs: all lists, with ``COLUMNS``; may be empty.
    """

    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))


# Reading


def read_pairs(path: Path, name: str, samples: pd.DataFrame) -> pd.DataFrame:
    """Read one list in either form.

    Args:
        path: the list.
        name: what the list is called in ``pairs.csv``.
        samples: the sample table with ``subject``, ``number`` (of the image within its person, -1 if it has
            none) and ``file`` (relative path).

    Returns:
        One row per pair, in the file's order, with ``COLUMNS``.

    Raises:
        UserError: naming the file, the line and what was expected there.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a list of pairs") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: no UTF-8 text ({error}); expected a list of pairs") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise UserError(f"{path}: the file is empty; expected a list of pairs")
    if numbered[0][1].replace(" ", "").startswith("first,second"):
        rows = _read_table(path, numbered, samples)
    else:
        rows = _read_list(path, numbered, samples)
    table = pd.DataFrame(rows, columns=list(COLUMNS[1:]))
    if table["same"].nunique() < 2:
        raise UserError(f"{path}: all {len(table)} pairs are of one kind: expected same and different")
    table.insert(0, "list", name)
    return table


def _read_list(
    path: Path, numbered: Sequence[tuple[int, str]], samples: pd.DataFrame
) -> list[tuple[int, int, int, int]]:
    folds, size, body = _heading(path, numbered)
    people: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (subject, number) in enumerate(zip(samples["subject"], samples["number"], strict=True)):
        people[composed(subject)][number].append(row)
    rows = []
    for position, (line, text) in enumerate(body):
        where = f"{path}: line {line}"
        fields = [composed(field.strip()) for field in (text.split("\t") if "\t" in text else text.split())]
        if len(fields) not in (3, 4):
            raise UserError(f"{where}: {text[:60]!r}: expected 'name i j' or 'name i name j'")
        same = len(fields) == 3
        if size and same != (position % (2 * size) < size):
            raise UserError(
                f"{where}: a {'same' if same else 'different'} pair: expected {size} same, then {size} "
                f"different pairs in each fold, and this is pair {position % (2 * size) + 1} of fold "
                f"{position // (2 * size) + 1}"
            )
        named = [(fields[0], fields[1]), (fields[0], fields[2])] if same else [fields[:2], fields[2:]]
        first, second = (_find_image(where, person, number, people) for person, number in named)
        if first == second or (not same and fields[0] == fields[2]):
            expected = "two different images" if same else "two people; one person's pair is 'name i j'"
            raise UserError(f"{where}: {text.strip()[:60]!r} names one twice: expected {expected}")
        rows.append((first, second, int(same), position // (2 * size) + 1 if folds else 0))
    expected_pairs = max(folds, 1) * 2 * size
    if size and len(rows) != expected_pairs:
        raise UserError(
            f"{path}: line {numbered[-1][0]}: ends after {len(rows)} pairs: line {numbered[0][0]} "
            f"states {expected_pairs}"
        )
    return rows


def _heading(path: Path, numbered: Sequence[tuple[int, str]]) -> tuple[int, int, Sequence[tuple[int, str]]]:
    """Folds (0: none), same pairs per fold (0: unknown), and the lines below the heading."""
    line, text = numbered[0]
    fields = text.split()
    if len(fields) > 2:
        return 0, 0, numbered
    if not all(field.isascii() and field.isdigit() and int(field[:9]) > 0 for field in fields):
        raise UserError(
            f"{path}: line {line}: {text[:60]!r}: expected 'folds pairs' such as '10 300', 'pairs', a pair, "
            "or the columns first,second,same"
        )
    return (int(fields[0]) if len(fields) == 2 else 0), int(fields[-1]), numbered[1:]


def _find_image(where: str, person: str, number: str, people: dict[str, dict[int, list[int]]]) -> int:
    if person not in people:
        raise UserError(f"{where}: person {person[:60]!r} is unknown; {_near(person, people, 'people')}")
    if not (number.isascii() and number.isdigit()):
        raise UserError(f"{where}: image {number[:30]!r} of {person}: expected its number")
    found = people[person].get(int(number[:9]), [])
    if len(found) == 1:
        return found[0]
    known = sorted(other for other in people[person] if other >= 0)
    shown = ", ".join(map(str, known[:12])) + (" ..." if len(known) > 12 else "")
    if found:
        raise UserError(
            f"{where}: {person} has {len(found)} images {number}: name them in a table first,second,same"
        )
    raise UserError(f"{where}: {person} has no image {number}: expected one of {shown or 'no numbers'}")


def _near(name: str, choices: Iterable[str], what: str) -> str:
    """Name the nearest choice; there may be too many to list all."""
    options = list(choices)
    return did_you_mean(name, options) or f"none of the {len(options)} {what} is similar"


def _read_table(
    path: Path, numbered: Sequence[tuple[int, str]], samples: pd.DataFrame
) -> list[tuple[int, int, int, int]]:
    header = _cells(numbered[0][1], f"{path}: line {numbered[0][0]}")
    if tuple(header) not in (COLUMNS[1:4], COLUMNS[1:]):
        raise UserError(
            f"{path}: line {numbered[0][0]}: columns are {','.join(header)}: expected first,second,same or "
            "first,second,same,fold"
        )
    files = {composed(file): row for row, file in enumerate(samples["file"])}
    subjects = samples["subject"].tolist()
    rows = []
    for line, text in numbered[1:]:
        where = f"{path}: line {line}"
        fields = _cells(text, where)
        if len(fields) != len(header):
            raise UserError(f"{where}: {len(fields)} columns: expected {len(header)}, {','.join(header)}")
        fields[:2] = map(composed, fields[:2])
        for file in fields[:2]:
            if file not in files:
                raise UserError(f"{where}: image {file[:80]!r} is unknown; {_near(file, files, 'images')}")
        first, second = files[fields[0]], files[fields[1]]
        same = subjects[first] == subjects[second]
        if first == second or fields[2] != str(int(same)):
            people = f"{subjects[first]} and {subjects[second]}"
            expected = "two images" if first == second else f"{int(same)}, by their folders"
            raise UserError(
                f"{where}: same is {fields[2][:20]!r} for images of {people}: expected {expected}"
            )
        fold = fields[3] if len(fields) == 4 else "0"
        if not (fold.isascii() and fold.isdigit()) or (len(fields) == 4 and int(fold[:9]) < 1):
            raise UserError(f"{where}: fold is {fold[:20]!r}: expected a whole number from 1")
        rows.append((first, second, int(same), int(fold)))
    return rows


def _cells(text: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text]))]
    except csv.Error as error:
        raise UserError(f"{where}: not readable as CSV: {error}") from None


# The file in a store


def pairs_csv(pairs: pd.DataFrame) -> bytes:
    """The table as byte-stable CSV."""
    return pairs[list(COLUMNS)].to_csv(index=False, lineterminator="\n").encode()


def write_pairs(folder: Path, pairs: pd.DataFrame) -> str:
    """Write ``pairs.csv`` into a store that is being made; returns its sha256, for the manifest's sources."""
    content = pairs_csv(pairs)
    (folder / PAIRS).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def has_pairs(store: Store) -> bool:
    """Return whether a set comes with pairs."""
    return PAIRS in store.manifest.source


def open_pairs(store: Store) -> pd.DataFrame:
    """Read a set's pairs, which lie beside its images.

    Returns:
        All lists, with ``COLUMNS``.

    Raises:
        UserError: the set has none, or the file is missing, changed or does not fit the samples.
    """
    name = store.manifest.name
    if not has_pairs(store):
        raise UserError(f"{store.folder}: data set '{name}' has no pairs; expected a set of identities")
    path = store.images_file.parent / PAIRS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; add data set '{name}' again") from None
    if hashlib.sha256(content).hexdigest() != store.manifest.source[PAIRS]:
        raise UserError(
            f"{path}: was changed after the set was written, or the set was replaced; add '{name}' again"
        )
    table = pd.read_csv(StringIO(content.decode()), dtype={"list": str}, keep_default_na=False)
    outside = (table[["first", "second"]] >= len(store.samples)).any(axis=1).to_numpy()
    if outside.any():
        raise UserError(f"{path}: {place(int(outside.argmax()))}: expected rows below {len(store.samples)}")
    return table


def choose_list(pairs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Take one list, its rows numbered from 0.

    Raises:
        UserError: there is none of that name.
    """
    names = list(dict.fromkeys(pairs["list"]))
    if name not in names:
        raise UserError(f"list of pairs is '{name}'; {nearest(name, names)}")
    return pairs[pairs["list"] == name].reset_index(drop=True)


# Who is in which list


def people_in(pairs: pd.DataFrame, samples: pd.DataFrame) -> tuple[str, ...]:
    """The people whom the pairs show, sorted."""
    rows = np.unique(pairs[["first", "second"]].to_numpy(np.int64))
    return tuple(sorted(set(samples["subject"].to_numpy()[rows])))


def crossing_folds(pairs: pd.DataFrame, samples: pd.DataFrame) -> tuple[str, ...]:
    """The people who are in more than one fold of a list, sorted; in LFW's View 2 nobody does."""
    subjects, fold = samples["subject"].to_numpy(), pairs["fold"].to_numpy()
    both = pd.DataFrame(
        {
            "person": np.concatenate([subjects[pairs["first"]], subjects[pairs["second"]]]),
            "fold": np.concatenate([fold, fold]),
        }
    )
    folds = both.groupby("person")["fold"].nunique()
    return tuple(sorted(folds.index[folds > 1]))


def pair_facts(pairs: pd.DataFrame, samples: pd.DataFrame) -> dict[str, int]:
    """Count what the doctor compares.

    Returns:
        ``people`` and ``people_with_several_images``; of each list ``<list>_pairs``, ``<list>_same``,
        ``<list>_folds``, ``<list>_people``, ``<list>_people_crossing_folds`` and ``<list>_repeated_pairs``;
        of each two lists ``people_in_<a>_and_<b>``.
    """
    images = samples["subject"].value_counts()
    facts = {"people": len(images), "people_with_several_images": int((images > 1).sum())}
    people: dict[str, set[str]] = {}
    for name in dict.fromkeys(pairs["list"]):
        part = choose_list(pairs, name)
        ordered = np.sort(part[["first", "second"]].to_numpy(), axis=1)
        facts[f"{name}_pairs"] = len(part)
        facts[f"{name}_same"] = int(part["same"].sum())
        facts[f"{name}_folds"] = len(set(part["fold"]) - {0})
        facts[f"{name}_people"] = len(people_in(part, samples))
        facts[f"{name}_people_crossing_folds"] = len(crossing_folds(part, samples))
        facts[f"{name}_repeated_pairs"] = len(ordered) - len(np.unique(ordered, axis=0))
        for other, known in people.items():
            facts[f"people_in_{other}_and_{name}"] = len(known & set(people_in(part, samples)))
        people[name] = set(people_in(part, samples))
    return facts


# A protocol where none is published


def draw_pairs(samples: pd.DataFrame, folds: int = 10, per_fold: int = 300, seed: int = 0) -> pd.DataFrame:
    """Draw a protocol like LFW's View 2: folds that share no person, as many different pairs as same ones.

    No pair occurs twice. Where a fold has fewer pairs of either kind than asked for, all folds shrink alike.

    Args:
        samples: the sample table; people without a name are left out.
        folds: at least 2, and two people with two images each in every fold.
        per_fold: same pairs of a fold at most, and as many different ones.
        seed: from 0.

    Returns:
        Pairs with ``COLUMNS``; the list is called ``drawn``.

    Raises:
        UserError: there are too few people.
    """
    rows_of = {
        str(person): part.index.to_numpy() for person, part in samples.groupby("subject") if person != ""
    }
    several = [person for person, rows in rows_of.items() if len(rows) > 1]
    if folds < 2 or per_fold < 1 or len(several) < 2 * folds:
        raise UserError(
            f"{folds} folds of {per_fold} pairs from {len(several)} people with two images or more: expected "
            "at least 2 folds, 1 pair, and two such people for each fold"
        )
    generator = np.random.default_rng(seed)
    parts = np.array_split(generator.permutation(np.array(several, dtype=object)), folds)
    same_pairs = [_same_pairs([rows_of[person] for person in part]) for part in parts]
    counts = [np.array([len(rows_of[person]) for person in part]) for part in parts]
    different = [int(images.sum() ** 2 - (images**2).sum()) // 2 for images in counts]
    size = min(per_fold, *map(len, same_pairs), *different)
    rows = []
    for fold, (part, pairs) in enumerate(zip(parts, same_pairs, strict=True), 1):
        chosen = pairs[np.sort(generator.choice(len(pairs), size, replace=False))]
        other = _different_pairs([rows_of[person] for person in part], size, generator)
        for same, kind in ((1, chosen), (0, other)):
            rows += [("drawn", int(first), int(second), same, fold) for first, second in kind]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _same_pairs(people: Sequence[np.ndarray]) -> np.ndarray:
    """All pairs of images of one person, (P, 2)."""
    return np.concatenate([rows[np.stack(np.triu_indices(len(rows), 1), 1)] for rows in people])


def _different_pairs(people: Sequence[np.ndarray], size: int, generator: np.random.Generator) -> np.ndarray:
    """Different pairs, (size, 2), each drawn by two people and then an image of each; none twice."""
    found: dict[tuple[int, int], None] = {}
    while len(found) < size:
        one, two = generator.choice(len(people), 2, replace=False)
        first, second = generator.choice(people[one]), generator.choice(people[two])
        found[(int(min(first, second)), int(max(first, second)))] = None
    return np.array(list(found))
