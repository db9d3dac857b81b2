"""Workers of this machine: as many ``dvc repro --single-item STAGE`` at once as it holds."""

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from fer_repro.pipeline.dvc_stages import TRIES, found_locked, pause, start_dvc
from fer_repro.pipeline.stopping import STOPPED

# what DVC says of every stage and nobody reads
_NOISE = re.compile(
    r"^(Updating lock file|Generating lock file|Use `dvc push`|To track the changes|\s*git add|$)"
)


def run_stages(stages: Mapping[str, Sequence[str]], workers: int) -> set[str]:
    """Run stages with at most so many workers at once, each as soon as what it needs is there.

    A worker that is free takes the first stage that can run, so that none is idle while there is one. What
    needs a stage that failed is left out.

    Args:
        stages: names such as ``train-faces@synthetic-rmn-0``, each with those among them whose outputs it
            reads; these stand before it.
        workers: from 1.

    Returns:
        The stages that failed or were left out.
    """
    if not stages:
        return set()
    print(f"{len(stages)} stages, {workers} at a time: {', '.join(stages)}", flush=True)
    done: set[str] = set()
    failed: set[str] = set()
    waiting = list(stages)
    running: dict[Future[bool], str] = {}
    with ThreadPoolExecutor(workers) as pool:
        while waiting or running:
            failed |= {stage for stage in waiting if failed.intersection(stages[stage])}
            waiting = [stage for stage in waiting if stage not in failed]
            ready = [stage for stage in waiting if done.issuperset(stages[stage])]
            for stage in ready[: workers - len(running)]:
                running[pool.submit(_run_stage, stage)] = stage
                waiting.remove(stage)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                (done if future.result() else failed).add(running.pop(future))
    return failed


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
