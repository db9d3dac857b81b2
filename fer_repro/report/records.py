"""The project's own measured results of other runs, as records/ keeps them, in words and tables."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.errors import UserError
from fer_repro.report.claims import claim_sentences, claim_table, show_claims
from fer_repro.report.runs import read_rows
from fer_repro.report.tables import GROUP, Column, as_html, beside_published, for_people, print_value

_WANTED = {
    "commit": str, "changed": list, "dataset": str, "method": str, "note": str, "recipe": dict,
    "recipe_name": str, "runs": list, "environment": dict,
}  # fmt: skip
_RESULTS = (
    Column("arm", "Arm"),
    Column("protocol", "Protocol"),
    Column("augmented", "TTA"),
    Column("value", "Accuracy", "percent"),
    Column("interval", "Interval", "range"),
    Column("class_mean", "Class mean", "percent"),
    Column("runs", "Seeds", "count"),
    Column("published", "Published", "percent"),
    Column("gap", "Gap", "points"),
)
_HOW = (Column("what", "What"), Column("value", "Value"))


@dataclass(frozen=True)
class Record:
    """One record as a piece of the page."""

    name: str
    title: str
    html: str


def read_records(records: Path, published: pd.DataFrame, confidence: float) -> list[Record]:
    """Read every record below ``records``, by name.

    Args:
        records: folder of records, each with rows.csv and record.json; it may be missing.
        published: rows of published/results.csv.
        confidence: of the intervals over seeds.

    Raises:
        UserError: a record has no record.json or no rows.csv, or one that cannot be read.
    """
    folders = sorted(path for path in records.glob("*") if path.is_dir())
    return [_show(folder, published, confidence) for folder in folders]


def with_records(measured: pd.DataFrame, records: Path) -> pd.DataFrame:
    """Add the rows of all records to those measured here; what stands in both is taken from here.

    Raises:
        UserError: a record has no rows.csv, or one that cannot be read.
    """
    files = sorted(path / "rows.csv" for path in records.glob("*") if path.is_dir())
    tables = [table for table in (measured, *map(read_rows, files)) if len(table)]
    if not tables:
        return measured
    return pd.concat(tables, ignore_index=True).drop_duplicates([*GROUP, "seed"], ignore_index=True)


def _show(folder: Path, published: pd.DataFrame, confidence: float) -> Record:
    record, rows = _read_record(folder / "record.json"), read_rows(folder / "rows.csv")
    method, dataset = record["method"], record["dataset"]
    table = for_people(beside_published(rows, published, confidence))
    table = table[table["metric"] == "accuracy"]
    budget = record["recipe"].get("note", "")
    caption = (
        f"Accuracy of {method} on {dataset} in percent ({budget or 'budget not stated'}): mean over seeds "
        f"with its interval ({100 * confidence:g} %, Student's t), the paper's number, the gap. Protocol "
        "clean: test images that stand in neither train nor val. TTA: test-time augmentation."
    )
    html = as_html(table.assign(protocol=table["protocol"].replace("", "official")), _RESULTS, caption)
    if pair := _compared(rows):
        claims = claim_table(rows, published, method, *pair, confidence)
        words = f"{pair[0]} against {pair[1]}, seed by seed, in percentage points."
        html = claim_sentences(claims).markup + html + show_claims(claims, words).markup
    how = pd.DataFrame(_provenance(record), columns=["what", "value"])
    html += as_html(how, _HOW, f"How the record {folder.name} was made")
    return Record(folder.name, f"{method} on {dataset}", html)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a record needs it beside its rows.csv") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None
    for key, kind in _WANTED.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise UserError(f"{path}: '{key}' is missing or no {kind.__name__}")
    return record


def _compared(rows: pd.DataFrame) -> tuple[str, str] | None:
    """Find the two arms whose difference the evaluation wrote: a row of points whose arm is "a - b"."""
    pairs = rows.loc[rows["unit"] == "points", "arm"]
    names = [str(arm).split(" - ") for arm in pairs if str(arm).count(" - ") == 1]
    return (names[0][0], names[0][1]) if names else None


def _provenance(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how a record was made: recipe, runs, time, machine, commit."""
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
        ("commit", record["commit"] + since),
    ]
    return [(what, value) for what, value in found if value]


def spell_time(seconds: float) -> str:
    """Print a duration in the two units that matter.

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
