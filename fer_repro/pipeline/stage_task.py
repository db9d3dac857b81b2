"""What a worker of a cluster does for a stage: run its commands, and report the result.

It uses the standard library alone and travels to the worker by value, so a worker needs no more than what the
stage's own commands need.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LINES = 20  # of what a stage printed last, kept to say why it failed
_COMPOUND = re.compile(r"[|&;<>()`\n]")


def run_commands(
    name: str, commands: Sequence[str], folder: str, outs: Sequence[str]
) -> tuple[int, str, str, float]:
    """Run a stage's commands as DVC would, but without DVC: outputs of an earlier run are deleted first.

    What they print goes on to this process's output. They end when this process is killed, so that none runs
    next to its own repetition.

    Args:
        name: of the stage.
        commands: one after the other, up to the first that fails.
        folder: the project's; all machines must see the same.
        outs: absolute paths of what the commands write.

    Returns:
        Exit code, the last lines printed, the machine's name, seconds.
    """
    machine, begin = socket.gethostname(), time.monotonic()
    if not Path(folder).is_dir():
        missing = f"{folder} does not exist on {machine}: the machines of a cluster must share it"
        return 2, missing, machine, 0.0
    _delete(outs)
    environment = _environment(name, folder)
    tail: deque[str] = deque(maxlen=LINES)
    for command in commands:
        if code := _run(command, folder, environment, tail):
            break
    return code, "".join(tail), machine, time.monotonic() - begin


def _delete(outs: Iterable[str]) -> None:
    for out in map(Path, outs):
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def _environment(name: str, folder: str) -> dict[str, str]:
    """Give commands what DVC gives them, and the programs of this worker's environment."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_STAGE": name, "DVC_ROOT": folder}


def _run(command: str, folder: str, environment: Mapping[str, str], tail: deque[str]) -> int:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    with subprocess.Popen(
        # without a shell in between, what ends with the worker is the command itself
        ["/bin/sh", "-c", command if _COMPOUND.search(command) else f"exec {command}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # PR_SET_PDEATHSIG; on other systems Ray, or the stage itself, sees that the worker has gone
        preexec_fn=(lambda: libc.prctl(1, signal.SIGTERM)) if libc else None,
    ) as process:
        for line in process.stdout or ():
            tail.append(line)
            print(line, end="", flush=True)
    return process.returncode
