"""Train all arms of one method on one data set with one seed: fit, predict, explain, record.

It needs neither papermill nor DVC. DVC deletes a stage's outputs before it runs again, so what a killed run
has finished waits below ``ckpt`` until every arm is done; with ``keep_state`` until the caller is done, too.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from fer_repro.config import RunConfig, load_config, method_arms, read_section, run_folder
from fer_repro.data.augmentation import clean_images
from fer_repro.data.loading import gather, open_split
from fer_repro.data.store import Store, open_store
from fer_repro.evaluation.metrics import classification_metrics, softmax
from fer_repro.evaluation.predict import (
    SPLITS,
    Predictions,
    predict,
    read_predictions,
    validation,
    write_predictions,
)
from fer_repro.files import atomic_folder, atomic_write
from fer_repro.methods.method import Method, load_method
from fer_repro.training.checkpoint import TRAINING_CODE, Checkpoint, fingerprint, save_weights
from fer_repro.training.loop import Fitted, Record, fit, make_fabric
from fer_repro.training.seeding import environment, make_deterministic, seed_everything

if TYPE_CHECKING:
    from lightning.fabric import Fabric

RUN_CODE = (*TRAINING_CODE, "evaluation/metrics.py", "evaluation/predict.py", "pipeline/run.py")
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
) -> RunReport:
    """Train every arm of ``methods.<method>.arms`` on equal terms: same seed, order, augmentation and recipe.

    Each arm gives ``config.json``, ``weights.safetensors`` (best epoch), ``history.csv``,
    ``predictions.csv``, ``metrics.json`` and, where the method explains itself, ``explained.npz``; two runs
    on one machine are byte-identical. A killed call continues where it was.

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

    Raises:
        UserError: the parameters or the data set are wrong, or training diverged.
    """
    arms = method_arms(Path(params_file), method)
    built = load_method(method)
    configs = {
        arm: load_config(params_file, method, dataset, arm, seed, recipe, overrides, smoke) for arm in arms
    }
    for arm, config in configs.items():
        built.check_arm(arm)
        _options(built, config, params_file)
    store = open_store(Path(prepared_root) / dataset)
    kept: list[str] = []
    report = RunReport({}, {}, {}, ())
    for arm, config in configs.items():
        state = run_folder(ckpt_root, dataset, method, seed, arm)
        timing = run_folder(timings_root, dataset, method, seed, arm).with_suffix(".json")
        stamp = _stamp(config, store)
        if _is_finished(state, stamp):
            kept.append(arm)
            print(f"{state}: was finished before; kept", file=sys.stderr, flush=True)
        else:
            _train_arm(built, config, store, state, stamp, timing, _options(built, config, params_file))
        report.folders[arm] = run_folder(out_root, dataset, method, seed, arm)
        _publish(state / "finished", report.folders[arm])
        report.metrics[arm] = json.loads((report.folders[arm] / "metrics.json").read_text())
        report.timings[arm] = json.loads(timing.read_text()) if timing.exists() else {}
    if not keep_state:
        finish(ckpt_root, dataset, method, seed)
    return RunReport(report.folders, report.metrics, report.timings, tuple(kept))


def finish(ckpt_root: Path | str, dataset: str, method: str, seed: int) -> None:
    """Delete the resume state of a run that has succeeded; the next one trains anew."""
    shutil.rmtree(run_folder(ckpt_root, dataset, method, seed), ignore_errors=True)


def _options(method: Method, config: RunConfig, params_file: Path | str) -> Any:  # noqa: ANN401 - the method's type
    where = f"{params_file}: methods.{config.method}.recipes.{config.recipe_name}.model"
    return read_section(method.options, config.recipe.model, where)


def _stamp(config: RunConfig, store: Store) -> str:
    evaluation = json.dumps(asdict(config.evaluation), sort_keys=True)
    return hashlib.sha256((fingerprint(config, store.digest, RUN_CODE) + evaluation).encode()).hexdigest()


def _is_finished(state: Path, stamp: str) -> bool:
    path = state / "finished" / STAMP
    return path.exists() and path.read_text(encoding="utf-8") == stamp


def _train_arm(
    method: Method, config: RunConfig, store: Store, state: Path, stamp: str, timing: Path, options: object
) -> None:
    """Fit one arm and leave all its files in ``state/finished``."""
    make_deterministic(config.runtime)
    seed_everything(config.seed)
    network = method.build_model(config.arm, options, len(store.classes))
    loss = method.build_loss(options, config.recipe.label_smoothing)
    seed_everything(config.seed)  # arms that draw more start weights than others see the same dropout
    fabric = make_fabric(config.runtime)
    size, batch = config.recipe.image_size, config.evaluation.batch_size
    validate = validation(open_split(store, "val", config.data.max_val), fabric, size, batch)
    train = open_split(store, "train", config.data.max_train)
    checkpoint = Checkpoint(state / "state.pt", fingerprint(config, store.digest))
    fitted = fit(network, loss, train, config, fabric, validate, checkpoint)
    network.load_state_dict(fitted.weights)
    begin = time.monotonic()
    with atomic_folder(state / "finished", force=True) as folder:
        (folder / "config.json").write_text(config.as_json(), encoding="utf-8")
        save_weights(folder / "weights.safetensors", fitted.weights)
        _write_history(folder / "history.csv", fitted.history)
        write_predictions(folder / "predictions.csv", _predict(network, config, store, fabric))
        _write_explained(folder / "explained.npz", method, network, config, store, fabric)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        _write_metrics(folder, fitted, parameters)
        (folder / STAMP).write_text(stamp, encoding="utf-8")
    _write_timing(timing, config, fitted, time.monotonic() - begin)


def _predict(network: nn.Module, config: RunConfig, store: Store, fabric: "Fabric") -> Predictions:
    recipe, limits = config.recipe, {"val": config.data.max_val, "test": config.data.max_test}
    parts = []
    for name in SPLITS:
        split = open_split(store, name, limits[name])
        logits, means = predict(
            network,
            split,
            fabric,
            recipe.image_size,
            config.evaluation.batch_size,
            recipe.augmentation,
            recipe.tta_copies,
            config.seed,
        )
        parts.append((split.samples, np.full(len(split), name), split.targets, logits, means))
    return Predictions(store.classes, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _write_history(path: Path, history: list[Record]) -> None:
    pd.DataFrame(history).to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def _write_explained(
    path: Path, method: Method, network: nn.Module, config: RunConfig, store: Store, fabric: "Fabric"
) -> None:
    """Keep the tensors the paper draws for the first test images, as float16, and the images' ``samples``."""
    if method.explain is None:
        return
    split = open_split(store, "test", config.data.max_test)
    batch = gather(split, np.arange(min(config.evaluation.explained, len(split))))
    images = clean_images(fabric.to_device(batch.images), config.recipe.image_size)
    tensors = method.explain(network, images)
    if tensors is None:
        return
    arrays = {name: tensor.float().cpu().numpy().astype(np.float16) for name, tensor in tensors.items()}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **dict(sorted({**arrays, "samples": batch.samples}.items())))  # type: ignore[arg-type]


def _write_metrics(folder: Path, fitted: Fitted, parameters: int) -> None:
    """Compute from the file, so that anybody gets the same numbers from it."""
    predictions = read_predictions(folder / "predictions.csv")
    numbers: dict[str, Any] = {
        "best_epoch": fitted.best_epoch,
        "epochs": len(fitted.history),
        "parameters": parameters,
    }
    for name in SPLITS:
        part = predictions.of_split(name)
        numbers[name] = _rounded(classification_metrics(part.targets, softmax(part.logits)))
        numbers[f"{name}_tta"] = _rounded(classification_metrics(part.targets, part.probabilities))
    text = json.dumps(numbers, indent=2, sort_keys=True) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.9g}") for name, value in metrics.items()}


def _write_timing(path: Path, config: RunConfig, fitted: Fitted, seconds: float) -> None:
    values = {
        "train_seconds": round(fitted.seconds, 3),
        "trained_images": fitted.images,
        "images_per_second": round(fitted.images / fitted.seconds, 1) if fitted.seconds else None,
        "evaluate_seconds": round(seconds, 3),
        "environment": environment(config.runtime),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _publish(finished: Path, folder: Path) -> None:
    with atomic_folder(folder, force=True) as temporary:
        for path in sorted(finished.iterdir()):
            if path.name != STAMP:
                shutil.copyfile(path, temporary / path.name)
