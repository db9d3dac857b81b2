"""The full reproduction: every arm of every method, and all methods on the same people; kept as records.

``python -m fer_repro.pipeline.full`` brings the stages of full/dvc.yaml up to date, as many at a time as the
cores allow, and copies the records to results/records/. Arms of the default reproduction that have the
same configuration are copied: bring it up to date first, as ``make reproduce-full`` does. Finished runs are
kept: the same command continues. The stages call ``... full prepare``, ``train`` and ``record``.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

from fer_repro.config import RunConfig, load_config, method_arms, run_folder
from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.datasets.store import Store, open_store
from fer_repro.errors import UserError, exit_code
from fer_repro.evaluation.claims import read_claims
from fer_repro.evaluation.finished import judge_runs
from fer_repro.evaluation.summary import evaluate_runs, write_results
from fer_repro.files import atomic_folder, atomic_write
from fer_repro.methods.method import load_method
from fer_repro.params import dataset_manifest, read_params
from fer_repro.pipeline.dvc_stages import call_dvc, find_programs
from fer_repro.pipeline.inputs import INPUTS
from fer_repro.pipeline.project_lock import alone, stop_with_children
from fer_repro.pipeline.record import keep_record
from fer_repro.pipeline.run import run_stamp, train_run
from fer_repro.pipeline.sweep import check_runs, run_stages, stages_to_run, worker_count
from fer_repro.report.records import OF_FULL
from fer_repro.runs.folder import open_runs

FULL = Path("full")
COMMON = "synthetic_apex"
_STAGES = "prepare SET, train SET METHOD SEED, record SET METHOD, half SET METHOD or long SET METHOD"
LONG = "long"
"""The recipe that trains until half as many epochs give the same."""
_SHORTER_SEEDS = 3  # with half the epochs: what comparisons of headline arms need


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


def compared_arms(params_file: Path, method: str) -> tuple[str, ...]:
    """Name the arms of the default reproduction, and those of the full one that a claim compares."""
    default = method_arms(params_file, method)
    of_method = [claim for claim in read_claims().claims if claim.method == method]
    named = {arm for claim in of_method for arm in (claim.arm, *claim.against)}
    return tuple(arm for arm in method_arms(params_file, method, full=True) if arm in {*default, *named})


def train_job(params_file: Path, job: Job) -> None:
    """Train the arms of one job, or copy them where they exist already."""
    store = open_store(FULL / "prepared" / job.dataset)
    configs = [
        load_config(params_file, job.method, job.dataset, arm, job.seed)
        for arm in arms_of(params_file, job.dataset, job.method)
    ]
    for config in configs:
        place = _folder(config, FULL / "runs")
        if not _is_trained(config, store, FULL) and take_over(config, store.digests, Path(), place):
            _stamp(config, store, FULL)
    _train_missing(params_file, configs, store, FULL, FULL / "prepared")


def _train_missing(
    params_file: Path,
    configs: Sequence[RunConfig],
    store: Store,
    root: Path,
    prepared: Path,
    recipe: str = "",
    changes: Mapping[str, int] | None = None,
) -> None:
    """Train the arms of one seed that are not there in one call: they share what they begin with."""
    missing = [config for config in configs if not _is_trained(config, store, root)]
    if not missing:
        return
    first, roots = missing[0], (root / "runs", root / "ckpt", root / "timings", prepared)
    arms = [config.arm for config in missing]
    train_run(params_file, first.method, first.dataset, first.seed, *roots, recipe, changes, arms=arms)
    for config in missing:
        _stamp(config, store, root)


def _folder(config: RunConfig, root: Path) -> Path:
    return run_folder(root, config.dataset, config.method, config.seed, config.arm)


def _is_trained(config: RunConfig, store: Store, root: Path) -> bool:
    """Whether an arm is there, made with this configuration, data and code."""
    stamp = _folder(config, root / "stamps").with_suffix(".txt")
    made = stamp.is_file() and stamp.read_text(encoding="utf-8") == run_stamp(config, store)
    return made and _folder(config, root / "runs").is_dir()


def _stamp(config: RunConfig, store: Store, root: Path) -> None:
    with atomic_write(_folder(config, root / "stamps").with_suffix(".txt")) as temporary:
        temporary.write_text(run_stamp(config, store), encoding="utf-8")


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
    runs = open_runs(params_file, method, dataset, FULL / "runs", FULL / "prepared", arms=arms)
    write_results(FULL / "results/measured" / dataset / method, evaluate_runs(runs))
    note, name = f"{OF_FULL}: {', '.join(arms)}", f"full-{dataset}-{method}"
    return keep_record(name, dataset, method, note, True, FULL, records, judge_runs(runs))


def record_recipe(
    params_file: Path, dataset: str, method: str, records: Path, recipe: str = "", half: bool = False
) -> Path:
    """Train the arms that are compared by one recipe, evaluate them and keep a record; returns its folder.

    Args:
        params_file: usually ``params.yaml``.
        dataset: that the pipeline or the full reproduction trains the method on.
        method: that is trained.
        records: where the record goes; one of runs with half the epochs is looked for there.
        recipe: empty takes the default's.
        half: of its epochs, with three seeds: the record shows whether training longer changes a result.
    """
    seeds = read_params(params_file).seeds[: _SHORTER_SEEDS if half else None]
    arms = compared_arms(params_file, method)
    name = "-".join([*(["half"] if half else []), *([recipe] if recipe else []), dataset, method])
    root, prepared = FULL / name, FULL / "prepared"
    store = open_store(prepared / dataset)
    epochs = load_config(params_file, method, dataset, arms[0], seeds[0], recipe).recipe.epochs
    changes = {"recipe.epochs": max(1, epochs // 2)} if half else {}
    for seed in seeds:
        configs = [load_config(params_file, method, dataset, arm, seed, recipe, changes) for arm in arms]
        _train_missing(params_file, configs, store, root, prepared, recipe, changes)
    runs = open_runs(params_file, method, dataset, root / "runs", prepared, seeds, arms)
    write_results(root / "results/measured" / dataset / method, evaluate_runs(runs))
    ledger = None if half else judge_runs(runs, records)
    said = f"{'half the epochs of ' if half else ''}{f'the recipe {recipe}' if recipe else 'the default'}"
    note = f"{OF_FULL}: {said}"
    return keep_record(name, dataset, method, note, True, root, records, ledger, half)


def reproduce(workers: int) -> int:
    """Bring full/dvc.yaml up to date and copy its records; returns 0, or the exit code of DVC."""
    plan = json.loads((INPUTS / "full.json").read_text(encoding="utf-8"))
    needs: dict[str, list[str]] = {f"prepare@{name}": [] for name in plan["datasets"]}
    needs |= {f"train@{name}": [f"prepare@{run['dataset']}"] for name, run in plan["runs"].items()}
    for name in plan["records"]:
        needs[f"record@{name}"] = [each for each in needs if each.rpartition("-")[0] == f"train@{name}"]
    for stage in ("half", LONG):
        needs |= {f"{stage}@{name}": [f"prepare@{pair['dataset']}"] for name, pair in plan[stage].items()}
    with chdir(FULL), alone():
        if workers > 1:
            run_stages(stages_to_run(needs), workers)
        code = call_dvc("repro")
    for folder in sorted((FULL / "records").glob("*")):
        with atomic_folder(Path("results/records") / folder.name, force=True) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
    return code


def full_main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m fer_repro.pipeline.full", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument(
        "--workers", type=int, default=0, help="stages at once; 0 decides by cores and threads"
    )
    parser.add_argument("stage", nargs="*", metavar="STAGE", help=_STAGES)
    chosen = parser.parse_args(arguments)
    return exit_code(_run, chosen.params, chosen.stage, chosen.workers)


def _run(params_file: Path, stage: Sequence[str], workers: int) -> int:
    """Do one stage, or all of them where none is named."""
    match stage:
        case []:
            find_programs()
            count = worker_count(check_runs(params_file).runtime, workers)
            stop_with_children()
            return reproduce(count)
        case ["prepare", dataset]:
            manifest = dataset_manifest(params_file, dataset)
            prepare_dataset(dataset, manifest, FULL / "prepared" / dataset)
        case ["train", dataset, method, seed] if seed.isdecimal():
            train_job(params_file, Job(dataset, method, int(seed)))
        case ["record", dataset, method]:
            record_results(params_file, dataset, method, FULL / "records")
        case ["half", dataset, method]:
            record_recipe(params_file, dataset, method, FULL / "records", half=True)
        case ["long", dataset, method]:
            for half in (True, False):
                record_recipe(params_file, dataset, method, FULL / "records", LONG, half)
        case words:
            raise UserError(f"unknown stage '{' '.join(words)}': expected {_STAGES}")
    return 0


if __name__ == "__main__":
    sys.exit(full_main())
