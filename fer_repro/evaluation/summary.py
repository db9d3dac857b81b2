"""The evaluate stage without its notebook: runs of one method on one data set in, the result files out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import EvaluationConfig, method_arms, read_params, read_section, run_folder
from fer_repro.data.store import open_store
from fer_repro.evaluation.metrics import classification_metrics, confusion_matrix, recalls, softmax
from fer_repro.evaluation.rows import SPLIT, Run, Subject, difference_rows, read_runs, result_rows
from fer_repro.evaluation.statistics import seed_interval
from fer_repro.files import atomic_write
from fer_repro.methods.method import load_method


@dataclass(frozen=True)
class Evaluation:
    """Everything that the runs of one method on one data set say.

    Attributes:
        runs: one per arm and seed.
        rows: result rows of seeds, means, the majority class and differences to the control (``rows.csv``).
        intervals: of every mean and difference (``intervals.csv``).
        metrics: arm -> metric -> mean over seeds (``metrics.json``); ``_tta`` marks test-time augmentation.
        curves: the histories under each other, with arm and seed (``curves.csv``).
        confusions: arm -> (K, K) counts summed over seeds, row = true class.
        recalls: arm, class, value, low, high: recall in [0, 1], its mean over seeds and interval.
        classes: K names in label order.
    """

    runs: tuple[Run, ...]
    rows: pd.DataFrame
    intervals: pd.DataFrame
    metrics: dict[str, dict[str, float]]
    curves: pd.DataFrame
    confusions: dict[str, Any]
    recalls: pd.DataFrame
    classes: tuple[str, ...]


def evaluate_runs(
    params_file: Path | str,
    method: str,
    dataset: str,
    runs_root: Path | str = "runs",
    prepared_root: Path | str = "prepared",
    seeds: Sequence[int] = (),
    resamples: int = 0,
) -> Evaluation:
    """Evaluate the runs of all seeds and arms.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of ``methods``.
        dataset: a key of ``datasets``.
        runs_root: where runs live.
        prepared_root: where prepared data sets live.
        seeds: which; empty takes those of ``params_file``.
        resamples: of the bootstraps; 0 takes ``evaluation.bootstrap``.

    Raises:
        UserError: a run is missing or does not fit the others.
    """
    params = read_params(Path(params_file))
    config = read_section(EvaluationConfig, params["evaluation"], f"{params_file}: evaluation")
    built = load_method(method)
    arms = method_arms(Path(params_file), method)
    chosen = list(seeds) or params["seeds"]
    runs = read_runs(runs_root, dataset, method, chosen, arms)
    recipe = runs[0].config["recipe"]
    where = f"{run_folder(runs_root, dataset, method, chosen[0], arms[0]) / 'config.json'}: recipe.model"
    pretraining = built.pretraining_name(read_section(built.options, recipe["model"], where))
    subject = Subject(method, built.paper, dataset, pretraining, recipe["note"])
    samples = open_store(Path(prepared_root) / dataset).samples
    single = result_rows(runs, samples, subject)
    differences, intervals = difference_rows(
        runs, samples, subject, built.control, config.confidence, resamples or config.bootstrap
    )
    return Evaluation(
        tuple(runs),
        pd.concat([single, differences], ignore_index=True),
        intervals,
        {arm: _mean_metrics([run for run in runs if run.arm == arm]) for arm in arms},
        _curves(runs, runs_root, dataset, method),
        {arm: sum(_confusion(run) for run in runs if run.arm == arm) for arm in arms},
        _recalls(runs, config.confidence, resamples or config.bootstrap),
        runs[0].predictions.classes,
    )


def write_results(folder: Path | str, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write rows.csv, intervals.csv, metrics.json, curves.csv and confusion.csv, byte-stable.

    ``confusion.csv`` lists true and predicted class of each test image of the first arm and seed, as DVC's
    confusion template wants them.

    Args:
        folder: usually ``results/<data set>/<method>``.
        evaluation: from ``evaluate_runs``.

    Returns:
        The files.
    """
    folder = Path(folder)
    tables = {
        "rows.csv": evaluation.rows,
        "intervals.csv": evaluation.intervals,
        "curves.csv": evaluation.curves,
        "confusion.csv": _pairs(evaluation.runs[0], evaluation.classes),
    }
    for name, table in tables.items():
        with atomic_write(folder / name) as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
    with atomic_write(folder / "metrics.json") as temporary:
        temporary.write_text(
            json.dumps(evaluation.metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
    return tuple(folder / name for name in (*tables, "metrics.json"))


def _mean_metrics(runs: Sequence[Run]) -> dict[str, float]:
    tables = []
    for run in runs:
        test = run.predictions.of_split(SPLIT)
        clean = classification_metrics(test.targets, softmax(test.logits))
        augmented = classification_metrics(test.targets, test.probabilities)
        tables.append({**clean, **{f"{name}_tta": value for name, value in augmented.items()}})
    means = pd.DataFrame(tables).mean()
    return {str(name): float(f"{value:.9g}") for name, value in means.items()}


def _curves(runs: Sequence[Run], root: Path | str, dataset: str, method: str) -> pd.DataFrame:
    tables = []
    for run in runs:
        history = pd.read_csv(run_folder(root, dataset, method, run.seed, run.arm) / "history.csv")
        tables.append(pd.DataFrame({"arm": run.arm, "seed": run.seed, **history}))
    return pd.concat(tables, ignore_index=True)


def _confusion(run: Run) -> Any:  # noqa: ANN401 - counts (K, K)
    test = run.predictions.of_split(SPLIT)
    return confusion_matrix(test.targets, test.logits.argmax(1), len(test.classes))


def _recalls(runs: Sequence[Run], confidence: float, resamples: int) -> pd.DataFrame:
    classes = runs[0].predictions.classes
    rows = []
    for arm in dict.fromkeys(run.arm for run in runs):
        tests = [run.predictions.of_split(SPLIT) for run in runs if run.arm == arm]
        found = [recalls(test.targets, test.logits.argmax(1), len(classes)) for test in tests]
        for name, values in zip(classes, zip(*found, strict=True), strict=True):
            over = seed_interval(values, confidence, resamples)
            low, high = max(over.low, 0.0), min(over.high, 1.0)
            rows.append({"arm": arm, "class": name, "value": over.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def _pairs(run: Run, classes: Sequence[str]) -> pd.DataFrame:
    test = run.predictions.of_split(SPLIT)
    names = pd.Series(classes)
    return pd.DataFrame(
        {
            "sample": test.samples,
            "target": names[test.targets].to_numpy(),
            "predicted": names[test.logits.argmax(1)].to_numpy(),
        }
    )
