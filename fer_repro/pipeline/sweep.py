"""Train the matrix of data set, method and seed with several workers of this machine, safely.

``python -m fer_repro.pipeline.sweep`` gives each stage that has changed, first the preparing, then the
training, then the evaluating ones, to the next free worker (``dvc repro --single-item STAGE``), and leaves
the rest to a serial ``dvc repro``, which also repairs what a worker left undone. DVC holds its lock for
moments only; a worker that meets it tries again. A second sweep of the same project waits for the first; one
that is told to stop takes all it has started with it.
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from fer_repro.config import RunConfig, RuntimeConfig, load_config, method_arms
from fer_repro.errors import UserError
from fer_repro.params import TASKS, pipeline_runs, read_params
from fer_repro.pipeline.project_lock import alone

TRIES = 4
# what DVC says when another of its processes is at work; a stage's own words do not count
_LOCKED = re.compile(r"^ERROR: .*(Unable to acquire lock|is busy)", re.MULTILINE)
# what DVC says of every stage and nobody reads
_NOISE = re.compile(
    r"^(Updating lock file|Generating lock file|Use `dvc push`|To track the changes|\s*git add|$)"
)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_stopped = threading.Event()


def changed_stages(*groups: str) -> list[str]:
    """Ask DVC which stages of some groups would run, group after group.

    Raises:
        UserError: DVC cannot tell.
    """
    for attempt in range(TRIES):
        with _start("status", "--json", *groups, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
            out, error = asked.communicate()
        if asked.returncode == 0:
            found = [stage for stage in json.loads(out or "{}") if stage.partition("@")[0] in groups]
            return sorted(found, key=lambda stage: groups.index(stage.partition("@")[0]))
        if not _LOCKED.search(error):
            break
        _pause(attempt)
    raise UserError(f"dvc status {' '.join(groups)}: {error.strip() or 'failed'}")


def check_runs(params_file: Path) -> RunConfig:
    """Check the configuration of all runs of the pipeline, before hours are spent on some of them.

    Args:
        params_file: usually ``params.yaml``.

    Returns:
        The configuration of one run; ``runtime`` is the same in all.

    Raises:
        UserError: the first mistake in params.yaml.
    """
    params = read_params(params_file)
    configs = [
        load_config(params_file, method, dataset, arm, params["seeds"][0])
        for dataset, method in pipeline_runs(params)
        for arm in method_arms(params_file, method)
    ]
    return configs[0]


def worker_count(runtime: RuntimeConfig, asked: int = 0) -> int:
    """How many workers the machine holds: its cores over the threads that one run uses.

    Args:
        runtime: of the runs.
        asked: a number the user wants; 0 decides.

    Raises:
        UserError: the number is negative.
    """
    if asked < 0:
        raise UserError(f"--workers is {asked}: expected a whole number from 1, or 0 to decide by the cores")
    if asked:
        return asked
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
    print(f"{len(stages)} stages, {workers} at a time: {', '.join(stages)}", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(_run_stage, stages))
    return [stage for stage, is_done in zip(stages, done, strict=True) if not is_done]


def _run_stage(stage: str) -> bool:
    for attempt in range(TRIES):
        if _stopped.is_set():
            return False
        begin = time.monotonic()
        command = ("repro", "--single-item", stage)
        with _start(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace") as process:
            said = "".join(_echo(line) for line in process.stdout or ())
        if _stopped.is_set():
            return False
        if process.returncode == 0:
            print(f"{stage}: done in {time.monotonic() - begin:.0f} s", flush=True)
            return True
        # DVC's lock is met at once and sometimes without a word; a stage that fails says why
        if process.returncode < 0 or not (_LOCKED.search(said) or not said.strip()):
            break
        _pause(attempt)
    print(f"{stage}: failed", file=sys.stderr, flush=True)
    return False


def _call(*command: str) -> int:
    """Let DVC write to where we write: on a terminal, training shows its bar."""
    with _start(*command) as process:
        return process.wait()


def _start(*command: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
    first = _end_with_parent if _LIBC else None
    return subprocess.Popen(["dvc", *command], text=True, preexec_fn=first, **options)


def _end_with_parent() -> None:
    if _LIBC:
        _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a killed sweep leaves no worker behind


def _echo(line: str) -> str:
    if not _NOISE.match(line):
        print(line, end="", flush=True)
    return line


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0.5, 2.0) * (attempt + 1))


def _stop_with_children() -> None:
    """Before this process follows a signal, end everything it has started, training included."""
    import psutil

    numbers = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]  # nohup

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)  # a second signal ends this process at once
        _stopped.set()
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


def _sweep(workers: int, pull: str) -> int:
    if pull and (code := _call("pull", pull)):
        return code
    if workers > 1:
        for step in ("prepare", "train", "evaluate"):
            # the last tasks take longest: begun first, they keep no worker waiting at the end
            if run_stages(changed_stages(*(f"{step}-{task}" for task in reversed(TASKS))), workers):
                break  # what follows would miss its inputs; the serial end says why
    return _call("repro")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0, or the exit code of the ``dvc`` that failed; 2 for a user's mistake, 128 + number when stopped by a
        signal.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fer_repro.pipeline.sweep", description="Run the pipeline."
    )
    parser.add_argument("--workers", type=int, default=0, help="runs at once; 0 decides by cores and threads")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--pull", metavar="TARGET", default="", help="fetch this first, such as data.dvc")
    chosen = parser.parse_args(arguments)
    _stop_with_children()
    try:
        workers = worker_count(check_runs(chosen.params).runtime, chosen.workers)
        with alone():
            return _sweep(workers, chosen.pull)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
