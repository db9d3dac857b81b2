"""The evaluate stage without its notebook: runs of one method on one data set in, the result files out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.config import run_folder
from fer_repro.datasets.protocols import UNSEEN
from fer_repro.evaluation.answers import recall_table
from fer_repro.evaluation.calibration import calibrate, calibration_rows
from fer_repro.evaluation.ensembles import ensemble_runs, papers_ensembles
from fer_repro.evaluation.forgery_rows import (
    ensemble_table,
    forgery_rows,
    measure_forgeries,
    unseen_parts,
)
from fer_repro.evaluation.number_rows import measure_numbers, number_rows, predicted_numbers, training_mean
from fer_repro.evaluation.pair_rows import measure_pairs, pair_rows, roc_points
from fer_repro.evaluation.probe_rows import METRICS as PROBE_METRICS
from fer_repro.evaluation.probe_rows import probe_hits, probe_rows
from fer_repro.evaluation.row_form import COLUMNS, Subject, subject_of
from fer_repro.evaluation.rows import difference_rows, result_rows
from fer_repro.files import atomic_write
from fer_repro.loading.split import level_values
from fer_repro.measures.classification import classification_metrics, confusion_matrix, softmax
from fer_repro.measures.metrics import ACCURACIES, MAIN, METRICS
from fer_repro.methods.method import Method, Task, load_method
from fer_repro.params import read_params
from fer_repro.runs.folder import NumberRun, PairRun, Run, TrainedRuns, by_arm
from fer_repro.runs.predictions import SPLIT


@dataclass(frozen=True)
class Evaluation:
    """Everything that the runs of one method on one data set show.

    Attributes:
        task: what the runs were tested on; tables of other tasks are empty.
        runs: one per arm and seed.
        rows: result rows of seeds, means, reference answers and differences to the control (``rows.csv``).
        intervals: of every mean and difference (``intervals.csv``).
        metrics: arm -> metric -> mean over seeds (``metrics.json``); ``_tta`` marks test-time augmentation.
        curves: the histories under each other, with arm and seed (``curves.csv``).
        confusions: arm -> (K, K) counts, mean over seeds, row = true class.
        recalls: arm, class, value, low, high: recall in [0, 1], its mean over seeds and interval.
        classes: K names in label order; none under verification and of a regression.
        calibration: one row per run and ensemble, see ``calibrate``.
        scores: corners of every run's ROC under verification (``scores.csv``), see ``roc_points``; of a
            regression ``arm``, ``seed``, ``sample``, ``target`` and ``prediction`` of every run.
        ensembles: networks and their combinations in the paper's layout, see ``ensemble_table``.
    """

    task: Task
    runs: tuple[Run, ...] | tuple[PairRun, ...] | tuple[NumberRun, ...]
    rows: pd.DataFrame
    intervals: pd.DataFrame
    metrics: dict[str, dict[str, float]]
    curves: pd.DataFrame
    confusions: dict[str, Any] = field(default_factory=dict)
    recalls: pd.DataFrame = field(default_factory=pd.DataFrame)
    classes: tuple[str, ...] = ()
    calibration: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    ensembles: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class _Terms:
    """What the evaluation of every task is given."""

    subject: Subject
    samples: pd.DataFrame
    method: Method
    confidence: float
    resamples: int
    curves: pd.DataFrame


def evaluate_runs(
    found: TrainedRuns, resamples: int = 0, ensembles: Sequence[Sequence[str]] | None = None
) -> Evaluation:
    """Evaluate the runs of all seeds and arms: of expressions, manipulations, pairs to verify, or numbers.

    Args:
        found: from ``open_runs``.
        resamples: of the bootstraps; 0 takes ``evaluation.bootstrap``.
        ensembles: lists of arms to combine; None takes those of the method's paper.

    Raises:
        UserError: an ensemble names an arm that was not trained.
    """
    config = read_params(found.params_file).evaluation
    terms = _Terms(
        subject_of(found),
        found.store.samples,
        found.method,
        config.confidence,
        resamples or config.bootstrap,
        _curves(found),
    )
    if found.task == "verification":
        return _verification(found.pairs, terms)
    if found.task == "regression":
        return _regression(found.numbers, level_values(found.store), terms)
    trained = list(by_arm(found.classified))
    combined = papers_ensembles(found.method.name, trained) if ensembles is None else ensembles
    return _classification(found.task, found.classified, combined, terms)


def main_rows(evaluation: Evaluation) -> pd.DataFrame:
    """Write the means over seeds of each arm's main metrics, and the differences of arms, as text."""
    rows = evaluation.rows
    means = rows[rows["seed"].fillna("").astype(str).eq("") & rows["metric"].isin(MAIN)]
    deviations = pd.to_numeric(means["deviation"])
    return pd.DataFrame(
        {
            "arm": means["arm"],
            "protocol": means["protocol"],
            "tta": means["tta"],
            "metric": means["metric"].str.replace("_", " "),
            "mean": _decimals(means["value"], means["metric"]),
            "unit": means["unit"],
            "seeds": means["runs"].astype(str),
            "sd over seeds": _decimals(deviations, means["metric"]).where(deviations.notna(), ""),
        }
    ).fillna("")


def _decimals(values: pd.Series, metrics: pd.Series) -> pd.Series:
    """Print numbers with two decimals, those that are no percentages with four."""
    places = [2 if METRICS[metric].unit == "%" else 4 for metric in metrics]
    said = [f"{value:.{count}f}" for value, count in zip(values, places, strict=True)]
    return pd.Series(said, index=values.index, dtype=object)


def write_results(folder: Path | str, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write four tables and two JSON files, byte-stable.

    ``rows.csv``, ``intervals.csv`` and ``curves.csv`` hold the tables of ``evaluation``.
    ``metrics.json`` has every mean; ``headline.json`` the few numbers that `dvc metrics show` is to print.
    ``confusion.csv`` lists true and predicted class of each test image of the first arm and seed, as DVC's
    confusion template wants them; under verification ``scores.csv`` lists the points of each run's ROC, of
    a regression ``values.csv`` true and predicted numbers.

    Args:
        folder: usually ``results/measured/<data set>/<method>``.
        evaluation: from ``evaluate_runs``.

    Returns:
        The files.
    """
    folder = Path(folder)
    tables = {
        "rows.csv": evaluation.rows,
        "intervals.csv": evaluation.intervals,
        "curves.csv": evaluation.curves,
    }
    first = evaluation.runs[0]
    if isinstance(first, Run):
        tables["confusion.csv"] = _decisions(first, evaluation.classes)
    elif isinstance(first, NumberRun):
        of_first = evaluation.scores["arm"].eq(first.arm) & evaluation.scores["seed"].eq(first.seed)
        tables["values.csv"] = evaluation.scores.loc[of_first, ["sample", "target", "prediction"]]
    else:
        tables["scores.csv"] = evaluation.scores
    for name, table in tables.items():
        with atomic_write(folder / name) as temporary:
            table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
    values = {"headline.json": headline_numbers(evaluation), "metrics.json": evaluation.metrics}
    for name, found in values.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return tuple(folder / name for name in (*tables, *values))


def headline_numbers(evaluation: Evaluation) -> dict[str, float]:
    """Pick the accuracy of the paper's arm and of its control, their difference, and its interval.

    Returns:
        ``arm``, ``control`` in percent; ``difference``, ``low``, ``high`` in points; of a regression all as
        mean squared errors. What a table of intervals does not hold, as with a single seed, is left out.
    """
    table = evaluation.intervals
    if table.empty:
        return {}
    method = load_method(str(table["method"].iloc[0]))
    table = table[table["metric"].isin((*ACCURACIES, "mse")) & table["tta"].eq("none")]
    table = table[table["protocol"].eq(table["protocol"].iloc[0])] if len(table) else table
    first = {str(row["arm"]): row for row in table.iloc[::-1].to_dict("records")}
    difference = first.get(f"{method.headline} - {method.control}", {})
    found = {
        "arm": first.get(method.headline, {}).get("value"),
        "control": first.get(method.control, {}).get("value"),
        "difference": difference.get("value"),
        "low": difference.get("low"),
        "high": difference.get("high"),
    }
    form = ".6f" if (table["metric"] == "mse").any() else ".4f"
    return {name: float(f"{value:{form}}") for name, value in found.items() if pd.notna(value)}


def _verification(runs: Sequence[PairRun], terms: _Terms) -> Evaluation:
    compare = (terms.subject, terms.method.control, terms.confidence, terms.resamples)
    rows, intervals = pair_rows(runs, *compare)
    metrics = {
        arm: _means([result.values for result in results.values()])
        for arm, results in measure_pairs(runs).items()
    }
    if len(runs[0].probes):
        further = probe_rows(runs, terms.samples, *compare)
        rows, intervals = (
            pd.concat(both, ignore_index=True) for both in zip((rows, intervals), further, strict=True)
        )
        for metric, kind in PROBE_METRICS.items():
            for arm, hits in probe_hits(runs, kind).items():
                metrics[arm] |= _means([{metric: hits.mean()}])
    return Evaluation(
        "verification", tuple(runs), rows, intervals, metrics, terms.curves, scores=roc_points(runs)
    )


def _regression(runs: Sequence[NumberRun], levels: np.ndarray, terms: _Terms) -> Evaluation:
    constant, compare = training_mean(terms.samples, levels), (terms.confidence, terms.resamples)
    rows, intervals = number_rows(
        runs, terms.samples, terms.subject, terms.method.control, constant, *compare
    )
    metrics = {
        arm: _means([{name: by_seed.values.mean() for name, by_seed in found.items()}])
        for arm, found in measure_numbers(runs, terms.samples).items()
    }
    return Evaluation(
        "regression", tuple(runs), rows, intervals, metrics, terms.curves, scores=predicted_numbers(runs)
    )


def _classification(
    task: Task, runs: Sequence[Run], ensembles: Sequence[Sequence[str]], terms: _Terms
) -> Evaluation:
    """Evaluate runs that predict classes; ensembles have rows and metrics like arms."""
    built = terms.method
    together = [run for names in ensembles for run in ensemble_runs(runs, names, built.ensemble_rule)]
    everything = [*runs, *together]
    level = (terms.confidence, terms.resamples)
    compare = (terms.method.control, *level)
    tables = [result_rows(everything, terms.samples, terms.subject, *level)]
    differences, intervals = difference_rows(everything, terms.samples, terms.subject, *compare)
    arms = by_arm(everything)
    metrics = {
        arm: _means([_classification_metrics(run) for run in members]) for arm, members in arms.items()
    }
    table = pd.DataFrame()
    if task == "manipulation":
        rows, further = forgery_rows(everything, terms.samples, terms.subject, *compare)
        tables.append(rows)
        intervals = pd.concat([intervals, further], ignore_index=True)
        for arm, found in measure_forgeries(everything, terms.samples).items():
            metrics[arm] |= _means([{name: by_seed.values.mean() for name, by_seed in found.items()}])
        table = ensemble_table(everything, terms.samples, terms.method.control, built.ensemble)
    calibration = calibrate(everything)
    confident = calibration_rows(calibration, runs[0], terms.samples, terms.subject, *level)
    for part in unseen_parts(runs, terms.samples, built).values():
        confident += calibration_rows(calibrate(part), part[0], terms.samples, terms.subject, *level, UNSEEN)
    tables += [pd.DataFrame(confident, columns=list(COLUMNS)), differences]
    confusions = {
        arm: np.mean([_confusion(run) for run in members], axis=0) for arm, members in by_arm(runs).items()
    }
    return Evaluation(
        task,
        tuple(runs),
        pd.concat([table for table in tables if len(table)], ignore_index=True),
        intervals,
        metrics,
        terms.curves,
        confusions,
        recall_table(confusions, runs[0].predictions.classes, terms.confidence),
        runs[0].predictions.classes,
        calibration,
        ensembles=table,
    )


def _means(tables: Sequence[dict[str, float]]) -> dict[str, float]:
    means = pd.DataFrame(tables).mean()
    return {str(name): float(f"{value:.9g}") for name, value in means.items()}


def _classification_metrics(run: Run) -> dict[str, float]:
    test = run.predictions.of_split(SPLIT)
    found = classification_metrics(test.targets, softmax(test.logits))
    if run.config["recipe"]["tta_copies"]:
        augmented = classification_metrics(test.targets, test.probabilities)
        found |= {f"{name}_tta": value for name, value in augmented.items()}
    return found


def _curves(found: TrainedRuns) -> pd.DataFrame:
    tables = []
    for run in found.runs:
        folder = run_folder(found.root, found.dataset, found.method.name, run.seed, run.arm)
        tables.append(pd.DataFrame({"arm": run.arm, "seed": run.seed, **pd.read_csv(folder / "history.csv")}))
    return pd.concat(tables, ignore_index=True)


def _confusion(run: Run) -> Any:  # noqa: ANN401 - counts (K, K)
    test = run.predictions.of_split(SPLIT)
    return confusion_matrix(test.targets, test.logits.argmax(1), len(test.classes))


def _decisions(run: Run, classes: Sequence[str]) -> pd.DataFrame:
    test = run.predictions.of_split(SPLIT)
    names = pd.Series(classes)
    return pd.DataFrame(
        {
            "sample": test.samples,
            "target": names[test.targets].to_numpy(),
            "predicted": names[test.logits.argmax(1)].to_numpy(),
        }
    )
