"""What a network was trained on, said before it is believed: the only place that decides it.

A network that learnt from rendered faces alone answers about photographs as surely as about such faces, and
is wrong much more often: docs/inference.md has the numbers.
"""

import functools
from collections.abc import Iterable

from fer_repro.datasets.dataset import is_addable
from fer_repro.recipes import is_synthetic

SYNTHETIC_FACES, AS_PUBLISHED, UNKNOWN_DATA = "synthetic faces", "as published", "unknown"
_NO_NAME = ("", "none", "unknown")


@functools.cache
def trained_on(dataset: str, official: bool = False) -> str:
    """Tell what a network was trained on.

    Args:
        dataset: as the run's config.json or the model file names it.
        official: the weights are those of a paper's authors.

    Returns:
        ``synthetic faces``, the name of a data set that can be added, ``as published`` for authors' weights
        whose data no file names, or ``unknown``, with the name of a set that no adapter here reads.
    """
    if is_synthetic(dataset):
        return SYNTHETIC_FACES
    if dataset in _NO_NAME:
        return AS_PUBLISHED if official else UNKNOWN_DATA
    return dataset if is_addable(dataset) else f"{UNKNOWN_DATA} ({dataset})"


def is_unknown(data: str) -> bool:
    """Whether ``trained_on`` could not tell."""
    return data.startswith(UNKNOWN_DATA)


def warning_of(networks: Iterable[tuple[str, str]]) -> str:
    """Word the warning about networks that did not learn from photographs, or nobody knows from what.

    Args:
        networks: name and ``trained_on`` of each.

    Returns:
        One line; "" where nothing is to be said.
    """
    pairs = list(networks)
    synthetic = [name for name, data in pairs if data == SYNTHETIC_FACES]
    unknown = [f"{name} was trained on {data} data" for name, data in pairs if is_unknown(data)]
    said = list(dict.fromkeys(unknown))
    if synthetic:
        first, *others = dict.fromkeys(synthetic)
        named = f"{first} and {len(others)} more were" if others else f"{first} was"
        said.insert(
            0,
            f"{named} trained on synthetic faces only: on photographs and real videos answers are often "
            "wrong, however confident",
        )
    return f"warning: {'; '.join(said)}" if said else ""


def caption_of(data: Iterable[str]) -> str:
    """Word what stands in an annotated frame; "" for networks of photographs.

    Args:
        data: ``trained_on`` of the networks.
    """
    found = set(data)
    if SYNTHETIC_FACES in found:
        return f"trained on {SYNTHETIC_FACES}"
    return "trained on unknown data" if any(map(is_unknown, found)) else ""
