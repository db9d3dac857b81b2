"""What an adapter is: one file of ``datasets/adapters`` that ends in ``DATASET = Dataset(...)``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np

from fer_repro.datasets.audit import Official
from fer_repro.datasets.faces import Detector
from fer_repro.datasets.samples import Converted
from fer_repro.errors import UserError, nearest
from fer_repro.params import dataset_names


@dataclass(frozen=True)
class Conversion:
    """One conversion of a publisher's files.

    Attributes:
        path: the file or folder that a user has named.
        append: takes the images in order, (n, H, W) or (n, H, W, 3) uint8.
        expect: called once with the number of images to come; not where it is known only at the end.
        size: side of the stored images; 0 is the adapter's own choice, most often as they are.
        variant: a key of ``Dataset.variants``, "" for the usual rule.
        detector: finds the faces of videos; None takes the cascades, or boxes that come with the videos.
    """

    path: Path
    append: Callable[[np.ndarray], None]
    expect: Callable[[int], None]
    size: int = 0
    variant: str = ""
    detector: Detector | None = None


@dataclass(frozen=True)
class Dataset:
    """A data set that users can add.

    Attributes:
        classes: names in label order; () where ``read_classes`` finds them in the files.
        terms: on which its publisher distributes it, one sentence.
        convert: reads the publisher's files, passes the images on and returns the table.
        official: what is published about it; None if nothing.
        variants: further rules, "ferplus-plain" is adapter ferplus, variant plain; with what is published.
        any_variant: any word is a variant: a name for the user's own set.
        resizes: its images may have any size; ``--size`` stores them as squares.
        finds_faces: of videos, in which a detector finds the faces.
        read_classes: names the classes of the user's files, in label order.
        pair_facts: of identities with pairs: what is published about the lists.
    """

    classes: tuple[str, ...]
    terms: str
    convert: Callable[[Conversion], Converted]
    official: Official | None = None
    variants: Mapping[str, Official | None] = field(default_factory=dict)
    any_variant: bool = False
    resizes: bool = False
    finds_faces: bool = False
    read_classes: Callable[[Path], tuple[str, ...]] | None = None
    pair_facts: Mapping[str, int] = field(default_factory=dict)


def is_addable(name: str) -> bool:
    """Whether an adapter reads the set: it has the adapter's name, or that name, a hyphen and a variant."""
    return name.partition("-")[0] in dataset_names()


def load_dataset(name: str) -> Dataset:
    """Import the adapter of a data set.

    Args:
        name: the adapter's file, or that and a variant: "ferplus-plain", "folder-office".

    Raises:
        UserError: there is none of that name, or it has no such variant.
    """
    if not is_addable(name):
        raise UserError(f"data set '{name}' is unknown; {nearest(name, dataset_names())}")
    base, hyphen, variant = name.partition("-")
    dataset: Dataset = import_module(f"fer_repro.datasets.adapters.{base}").DATASET
    named = dataset.any_variant and re.fullmatch(r"\w+", variant, re.ASCII)
    if hyphen and variant not in dataset.variants and not named:
        choices = [base, *(f"{base}-{known}" for known in dataset.variants)]
        raise UserError(f"data set '{name}' is unknown; {nearest(name, choices)}")
    return dataset
