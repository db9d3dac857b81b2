"""Faces of an added set beside the same faces halved and enlarged: for methods that read traces in pixels.

``fer-repro data add resampled stores/lfw`` takes the first image of each person of that set, as it is and
resampled, and writes both as JPEG files of one quality. A quarter of the people is tested, one in eight
chooses, by the sha256 of their names. Where people are unknown each image counts as one.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from fer_repro.datasets.dataset import Conversion, Dataset
from fer_repro.datasets.samples import Converted
from fer_repro.datasets.store import MANIFEST, Store, open_store
from fer_repro.errors import UserError
from fer_repro.files import file_sha256
from fer_repro.synthetic.light import compress
from fer_repro.synthetic.resampled import LABELS, RESAMPLED, halve

TERMS = "Keep to the terms of the set that it is made of."
QUALITY = 90  # of both sides
_CHUNK = 256  # images in memory
_PARTS = ("val", "test", "test", "train", "train", "train", "train", "train")


def _convert(job: Conversion) -> Converted:
    """Write the faces, then the same faces resampled.

    Raises:
        UserError: the path is no folder of a data set, or of one with manipulated faces.
    """
    store = _open(job.path)
    table = store.samples.drop_duplicates("image")
    people = np.where(table["subject"] != "", table["subject"], [f"image {row}" for row in table["image"]])
    table = table.assign(subject=people).drop_duplicates("subject").sort_values("image")
    rows = table["image"].to_numpy(np.int64)
    job.expect(2 * len(rows))
    for label in range(len(LABELS)):
        for begin in range(0, len(rows), _CHUNK):
            images = store.images[rows[begin : begin + _CHUNK]]
            job.append(np.stack([compress(halve(image) if label else image, QUALITY) for image in images]))
    parts = [_part(name) for name in table["subject"]]
    one = {"subject": table["subject"].tolist(), "clip": "", "split": parts}
    sides = [
        pd.DataFrame(
            {"image": label * len(rows) + np.arange(len(rows)), "label": label, **one, "forgery": kind}
        )
        for label, kind in enumerate(("none", RESAMPLED))
    ]
    name = store.manifest.name
    note = f"The first image of each person of {name}, and the same halved and enlarged; JPEG {QUALITY}."
    source = {f"{MANIFEST} of {name}": file_sha256(store.folder / MANIFEST)}
    return Converted(pd.concat(sides, ignore_index=True), source, note)


def _open(path: Path) -> Store:
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path}: no folder of a data set: expected one that was added, such as stores/lfw")
    store = open_store(path)
    if store.classes == LABELS:
        raise UserError(f"{path}: has real and manipulated faces already: expected a set of real ones")
    return store


def _part(person: str) -> str:
    return _PARTS[hashlib.sha256(person.encode()).digest()[0] % len(_PARTS)]


DATASET = Dataset(classes=LABELS, terms=TERMS, convert=_convert)
