"""The full reproduction: every arm of every method, and all methods on the same people; kept as records.

``python -m fer_repro.pipeline.full`` trains what params.yaml names under ``more_arms`` and ``full`` into
full/, each run in a process of its own, as many at a time as the cores allow. Arms that the pipeline has
trained with the same configuration are copied, so bring it up to date first, as ``make reproduce-full``
does. Finished runs are kept: the same command continues.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fer_repro.config import RunConfig, load_config, method_arms, run_folder
from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError, print_error
from fer_repro.evaluation.finished import judge_runs
from fer_repro.evaluation.summary import evaluate_runs, write_results
from fer_repro.files import atomic_folder, atomic_write, one_writer
from fer_repro.methods.method import load_method
from fer_repro.params import dataset_manifest, read_params
from fer_repro.pipeline.project_lock import end_with_parent, stop_with_children
from fer_repro.pipeline.record import keep_record
from fer_repro.pipeline.run import run_stamp, train_run
from fer_repro.pipeline.sweep import worker_count

FULL = Path("full")
COMMON = "synthetic_apex"
_NOTE = "part of make reproduce-full: {arms}"


class Job(NamedTuple):
    """One method on one data set with one seed."""

    dataset: str
    method: str
    seed: int


def arms_of(params_file: Path, dataset: str, method: str) -> tuple[str, ...]:
    """Name the arms of the full reproduction: all of them; on the same people the headline alone."""
    if dataset == COMMON:
        return (load_method(method).headline,)
    return method_arms(params_file, method, full=True)


def train_job(params_file: Path, job: Job) -> None:
    """Train the arms of one job, or copy them where they exist already."""
    store = open_store(FULL / "prepared" / job.dataset)
    for arm in arms_of(params_file, job.dataset, job.method):
        config = load_config(params_file, job.method, job.dataset, arm, job.seed)
        target = run_folder(FULL / "runs", job.dataset, job.method, job.seed, arm)
        stamp = run_folder(FULL / "stamps", job.dataset, job.method, job.seed, arm).with_suffix(".txt")
        wanted = run_stamp(config, store)
        if target.is_dir() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            continue
        if not take_over(config, store.digests, Path(), target):
            roots = (FULL / "runs", FULL / "ckpt" / arm, FULL / "timings", FULL / "prepared")
            train_run(params_file, job.method, job.dataset, job.seed, *roots, arms=[arm])
        with atomic_write(stamp) as temporary:
            temporary.write_text(wanted, encoding="utf-8")


def take_over(config: RunConfig, data_digests: Mapping[str, str], project: Path, target: Path) -> bool:
    """Copy an arm that the pipeline has trained with this configuration; its runs must be up to date.

    Args:
        config: of the arm.
        data_digests: of the data that it must have been trained on, ``Store.digests``.
        project: where runs/ and timings/ lie.
        target: where the arm belongs.

    Returns:
        Whether there was such a run.
    """
    place = (config.dataset, config.method, config.seed, config.arm)
    source = run_folder(project / "runs", *place)
    if not config.is_in(source / "config.json", data_digests):
        return False
    with atomic_folder(target, force=True) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
    timing = run_folder(project / "timings", *place).with_suffix(".json")
    if timing.is_file():
        copy = run_folder(FULL / "timings", *place).with_suffix(".json")
        with atomic_write(copy) as temporary:
            shutil.copyfile(timing, temporary)
    return True


def record_results(params_file: Path, dataset: str, method: str, records: Path) -> Path:
    """Evaluate all arms and seeds of one method on one data set and keep the rows; returns the record."""
    arms = arms_of(params_file, dataset, method)
    found = evaluate_runs(params_file, method, dataset, FULL / "runs", FULL / "prepared", arms=arms)
    write_results(FULL / "results/measured" / dataset / method, found)
    note = _NOTE.format(arms=", ".join(arms))
    ledger = judge_runs(params_file, method, dataset, arms, FULL / "runs", FULL / "prepared")
    return keep_record(f"full-{dataset}-{method}", dataset, method, note, True, FULL, records, ledger)


def _jobs(params_file: Path) -> list[Job]:
    params = read_params(params_file)
    pairs = {**params.pipeline.runs, **params.full.runs}
    return [Job(*pair, seed) for pair in pairs for seed in params.seeds]


def _run(params_file: Path, job: Job) -> bool:
    words = ["--params", str(params_file), "--only", f"{job.dataset}/{job.method}/{job.seed}"]
    command = [sys.executable, "-m", "fer_repro.pipeline.full", *words]
    return subprocess.run(command, check=False, preexec_fn=end_with_parent).returncode == 0


def reproduce(params_file: Path, workers: int) -> int:
    """Train, evaluate and record everything; returns 1 where a run failed, and 0."""
    params = read_params(params_file)
    for dataset in {**params.pipeline.datasets, **params.full.datasets}:
        prepare_dataset(dataset, dataset_manifest(params_file, dataset), FULL / "prepared" / dataset)
    jobs = _jobs(params_file)
    print(f"{len(jobs)} runs, {workers} at a time", flush=True)
    with ThreadPoolExecutor(workers) as pool:
        good = list(pool.map(lambda job: _run(params_file, job), jobs))
    for dataset, method in dict.fromkeys((job.dataset, job.method) for job in jobs):
        ours = [is_good for job, is_good in zip(jobs, good, strict=True) if job[:2] == (dataset, method)]
        if all(ours):
            print(
                f"written: {record_results(params_file, dataset, method, Path('results/records'))}",
                flush=True,
            )
        else:
            print(f"{dataset}/{method}: a run failed, no record", file=sys.stderr, flush=True)
    return int(not all(good))


def full_main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m fer_repro.pipeline.full", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--workers", type=int, default=0, help="runs at once; 0 decides by cores and threads")
    parser.add_argument("--only", metavar="DATASET/METHOD/SEED", default="", help="train this run alone")
    chosen = parser.parse_args(arguments)
    try:
        jobs = {f"{job.dataset}/{job.method}/{job.seed}": job for job in _jobs(chosen.params)}
        if chosen.only:
            if chosen.only not in jobs:
                raise UserError(f"--only is '{chosen.only}': expected one of {', '.join(jobs)}")
            train_job(chosen.params, jobs[chosen.only])
            return 0
        first = next(iter(jobs.values()))
        arm = arms_of(chosen.params, first.dataset, first.method)[0]
        runtime = load_config(chosen.params, first.method, first.dataset, arm, first.seed).runtime
        stop_with_children()
        with one_writer(FULL):
            return reproduce(chosen.params, worker_count(runtime, chosen.workers))
    except (UserError, OSError) as error:  # an OSError: no permission, disk full
        print_error(error)
        return 2


if __name__ == "__main__":
    sys.exit(full_main())
