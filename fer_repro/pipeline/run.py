"""Train all arms of one method on one data set with one seed: fit, predict, explain, record.

It needs neither papermill nor DVC. DVC deletes a stage's outputs before it runs again, so what a killed run
has finished is kept below ``ckpt`` until every arm is done; with ``keep_state`` until the caller is done.
"""

import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fer_repro.config import RunConfig, load_config, method_arms, run_folder
from fer_repro.datasets.store import Store, open_store
from fer_repro.files import atomic_folder, atomic_write
from fer_repro.methods.method import Method, load_method
from fer_repro.pipeline.arm import Arm, Trained, check_head, train_arm
from fer_repro.pipeline.outcome import write_outcome
from fer_repro.pipeline.training_task import check_recipe, check_sizes, task_of
from fer_repro.stage_code import RUN
from fer_repro.training.checkpoint import fingerprint
from fer_repro.training.processes import agreed, make_fabric
from fer_repro.training.seeding import choose_precision, environment

STAMP = "fingerprint.txt"


@dataclass(frozen=True)
class RunReport:
    """What ``train_run`` did.

    Attributes:
        folders: arm -> its folder below ``runs``.
        metrics: arm -> what its metrics.json holds.
        timings: arm -> what its timings file holds; an arm kept from a killed run has those of then.
        kept: the arms that a killed run had finished.
    """

    folders: dict[str, Path]
    metrics: dict[str, dict[str, Any]]
    timings: dict[str, dict[str, Any]]
    kept: tuple[str, ...]


def train_run(
    params_file: Path | str,
    method: str,
    dataset: str,
    seed: int,
    out_root: Path | str = "runs",
    ckpt_root: Path | str = "ckpt",
    timings_root: Path | str = "timings",
    prepared_root: Path | str = "prepared",
    recipe: str = "",
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
    keep_state: bool = False,
    arms: Sequence[str] = (),
) -> RunReport:
    """Train every arm of ``methods.<method>.arms`` on equal terms: same seed, order, augmentation and recipe.

    Each arm gives ``config.json``, ``weights.safetensors`` (best epoch), ``history.csv``, ``metrics.json``,
    ``predictions.csv`` (for verification ``pairs.csv`` and ``embeddings.npz``, and ``probes.csv`` where
    labels are hidden), where the method explains itself ``explained.npz``, and after training by triplets
    ``triplets.csv``. Two runs on one machine are byte-identical. A killed call continues where it was.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of ``methods``.
        dataset: a key of ``datasets``, prepared below ``prepared_root``.
        seed: from 0.
        out_root: where runs live.
        ckpt_root: where the resume state lives; ignored by git and DVC.
        timings_root: where durations and the environment are kept; ignored by git and DVC.
        prepared_root: where prepared data sets live.
        recipe: of the method; empty takes the one named like the data set.
        overrides: dotted keys within the run's configuration, e.g. ``{"recipe.epochs": 3}``.
        smoke: shrink everything to seconds.
        keep_state: leave the resume state to a later call of ``finish``.
        arms: which; empty takes those of ``params_file``.

    Raises:
        UserError: the parameters or the data set are wrong, or training diverged.
    """
    arms = tuple(arms) or method_arms(Path(params_file), method)
    configs = {
        arm: load_config(params_file, method, dataset, arm, seed, recipe, overrides, smoke)
        for arm in _with_sources(load_method(method), arms)
    }
    parts = _open_arms(configs, params_file, ckpt_root, Path(prepared_root) / dataset)
    report, kept = RunReport({}, {}, {}, ()), list[str]()
    for arm in arms:
        part = parts[arm]
        timing = run_folder(timings_root, dataset, method, seed, arm).with_suffix(".json")
        kept += [arm] if _is_kept(part) else []
        if arm not in kept:
            _train(part, timing)
        folder = report.folders[arm] = run_folder(out_root, dataset, method, seed, arm)
        _publish(part, folder)
        report.metrics[arm] = json.loads((folder / "metrics.json").read_text())
        report.timings[arm] = json.loads(timing.read_text()) if timing.exists() else {}
    if not keep_state and part.fabric.is_global_zero:
        finish(ckpt_root, dataset, method, seed)
    return replace(report, kept=tuple(kept))


def finish(ckpt_root: Path | str, dataset: str, method: str, seed: int) -> None:
    """Delete the resume state of a run that has succeeded; the next one trains anew."""
    shutil.rmtree(run_folder(ckpt_root, dataset, method, seed), ignore_errors=True)


def _with_sources(method: Method, arms: Sequence[str]) -> tuple[str, ...]:
    """Name each arm after the arms that it begins with, each once."""
    names = [name for arm in arms for name in (*_with_sources(method, method.sources(arm)), arm)]
    return tuple(dict.fromkeys(names))


def _open_arms(
    configs: Mapping[str, RunConfig], params_file: Path | str, ckpt_root: Path | str, prepared: Path
) -> dict[str, Arm]:
    """Check all arms of a run before any is trained, and open the data set."""
    first = next(iter(configs.values()))
    built, options = load_method(first.method), {}
    store = open_store(prepared)
    for arm, config in configs.items():
        built.check_arm(arm)
        where = f"{params_file}: methods.{config.method}.recipes.{config.recipe_name}.model"
        options[arm] = built.read_options(config.recipe.model, where, store.classes)
    check_sizes(built, first, store)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    task, fabric = task_of(built, store), make_fabric(first)
    for config in configs.values():
        check_recipe(config, store)
    place = (ckpt_root, first.dataset, first.method, first.seed)
    opened: dict[str, Arm] = {}
    for arm, config in configs.items():  # sources come first
        sources = tuple(opened[source] for source in built.sources(arm))
        state = run_folder(*place, arm)
        opened[arm] = Arm(built, config, options[arm], store, state, task, fabric, sources=sources)
        check_head(opened[arm])
    return opened


def run_stamp(config: RunConfig, store: Store) -> str:
    """Hash everything that an arm's files depend on: ``fingerprint`` of all code, and the evaluation."""
    return _with_evaluation(fingerprint(config, store.digest, RUN), config)


def _with_evaluation(trained: str, config: RunConfig) -> str:
    evaluation = json.dumps(asdict(config.evaluation), sort_keys=True)
    return hashlib.sha256((trained + evaluation).encode()).hexdigest()


def _stamp(arm: Arm) -> str:
    return _with_evaluation(arm.stamp(RUN), arm.config)


def _is_kept(arm: Arm) -> bool:
    """Return whether a killed run has finished this arm, and print so."""
    path = arm.state / "finished" / STAMP
    finished = path.exists() and path.read_text(encoding="utf-8") == _stamp(arm)
    kept = agreed(finished, arm.fabric)
    if kept and arm.fabric.is_global_zero:
        print(f"{arm.state}: was finished before; kept", file=sys.stderr, flush=True)
    return kept


def _train(arm: Arm, timing: Path) -> None:
    """Fit one arm, one fold after the other, and leave all its files in ``finished`` of its state folder."""
    folds = [train_arm(part) for part in arm.folds()]
    begin = time.monotonic()
    with _finished_folder(arm) as folder:
        (folder / "config.json").write_text(arm.config.as_json(arm.store.digests, arm.task), "utf-8")
        write_outcome(arm, folds, folder)
        (folder / STAMP).write_text(_stamp(arm), encoding="utf-8")
    if arm.fabric.is_global_zero:
        _write_timing(timing, arm, folds, time.monotonic() - begin)


def _finished_folder(arm: Arm) -> AbstractContextManager[Path]:
    """Give the folder of an arm's files; of several processes that make them, the first one's are kept."""
    if arm.fabric.is_global_zero:
        return atomic_folder(arm.state / "finished", force=True)
    return _thrown_away()


@contextmanager
def _thrown_away() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder)


def _write_timing(path: Path, arm: Arm, folds: Sequence[Trained], seconds: float) -> None:
    trained = sum(part.fitted.seconds for part in folds)
    items = sum(part.fitted.images for part in folds)
    values = {
        "train_seconds": round(trained, 3),
        "first_step_seconds": round(sum(part.first.seconds for part in folds if part.first), 3),
        "trained_images": items,
        "images_per_second": round(items / trained, 1) if trained else None,
        "evaluate_seconds": round(seconds, 3),
        "epochs": [
            {**({"fold": part.fold} if part.fold else {}), **pace}
            for part, each in zip(arm.folds(), folds, strict=True)
            for pace in each.fitted.paces
        ],
        "processes": arm.fabric.world_size,
        "precision": choose_precision(arm.config),
        "environment": environment(arm.config.runtime),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _publish(arm: Arm, folder: Path) -> None:
    """Copy an arm's files to where runs live; all processes go on when they are there."""
    if arm.fabric.is_global_zero:
        with atomic_folder(folder, force=True) as temporary:
            for path in sorted((arm.state / "finished").iterdir()):
                if path.name != STAMP:
                    shutil.copyfile(path, temporary / path.name)
    arm.fabric.barrier()
