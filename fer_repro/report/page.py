"""Gather what the page shows from the files of the project; what is missing is named, never an error."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from fer_repro.config import method_arms, run_folder
from fer_repro.figures.claim_figures import show_sizes
from fer_repro.figures.display import figure_html, show_results
from fer_repro.figures.ledger_tables import count_verdicts, read_ledger
from fer_repro.figures.result_files import (
    EMPTY_ROWS,
    json_or_nothing,
    read_all_rows,
    read_history,
    read_rows,
    run_folders,
)
from fer_repro.figures.result_tables import gap_plot
from fer_repro.figures.results import learning_curves
from fer_repro.figures.tables import accuracy_labels, as_html, beside_published, in_percent
from fer_repro.files import read_yaml
from fer_repro.params import read_params
from fer_repro.report.chapters import Chapter, make_chapters
from fer_repro.report.glance import Paper, glance, grouped
from fer_repro.report.provenance import (
    COMMANDS,
    FACTS,
    HASHES,
    OUTPUTS,
    command_table,
    commit_facts,
    facts,
    file_hashes,
    locked_outputs,
    packages,
    stage_name,
)
from fer_repro.report.records import (
    Record,
    read_records,
    rows_with_records,
    shown_records,
    spell_machine,
    spell_time,
)
from fer_repro.report.run_costs import (
    cost_part,
    read_timing,
    run_columns,
    run_table,
    summarise_timing,
    training_times,
)
from fer_repro.report.story_html import StoryHtml, markdown_section, read_story


@dataclass
class Page:
    """Everything the template prints; HTML unless the name of a field states otherwise."""

    root: Path
    datasets: list[str]
    methods: list[str]
    trained: dict[tuple[str, str], str]  # data set and method -> task, as in stage names
    seeds: dict[str, list[int]]  # of each method
    arms: dict[str, list[str]]
    confidence: float
    tasks: dict[str, str] = field(default_factory=dict)  # method -> its first task
    rules: str = ""
    papers: list[Paper] = field(default_factory=list)
    counts: list[tuple[str, int]] = field(default_factory=list)
    sizes: str = ""
    chapters: list[Chapter] = field(default_factory=list)
    results: str = ""
    gap_figure: str = ""
    stories: dict[str, list[StoryHtml]] = field(default_factory=dict)
    comparison: StoryHtml | None = None
    data: list[tuple[str, StoryHtml]] = field(default_factory=list)
    audits: list[tuple[str, str]] = field(default_factory=list)
    costs: str = ""
    training: list[tuple[str, str]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    ran: str = ""
    commit: str = ""
    provenance: str = ""
    packages: str = ""
    hashes: str = ""
    locked: str = ""
    commands: str = ""
    params: str = ""
    missing: list[tuple[str, str]] = field(default_factory=list)
    measured: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EMPTY_ROWS))
    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EMPTY_ROWS))
    published: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EMPTY_ROWS[:14]))

    def has(self, path: Path, how: str) -> bool:
        """Return whether a file exists; if not, note the command that makes it."""
        if not path.is_file():
            self.missing.append((path.relative_to(self.root).as_posix(), how))
        return path.is_file()

    @property
    def seed_counts(self) -> str:
        """How many seeds the methods have, in words."""
        counts = sorted({len(seeds) for seeds in self.seeds.values()})
        return f"{' or '.join(map(str, counts))} seed{'' if counts == [1] else 's'}" if counts else ""

    def stage(self, step: str, dataset: str, method: str, *seed: object) -> str:
        """Name the stage of dvc.yaml that makes something."""
        return stage_name(self.trained, step, dataset, method, *seed)


_LEDGER = "results/comparison/ledger.csv"


def gather(root: Path) -> Page:
    """Read the project below ``root``.

    Args:
        root: the folder that holds params.yaml, results/measured/, executed/, runs/ and so on.

    Raises:
        UserError: params.yaml is missing or wrong, or a file that is there is not readable.
    """
    params_file = root / "params.yaml"
    params = read_params(params_file)
    methods, trained = params.pipeline.methods, {**params.pipeline.runs, **params.full.runs}
    page = Page(
        root=root,
        datasets=list(params.pipeline.datasets),
        methods=methods,
        trained=params.pipeline.runs,
        seeds={name: params.seeds_of(name) for name in methods},
        arms={name: list(method_arms(params_file, name)) for name in methods},
        confidence=params.evaluation.confidence,
        tasks={method: task for (_, method), task in reversed([*trained.items()])},
        params=params_file.read_text(encoding="utf-8"),
    )
    _add_results(page)
    file = root / _LEDGER
    together = read_ledger(file) if file.is_file() else None
    page.records = read_records(root / "results/records", page.published, page.confidence, together)
    _add_ledger(page)
    _add_stories(page)
    page.chapters = make_chapters(
        page.methods, page.papers, page.stories, page.records, root, page.confidence
    )
    _add_costs(page)
    _add_training(page)
    page.ran = _where_it_ran(page)
    _add_provenance(page)
    return page


def _add_results(page: Page) -> None:
    for dataset, method in page.trained:
        file = page.root / "results/measured" / dataset / method / "rows.csv"
        page.has(file, f"dvc repro {page.stage('evaluate', dataset, method)}")
    measured = read_all_rows(page.root / "results/measured", list(page.trained))
    published_file = page.root / "results/published" / "results.csv"
    if page.has(published_file, "part of the repository: git checkout results/published/"):
        page.published = read_rows(published_file)
    if measured.empty:
        return
    page.measured = in_percent(measured)
    page.rows = in_percent(rows_with_records(measured, page.root / "results/records"))
    if (page.root / "executed/comparison.ipynb").is_file():  # which shows the same
        return
    table = beside_published(measured, page.published)
    percent = round(100 * page.confidence)
    caption = (
        f"Measured and published values in percent; the interval is of the mean over seeds ({percent} %, "
        "Student's t), the gap in points. TTA: test-time augmentation. A published number is shown only "
        "for the same data set, protocol and use of TTA; the budget states how the measured one was made."
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


def _add_ledger(page: Page) -> None:
    file = page.root / _LEDGER
    if not page.has(file, "dvc repro compare"):
        return
    ledger = read_ledger(file)
    papers = page.root / "results/published" / "papers.yaml"
    known = read_yaml(papers) if papers.is_file() else {}
    page.counts = count_verdicts(ledger)
    page.sizes = show_sizes(ledger).markup
    page.rules = markdown_section(page.root / "docs/verdicts.md", "Rules")
    folders = shown_records(page.root / "results/records")
    records = {folder.name: in_percent(read_rows(folder / "rows.csv")) for folder in folders}
    page.papers = grouped(glance(ledger, page.measured, known, page.trained, records), page.tasks)


def _add_stories(page: Page) -> None:
    executed = page.root / "executed"
    page.has(
        page.root / "results/published" / "deviations.yaml",
        "part of the repository: git checkout results/published/",
    )
    for dataset, method in page.trained:
        path = executed / f"{method}-{dataset}.ipynb"
        if page.has(path, f"dvc repro {page.stage('evaluate', dataset, method)}"):
            page.stories.setdefault(method, []).append(read_story(path))
    for dataset in page.datasets:
        path = executed / f"data-{dataset}.ipynb"
        if page.has(path, f"dvc repro prepare@{dataset}"):
            name, story = dataset.replace("_", " "), read_story(path)
            page.data.append((name, replace(story, title=f"{story.title}: {name}")))
        elif audit := json_or_nothing(page.root / "prepared" / dataset / "audit.json"):
            rows = pd.DataFrame([{"what": str(key), "value": str(audit[key])} for key in sorted(audit)])
            page.audits.append((dataset, as_html(rows, FACTS, f"Findings of the data doctor on {dataset}")))
    path = executed / "comparison.ipynb"
    if page.has(path, "dvc repro compare"):
        page.comparison = read_story(path)


def _add_costs(page: Page) -> None:
    file = page.root / "results/comparison" / "cost.csv"
    if not page.has(file, "dvc repro compare"):
        return
    times = training_times(page.root / "params.yaml", list(page.trained), page.root / "timings")
    part = cost_part(pd.read_csv(file), times)
    page.costs = as_html(part.frame, part.columns, part.caption)


def _add_training(page: Page) -> None:
    for dataset, method in page.trained:
        history = read_history(page.root / "runs", dataset, method)
        for seed, arm in _wanted(page, method):
            file = run_folder(page.root / "runs", dataset, method, seed, arm) / "history.csv"
            page.has(file, f"dvc repro {page.stage('train', dataset, method, seed)}")
        if history.empty:
            continue
        arms = [arm for arm in page.arms[method] if (history["arm"] == arm).any()]
        count = history["seed"].nunique()
        words = f"Learning curves of {method} on {dataset}: mean over {count} seeds, their range as a band."
        figure, curved = "", history[history["epoch"] > 0]  # arms that are fitted at once have no epochs
        if method not in page.stories and len(curved):  # stories have the curves
            arms = [arm for arm in arms if (curved["arm"] == arm).any()]
            alt = f"Loss and accuracy over epochs for {', '.join(arms)}; the table below has the values."
            figure = figure_html(learning_curves(curved, arms), words, alt)
        runs = run_table(page.root, dataset, method, history)
        shown = "accuracies" if "val_accuracy" in history else "errors"
        caption = f"Runs of {method} on {dataset}; {shown} at the best epoch"
        table = as_html(runs, run_columns(history), caption)
        page.training.append((f"{method} on {dataset.replace('_', ' ')}: {len(runs)} runs", figure + table))


def _wanted(page: Page, method: str) -> Iterator[tuple[int, str]]:
    yield from ((seed, arm) for seed in page.seeds[method] for arm in page.arms[method])


def _where_it_ran(page: Page) -> str:
    """State how many networks were trained, how long and on what, where timings are available."""
    timings = [
        read_timing(page.root / "timings", dataset, method, seed, arm)
        for dataset, method in page.trained
        for seed, arm, _ in run_folders(page.root / "runs", dataset, method)
        if seed in page.seeds[method] and arm in page.arms[method]
    ]
    known = [timing for timing in timings if timing.get("environment")]
    if not known or len(known) < len(timings):
        return ""
    machines = "; ".join(dict.fromkeys(spell_machine(timing["environment"]) for timing in known))
    seconds = float(pd.Series([summarise_timing(timing)["train_seconds"] for timing in known]).sum())
    return f"{len(known)} networks trained in {spell_time(seconds)} of computing time, on {machines}."


def _add_provenance(page: Page) -> None:
    root = page.root
    inputs = [
        root / "params.yaml",
        root / "results/published" / "results.csv",
        root / "results/comparison" / "ledger.csv",
    ]
    inputs += [root / "prepared" / dataset / "manifest.json" for dataset in page.datasets]
    inputs += [root / "results/measured" / dataset / method / "rows.csv" for dataset, method in page.trained]
    page.commit = dict(commit_facts(root))["commit"]
    page.provenance = as_html(facts(root), FACTS, "Where and with what this page was made.")
    page.packages = packages()
    page.hashes = as_html(file_hashes(root, inputs), HASHES, "SHA-256 of the files that this page read.")
    stages = [f"prepare@{dataset}" for dataset in page.datasets]
    for dataset, method in page.trained:
        stages += [page.stage("train", dataset, method, seed) for seed in page.seeds[method]]
        stages.append(page.stage("evaluate", dataset, method))
    locked = locked_outputs(root, [*stages, "compare"])
    if len(locked):
        page.locked = as_html(locked, OUTPUTS, "What stages made, as recorded in dvc.lock.")
    page.commands = as_html(
        command_table(page.datasets, page.trained), COMMANDS, "The command that makes each number again."
    )
