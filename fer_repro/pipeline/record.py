"""Keep measured rows in git, with all that is needed to judge them: commit, recipe, machine, time.

A record is a folder in results/records/: ``rows.csv`` and ``intervals.csv`` as the evaluation wrote them, the
verdicts of the claims they are evidence for in ``ledger.csv``, and ``record.json``. Predictions, weights and
images stay where they are.
"""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import DATA_DIGESTS, HALF, run_folder
from fer_repro.errors import UserError
from fer_repro.evaluation.finished import judge_runs
from fer_repro.evaluation.ledger import write_ledger
from fer_repro.evaluation.summary import evaluate_runs, write_results
from fer_repro.figures.result_files import read_rows
from fer_repro.files import atomic_folder
from fer_repro.git import changed_files, head_commit, hidden_files
from fer_repro.report.records import CODE
from fer_repro.runs.folder import kept_accuracy, open_runs, read_run_config, rest_on, run_task
from fer_repro.runs.numbers import pack_numbers
from fer_repro.runs.predictions import PAIR_SCORES, pack_predictions
from fer_repro.stage_code import TRAINING, code_digests

TABLES = ("rows.csv", "intervals.csv")
_KEPT = ("runs", "timings")
_OF_A_RUN = ("config.json", "history.csv", "metrics.json")
_ENOUGH = 3  # seeds: an arm with fewer waits until it has them


def keep_record(
    name: str,
    dataset: str,
    method: str,
    note: str = "",
    force: bool = False,
    project: Path | str = ".",
    records: Path | str = "results/records",
    ledger: pd.DataFrame | None = None,
    half: bool = False,
    keep_runs: bool = False,
) -> Path:
    """Record the results of one method on one data set.

    Args:
        name: of the record's folder, e.g. ``fer2013-rmn-cpu``.
        dataset: a key of ``datasets``.
        method: a key of ``methods``.
        note: what a reader should know besides the recipe's own note.
        force: replace a record of that name.
        project: where results/measured/, runs/ and timings/ lie, and whose commit is recorded.
        records: where records live.
        ledger: verdicts of the claims that these results are evidence for, from ``judge_runs``; they enter
            the project's ledger.
        half: the runs have half the epochs of others, and only show whether training longer changes those.
        keep_runs: also copy runs and timings, from ``gather_runs``, so that the record can grow.

    Returns:
        The record's folder.

    Raises:
        UserError: the name is a path, there are no such results, they are not of the runs that are there, or
            the record exists.
    """
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise UserError(f"name of a record is {name!r}: expected letters, digits, _, - and dots, no path")
    root = Path(project)
    results = _results(root, dataset, method)
    runs = _evaluated_runs(results / "rows.csv", run_folder(root / "runs", dataset, method, 0).parent)
    described = {HALF: half, "note": note, **_described(root, dataset, method, runs)}
    with atomic_folder(Path(records) / name, force) as folder:
        for table in TABLES:
            shutil.copyfile(results / table, folder / table)
        if ledger is not None and len(ledger):
            write_ledger(ledger, folder)
        for kept in _KEPT if keep_runs else ():
            shutil.copytree(root / kept, folder / kept)
        text = json.dumps(described, indent=2, sort_keys=True) + "\n"
        (folder / "record.json").write_text(text, encoding="utf-8")
    _warn_of_hidden(Path(records) / name)
    return Path(records) / name


def _warn_of_hidden(record: Path) -> None:
    """Warn where git would leave a part of a record out: it could not grow in another clone."""
    try:
        hidden = hidden_files(record)
    except UserError:  # git cannot be asked
        return
    if hidden:
        print(
            f"warning: git ignores {record / hidden[0]} and {len(hidden) - 1} other files of this record: "
            f"a commit would leave them out; git check-ignore -v {record / hidden[0]} names the rule",
            file=sys.stderr,
        )


def _described(root: Path, dataset: str, method: str, runs: Sequence[Path]) -> dict[str, Any]:
    """Gather what ``record.json`` states of runs: code, data, recipe, machine and times."""
    config = read_run_config(runs[0])
    commit, no_commit = head_commit(root)
    return {
        "commit": commit,
        "no_commit": no_commit,
        "changed": changed_files(root) if commit else [],
        CODE: code_digests(TRAINING, method),
        DATA_DIGESTS: config.get(DATA_DIGESTS, {}),
        "dataset": dataset,
        "method": method,
        "recipe": config["recipe"],
        "data": config.get("data", {}),
        "recipe_name": config["recipe_name"],
        "runs": [_run(folder, root, dataset, method) for folder in runs],
        "environment": _environment(root, dataset, method),
    }


def record_own(
    name: str,
    dataset: str,
    method: str,
    params: Path,
    project: Path,
    note: str = "",
    force: bool = False,
    half: bool = False,
    keep_runs: bool = False,
) -> Path:
    """Judge and record runs of a project: those of its results, or with ``keep_runs`` all finished ones.

    Args:
        name: of the record.
        dataset: a key of ``datasets``.
        method: a key of ``methods``.
        params: usually ``params.yaml``.
        project: where ``runs``, ``prepared`` and ``results`` are.
        note: see ``keep_record``.
        force: likewise; a record that keeps runs grows without it.
        half: likewise.
        keep_runs: copy runs, too, and record all that the earlier version of the record kept with them.
    """
    records, root = project / "results/records", project
    arms: list[str] = []
    if keep_runs:
        root = project / "scratch/records" / name
        shutil.rmtree(root, ignore_errors=True)
        gather_runs(project, records / name, dataset, method, root)
        arms, seeds = complete_arms(root / "runs" / dataset / method)
    else:
        seeds = evaluated_seeds(project, dataset, method)
    runs = open_runs(params, method, dataset, root / "runs", project / "prepared", seeds, arms)
    if keep_runs:
        write_results(root / "results/measured" / dataset / method, evaluate_runs(runs))
    ledger = None if half else judge_runs(runs, records)
    return keep_record(
        name, dataset, method, note, force or keep_runs, root, records, ledger, half, keep_runs
    )


def gather_runs(source: Path, record: Path, dataset: str, method: str, target: Path) -> None:
    """Copy the finished runs of a record, and those that came since, without weights and images.

    Args:
        source: holds ``runs`` and ``timings``; there may be arms and seeds that are not finished.
        record: an earlier version of the record; it may not exist.
        dataset: a key of ``datasets``.
        method: a key of ``methods``.
        target: a folder that becomes a project of its own, for the evaluation and ``keep_record``.

    Raises:
        UserError: a run is in both, and differs.
    """
    for origin in (record, source):
        for finished in sorted((origin / "runs" / dataset / method).glob("*/*/metrics.json")):
            folder = finished.parent
            place = (dataset, method, int(folder.parent.name), folder.name)
            copy = run_folder(target / "runs", *place)
            if (copy / _OF_A_RUN[0]).is_file():
                if any((copy / name).read_bytes() != (folder / name).read_bytes() for name in _OF_A_RUN):
                    raise UserError(f"{folder}: is not the run that {record} keeps; move one of them away")
                continue
            copy.mkdir(parents=True)
            for name in _OF_A_RUN:
                shutil.copyfile(folder / name, copy / name)
            if (folder / PAIR_SCORES).is_file():
                shutil.copyfile(folder / PAIR_SCORES, copy / PAIR_SCORES)
            elif run_task(read_run_config(folder), folder) == "regression":
                pack_numbers(folder, copy)
            else:
                pack_predictions(folder, copy)
            timing = run_folder(origin / "timings", *place).with_suffix(".json")
            if timing.is_file():
                other = run_folder(target / "timings", *place).with_suffix(".json")
                other.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(timing, other)


def complete_arms(runs: Path) -> tuple[list[str], list[int]]:
    """Choose the arms with at least three seeds, and the seeds that all of these have; else all arms.

    Args:
        runs: of one method on one data set.

    Raises:
        UserError: there is no seed that all have.
    """
    seeds: dict[str, set[int]] = {}
    for folder in runs.glob("*/*/metrics.json"):
        seeds.setdefault(folder.parent.name, set()).add(int(folder.parent.parent.name))
    arms = sorted(arm for arm in seeds if len(seeds[arm]) >= _ENOUGH) or sorted(seeds)
    common = sorted(set.intersection(*(seeds[arm] for arm in arms))) if arms else []
    if not common:
        raise UserError(
            f"{runs}: no seed that all arms have: {', '.join(arms) or 'there is no finished run'}"
        )
    return arms, common


def evaluated_seeds(project: Path | str, dataset: str, method: str) -> list[int]:
    """List the seeds that the results of one method on one data set are based on, in their order.

    Raises:
        UserError: there are no such results, or they are no table of result rows.
    """
    return _seeds(read_rows(_results(Path(project), dataset, method) / "rows.csv"))


def _seeds(rows: pd.DataFrame) -> list[int]:
    return [int(seed) for seed in rows["seed"].unique() if seed]


def _evaluated_runs(table: Path, runs: Path) -> list[Path]:
    """List the folders of the runs that results are based on; others next to them were not evaluated.

    Args:
        table: the results' rows.csv.
        runs: folder of the method's seeds.

    Raises:
        UserError: there are none, or the rows are not of these very runs.
    """
    rows = read_rows(table)
    trained = [
        path.parent for seed in _seeds(rows) for path in sorted((runs / str(seed)).glob("*/config.json"))
    ]
    if not trained:
        raise UserError(f"{runs / '0'}: no trained run; expected config.json")
    evaluated = [folder for folder in trained if (rows["arm"] == folder.name).any()]
    if not evaluated:
        raise UserError(f"{table}: no arm in it has a run in {runs}")
    for folder in evaluated:
        if not rest_on(rows, folder):
            raise UserError(
                f"{table}: its rows of arm '{folder.name}', seed {folder.parent.name}, are not those of "
                f"{folder}: the run was trained again since; run `fer-repro evaluate` first"
            )
    return evaluated


def _results(root: Path, dataset: str, method: str) -> Path:
    folder = root / "results/measured" / dataset / method
    for table in TABLES:
        if not (folder / table).is_file():
            raise UserError(
                f"{folder / table}: no such file; run dvc repro with {dataset} in datasets first; of runs of "
                "`fer-repro train`: `fer-repro evaluate`, then record with --project scratch"
            )
    return folder


def _run(folder: Path, root: Path, dataset: str, method: str) -> dict[str, Any]:
    seed, arm = int(folder.parent.name), folder.name
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    timing = _timing(root, dataset, method, seed, arm)
    return {
        "arm": arm,
        "seed": seed,
        "validation_accuracy": kept_accuracy(folder),
        **{key: metrics[key] for key in ("best_epoch", "epochs", "parameters")},
        **{key: value for key, value in timing.items() if key not in ("environment", "epochs")},
        **_peak(timing.get("epochs", [])),
    }


def _peak(paces: list[dict[str, float]]) -> dict[str, float]:
    """Find the highest memory of a run's epochs, where the system reported it."""
    known = [pace["memory_mb"] for pace in paces if "memory_mb" in pace]
    return {"memory_mb": max(known)} if known else {}


def _environment(root: Path, dataset: str, method: str) -> dict[str, Any]:
    for path in sorted((root / "timings" / dataset / method).glob("*/*.json")):
        environment: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["environment"]
        return environment
    return {}


def _timing(root: Path, dataset: str, method: str, seed: int, arm: str) -> dict[str, Any]:
    path = run_folder(root / "timings", dataset, method, seed, arm).with_suffix(".json")
    timing: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return timing
