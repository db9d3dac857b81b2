"""What every benchmark is given and returns, how two things are timed fairly, and the machine they ran on."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fer_repro.config import load_config
from fer_repro.training.seeding import environment

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """How much is measured, and where.

    Attributes:
        device: ``cpu`` or ``cuda``.
        quick: only show that it runs: tiny networks, one repeat; the numbers mean nothing.
        rival: another clone, whose training is timed beside ours.
    """

    device: str
    quick: bool
    rival: Path | None = None

    @property
    def repeats(self) -> int:
        """How often each thing is timed."""
        return 1 if self.quick else 5


@dataclass(frozen=True)
class Table:
    """One answer.

    Attributes:
        title: its heading.
        prose: what was measured, against what, and the aim.
        columns: names.
        rows: of texts, as long as ``columns``.
    """

    title: str
    prose: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing.

    Attributes:
        values: in the order they were taken.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def shown(self, digits: str = ".2f") -> str:
        """Median, and smallest and largest in brackets."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:{digits}} ({low:{digits}} to {high:{digits}})"


def by_turns(
    calls: Mapping[str, Callable[[], object]], settings: Settings, rounds: int = 0
) -> dict[str, Spread]:
    """Time calls alternately, A B A B ..., after one round that does not count.

    On a CPU processor time of this process is taken, which other work on the machine disturbs less than
    wall-clock time; on a GPU wall-clock time, once the device has finished.

    Args:
        calls: name -> what is timed.
        settings: where, and whether once is enough.
        rounds: that count; 0 takes the settings' number.

    Returns:
        Name -> seconds of each round.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for counted in range(-1, (not settings.quick and rounds) or settings.repeats):
        for name, call in calls.items():
            begin = clock(settings)
            call()
            if counted >= 0:
                spent[name].append(clock(settings) - begin)
    return {name: Spread(tuple(values)) for name, values in spent.items()}


def clock(settings: Settings) -> float:
    """Read the clock of ``by_turns``."""
    if settings.device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def ratios(above: Spread, below: Spread) -> Spread:
    """Divide round by round, so that a machine that changes its speed between rounds does not matter."""
    return Spread(tuple(a / b for a, b in zip(above.values, below.values, strict=True)))


def machine(settings: Settings) -> dict[str, str | int]:
    """Describe the machine, without its name."""
    runtime = load_config(ROOT / "params.yaml", "rmn", "synthetic", "masked", 0).runtime
    found = environment(runtime)
    packages = found["packages"]
    return {
        "processor": found["processor"],
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "instructions": found["cpu_capability"],
        "accelerator": torch.cuda.get_device_name() if settings.device == "cuda" else "none used",
        "python": platform.python_version(),
        "torch": packages["torch"],
        "torchvision": packages["torchvision"],
        "numpy": packages["numpy"],
    }
