"""Workers of this machine: as many ``dvc repro --single-item STAGE`` at once as it holds."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fer_repro.pipeline.dvc_stages import TRIES, found_locked, pause, start_dvc
from fer_repro.pipeline.stopping import STOPPED

# what DVC says of every stage and nobody reads
_NOISE = re.compile(
    r"^(Updating lock file|Generating lock file|Use `dvc push`|To track the changes|\s*git add|$)"
)


def run_stages(stages: Sequence[str], workers: int) -> list[str]:
    """Run stages with at most so many workers at once.

    Args:
        stages: names such as ``train-faces@synthetic-rmn-0``, whose inputs are up to date.
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
        if STOPPED.is_set():
            return False
        begin = time.monotonic()
        command = ("repro", "--single-item", stage)
        with start_dvc(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace") as run:
            said = "".join(_echo(line) for line in run.stdout or ())
        if STOPPED.is_set():
            return False
        if run.returncode == 0:
            print(f"{stage}: done in {time.monotonic() - begin:.0f} s", flush=True)
            return True
        # DVC's lock is met at once and sometimes without a word; a stage that fails says why
        if run.returncode < 0 or not (found_locked(said) or not said.strip()):
            break
        pause(attempt)
    print(f"{stage}: failed", file=sys.stderr, flush=True)
    return False


def _echo(line: str) -> str:
    if not _NOISE.match(line):
        print(line, end="", flush=True)
    return line
