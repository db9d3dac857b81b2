"""Labeled Faces in the Wild: 13,233 images of 5,749 people, and three lists of pairs.

Huang, Ramesh, Berg, Learned-Miller, technical report 07-49, University of Massachusetts Amherst, 2007. Read
from the folder of people (250 x 250 originals, or crops of one size) with ``pairs.txt`` (View 2, ten folds:
the published number) and ``pairsDevTrain.txt`` and ``pairsDevTest.txt`` (View 1, to develop on) in it or
beside it.

Split: people of ``pairsDevTrain.txt`` are ``train``, all others ``test``; nobody is in both. A network
trained on ``train`` is tested on the list ``dev_test``, never on ``view2``: 1,689 of the 2,132 people of
``train`` are in ``pairs.txt``. For ``view2`` it is trained for each fold on people outside that fold, or on
another source.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.image_files import ImageFile, convert_images
from fer_repro.datasets.names import composed, is_listed_file
from fer_repro.datasets.pairs import COLUMNS, ConvertedPairs, people_in, read_pairs
from fer_repro.datasets.people import find_folder, find_images, find_people
from fer_repro.errors import UserError
from fer_repro.files import file_sha256

LISTS = {"pairs.txt": "view2", "pairsDevTrain.txt": "dev_train", "pairsDevTest.txt": "dev_test"}
PAIR_FACTS = {
    "distinct_images": 13231,  # of 13,233; two images are there twice
    "people": 5749,
    "people_with_several_images": 1680,
    "view2_pairs": 6000,
    "view2_same": 3000,
    "view2_folds": 10,
    "view2_people": 4281,
    "view2_people_crossing_folds": 0,
    "view2_repeated_pairs": 0,
    "dev_train_pairs": 2200,
    "dev_train_same": 1100,
    "dev_train_people": 2132,
    "dev_test_pairs": 1000,
    "dev_test_same": 500,
    "dev_test_people": 963,
    "people_in_view2_and_dev_train": 1689,
    "people_in_view2_and_dev_test": 776,
    "people_in_dev_train_and_dev_test": 0,
}
TERMS = (
    "LFW was published for research on face verification without a formal licence; the photographs belong to "
    "their owners: do not publish them again."
)


def _convert(job: Conversion) -> ConvertedPairs:
    """Read LFW in its publisher's layout.

    Args:
        job: ``path``: the folder of people, or the one above it; ``size``: side of the stored images; 0
            leaves them as they are, all of one size.

    Raises:
        UserError: naming the file, the line and what was expected there.
    """
    folder = find_folder(job.path)
    photos = find_images(folder)
    _check_names(photos)
    lists = {name: _find_list(name, folder, job.path) for name in LISTS}
    if lists["pairs.txt"] is None:
        raise UserError(f"{folder}: pairs.txt is missing; expected it in this folder or beside it")
    samples = _provisional(photos)
    tables = [read_pairs(file, LISTS[name], samples) for name, file in lists.items() if file is not None]
    pairs = pd.concat(tables, ignore_index=True)
    learnt = set(people_in(pairs[pairs["list"] == "dev_train"], samples))
    photos = [replace(photo, split="train" if photo.subject in learnt else "test") for photo in photos]
    converted = convert_images(folder, photos, job.append, job.expect, job.size)
    source = {name: file_sha256(file) for name, file in lists.items() if file is not None}
    return ConvertedPairs(
        converted.samples, {**converted.source, **source}, _note(lists), pairs[list(COLUMNS)]
    )


def _check_names(photos: Sequence[ImageFile]) -> None:
    for photo in photos:
        expected = f"{photo.subject}_{photo.factors['number']:04d}"
        if composed(photo.file.stem) != expected:
            raise UserError(f"{photo.file}: expected a name such as {photo.subject}_0001.jpg")


def _find_list(name: str, folder: Path, path: Path) -> Path | None:
    places = dict.fromkeys((folder / name, folder.parent / name, path / name))
    return next((place for place in places if is_listed_file(place)), None)


def _provisional(photos: Sequence[ImageFile]) -> pd.DataFrame:
    """The table that lists are checked against, before any image is read."""
    return pd.DataFrame(
        {
            "subject": [photo.subject for photo in photos],
            "number": [photo.factors["number"] for photo in photos],
        }
    )


def _note(lists: dict[str, Path | None]) -> str:
    missing = [name for name, file in lists.items() if file is None]
    if not missing:
        return ""
    effect = " Nobody is train." if "pairsDevTrain.txt" in missing else ""
    return f"{' and '.join(missing)} not found: the set has no such list of pairs.{effect}"


DATASET = Dataset(
    classes=(), terms=TERMS, convert=_convert, resizes=True, read_classes=find_people, pair_facts=PAIR_FACTS
)  # counts per class carry no information here; PAIR_FACTS does
