"""What mutmut keeps of each file: which mutants are to be tried, and what came of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mutmut.mutation.data import SourceFileMutationData
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

# of methods' files only the losses are tried: networks are held against the authors' own outputs
LOSSES = {
    "fer_repro/methods/fan.py": ("FANLoss", "x_build_loss"),
    "fer_repro/methods/ran.py": ("RegionBiasedLoss", "RANLoss", "x_build_loss"),
}
STATES = ("killed", "timeout", "survived", "no tests", "not run")
_ENDED = {"segfault": "timeout"}  # the system ended it: it took too long, or all memory
_SKIPPED = 34  # mutmut's code for a mutant that is not tried


class Mutant(NamedTuple):
    """One change of one line, and what the tests made of it."""

    path: str
    name: str
    state: str  # of STATES
    place: float = 0.0  # see ``places``


def places(names: Iterable[str], seed: int) -> dict[str, float]:
    """Draw the order in which one file's mutants are tried: name -> share of the file that comes up to it.

    Whatever share is tried is a random part, and that of a larger share holds that of a smaller one.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return {name: (number + 1) / len(order) for number, name in enumerate(order)}


def choose_mutants(share: float, seed: int) -> dict[str, float]:
    """Mark the mutants beyond the share, or of no loss, as not to be tried; returns the places of others."""
    found = {}
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        chosen = {name: place for name, place in _places(path, data, seed).items() if place <= share}
        for key, code in data.exit_code_by_key.items():
            if key not in chosen and code is None:  # what was tried before stands
                data.exit_code_by_key[key] = _SKIPPED
            elif key in chosen and code == _SKIPPED:
                data.exit_code_by_key[key] = None
        data.save()
        found |= chosen
    return found


def tried_mutants(seed: int) -> list[Mutant]:
    """Read what mutmut found, but for the mutants that were not drawn."""
    found = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, place in _places(path, data, seed).items():
            state = status_by_exit_code[data.exit_code_by_key[name]]
            state = _ENDED.get(state, state)
            if state != "skipped":
                found.append(Mutant(path.as_posix(), name, state if state in STATES else "not run", place))
    return found


def _places(path: Path, data: SourceFileMutationData, seed: int) -> dict[str, float]:
    parts = LOSSES.get(path.as_posix(), ("",))
    return places((key for key in data.exit_code_by_key if any(part in key for part in parts)), seed)
