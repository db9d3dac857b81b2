"""Runs that people start themselves, ``fer-repro train``: finished runs are never overwritten.

A mistake is reported before the imports that take seconds: PyTorch for the device, everything else for the
training.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_repro.config import RunConfig, load_config, method_arms, run_folder
from fer_repro.errors import UserError
from fer_repro.files import one_writer
from fer_repro.params import dataset_manifest, read_params

if TYPE_CHECKING:
    import pandas as pd

    from fer_repro.pipeline.run import RunReport


def check_seeds(params: Path, runs: Path, dataset: str, method: str) -> None:
    """Refuse to evaluate all seeds of params.yaml where only some were trained.

    Args:
        params: usually ``params.yaml``.
        runs: where runs live.
        dataset: of the runs.
        method: likewise.

    Raises:
        UserError: naming the seeds that have no run, and how to evaluate the others.
    """
    from fer_repro.figures.result_files import run_folders

    there = {seed for seed, _, _ in run_folders(runs, dataset, method)}
    missing = [seed for seed in read_params(params).seeds_of(method) if seed not in there]
    if there and missing:
        chosen = " ".join(f"--seed {seed}" for seed in sorted(there))
        raise UserError(
            f"{run_folder(runs, dataset, method, missing[0]).parent}: no run of seed "
            f"{', '.join(map(str, missing))}, which {params} names; to evaluate the others: {chosen}"
        )


def train_own(
    params: Path,
    method: str,
    dataset: str,
    seed: int,
    out: Path,
    recipe: str = "",
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
    force: bool = False,
) -> "RunReport | None":
    """Prepare the data set and train all arms of a method, or continue what a killed call began.

    Args:
        params: usually ``params.yaml``.
        method: a key of its ``methods``.
        dataset: a key of its ``data``.
        seed: from 0.
        out: where runs go; ``prepared``, ``ckpt`` and ``timings`` are next to it.
        recipe: see ``load_config``, as are the next two.
        overrides: dotted keys of the run's configuration.
        smoke: shrink everything to seconds.
        force: train finished arms anew.

    Returns:
        What was trained; None in all but the first of the processes that share a run.

    Raises:
        UserError: a mistake in the configuration, or finished files would be overwritten.
    """
    root, prepared = out.parent, out.parent / "prepared"
    configs = [
        load_config(params, method, dataset, arm, seed, recipe, overrides, smoke)
        for arm in method_arms(params, method)
    ]
    manifest = dataset_manifest(params, dataset)
    if configs[0].runtime.device == "cuda":
        from fer_repro.training.seeding import choose_device

        choose_device(configs[0].runtime)
    from fer_repro.datasets.prepare import prepare_dataset
    from fer_repro.pipeline.run import train_run
    from fer_repro.training.processes import make_fabric

    fabric = make_fabric(configs[0])
    with ExitStack() as stack:
        if fabric.is_global_zero:  # of the processes that torchrun or Slurm started
            stack.enter_context(one_writer(run_folder(out, dataset, method, seed)))
            for config in configs:
                keep_run(config, out, root / "ckpt", force)
            keep_folder(prepared / dataset)
            prepare_dataset(dataset, manifest, prepared / dataset)
            _say_arms(configs)
        fabric.barrier()
        roots = (out, root / "ckpt", root / "timings", prepared)
        report = train_run(
            params, method, dataset, seed, *roots, recipe=recipe, overrides=overrides, smoke=smoke
        )
    return report if fabric.is_global_zero else None


def _say_arms(configs: Sequence[RunConfig]) -> None:
    """Print what one call trains; how long each takes is printed after its first steps."""
    folds = configs[0].data.folds
    each = f", each {folds} times (folds)" if folds else ""
    names = ", ".join(config.arm for config in configs)
    number = f"{len(configs)} arms, one after another" if len(configs) > 1 else "1 arm"
    print(f"to train: {number}{each}: {names}", file=sys.stderr, flush=True)


def keep_run(config: RunConfig, out: Path, ckpt: Path, force: bool = False) -> None:
    """Refuse to train over an arm that exists, unless a killed call of this very configuration made it.

    Args:
        config: of the arm.
        out: where runs live.
        ckpt: where the resume state of killed calls lives.
        force: the user wants it anew.

    Raises:
        UserError: naming the folder.
    """
    place = (config.dataset, config.method, config.seed)
    folder = run_folder(out, *place, config.arm)
    if force or not folder.exists():
        return
    if not (config.is_in(folder / "config.json") and run_folder(ckpt, *place).is_dir()):
        raise UserError(
            f"{folder} exists already; nothing was changed (--force trains it anew, --out writes elsewhere)"
        )


def keep_folder(prepared: Path) -> None:
    """Refuse to prepare a data set where another folder exists.

    Raises:
        UserError: the folder holds something else.
    """
    from fer_repro.datasets.store import MANIFEST

    if prepared.exists() and not (prepared / MANIFEST).is_file():
        raise UserError(
            f"{prepared} exists already and holds no prepared data set; nothing was changed "
            "(--out DIR/runs prepares beside DIR/runs)"
        )


def keep_results(folder: Path, rows: "pd.DataFrame", force: bool = False) -> None:
    """Refuse results without runs that the existing ones have: those could not be computed again.

    Args:
        folder: ``results/measured/<data set>/<method>``.
        rows: of the new evaluation.
        force: the user wants to lose them.

    Raises:
        UserError: naming the first run that would be lost, or the file where it is not a table of rows.
    """
    from fer_repro.figures.result_files import read_rows

    file = folder / "rows.csv"
    if force or not file.exists():
        return
    for arm, seed in sorted(_runs_of(read_rows(file)) - _runs_of(rows)):
        raise UserError(
            f"{file} has results of arm '{arm}', seed {seed}, which is not among the runs now; nothing was "
            "changed (--force writes without them)"
        )


def _runs_of(rows: "pd.DataFrame") -> set[tuple[str, str]]:
    own = rows[rows["seed"].fillna("") != ""]  # the others are means over seeds
    return set(zip(own["arm"].astype(str), own["seed"].astype(str), strict=True))


FINISHED = "metrics.json"


def runs_or_train(
    params_file: Path | str,
    method: str,
    dataset: str,
    runs: Path | str,
    prepared: Path | str,
    scratch: Path | str = "scratch",
    smoke: bool = False,
) -> Path:
    """Find the runs of all arms and seeds, or train those that are missing.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of its ``methods``.
        dataset: prepared below ``prepared``.
        runs: where the pipeline's runs live; nothing is written there.
        prepared: where prepared data sets live.
        scratch: where to train; what is there from an earlier call with the same parameters and data
            is kept.
        smoke: shrink everything to seconds.

    Returns:
        ``runs`` where they are complete, else ``scratch / "runs"``.

    Raises:
        UserError: parameters or data set are wrong, or training diverged.
    """
    from fer_repro.datasets.store import open_store
    from fer_repro.pipeline.run import train_run

    seeds = read_params(Path(params_file)).seeds_of(method)
    arms = method_arms(Path(params_file), method)
    folders = [run_folder(runs, dataset, method, seed, arm) for seed in seeds for arm in arms]
    if all((folder / FINISHED).is_file() for folder in folders):
        return Path(runs)
    digests = open_store(Path(prepared) / dataset).digests
    places = {name: Path(scratch) / name for name in ("runs", "ckpt", "timings")}

    def is_made(seed: int, arm: str) -> bool:
        folder = run_folder(places["runs"], dataset, method, seed, arm)
        wanted = load_config(params_file, method, dataset, arm, seed, smoke=smoke)
        return (folder / FINISHED).is_file() and wanted.is_in(folder / "config.json", digests)

    for seed in seeds:
        if missing := [arm for arm in arms if not is_made(seed, arm)]:
            train_run(
                params_file,
                method,
                dataset,
                seed,
                places["runs"],
                places["ckpt"],
                places["timings"],
                prepared,
                smoke=smoke,
                arms=missing,
            )
    return places["runs"]
