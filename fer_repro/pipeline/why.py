"""Why a number is what it is: the chain from a claim, a run or a printed number to its data and command.

Everything is read from files of the project; nothing is computed anew. What has changed since the numbers
were made is found with the digests that records keep, and for the pipeline's own runs with DVC.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import DATA_DIGESTS, load_config, method_arms, run_folder
from fer_repro.errors import UserError, nearest
from fer_repro.figures.ledger_tables import in_words, read_ledger, spell_seeds
from fer_repro.figures.result_files import read_rows, run_folders
from fer_repro.figures.tables import is_difference, metric_words, uses_tta
from fer_repro.files import read_yaml
from fer_repro.git import ask_git, head_commit
from fer_repro.params import read_params
from fer_repro.pipeline.check_results import LEDGER, RESULTS, RUNS, outdated_stages
from fer_repro.pipeline.crate import again
from fer_repro.pipeline.staleness import PARAMS, changed_data, changed_recipe, stale_record, stale_runs
from fer_repro.project_files import NO_PROJECT
from fer_repro.report.provenance import stage_name
from fer_repro.report.records import read_record
from fer_repro.runs.folder import read_run_config

Chain = dict[str, Any]
"""What is known of one number, in the order of reading: texts, and lists of texts."""

RECORDS = Path("results/records")
PUBLISHED = Path("results/published")
_MOST = 8  # places of one number that are shown, and further lines of one link
_NOT_ATTEMPTED = "not attempted"


def why(name: str) -> list[Chain]:
    """Find the chains of a claim at all its places, of a run, or of all places of a number.

    The current folder is the project's.

    Args:
        name: id of a claim, folder of a run, or a number as it is printed, such as ``62.3``.

    Raises:
        UserError: nothing has this name; names the nearest.
    """
    project = _Project()
    ledger = project.ledger
    if len(ledger) and (ledger["claim"] == name).any():
        own = ledger[ledger["claim"] == name]
        tested = own[own["verdict"] != _NOT_ATTEMPTED]
        return [_claim(project, row) for _, row in (tested if len(tested) else own).iterrows()]
    if run := _find_run(name):
        return [_run(project, *run)]
    if (number := _as_number(name)) is not None:
        return _number(project, name, *number)
    known = [*(ledger["claim"].unique() if len(ledger) else ()), *_run_names()]
    where = nearest(name, known) if known else NO_PROJECT
    raise UserError(f"'{name}' is no claim, no run and no number of this project; {where}")


def print_chains(chains: Iterable[Chain]) -> str:
    """Lay chains out as text, one below the other; what is stale like in a former one is not repeated."""
    seen, texts = dict[str, int](), list[str]()
    for count, chain in enumerate(chains, 1):
        stale = "\n".join(chain.get("stale", ()))
        first = seen.setdefault(stale, count)
        same = first < count and "\n" in stale
        texts.append(print_chain(chain | {"stale": [f"as above, number {first}"]} if same else chain))
    return "\n\n".join(texts)


def print_chain(chain: Chain) -> str:
    """Lay a chain out as text: a line for each link, lists below one another and at most 9 lines long."""
    width = max(map(len, chain)) + 2
    lines = []
    for key, value in chain.items():
        first, *others = [value] if isinstance(value, str) else value or ["nothing"]
        if len(others) > _MOST:
            others = [*others[: _MOST - 1], f"and {len(others) + 1 - _MOST} more: --json has all"]
        lines.append(f"{key:{width}}{first}")
        lines += [" " * width + other for other in others]
    return "\n".join(lines)


class _Project:
    """The files of the project in the current folder, each read once."""

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """Every claim at every place, with its words; empty where none was judged."""
        return in_words(read_ledger(LEDGER)) if LEDGER.is_file() else pd.DataFrame()

    @cached_property
    def papers(self) -> Mapping[str, Any]:
        """What results/published/papers.yaml holds."""
        file = PUBLISHED / "papers.yaml"
        return read_yaml(file) if file.is_file() else {}

    @cached_property
    def tasks(self) -> dict[tuple[str, str], str]:
        """Data set and method of the pipeline -> their task."""
        return read_params(PARAMS).pipeline.runs

    @cached_property
    def outdated(self) -> list[str]:
        """Stages that are not as in dvc.lock; one line that begins with "unknown" where DVC cannot say."""
        print("asking DVC which stages are out of date: some seconds", file=sys.stderr, flush=True)
        try:
            return outdated_stages()
        except UserError as error:
            return [f"unknown: {error}"]


@dataclass(frozen=True)
class _Source:
    """One method on one data set: a record, or the pipeline's own runs where ``record`` is empty."""

    project: _Project
    dataset: str
    method: str
    arms: Sequence[str]
    record: str = ""

    @property
    def table(self) -> Path:
        """The table with its result rows."""
        return (RECORDS / self.record if self.record else RESULTS / self.dataset / self.method) / "rows.csv"

    def links(self) -> Chain:
        """Return runs, recipe, data, commit, command and what is stale."""
        return self._of_record() if self.record else self._of_pipeline()

    def _of_record(self) -> Chain:
        record = read_record(RECORDS / self.record / "record.json")
        seeds = sorted({int(run["seed"]) for run in record["runs"]})
        kept = RECORDS / self.record / "runs"
        where = f"kept in {kept}" if kept.is_dir() else "their rows are kept, they are not"
        changed = f", with {len(record['changed'])} files changed since" if record["changed"] else ""
        return {
            "runs": f"record {self.record}: seeds {', '.join(map(str, seeds))}; {where}",
            "recipe": f"{record['recipe_name']}: {record['recipe'].get('note', '')}",
            "data": _spell_digests(self.dataset, record.get(DATA_DIGESTS, {})),
            "commit": record["commit"] + changed if record["commit"] else "none",
            "again": [f"at commit {record['commit']}:"] * bool(record["commit"])
            + again(self.record, record, kept.is_dir()),
            "stale": list(stale_record(record)) or ["no"],
        }

    def _of_pipeline(self) -> Chain:
        config = load_config(PARAMS, self.method, self.dataset, self.arms[0], 0)
        runs = [found for found in run_folders(RUNS, self.dataset, self.method) if found[1] in self.arms]
        seeds = ", ".join(map(str, sorted({seed for seed, _, _ in runs})))
        folder = run_folder(RUNS, self.dataset, self.method, 0).parent
        first = {arm: path for _, arm, path in reversed(runs)}  # of each arm its first seed
        configs = [read_run_config(path) for path in first.values()]
        digests = configs[0].get(DATA_DIGESTS, {}) if runs else {}
        note = configs[0]["recipe"].get("note", "") if runs else config.recipe.note
        task = self.project.tasks.get((self.dataset, self.method))
        stage = stage_name(self.project.tasks, "evaluate", self.dataset, self.method) if task else ""
        return {
            "runs": f"{folder}: seeds {seeds}"
            if runs
            else f"{folder}: none is here; make reproduce trains them",
            "recipe": f"{config.recipe_name}: {note}",
            "data": _spell_digests(self.dataset, digests),
            "commit": _last_commit(self.table),
            "again": [f"dvc repro {stage}" if task else "no stage of dvc.yaml makes it"],
            "stale": stale_runs(configs, self.project.outdated, self.dataset, self.method) or ["no"],
        }


def _claim(project: _Project, row: pd.Series) -> Chain:
    paper = project.papers.get(row["method"], {})
    about = [paper.get("title", row["method"]), paper.get("venue", "")]
    about.append(f"arXiv:{paper['arxiv']}" if paper.get("arxiv") else "")
    chain: Chain = {
        "claim": f"{row['claim']} on {row['data']}",
        "says": row["statement"],
        "paper": ", ".join(part for part in about if part),
        "published": f"{row['was']}{': ' if row['was_source'] else ''}{row['was_source']}",
        "verdict": row["verdict"],
        "rule": f"{row['rule']:.0f} of docs/verdicts.md: {row['reason']}",
    }
    if row["verdict"] == _NOT_ATTEMPTED:
        return chain | {"data": f"{row['data']}: {row['access']}"}
    chain["measured"] = (
        f"{row['now']} ({row['interval']}) in {metric_words(row['metric'], '%')}, {row['protocol']}, "
        f"{spell_seeds(row['seeds'])}; {row['condition']}"
    )
    if pd.notna(row.get("shorter_difference")):
        chain["half"] = f"{row['shorter_difference']:+.3g} with half the epochs, moved by {row['moved']:+.3g}"
    arms = [*str(row["arm"]).split("+"), *(arm for arm in str(row["against"]).split(" | ") if arm)]
    source = _Source(project, row["dataset"], row["method"], arms, str(row["record"]))
    return chain | {"rows": _lines_of(source.table, row, arms)} | source.links()


def _lines_of(table: Path, row: pd.Series, arms: Sequence[str]) -> list[str]:
    """Name the lines of a table that a claim's arms have at its place."""
    if not table.is_file():
        return [f"{table}: is not here"]
    rows = read_rows(table)
    same = rows["arm"].isin([*arms, str(row["arm"])]) & ~is_difference(rows)
    for name in ("protocol", "metric"):
        same &= rows[name] == row[name]
    same &= rows["tta"].map(uses_tta) == (str(row["augmented"]) == "True")
    return [f"{table}: lines {_ranges(index + 2 for index in rows.index[same])}"]


def _ranges(numbers: Iterable[int]) -> str:
    """Spell out whole numbers, neighbours as a range.

    >>> _ranges([2, 3, 4, 9])
    '2-4, 9'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}-{high}" if high > low else str(low) for low, high in runs)


def _find_run(name: str) -> tuple[Path, Path] | None:
    """Find the folder of a run, given with or without the folder of all runs, and that folder."""
    for root in (Path(), RUNS, Path("scratch/runs"), *sorted(RECORDS.glob("*/runs"))):
        folder = root / name
        if (folder / "config.json").is_file() and len(folder.parts) >= 4:
            return folder, Path(*folder.parts[:-4])
    return None


def _run_names() -> list[str]:
    return ["/".join(path.parts[-5:-1]) for path in RUNS.glob("*/*/*/*/config.json")]


def _run(project: _Project, folder: Path, root: Path) -> Chain:
    config = read_run_config(folder)
    dataset, method, arm, seed = (config.get(name, "") for name in ("dataset", "method", "arm", "seed"))
    record = root.parent.name if root.parent.parent == RECORDS else ""
    source = _Source(project, dataset, method, [arm], record)
    chain: Chain = {"run": f"{folder}: {arm} of {method} on {dataset}, seed {seed}"}
    if source.table.is_file():
        rows = read_rows(source.table)
        own = rows[(rows["arm"] == arm) & (rows["seed"] == str(seed))]
        chain["rows"] = f"{source.table}: lines {_ranges(index + 2 for index in own.index)}"
    if len(ledger := project.ledger):
        both = ledger[(ledger["dataset"] == dataset) & (ledger["method"] == method)]
        here = both[both["record"].astype(str) == record]
        arms = (here["arm"] + "+" + here["against"]).str.replace(" | ", "+").str.split("+")
        claims = [claim for claim, found in zip(here["claim"], arms, strict=True) if arm in found]
        chain["claims"] = list(dict.fromkeys(claims)) or [_better_grounded(both)]
    if record or root == RUNS:
        return chain | source.links()
    return chain | {
        "recipe": f"{config.get('recipe_name')}: {config['recipe'].get('note', '')}",
        "data": _spell_digests(dataset, config.get(DATA_DIGESTS, {})),
        "again": [f"fer-repro train {method} {dataset} --seed {seed} --recipe {config.get('recipe_name')}"],
        "stale": [
            *changed_recipe(config["recipe"], method, dataset, arm, str(config.get("recipe_name"))),
            *changed_data(config.get(DATA_DIGESTS, {}), dataset),
        ]
        or ["parameters and data: no; the code that trained it is not known"],
    }


def _better_grounded(ledger: pd.DataFrame) -> str:
    """Say on which records claims rest, where they do not rest on a run of the same method and data."""
    records = [str(name) for name in ledger["record"].unique() if name]
    return "none rests on it" + (f": better grounded is {', '.join(records)}" if records else "")


def _as_number(text: str) -> tuple[float, int] | None:
    """Read a number as it is printed: its value and its digits after the point."""
    plain = text.strip().removesuffix("%").strip().replace("−", "-").removeprefix("+")
    try:
        value = float(plain)
    except ValueError:
        return None
    return value, len(plain.partition(".")[2])


def _number(project: _Project, name: str, value: float, digits: int) -> list[Chain]:
    found = list(_places(project, value, digits))
    if not found:
        raise UserError(f"no number in {RESULTS}, {RECORDS} or {PUBLISHED} is printed as '{name}'")
    chains = [chain() for _, chain in sorted(found, key=lambda one: one[0])[:_MOST]]
    if len(found) > _MOST:
        chains[-1]["more"] = f"{len(found) - _MOST} further places are printed so: name more digits"
    return chains


def _places(project: _Project, value: float, digits: int) -> Iterator[tuple[int, Callable[[], Chain]]]:
    """Find where a number is printed so: its rank, and what builds its chain, for few are shown.

    Claims come first, then means, then single seeds, then papers.
    """
    shown = f"{value:.{digits}f}"

    def same(other: float) -> bool:
        return pd.notna(other) and round(float(other), digits) == value

    for _, row in project.ledger.iterrows():
        for column in ("difference", "low", "high", "measured", "control"):
            if row["verdict"] != _NOT_ATTEMPTED and same(row[column]):
                yield 0, partial(_claim_number, project, row, f"{shown}: {column} of a claim")
                break
    tables = [(path, "") for path in sorted(RESULTS.glob("*/*/rows.csv"))]
    tables += [(path, path.parent.name) for path in sorted(RECORDS.glob("*/rows.csv"))]
    for path, record in tables:
        rows = read_rows(path)
        for index, row in rows[rows["value"].map(same)].iterrows():
            place = f"{path}: line {int(str(index)) + 2}"
            yield (1 if not row["seed"] else 2), partial(_row_number, project, row, shown, place, record)
    file = PUBLISHED / "results.csv"
    published = read_rows(file) if file.is_file() else pd.DataFrame({"value": []})
    for index, row in published[published["value"].map(same)].iterrows():
        place = f"{file}: line {int(str(index)) + 2}"
        yield 3, partial(_published_number, row, shown, place)


def _claim_number(project: _Project, row: pd.Series, what: str) -> Chain:
    return {"number": what, **_claim(project, row)}


def _row_number(project: _Project, row: pd.Series, shown: str, place: str, record: str) -> Chain:
    seed = f"seed {row['seed']}" if row["seed"] else "mean over seeds"
    chain: Chain = {
        "number": f"{shown}: {row['metric']} of {row['arm']} on {row['dataset']}, {row['protocol']}, {seed}",
        "rows": f"{place}, {row['value']:.9g} {row['unit']}",
    }
    arm = str(row["arm"]).split("+")[0].split(" - ")[0]
    if arm not in method_arms(PARAMS, row["method"], full=True):  # the majority, a constant
        return chain
    return chain | _Source(project, row["dataset"], row["method"], [arm], record).links()


def _published_number(row: pd.Series, shown: str, place: str) -> Chain:
    return {
        "number": f"{shown}: {row['metric']} of {row['arm']} on {row['dataset']}, published",
        "rows": place,
        "source": f"{row['paper']} {row['table']}: {row['source']}",
    }


def _spell_digests(dataset: str, digests: Mapping[str, str]) -> str:
    if not digests:
        return f"{dataset}: no digest is known"
    return f"{dataset}: {', '.join(f'{name} {digest[:8]}' for name, digest in sorted(digests.items()))}"


def _last_commit(path: Path) -> str:
    commit, reason = head_commit(Path())
    if not commit:
        return f"none: {reason}"
    last = ask_git(Path(), "log", "-1", "--format=%H (%cs)", "--", path.as_posix())
    return last or f"none: {path} is not in git"
