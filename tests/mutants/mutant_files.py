"""What mutmut keeps of each file: which mutants are to be tried, and what came of them."""

import hashlib
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


def draw(names: list[str], share: float, seed: int) -> set[str]:
    """Draw mutants of one file; the draw of a larger share holds that of a smaller one."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return set(order[: round(share * len(names))])


def choose_mutants(share: float, seed: int) -> None:
    """Mark the mutants that are not drawn, or no part of a loss, as not to be tried."""
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        parts = LOSSES.get(path.as_posix(), ("",))
        chosen = draw(
            [key for key in data.exit_code_by_key if any(part in key for part in parts)], share, seed
        )
        for key, code in data.exit_code_by_key.items():
            if key not in chosen:
                data.exit_code_by_key[key] = _SKIPPED
            elif code == _SKIPPED:
                data.exit_code_by_key[key] = None
        data.save()


def tried_mutants() -> list[Mutant]:
    """Read what mutmut found, but for the mutants that were not drawn."""
    found = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            state = _ENDED.get(status_by_exit_code[code], status_by_exit_code[code])
            if state != "skipped":
                found.append(Mutant(path.as_posix(), name, state if state in STATES else "not run"))
    return found
