"""One sweep at a time in a project, and the end of all that it has started."""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from fer_repro.errors import UserError
from fer_repro.project_files import NO_PROJECT

if sys.platform != "win32":
    import fcntl

SWEEP_LOCK = Path(".dvc/tmp/sweep.lock")
DVC_LOCK = Path(".dvc/tmp/rwlock")


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other sweep of this project runs; the system frees the lock of one that was killed.

    Raises:
        UserError: the working folder is not the root of a DVC project.
    """
    if not SWEEP_LOCK.parent.parent.is_dir():
        raise UserError(f"{Path.cwd()}: no DVC project here; {NO_PROJECT}")
    SWEEP_LOCK.parent.mkdir(exist_ok=True)
    with SWEEP_LOCK.open("a+") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                other = f"process {file.read() or 'unknown'}"
                print(f"another sweep of this project runs ({other}); waiting for its end", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        clear_dvc_lock()
        yield


def clear_dvc_lock(wait: float = 1.0) -> None:
    """Remove DVC's table of locked paths unless a running DVC is listed in it.

    DVC removes a process that has ended by itself, but stops at a table that a killed process left
    half-written, and waits for ever when another program now has the number of the ended process.

    Args:
        wait: seconds that a running DVC gets to finish the table.
    """
    for attempt in range(2):
        try:
            table = json.loads(DVC_LOCK.read_text(encoding="utf-8"))
            break
        except FileNotFoundError:
            return
        except ValueError:
            table = {}
            if attempt == 0:
                time.sleep(wait)
    if not any(map(_is_dvc, _pids(table))):
        DVC_LOCK.unlink(missing_ok=True)


def _pids(table: Any) -> set[int]:  # noqa: ANN401 - a file of DVC
    """Find the numbers at any depth: the table keeps one process a path for writing, a list for reading."""
    if isinstance(table, list):
        return set().union(*map(_pids, table))
    if not isinstance(table, dict):
        return set()
    found = {table["pid"]} if isinstance(table.get("pid"), int) else set()
    return found.union(*map(_pids, table.values()))


def _is_dvc(pid: int) -> bool:
    import psutil

    try:
        return any("dvc" in word for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


STOPPED = threading.Event()
"""Set when a signal has asked this process to end: failures after that are expected."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    if _LIBC:
        _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a killed sweep leaves no worker behind


end_with_parent: Callable[[], None] | None = _end_with_parent if _LIBC else None
"""For ``Popen(preexec_fn=...)``: the system ends the child when its parent has gone; None where it cannot."""


def stop_with_children() -> None:
    """Before this process follows a signal, end everything it has started, training included."""
    import psutil

    numbers = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)  # a second signal ends this process at once
        STOPPED.set()
        # Ctrl-C has reached all of the terminal's processes, and DVC removes its locks by itself
        family = psutil.Process().children(recursive=True)
        _, family = psutil.wait_procs(family, timeout=5 if number == signal.SIGINT else 0)
        for end in ("terminate", "kill"):
            for process in family:
                with suppress(psutil.Error):
                    getattr(process, end)()
            _, family = psutil.wait_procs(family, timeout=5)
        os.write(2, b"stopped; the same command continues\n")
        os._exit(128 + number)

    for number in numbers:
        signal.signal(number, stop)
