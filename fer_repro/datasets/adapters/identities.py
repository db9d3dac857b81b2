"""Any folder of people, <person>/<image>, with or without a list of pairs: to verify your own faces.

The list is ``pairs.txt`` (as LFW's) or ``pairs.csv`` (first,second,same,fold) in the folder; both forms are
described in ``fer_repro/datasets/pairs.py``. Without one, folds that share no person are drawn: ten, or as
many as there are people for; of every second person where these are enough for two folds, so that a network
can learn from the others, else of all. For a list without folds pairs of the other people are drawn as the
list ``val``: a threshold comes from pairs that are not tested.

Several such sets can be kept side by side, as ``identities-orl`` or any other word after the hyphen.

Split: people whom the pairs show are ``test``, all others ``train``; nobody is in both.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import ImageFile, convert_images
from fer_repro.datasets.names import is_listed_file
from fer_repro.datasets.pairs import (
    COLUMNS,
    ConvertedPairs,
    crossing_folds,
    draw_pairs,
    people_in,
    read_pairs,
)
from fer_repro.datasets.people import find_folder, find_images, find_people
from fer_repro.errors import UserError
from fer_repro.files import file_sha256

TERMS = "These are your own faces: check that you may keep and show them."

LISTS = ("pairs.txt", "pairs.csv")
FOLDS, PER_FOLD, LEAST = 10, 300, 4  # of a drawn protocol, like LFW's; people with two images per fold


def _convert(job: Conversion) -> ConvertedPairs:
    """Read a folder of people.

    Args:
        job: ``path``: the folder, or one that holds nothing else; ``size``: side of the stored images; 0
            leaves them as they are, all of one size.

    Raises:
        UserError: naming the file, the line and what was expected there.
    """
    folder = find_folder(job.path)
    photos = find_images(folder)
    samples = pd.DataFrame(
        {
            "subject": [photo.subject for photo in photos],
            "number": [photo.factors["number"] for photo in photos],
            "file": [photo.file.relative_to(folder).as_posix() for photo in photos],
        }
    )
    file = _find_list(folder, job.path)
    pairs = _draw(samples) if file is None else read_pairs(file, "pairs", samples)
    tested = set(people_in(pairs, samples))
    photos = _split(photos, tested)
    if file is not None and not pairs["fold"].any():
        pairs = _with_threshold_pairs(pairs, samples[~samples["subject"].isin(tested)])
    converted = convert_images(folder, photos, job.append, job.expect, job.size)
    source = {} if file is None else {f"list {file.name}": file_sha256(file)}
    note = _note(file, pairs, samples)
    return ConvertedPairs(converted.samples, {**converted.source, **source}, note, pairs)


def _find_list(folder: Path, path: Path) -> Path | None:
    places = dict.fromkeys(part / name for part in (folder, path) for name in LISTS)
    found = [place for place in places if is_listed_file(place)]
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1]}: expected one list of pairs")
    return found[0] if found else None


def _draw(samples: pd.DataFrame) -> pd.DataFrame:
    images = samples["subject"].value_counts().sort_index()
    several = images.index[images > 1]
    half = several[::2]
    tested = half if len(half) >= 2 * LEAST else several
    folds = min(FOLDS, len(tested) // LEAST)
    if folds < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    return draw_pairs(samples[samples["subject"].isin(tested)], folds, PER_FOLD)


def _with_threshold_pairs(pairs: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Draw pairs of the people to train on, too: a list without folds takes its threshold from them."""
    if (others["subject"].value_counts() > 1).sum() < 2 * 2:  # two people for each of the two folds
        return pairs
    drawn = draw_pairs(others, 2, PER_FOLD).assign(list="val", fold=0)
    return pd.concat([pairs, drawn], ignore_index=True)


def _split(photos: Sequence[ImageFile], tested: set[str]) -> list[ImageFile]:
    return [replace(photo, split="test" if photo.subject in tested else "train") for photo in photos]


def _note(file: Path | None, pairs: pd.DataFrame, samples: pd.DataFrame) -> str:
    notes = []
    if pairs.empty:
        notes.append("There is no list of pairs, and there are too few people to draw one.")
    elif file is None:
        notes.append(
            f"There is no list of pairs ({' or '.join(LISTS)}): {len(pairs)} pairs in {pairs['fold'].max()} "
            "folds without shared people were drawn (seed 0). Results on them compare with no published ones."
        )
        several = samples["subject"].value_counts() > 1
        if len(people_in(pairs, samples)) < several.sum():
            notes.append("Every second person is tested, the others are for training.")
        else:
            notes.append("All people with two images are tested: there are too few to learn from others.")
    elif "val" in set(pairs["list"]) and file is not None:
        notes.append(
            "The list has no folds: pairs of the other people were drawn (seed 0) for the threshold."
        )
    crossing = crossing_folds(pairs, samples)
    if crossing:
        notes.append(
            f"{len(crossing)} people are in more than one fold ({', '.join(crossing[:3])}): the threshold "
            "of a fold is chosen on people it is tested on, unlike in LFW."
        )
    return " ".join(notes)


DATASET = Dataset(
    classes=(), terms=TERMS, convert=_convert, resizes=True, any_variant=True, read_classes=find_people
)
