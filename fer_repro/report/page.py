"""Gather what the page shows from the files of the project; what is missing is named, never an error."""

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import method_arms, run_folder
from fer_repro.files import read_yaml
from fer_repro.params import pipeline_datasets, pipeline_methods, pipeline_runs, read_params
from fer_repro.report.deviations import COLUMNS as DEVIATIONS
from fer_repro.report.deviations import deviation_table, read_deviations
from fer_repro.report.display import figure_html, show_results
from fer_repro.report.figures import gap_plot, learning_curves
from fer_repro.report.glance import Paper, glance
from fer_repro.report.ledger import count_verdicts, read_ledger
from fer_repro.report.records import Record, read_records, spell_machine, spell_time
from fer_repro.report.runs import EMPTY_ROWS, read_all_rows, read_history, read_json, read_rows, run_folders
from fer_repro.report.story import Story, read_story
from fer_repro.report.tables import (
    Column,
    accuracy_labels,
    as_html,
    beside_published,
    in_percent,
)

_PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "numpy", "scipy", "pandas", "matplotlib",
             "dvc", "papermill", "nbconvert")  # fmt: skip


@dataclass
class Page:
    """Everything the template prints."""

    datasets: list[str]
    methods: list[str]
    trained: list[tuple[str, str]]  # data set and method
    tasks: dict[str, str]  # data set -> task, as stages are called
    seeds: list[int]
    arms: dict[str, list[str]]
    confidence: float
    home: str = "."  # the project's folder as seen from the page's
    papers: list[Paper] = field(default_factory=list)
    counts: list[tuple[str, int]] = field(default_factory=list)
    deviations: list[tuple[str, str]] = field(default_factory=list)
    results: str = ""
    gap_figure: str = ""
    stories: list[Story] = field(default_factory=list)
    comparison: Story | None = None
    data: list[Story] = field(default_factory=list)
    audits: list[tuple[str, str]] = field(default_factory=list)
    training: list[tuple[str, str]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    ran: str = ""
    provenance: str = ""
    commands: str = ""
    params: str = ""
    missing: list[tuple[str, str]] = field(default_factory=list)
    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EMPTY_ROWS))
    published: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EMPTY_ROWS[:14]))


def gather(root: Path, home: str = ".") -> Page:
    """Read the project below ``root``.

    Args:
        root: the folder that holds params.yaml, results/, executed/, runs/ and so on.
        home: that folder as seen from the page's, for links.

    Raises:
        UserError: params.yaml is missing or wrong; everything else may be missing.
    """
    params_file = root / "params.yaml"
    params = read_params(params_file)
    page = Page(
        datasets=list(pipeline_datasets(params)),
        methods=pipeline_methods(params),
        trained=pipeline_runs(params),
        tasks={name: task for task, section in params["pipeline"].items() for name in section["datasets"]},
        seeds=list(params["seeds"]),
        arms={str(name): list(method_arms(params_file, name)) for name in pipeline_methods(params)},
        confidence=float(params["evaluation"]["confidence"]),
        home=home,
        params=params_file.read_text(encoding="utf-8"),
    )
    _add_results(page, root)
    _add_ledger(page, root)
    _add_deviations(page, root)
    _add_stories(page, root)
    _add_training(page, root)
    _add_records(page, root)
    page.ran = _where_it_ran(root, page)
    page.provenance = as_html(_provenance(root, page), _PAIR, "Where and with what this page was made")
    page.commands = as_html(_commands(page), _COMMANDS, "How to run each number again")
    return page


_PAIR = (Column("what", "What"), Column("value", "Value"))
_COMMANDS = (Column("what", "Number"), Column("command", "Command"))


def _attempt(page: Page, path: Path, root: Path, how: str) -> bool:
    """Note a file that is not there, with the command that makes it."""
    if not path.is_file():
        page.missing.append((path.relative_to(root).as_posix(), how))
    return path.is_file()


def _add_results(page: Page, root: Path) -> None:
    for dataset, method in page.trained:
        file = root / "results" / dataset / method / "rows.csv"
        _attempt(page, file, root, f"dvc repro {_stage(page, 'evaluate', dataset, method)}")
    measured = read_all_rows(root / "results", page.trained)
    published_file = root / "published" / "results.csv"
    if _attempt(page, published_file, root, "part of the repository: git checkout published/"):
        page.published = read_rows(published_file)
    if measured.empty:
        return
    page.rows = in_percent(measured)
    table = beside_published(measured, page.published, page.confidence)
    percent = round(100 * page.confidence)
    caption = (
        f"Measured beside published, in percent; the interval is that of the mean over seeds ({percent} %, "
        "Student's t), the gap in points. TTA: test-time augmentation. A published number stands only beside "
        "the same data set, protocol and use of TTA; the budget says how the measured number was made."
    )
    page.results = show_results(table, caption).markup
    accuracies = accuracy_labels(table)
    if len(accuracies):
        numbers = zip(accuracies["label"], accuracies["value"], strict=True)
        alt = "; ".join(f"{label}: {value:.2f} %" for label, value in numbers)
        budgets = "; ".join(dict.fromkeys(str(note) for note in accuracies["note"] if note))
        words = (
            "Accuracy of every arm with the interval of its mean over seeds, and the published number where "
            "data set, protocol and use of TTA are the same. Budget of the measured ones: "
            f"{budgets or 'not stated'}."
        )
        page.gap_figure = figure_html(gap_plot(accuracies), words, f"Accuracies. {alt}")


def _stage(page: Page, step: str, dataset: str, *further: object) -> str:
    """Name a stage of dvc.yaml: ``train-faces@synthetic-rmn-0``."""
    return f"{step}-{page.tasks[dataset]}@{'-'.join(map(str, (dataset, *further)))}"


def _add_ledger(page: Page, root: Path) -> None:
    file = root / "comparison" / "ledger.csv"
    if not _attempt(page, file, root, "dvc repro compare"):
        return
    ledger = read_ledger(file)
    papers = root / "published" / "papers.yaml"
    known = read_yaml(papers) if papers.is_file() else {}
    page.counts = count_verdicts(ledger)
    page.papers = glance(ledger, page.rows, known, page.tasks)


def _add_deviations(page: Page, root: Path) -> None:
    file = root / "published" / "deviations.yaml"
    if _attempt(page, file, root, "part of the repository: git checkout published/"):
        for method in read_deviations(file):
            caption = (
                f"What the paper of {method} leaves open or its code does otherwise, and what is done here."
            )
            page.deviations.append((method, as_html(deviation_table(method, file), DEVIATIONS, caption)))


def _add_stories(page: Page, root: Path) -> None:
    executed = root / "executed"
    for dataset, method in page.trained:
        path = executed / f"{method}-{dataset}.ipynb"
        if _attempt(page, path, root, f"dvc repro {_stage(page, 'evaluate', dataset, method)}"):
            page.stories.append(read_story(path))
    for dataset in page.datasets:
        path = executed / f"data-{dataset}.ipynb"
        if _attempt(page, path, root, f"dvc repro {_stage(page, 'prepare', dataset)}"):
            page.data.append(read_story(path))
        elif audit := read_json(root / "prepared" / dataset / "audit.json"):
            rows = pd.DataFrame([{"what": str(key), "value": str(audit[key])} for key in sorted(audit)])
            page.audits.append((dataset, as_html(rows, _PAIR, f"Findings of the data doctor on {dataset}")))
    path = executed / "comparison.ipynb"
    if _attempt(page, path, root, "dvc repro compare"):
        page.comparison = read_story(path)


def _add_training(page: Page, root: Path) -> None:
    for dataset, method in page.trained:
        history = read_history(root / "runs", dataset, method)
        for seed in page.seeds:
            _attempt_run(page, root, dataset, method, seed)
        if history.empty:
            continue
        arms = [arm for arm in page.arms[method] if (history["arm"] == arm).any()]
        count = history["seed"].nunique()
        words = f"Learning curves of {method} on {dataset}: mean over {count} seeds, their range as a band."
        figure = ""
        if f"{method}-{dataset}" not in [story.name for story in page.stories]:  # stories have the curves
            alt = f"Loss and accuracy over epochs for {', '.join(arms)}; the table below has the values."
            figure = figure_html(learning_curves(history, arms), words, alt)
        runs = _run_table(root, dataset, method, history)
        table = as_html(runs, _RUNS, f"Runs of {method} on {dataset}; accuracies at the best epoch")
        page.training.append((f"{method} on {dataset}", figure + table))


def _add_records(page: Page, root: Path) -> None:
    page.records = read_records(root / "records", page.published, page.confidence)


def _where_it_ran(root: Path, page: Page) -> str:
    """Say how many networks were trained, how long and on what, where the timings are still there."""
    timings = [
        read_json(run_folder(root / "timings", dataset, method, seed, arm).with_suffix(".json"))
        for dataset, method in page.trained
        for seed, arm, _ in run_folders(root / "runs", dataset, method)
        if seed in page.seeds and arm in page.arms[method]
    ]
    known = [timing for timing in timings if isinstance(timing, dict) and timing.get("environment")]
    if not known or len(known) < len(timings):
        return ""
    machines = "; ".join(dict.fromkeys(spell_machine(timing["environment"]) for timing in known))
    seconds = sum(_seconds(timing) for timing in known)
    return f"{len(known)} networks trained in {spell_time(seconds)} of computing, on {machines}."


def _attempt_run(page: Page, root: Path, dataset: str, method: str, seed: int) -> None:
    for arm in page.arms[method]:
        file = run_folder(root / "runs", dataset, method, seed, arm) / "history.csv"
        _attempt(page, file, root, f"dvc repro {_stage(page, 'train', dataset, method, seed)}")


_RUNS = (
    Column("arm", "Arm"),
    Column("seed", "Seed", "count"),
    Column("epochs", "Epochs", "count"),
    Column("best", "Best epoch", "count"),
    Column("val", "Validation accuracy (%)", "percent"),
    Column("train", "Training accuracy (%)", "percent"),
    Column("seconds", "Training time (s)", "number"),
)


def _run_table(root: Path, dataset: str, method: str, history: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for seed, arm, _ in run_folders(root / "runs", dataset, method):
        run = history[(history["arm"] == arm) & (history["seed"] == seed)]
        if run.empty:
            continue
        best = run.iloc[int(run["val_accuracy"].argmax())]
        timing = read_json(run_folder(root / "timings", dataset, method, seed, arm).with_suffix(".json"))
        rows.append(
            {
                "arm": arm, "seed": seed, "epochs": len(run), "best": best["epoch"],
                "val": 100 * best["val_accuracy"], "train": 100 * best["train_accuracy"],
                "seconds": _seconds(timing),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _seconds(timing: Any) -> float:  # noqa: ANN401 - whatever the file holds
    if isinstance(timing, dict):
        for key in ("train_seconds", "seconds", "train"):
            if isinstance(timing.get(key), int | float):
                return float(timing[key])
    return float("nan")


def _provenance(root: Path, page: Page) -> pd.DataFrame:
    inputs = [root / "params.yaml", root / "published" / "results.csv"]
    inputs += [root / "prepared" / dataset / "manifest.json" for dataset in page.datasets]
    inputs += [root / "results" / dataset / method / "rows.csv" for dataset, method in page.trained]
    rows = [
        ("commit", _commit(root)),
        ("machine", f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"),
        ("Python", platform.python_version()),
        *((name, _version(name)) for name in _PACKAGES),
        *(
            (f"sha256 of {file.relative_to(root).as_posix()}", _digest(file))
            for file in inputs
            if file.is_file()
        ),
    ]
    return pd.DataFrame(rows, columns=["what", "value"])


def _commit(root: Path) -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "not in a git repository"
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "processor unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "processor unknown"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _commands(page: Page) -> pd.DataFrame:
    rows: list[tuple[str, str]] = [("everything, from the embedded data", "make reproduce")]
    for dataset in page.datasets:
        rows.append((f"data set {dataset}", f"dvc repro -f -s {_stage(page, 'prepare', dataset)}"))
    for dataset, method in page.trained:
        for seed in page.seeds:
            stage = _stage(page, "train", dataset, method, seed)
            rows.append((f"{method} on {dataset}, seed {seed}, all arms", f"dvc repro -f -s {stage}"))
        stage = _stage(page, "evaluate", dataset, method)
        rows.append((f"rows of {method} on {dataset}", f"dvc repro -f -s {stage}"))
    rows += [("comparison and claims", "dvc repro -f -s compare"), ("this page", "dvc repro -f -s report")]
    return pd.DataFrame(rows, columns=["what", "command"])
