"""FER+: FER2013's faces with ten crowd-sourced votes each, eight expressions.

Barsoum, Zhang, Canton Ferrer, Zhang, "Training Deep Networks for Facial Expression Recognition with
Crowd-Sourced Label Distribution", arXiv:1608.01041. Votes: microsoft/FERPlus (MIT); pixels: fer2013.csv.

Common mistakes:
    1. An image's name is the column "Image name" on ITS LINE of fer2013new.csv, which has one line per row of
       fer2013.csv. The number in the name is not the row, though FER+'s README states it.
    2. The votes are those of FER2013Train, FER2013Valid and FER2013Test/label.csv, whose labels the papers
       train on; fer2013new.csv has other votes for 1,601 images.
    3. Four names are on two lines. Of the lines whose votes equal label.csv's the last one gives the pixels
       (the official script writes them in order); fer0033120's last line is ten votes for "not a face", its
       label belongs to the one before.

The table keeps the votes of each image (``votes_neutral`` ... ``votes_nf``), from which
``datasets/votes.py`` makes distributions. Names after a hyphen keep the images of other rules: see
``VARIANTS``. Those of a soft rule (``votes.SOFT_MODES``) have the columns ``target_neutral`` ...
``target_contempt``, which ``soft_targets`` reads.
"""

import ast
import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.audit import Official
from fer_repro.datasets.challenge_lists import ChallengeList, mark_lists
from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.names import composed
from fer_repro.datasets.pixel_csv import SIDE, USAGES, read_pixel_rows, scan
from fer_repro.datasets.samples import Converted
from fer_repro.datasets.votes import ANSWERS, EXPRESSIONS, SOFT_MODES, target_columns, vote_targets
from fer_repro.errors import UserError, nearest

CLASSES = EXPRESSIONS
OFFICIAL = Official(
    counts={
        "train": (8733, 7284, 3136, 3022, 2098, 116, 536, 120),
        "val": (1180, 862, 411, 348, 289, 25, 60, 16),
        "test": (1083, 892, 394, 382, 269, 16, 86, 15),
    },
    facts={  # counted on the files; pixels and votes as published
        "distinct_images": 29883,
        "duplicate_groups": 1249,
        "duplicate_samples": 2739,
        "conflicting_groups": 117,
        "constant_images": 0,
        "val_in_train": 231,
        "test_in_train": 232,
        "test_in_val": 35,
    },
    fingerprint="0aa93cfeea4e007711b897da5ee375c9dd09e1791cbe6dba9aa87da61bc2950d",
    sizes={"occlusion": 605, "pose_30": 1170, "pose_45": 633},
)
VARIANTS: dict[str, Official | None] = {
    "plain": Official({}, {}, "", {"train": 28385, "val": 3555, "test": 3545}),
    "probability": None,
    "cross_entropy": None,
    "multi_target": None,
}
TERMS = (
    "FER+'s votes are under the MIT licence; the faces are FER2013's and come from the web: use them for "
    "research, do not publish them again."
)
LAYOUT = "a folder with fer2013.csv, fer2013new.csv and FER2013{Train,Valid,Test}/label.csv"

RATERS = 10
SHEET = "fer2013new.csv"
LABELS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
LISTS = {
    "occlusion": ChallengeList(
        ("occlusion_list", "jianfei_occlusion_list"),
        r"(?P<label>[0-7])_(?P<key>fer\d{7})\.png \d+ \d+",
        605,
        "31dd96ea23a6f0aaa38d127f5f7606288408b71ee721f5ee83a80e3f73369308",
    ),
    "pose_30": ChallengeList(
        ("pose_30_list", "pose_30_ferplus_list"),
        r"(?P<label>[0-7])/(?P<key>fer\d{7})\.jpg",
        1170,
        "c740d9b1e2366f89bad6c873e8aa9173e6841506e4d96845e1e9678333e4e49d",
    ),
    "pose_45": ChallengeList(
        ("pose_45_list", "pose_45_ferplus_list"),
        r"(?P<label>[0-7])/(?P<key>fer\d{7})\.jpg",
        633,
        "0e87e46f443c585ba343f58551026e516604d6ef524bb83695438bfa7f22595e",
    ),
}
_CHUNK = 1024  # images per chunk passed on


@dataclass(frozen=True)
class _Line:
    """One line of fer2013new.csv: the split, the name without ``.png`` ("" if none), the votes."""

    split: str
    name: str
    votes: tuple[int, ...]


def _convert(job: Conversion) -> Converted:
    """Read FER+ with the pixels of fer2013.csv; keep the images that the label rule keeps.

    Args:
        job: ``path``: a folder. ``fer2013.csv`` is looked for in it and in ``fer2013/``; ``fer2013new.csv``
            in it, in ``ferplus/`` and ``FERPlus/``; the folders with ``label.csv`` beside
            ``fer2013new.csv`` and in ``data/`` there; RAN's lists in all of these, they may be absent;
            ``variant``: the label rule, a key of ``VARIANTS``; "" is majority.

    Raises:
        UserError: a file is missing or not as expected, or the files do not belong together.
    """
    folders = _folders(job.path)
    pixels = _find(job.path, folders, "fer2013.csv")
    sheet = _find(job.path, folders, SHEET)
    label_files = {name: _find(job.path, folders, f"{name}/label.csv") for name in LABELS}
    lines = list(_read_sheet(sheet))
    votes = {
        name: found
        for folder, file in label_files.items()
        for name, found in _read_votes(file, LABELS[folder])
    }
    rows = _rows(lines, votes, sheet)
    targets, kept = vote_targets(np.array([votes[name][1] for name in rows]), job.variant or "majority")
    chosen = {rows[name]: name for name, keep in zip(rows, kept, strict=True) if keep}
    if not chosen:
        raise UserError(f"{sheet.parent}: no image is kept by the label rule; expected 31373")
    labels = dict(zip(rows, np.argmax(targets, axis=1).tolist(), strict=True))
    kept_labels = {name: labels[name] for name in chosen.values()}
    marked, note = mark_lists(LISTS, folders, kept_labels, set(rows))
    job.expect(len(chosen))
    _pass_on(pixels, sheet, lines, chosen, job.append)
    table = _table(chosen, lines, labels, votes)
    for column, names in marked.items():
        table[column] = table["file"].isin(names)
    if job.variant in SOFT_MODES:
        table = table.assign(**target_columns(targets[kept]))
    source = {
        file.relative_to(job.path).as_posix(): scan(file)[0]
        for file in (pixels, sheet, *label_files.values())
    }
    return Converted(table, source, f"Label rule: {job.variant or 'majority'}, on label.csv. {note}".rstrip())


# The files


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; expected {LAYOUT}")
    above = [path, *(path / name for name in ("fer2013", "ferplus", "FERPlus"))]
    folders = [folder / part for folder in above for part in ("", "data", "FERplus_dir")]
    return [folder for folder in folders if folder.is_dir()]


def _find(path: Path, folders: list[Path], name: str) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{path}: {name} is missing; looked for it there, in fer2013/, ferplus/ and FERPlus/, and in "
        "data/ below each of them"
    )


def _read_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The place and the fields of every line that has any."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, fields in enumerate(csv.reader(file), start=1):
                if fields:
                    yield f"{path}: line {number}", [field.strip() for field in fields]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: no UTF-8 text ({error}); expected the file of microsoft/FERPlus") from None


def _read_sheet(path: Path) -> Iterator[_Line]:
    header = ("Usage", "Image name", *EXPRESSIONS, "unknown", "NF")
    for number, (where, fields) in enumerate(_read_lines(path)):
        if len(fields) != len(header):
            raise UserError(f"{where}: {len(fields)} columns: expected {len(header)} ({', '.join(header)})")
        if number == 0:
            if [name.lower() for name in fields] != [name.lower() for name in header]:
                raise UserError(f"{where}: found {', '.join(fields)}: expected {', '.join(header)}")
            continue
        if fields[0] not in USAGES:
            raise UserError(f"{where}: Usage is {fields[0][:30]!r}; {nearest(fields[0], USAGES)}")
        yield _Line(USAGES[fields[0]], composed(fields[1].removesuffix(".png")), _counts(fields[2:], where))


def _read_votes(path: Path, split: str) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Name -> (split, votes) of one label.csv: name, face box, ten counts; no header."""
    seen = set()
    for where, fields in _read_lines(path):
        if len(fields) != 2 + len(ANSWERS):
            raise UserError(
                f"{where}: {len(fields)} columns: expected name, face box and {len(ANSWERS)} counts"
            )
        name = composed(fields[0].removesuffix(".png"))
        if name in seen:
            raise UserError(f"{where}: '{name}' is given twice")
        seen.add(name)
        _check_box(fields[1], where)
        yield name, (split, _counts(fields[2:], where))


def _check_box(text: str, where: str) -> None:
    try:
        whole = ast.literal_eval(text) == (0, 0, SIDE, SIDE)
    except (ValueError, SyntaxError):
        whole = False
    if not whole:
        raise UserError(
            f"{where}: face box is {text[:40]!r}: expected (0, 0, {SIDE}, {SIDE}), the whole image"
        )


def _counts(fields: list[str], where: str) -> tuple[int, ...]:
    for answer, field in zip(ANSWERS, fields, strict=True):
        if not (field.isascii() and field.isdigit() and int(field[:9]) <= RATERS):
            raise UserError(
                f"{where}: votes for {answer} are {field[:30]!r}: expected a whole number from 0 to {RATERS}"
            )
    return tuple(map(int, fields))


# How the files belong together


def _rows(
    lines: list[_Line], votes: Mapping[str, tuple[str, tuple[int, ...]]], sheet: Path
) -> dict[str, int]:
    """Name -> row of fer2013.csv, in order of the rows."""
    rows: dict[str, int] = {}
    for row, line in enumerate(lines):
        if not line.name:
            continue
        where = f"{sheet}: line {row + 2}: '{line.name}'"
        if line.name not in votes:
            raise UserError(f"{where} is in no label.csv; expected it in FER2013Train, FER2013Valid or Test")
        split, counts = votes[line.name]
        if split != line.split:
            raise UserError(f"{where} is {line.split}: its label.csv has {split}")
        if line.name not in rows or line.votes == counts:
            rows[line.name] = row
    missing = next((name for name in votes if name not in rows), None)
    if missing is not None:
        raise UserError(f"{sheet}: '{missing}' of label.csv is on no line; expected every image there")
    return dict(sorted(rows.items(), key=lambda item: item[1]))


def _pass_on(
    pixels: Path,
    sheet: Path,
    lines: list[_Line],
    chosen: Mapping[int, str],
    append: Callable[[np.ndarray], None],
) -> None:
    """Pass on the images of the chosen rows, after each row's split has been compared."""
    chunk: list[np.ndarray] = []
    for row, (line, found) in enumerate(zip_longest(lines, read_pixel_rows(pixels))):
        if line is None or found is None:
            raise UserError(
                f"{pixels}: {'more' if line is None else 'fewer'} rows than the {len(lines)} of "
                f"{sheet.name}; expected one line there for each row"
            )
        if found[1] != line.split:
            raise UserError(
                f"{pixels}: row {row} (line {row + 2}) is {found[1]}: the same line of {sheet.name} has "
                f"{line.split}; expected both files in their original order"
            )
        if row in chosen:
            chunk.append(found[2])
        if len(chunk) == _CHUNK:
            append(np.stack(chunk).reshape(-1, SIDE, SIDE))
            chunk.clear()
    if chunk:
        append(np.stack(chunk).reshape(-1, SIDE, SIDE))


def _table(
    chosen: Mapping[int, str],
    lines: list[_Line],
    labels: Mapping[str, int],
    votes: Mapping[str, tuple[str, tuple[int, ...]]],
) -> pd.DataFrame:
    names = list(chosen.values())
    counts = np.array([votes[name][1] for name in names])
    return pd.DataFrame(
        {
            "image": range(len(chosen)),
            "label": [labels[name] for name in names],
            "subject": "",
            "clip": "",
            "split": [lines[row].split for row in chosen],
            "file": names,
            "row": list(chosen),
            **{f"votes_{answer}": counts[:, number] for number, answer in enumerate(ANSWERS)},
        }
    )


DATASET = Dataset(classes=CLASSES, terms=TERMS, convert=_convert, official=OFFICIAL, variants=VARIANTS)
