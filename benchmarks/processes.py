"""Fresh processes for what can only be measured in one, and the memory that they hold."""

import subprocess
import sys
from pathlib import Path

from benchmarks.tables import ROOT


def in_process(module: str, *arguments: str) -> str:
    """Run ``python -m benchmarks.<module>`` in a fresh process; returns what it prints.

    Raises:
        RuntimeError: it failed; with the end of its output.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {found.stderr[-2000:]}")
    return found.stdout


def memory(kind: str) -> int:
    """Read bytes of this process's memory on Linux: ``RssAnon``, or ``VmHWM``, the peak of what is resident.

    The peak of ``getrusage`` would be that of the parent, where this was larger.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii").split()
    return 1024 * int(status[status.index(f"{kind}:") + 1])
