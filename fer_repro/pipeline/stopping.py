"""A process that ends takes all that it has started with it."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

STOPPED = threading.Event()
"""Set when a signal has told this process to end: what fails from then on is no news."""
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
        # Ctrl-C has reached all of the terminal's processes, and DVC puts its locks away by itself
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
