"""Many stages on the cores of one machine, the longest first; what ``make reproduce`` calls.

``python -m fer_repro.pipeline.sweep`` (or ``fer-repro sweep``) gives each stage that has changed to the next
free worker, as soon as what it needs is there, and leaves the rest to a serial ``dvc repro``, which also
repairs what a worker left undone. Workers are processes of this machine, each a ``dvc repro --single-item``,
or tasks on a Ray cluster (ray_sweep.py). A second sweep of the same project waits for the first; one that is
stopped ends all processes it has started.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from fer_repro.config import RunConfig, load_config, method_arms
from fer_repro.errors import UserError, exit_code
from fer_repro.params import TASKS, Params, RuntimeConfig, read_params
from fer_repro.pipeline.dvc_stages import call_dvc, changed_stages, find_programs, run_stage
from fer_repro.pipeline.preload import ADDRESS, preloaded
from fer_repro.pipeline.project_lock import alone, stop_with_children
from fer_repro.pipeline.ray_sweep import RayWorkers, import_ray, ray_workers

REPORT, SOURCES = Path("reports/index.html"), Path("reports/sources.json")
INPUTS = ("inputs",)
# of Ray, one after the other; the last tasks take longest: begun first, they keep no worker waiting
GROUPS = [
    INPUTS,
    ("prepare",),
    *(tuple(f"{step}-{task}" for task in reversed(TASKS)) for step in ("train", "evaluate")),
]


def check_runs(params_file: Path) -> RunConfig:
    """Check the configuration of all runs of the pipeline, before hours are spent on some of them.

    Returns:
        The configuration of one run; ``runtime`` is the same in all.

    Raises:
        UserError: the first mistake in params.yaml.
    """
    params = read_params(params_file)
    for dataset, method in params.pipeline.runs:
        for arm in method_arms(params_file, method):
            config = load_config(params_file, method, dataset, arm, params.seeds_of(method)[0])
    return config


def worker_count(runtime: RuntimeConfig, asked: int = 0) -> int:
    """How many workers fit on the machine: its cores divided by the threads that one run uses.

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


def sweep(
    params_file: Path = Path("params.yaml"), workers: int = 0, pull: str = "", ray: str = "", gpus: float = 1
) -> int:
    """Bring the pipeline of the project in the working folder up to date; signals end all that it started.

    Args:
        params_file: the project's.
        workers: runs at once; 0 decides by cores and threads, with Ray by what the cluster holds.
        pull: fetch this first, such as ``data.dvc``.
        ray: address of a Ray cluster; ``local`` starts Ray here; empty does without Ray.
        gpus: of a training stage on Ray where ``runtime.device`` asks for one.

    Returns:
        0, or the exit code of the ``dvc`` that failed; 1 when a stage failed on Ray.

    Raises:
        UserError: a mistake in the parameters or the options, or a program that is missing.
    """
    find_programs()
    runtime = check_runs(params_file).runtime
    count = worker_count(runtime, workers)
    if ray:
        import_ray(gpus)  # before anything is begun
    stop_with_children()
    if not REPORT.is_file():  # DVC knows the hashes beside the page only
        SOURCES.unlink(missing_ok=True)
    with alone():
        if pull and (code := call_dvc("pull", pull)):
            return code
        if not ray:
            return _sweep_here(count, read_params(params_file))
        with ray_workers(ray, runtime, workers, gpus) as found:
            failed = _sweep_on(found)
        return failed or call_dvc("repro")


def _sweep_here(workers: int, params: Params) -> int:
    with ExitStack() as stack:
        if workers > 1:
            inputs: dict[str, list[str]] = {name: [] for name in changed_stages(*INPUTS)}
            if not run_stages(inputs, workers):  # or the serial end prints why it failed
                stages = stages_to_run(_needs(params))
                if stages and not os.environ.get(ADDRESS):
                    stack.enter_context(preloaded())
                run_stages(stages, workers)
        return call_dvc("repro")


def stages_to_run(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Find the stages that have changed and those that read their outputs, each with what it waits for.

    Args:
        needs: stages, each with those among them whose outputs it reads; these come before it.
    """
    changed = set(changed_stages(*dict.fromkeys(stage.partition("@")[0] for stage in needs)))
    found: dict[str, list[str]] = {}
    for stage, needed in needs.items():
        waits = [each for each in needed if each in found]
        if waits or stage in changed:
            found[stage] = waits
    return found


def _needs(params: Params) -> dict[str, list[str]]:
    """Name the stages of preparing, training and evaluation, each with those that it reads from."""
    stages: dict[str, list[str]] = {f"prepare@{name}": [] for name in params.pipeline.datasets}
    for (dataset, method), task in params.pipeline.runs.items():
        for seed in params.seeds_of(method):
            stages[f"train-{task}@{dataset}-{method}-{seed}"] = [f"prepare@{dataset}"]
    for (dataset, method), task in params.pipeline.runs.items():
        trained = [f"train-{task}@{dataset}-{method}-{seed}" for seed in params.seeds_of(method)]
        stages[f"evaluate-{task}@{dataset}-{method}"] = [f"prepare@{dataset}", *trained]
    return stages


def _sweep_on(ray: RayWorkers) -> int:
    for groups in GROUPS:
        undone = ray.run_stages(changed_stages(*groups))
        if undone.failed:
            print(f"failed: {', '.join(undone.failed)}; the same command repeats them", file=sys.stderr)
            return 1
        if undone.stale:
            break  # the serial end runs them and what follows
    return 0


def _main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit code is that of ``sweep``, or 128 + number of a signal."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_repro.pipeline.sweep", description="Run the pipeline."
    )
    parser.add_argument("--workers", type=int, default=0, help="runs at once; 0 decides by cores and threads")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--pull", metavar="TARGET", default="", help="fetch this first, such as data.dvc")
    parser.add_argument("--ray", metavar="ADDRESS", default="", help="of a Ray cluster; 'local' starts one")
    parser.add_argument("--gpus", type=float, default=1.0, help="of a training run on Ray, where it uses any")
    chosen = parser.parse_args(arguments)
    return exit_code(sweep, chosen.params, chosen.workers, chosen.pull, chosen.ray, chosen.gpus)


def run_stages(stages: Mapping[str, Sequence[str]], workers: int) -> set[str]:
    """Run stages with at most so many workers at once, each as soon as what it needs is there.

    A worker that is free takes the first stage that can run, so that none is idle while there is one. What
    needs a stage that failed is left out.

    Args:
        stages: names such as ``train-faces@synthetic-rmn-0``, each with those among them whose outputs it
            reads; these are listed before it.
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
                running[pool.submit(run_stage, stage)] = stage
                waiting.remove(stage)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                (done if future.result() else failed).add(running.pop(future))
    return failed


if __name__ == "__main__":
    sys.exit(_main())
