"""Strike a running program at a random moment; then look at what it left, and let it finish.

After each strike no process lives on, every file with a final name is whole, and the same command ends with
the bytes of an undisturbed run.
"""

import os
import random
import shutil
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from ground import ground, jumping_clock

MARK = "FER_REPRO_FAULT"
LIMIT = 600.0  # seconds until a program counts as stuck, on a busy machine, too
GRACE = 30.0  # seconds that processes have to notice that they are alone
NEEDS_DISK = ("full disk", "read-only")
KINDS = ("SIGINT", "SIGTERM", "SIGKILL", "lost worker", *NEEDS_DISK, "clock", "twice")
REFUSALS = ("being written by another process", "is busy", "Unable to acquire lock")


@dataclass
class Target:
    """A program to strike.

    Attributes:
        name: of the stage.
        command: its words.
        template: the folder as it is before; the program works in a copy.
        products: patterns of the files that it leaves.
        environment: of the program.
        together: folders that are replaced as a whole: all of their files are old, or all are new.
        reference: product -> bytes after an undisturbed run.
        span: seconds that it took.
    """

    name: str
    command: list
    template: Path
    products: tuple
    environment: dict
    together: tuple = ()
    reference: dict = field(default_factory=dict)
    span: float = 0.0

    def start(self, folder, mark, **more):
        """Start it in a copy; what it says goes beside the copy."""
        environment = {
            **os.environ,
            **{name: value.replace("{here}", str(folder)) for name, value in self.environment.items()},
            **more,
            MARK: mark,
        }
        with folder.with_name("said.txt").open("ab") as said:
            return subprocess.Popen(
                self.command, cwd=folder, env=environment, start_new_session=True,
                stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def found(self, folder):
        """Product -> bytes, of final names alone."""
        paths = {path for pattern in self.products for path in folder.glob(pattern) if path.is_file()}
        names = {path.relative_to(folder): path for path in sorted(paths)}
        return {
            name.as_posix(): path.read_bytes()
            for name, path in names.items()
            if not any(part.startswith(".") for part in name.parts)
            and not name.name.endswith(".failed.ipynb")
        }

    def measure(self, place):
        """Run it undisturbed."""
        with ground(place, wants_disk=False):
            folder = copy_of(self.template, place)
            begin = time.monotonic()
            code = self.start(folder, "undisturbed").wait(LIMIT)
            self.span = time.monotonic() - begin
            assert code == 0, said_in(place)
            self.reference = self.found(folder)
            assert self.reference, f"{self.name} leaves nothing"
        return self


def copy_of(template, place):
    shutil.copytree(template, place / "project", symlinks=True)
    return place / "project"


def said_in(place):
    return (place / "said.txt").read_text(encoding="utf-8", errors="replace")[-3000:]


def alive(mark):
    """The processes that descend from a start."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def hit(kind, process, ground_, rng):
    """Strike now."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if kind == "SIGKILL":
            os.killpg(process.pid, signal.SIGKILL)
        elif kind in ("SIGINT", "SIGTERM"):
            process.send_signal(signal.Signals[kind])
        elif kind == "lost worker":
            workers = psutil.Process(process.pid).children(recursive=True)
            (rng.choice(workers) if workers else psutil.Process(process.pid)).kill()
        elif kind == "full disk":
            ground_.fill()
        elif kind == "read-only":
            while not ground_.protect() and process.poll() is None:
                time.sleep(0.002)


def strike(target, kind, rng, place):
    """Strike a target once; returns what happened.

    Raises:
        AssertionError: it does not hold.
    """
    with ground(place, kind in NEEDS_DISK) as where:
        if kind in NEEDS_DISK and not where.disk:
            pytest.skip("a disk of its own needs root and mount")
        folder, mark = copy_of(target.template, place), uuid.uuid4().hex
        at, jumps = rng.uniform(0.0, target.span), {}
        if kind == "clock":
            years, modules = rng.uniform(-10, 10), target.environment.get("PYTHONPATH", "")
            jumps = jumping_clock(place / "clock", time.monotonic() + at, years * 3e7, modules)
        process = target.start(folder, mark, **jumps)
        with suppress(subprocess.TimeoutExpired):
            process.wait(at)
        second = target.start(folder, mark) if kind == "twice" else None
        was_running = process.poll() is None
        hit(kind, process, where, rng)
        codes = [one.wait(LIMIT) for one in (process, second) if one is not None]
        message = f"{target.name}, {kind} after {at:.3f} of {target.span:.3f} s, codes {codes}"
        left_alone(mark, message)
        check_whole(target, folder, message)
        if kind in ("clock", "twice"):
            refused = any(words in said_in(place) for words in REFUSALS)
            assert 0 in codes, f"{message}\n{said_in(place)}"
            assert codes == [0] * len(codes) or refused, f"{message}\n{said_in(place)}"
        if where.disk:
            where.free()
        check_end(target, folder, message)
    return {"stage": target.name, "kind": kind, "while running": was_running}


def left_alone(mark, message):
    """No process of a start lives on."""
    limit = time.monotonic() + GRACE
    while left := alive(mark):
        assert time.monotonic() < limit, f"{message}: lives on: {left}"
        time.sleep(0.1)


def check_whole(target, folder, message):
    """Every file with a final name is that of before, or that of an undisturbed run."""
    before, found = target.found(target.template), target.found(folder)
    half = {
        name for name, data in found.items() if data not in (before.get(name), target.reference.get(name))
    }
    assert not half, f"{message}: half-written: {sorted(half)}\n{said_in(folder.parent)}"
    for name in target.together:
        parts = [
            {path: data for path, data in files.items() if path.startswith(f"{name}/")}
            for files in (found, before, target.reference)
        ]
        assert parts[0] in parts[1:], f"{message}: {name} is neither old nor new: {sorted(parts[0])}"


def check_end(target, folder, message):
    """The same command ends as if nothing had happened."""
    code = target.start(folder, "finish").wait(LIMIT)
    assert code == 0, f"{message}; then {code}\n{said_in(folder.parent)}"
    assert target.found(folder) == target.reference, message
    litter = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.endswith((".tmp", ".old", ".failed.ipynb")) and ".dvc" not in path.parts
    ]
    assert not litter, f"{message}: left behind: {litter}"


def moments(seed, number):
    """The random numbers of one strike, the same in a quick run and in a long one."""
    return random.Random(f"{seed} {number}")
