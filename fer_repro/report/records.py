"""The project's own measured results of other runs, as results/records/ keeps them, as text and tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import HALF
from fer_repro.errors import UserError
from fer_repro.figures.display import say
from fer_repro.figures.ledger_tables import in_words, read_ledger, spell_seeds
from fer_repro.figures.result_files import read_rows
from fer_repro.figures.tables import (
    GROUP,
    Column,
    as_html,
    beside_published,
    for_people,
    is_difference,
    print_value,
    spell_gap,
    spell_range,
    uses_tta,
)
from fer_repro.files import read_json
from fer_repro.measures.metrics import find_metric, own_metric
from fer_repro.report.provenance import FACTS
from fer_repro.stage_code import TRAINING, changed_digests, code_digests

_WANTED = {
    "commit": str, "changed": list, "dataset": str, "method": str, "note": str, "recipe": dict,
    "recipe_name": str, "runs": list, "environment": dict,
}  # fmt: skip
CODE = "code_sha256"
"""The key of ``record.json`` that holds the digests of the files that decide trained weights."""
OF_FULL = "part of make reproduce-full"
"""How the note of a record begins that the full reproduction makes."""
_RESULTS = (
    Column("arm", "Arm"),
    Column("protocol", "Protocol"),
    Column("augmented", "TTA"),
    Column("value", "Measured", "percent"),
    Column("interval", "Interval", "range"),
    Column("class_mean", "Class mean", "percent"),
    Column("runs", "Seeds", "count"),
    Column("published", "Published", "percent"),
    Column("gap", "Gap", "points"),
)
_DIFFERENCES = (
    Column("arm", "Arms"),
    Column("protocol", "Protocol"),
    Column("augmented", "TTA"),
    Column("value", "Difference", "points"),
    Column("interval", "Interval", "range"),
    Column("runs", "Seeds", "count"),
)


@dataclass(frozen=True)
class Record:
    """One record as a piece of the page.

    Attributes:
        name: of its folder.
        method: that was trained.
        dataset: it was trained on.
        title: method and data set.
        verdicts: of the claims it is evidence for, each once.
        html: its verdicts as text, its results and how it was made.
    """

    name: str
    method: str
    dataset: str
    title: str
    verdicts: tuple[str, ...]
    html: str


def read_records(
    records: Path, published: pd.DataFrame, confidence: float, ledger: pd.DataFrame | None = None
) -> list[Record]:
    """Read every record below ``records``, by name, but those of runs with half the epochs.

    Args:
        records: folder of records, each with rows.csv and record.json; it may be missing.
        published: rows of results/published/results.csv.
        confidence: of the intervals over seeds.
        ledger: of all runs and records together, whose verdicts are shown; without it those of each record.

    Raises:
        UserError: a record has no record.json or no rows.csv, or one that cannot be read.
    """
    return [_show(folder, published, confidence, ledger) for folder in shown_records(records)]


def shown_records(records: Path) -> list[Path]:
    """List the folders of the records whose results are shown, by name."""
    folders = sorted(path for path in records.glob("*") if path.is_dir())
    return [folder for folder in folders if not read_record(folder / "record.json").get(HALF)]


def rows_with_records(measured: pd.DataFrame, records: Path) -> pd.DataFrame:
    """Add the rows of all records to those measured here; a result that is in both is taken from here.

    So seeds of one table are never averaged with seeds of another one, which may have had another recipe.

    Raises:
        UserError: a record has no rows.csv, or one that cannot be read.
    """
    files = [folder / "rows.csv" for folder in shown_records(records)]
    tables: list[pd.DataFrame] = []
    known: set[tuple[str, ...]] = set()
    for table in (measured, *map(read_rows, files)):
        names = pd.Series(
            [*table[GROUP].fillna("").astype(str).itertuples(index=False, name=None)], dtype=object
        )
        if len(new := table[~names.isin(known).to_numpy(bool)]):
            tables.append(new)
        known |= set(names)
    return pd.concat(tables, ignore_index=True) if tables else measured


def _show(folder: Path, published: pd.DataFrame, confidence: float, ledger: pd.DataFrame | None) -> Record:
    record, rows = read_record(folder / "record.json"), read_rows(folder / "rows.csv")
    method, dataset = record["method"], record["dataset"]
    table = for_people(beside_published(rows, published))
    metric = own_metric(table["metric"])
    table, words = table[table["metric"] == metric], find_metric(metric).words
    budget = record["recipe"].get("note", "")
    percent = find_metric(metric).unit == "%"
    caption = (
        f"{words[:1].upper()}{words[1:]} of {method} on {dataset}{' in percent' if percent else ''} "
        f"({budget or 'budget not stated'}): mean over seeds with its interval ({100 * confidence:g} %, "
        "Student's t), the paper's number, the gap. Protocol clean: test images that are not in train or "
        "val. TTA: test-time augmentation."
    )
    spelt = {"value": table["measured"], "published": table["printed"], "gap": table["distance"]}
    table = table.assign(protocol=table["protocol"].replace("", "official"), **({} if percent else spelt))
    html = as_html(table, _RESULTS if percent else _as_text(_RESULTS), caption)
    file = folder / "ledger.csv"
    judged = read_ledger(file) if file.is_file() else pd.DataFrame()
    if len(judged):
        # where better grounded runs lead, there is none of this record
        judged = in_words(judged if ledger is None else ledger[ledger["record"] == folder.name])
    html = "".join(_verdict(row) for _, row in judged.iterrows()) + html
    html += _differences(rows, metric, confidence)
    html += say(_made_by(record)).markup
    how = pd.DataFrame(provenance(record), columns=["what", "value"])
    html += as_html(how, FACTS, f"How the record {folder.name} was made")
    verdicts = tuple(dict.fromkeys(judged["verdict"])) if len(judged) else ()
    return Record(folder.name, method, dataset, f"{method} on {dataset}", verdicts, html)


def _made_by(record: dict[str, Any]) -> str:
    """State whether the training code has changed since: if so, numbers may differ from those of today."""
    if CODE not in record:
        return "Made by an earlier version of the code; which files have changed since was not recorded."
    now, then = code_digests(TRAINING, record["method"]), record[CODE]
    changed = changed_digests(then, now)
    if not changed:
        return "Made by the current code."
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"Made by an earlier version of the code; changed since: {', '.join(changed[:3])}{more}."


def _verdict(row: pd.Series) -> str:
    """Write a claim, its measured result and the conclusion as a sentence, from the ledger."""
    verdict, reason = (str(row[name])[:1].upper() + str(row[name])[1:] for name in ("verdict", "reason"))
    measured = f"Measured {row['now']} ({row['interval']}, {spell_seeds(row['seeds'])})"
    published = f"; published {row['was']}" if pd.notna(row["published"]) else ""
    return say(f"{verdict}: {row['statement']} {measured}{published}. {reason}.").markup


def _differences(rows: pd.DataFrame, metric: str, confidence: float) -> str:
    """Lay out the difference of the first two arms that were compared, with the interval of verdicts."""
    rows = rows[is_difference(rows) & (rows["metric"] == metric)]
    table = rows[rows["arm"] == rows["arm"].iloc[0]] if len(rows) else rows
    if table.empty:
        return ""
    ends, unit = zip(table["low"], table["high"], strict=True), find_metric(metric).gap_unit
    numbers = table["value"], repeat(unit), table["low"], table["high"]
    percent = unit == "points"
    words = table.assign(
        arm=table["arm"].str.replace(" - ", " − "),
        augmented=["yes" if uses_tta(value) else "no" for value in table["tta"]],
        interval=[spell_range(low, high, unit) for low, high in ends],
        **({} if percent else {"value": list(map(spell_gap, *numbers))}),
    )
    caption = (
        f"Difference of the arms in {find_metric(metric).words}, {'percentage points, ' if percent else ''}"
        f"with its {100 * confidence:g} % interval over seeds and samples."
    )
    return as_html(words, _DIFFERENCES if percent else _as_text(_DIFFERENCES), caption)


def _as_text(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Print numbers as they were spelt: those that are no percentages."""
    return tuple(
        replace(column, kind="range") if column.kind in ("percent", "points") else column
        for column in columns
        if column.name != "class_mean"
    )


def read_record(path: Path) -> dict[str, Any]:
    """Read and check a ``record.json``.

    Raises:
        UserError: it is missing, is no JSON, or has no such key.
    """
    record: dict[str, Any] = read_json(path, "it beside the record's rows.csv")
    for key, kind in _WANTED.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise UserError(f"{path}: '{key}' is missing or no {kind.__name__}")
    return record


def provenance(record: dict[str, Any]) -> list[tuple[str, str]]:
    """List how a record was made: recipe, runs, time, machine, commit."""
    runs, machine = record["runs"], record["environment"]
    seconds = sum(float(run.get("train_seconds", 0)) for run in runs)
    seeds = sorted({int(run["seed"]) for run in runs})
    arms = dict.fromkeys(str(run["arm"]) for run in runs)
    sizes = {str(run["arm"]): int(run["parameters"]) for run in runs if "parameters" in run}
    changed = len(record["changed"])
    since = f", with {changed} file{'' if changed == 1 else 's'} changed since" if changed else ""
    found = [
        ("note", record["note"]),
        ("recipe", f"{record['recipe_name']}: {record['recipe'].get('note', '')}"),
        ("arms", ", ".join(f"{arm} ({print_value(sizes.get(arm), 'count')} parameters)" for arm in arms)),
        ("seeds", ", ".join(map(str, seeds))),
        ("training time", f"{spell_time(seconds)} for {len(runs)} runs" if seconds else ""),
        ("machine", spell_machine(machine)),
        ("commit", record["commit"] + since if record["commit"] else f"none: {record.get('no_commit', '')}"),
    ]
    return [(what, value) for what, value in found if value]


def spell_time(seconds: float) -> str:
    """Print a duration in its two largest units, or in seconds.

    >>> spell_time(42.4), spell_time(312), spell_time(7500)
    ('42 s', '5 min 12 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def spell_machine(environment: dict[str, Any]) -> str:
    """Name processor, cores and accelerator of an environment record; empty when nothing is known."""
    cores = environment.get("cores")
    device = environment.get("accelerator") or ""
    torch = environment.get("packages", {}).get("torch", "")
    parts = [
        str(device),
        str(environment.get("processor", "")),
        f"{cores} cores" if cores else "",
        f"{environment.get('device')} only" if environment.get("device") == "cpu" else "",
        f"torch {torch}" if torch else "",
    ]
    return ", ".join(part for part in parts if part).replace("cpu only", "no GPU used")
