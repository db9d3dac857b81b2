"""Train the matrix of data set, method and seed with several workers of this machine, safely.

``python -m fer_repro.pipeline.sweep`` brings what training waits for up to date, gives each training stage
that has changed to the next free worker (``dvc repro --single-item STAGE``), and leaves the rest to a serial
``dvc repro``, which also repairs what a worker left undone. DVC holds its lock for moments only; a worker
that meets it tries again.
"""

import argparse
import ctypes
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from fer_repro.config import RuntimeConfig, read_params, read_section
from fer_repro.errors import UserError

TRIES = 4
_LOCKED = re.compile(r"lock|is busy", re.IGNORECASE)
# what DVC says of every stage and nobody reads
_NOISE = re.compile(
    r"^(Updating lock file|Generating lock file|Use `dvc push`|To track the changes|\s*git add|$)"
)


def changed_stages(group: str) -> list[str]:
    """Ask DVC which stages of a group would run, in the order of dvc.yaml.

    Raises:
        UserError: DVC cannot tell.
    """
    asked = subprocess.run(["dvc", "status", "--json", group], capture_output=True, text=True)
    if asked.returncode:
        raise UserError(f"dvc status {group}: {asked.stderr.strip() or 'failed'}")
    return [stage for stage in json.loads(asked.stdout or "{}") if stage.startswith(f"{group}@")]


def worker_count(params_file: Path, asked: int = 0) -> int:
    """How many workers the machine holds: its cores over the threads that one run uses.

    Args:
        params_file: usually ``params.yaml``.
        asked: a number the user wants; 0 decides.

    Raises:
        UserError: the number is negative, or params.yaml is wrong.
    """
    if asked < 0:
        raise UserError(f"--workers is {asked}: expected a whole number from 1, or 0 to decide by the cores")
    if asked:
        return asked
    runtime = read_section(RuntimeConfig, read_params(params_file)["runtime"], f"{params_file}: runtime")
    if runtime.device != "cpu":
        return 1  # runs would share one accelerator
    return max(1, (os.cpu_count() or 1) // runtime.threads)


def run_stages(stages: Sequence[str], workers: int) -> list[str]:
    """Run stages with at most so many workers at once.

    Args:
        stages: names such as ``train@synthetic-rmn-0``, whose inputs are up to date.
        workers: from 1.

    Returns:
        The stages that failed.
    """
    if not stages:
        return []
    print(f"{len(stages)} training stages, {workers} at a time", flush=True)
    with _stopping() as running, ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(lambda stage: _run_stage(stage, running), stages))
    return [stage for stage, is_done in zip(stages, done, strict=True) if not is_done]


def _run_stage(stage: str, running: set[subprocess.Popen[str]]) -> bool:
    for attempt in range(TRIES):
        begin = time.monotonic()
        process = subprocess.Popen(
            ["dvc", "repro", "--single-item", stage],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        running.add(process)
        said = [_echo(line) for line in process.stdout or ()]
        running.discard(process)
        if process.wait() == 0:
            print(f"{stage}: done in {time.monotonic() - begin:.0f} s", flush=True)
            return True
        # DVC's lock is met at once and sometimes without a word; a stage that fails says why
        if process.returncode < 0 or not (_LOCKED.search("".join(said)) or not "".join(said).strip()):
            break
        time.sleep(random.uniform(0.5, 2.0) * (attempt + 1))
    print(f"{stage}: failed", file=sys.stderr, flush=True)
    return False


def _echo(line: str) -> str:
    if not _NOISE.match(line):
        print(line, end="", flush=True)
    return line


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a killed sweep leaves no worker behind


@contextmanager
def _stopping() -> Iterator[set[subprocess.Popen[str]]]:
    """End the workers when this process is told to stop."""
    running: set[subprocess.Popen[str]] = set()

    def stop(number: int, frame: object) -> None:
        for process in list(running):
            process.terminate()
        print("stopped; the same command continues", file=sys.stderr, flush=True)
        os._exit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
    yield running


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0, or the exit code of the serial ``dvc repro`` that ends the sweep; 2 for a user's mistake.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fer_repro.pipeline.sweep", description="Run the pipeline."
    )
    parser.add_argument("--workers", type=int, default=0, help="runs at once; 0 decides by cores and threads")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    chosen = parser.parse_args(arguments)
    try:
        workers = worker_count(chosen.params, chosen.workers)
        if workers > 1:
            first = subprocess.run(["dvc", "repro", "prepare"]).returncode
            if first:
                return first
            run_stages(changed_stages("train"), workers)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return subprocess.run(["dvc", "repro"]).returncode


if __name__ == "__main__":
    sys.exit(main())
