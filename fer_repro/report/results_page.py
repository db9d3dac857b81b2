"""The results record as Markdown: each claim with its verdict, each record beside its paper, what is missing.

Read from the files in ``results/`` alone. The documentation shows the whole page and README a short table;
``python -m fer_repro.report.results_page`` updates the latter, and CITATION.cff.
"""

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fer_repro.errors import UserError, print_error
from fer_repro.figures.ledger_tables import (
    DECIDED,
    OPEN,
    TESTED,
    VERDICTS,
    answer_sentence,
    best_answer,
    count_verdicts,
    in_words,
    ledger_parts,
    read_ledger,
)
from fer_repro.figures.result_files import read_rows
from fer_repro.figures.tables import (
    Column,
    as_markdown,
    beside_published,
    for_people,
    is_difference,
    result_columns,
    without_repeats,
)
from fer_repro.files import atomic_write, read_yaml
from fer_repro.measures.metrics import OWN
from fer_repro.report.records import provenance, read_record, shown_records

CITATION = "CITATION.cff"
_LEDGER = "results/comparison/ledger.csv"
_PAPERS = "results/published/papers.yaml"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_SHORT = (
    Column("compared", "Compared"),
    Column("place", "On"),
    Column("was", "Published", "range"),
    Column("now", "Measured", "range"),
    Column("interval", "Interval", "range"),
    Column("verdict", "Verdict"),
)
_PLACES = tuple(column for column in TESTED if column.name not in ("statement", "condition"))
_PLACES = (Column("condition", "On", "note"), *_PLACES)
_MISSING = tuple(column for column in OPEN if column.name != "statement")
_SHOWN = (*OWN, "video_auc", "spearman")


def results_page(root: Path) -> str:
    """Write the whole page.

    Args:
        root: the project's folder.

    Raises:
        UserError: the ledger, a record or the published rows cannot be read.
    """
    ledger = read_ledger(root / _LEDGER)
    tested, missing = ledger_parts(ledger)
    names = spelled_methods(root)
    folders = shown_records(root / "results/records")
    sections = [
        "# Results record",
        "All that this project has measured; generated from its files whenever these pages are built. "
        "Each verdict follows [rules](verdicts.md) that were written before the numbers.",
        "## At a glance",
        as_markdown(_counts(ledger), (Column("verdict", "Verdict"), Column("claims", "Claims", "count"))),
        "## What is missing",
        _gaps(ledger, folders),
        "## Claims tested",
        "Intervals are over seeds and samples. A published size from other data names these data.",
        *_claims(tested.frame, _PLACES, names),
        "## Claims not attempted",
        "The data are missing; each row states how to get them.",
        *_claims(missing.frame, _MISSING, names),
        "## Records",
        "Runs that are not part of `make reproduce`, each kept in `results/records/` with the commit, the "
        "recipe and the machine. A published number is shown only for the same data set and protocol; the "
        "budget states how much smaller a run is than the paper's.",
        *(_record(folder, root, names) for folder in folders),
        "## Synthetic data",
        "What `make reproduce` measures on synthetic faces is in `results/comparison/table.md`, and with all "
        "figures in the report. Such numbers show how methods compare where the ground truth is known. They "
        "do not show how well a network recognises the expressions of real people.",
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def short_table(root: Path) -> str:
    """Write an answer for each paper, the claims tested on real data as a table, and their budgets.

    Raises:
        UserError: the ledger cannot be read.
    """
    words = in_words(read_ledger(root / _LEDGER))
    spelled = spelled_methods(root)
    best = {method: best_answer(part) for method, part in words.groupby("method", sort=False)}
    answers = "\n".join(
        f"- **{spelled.get(str(method), method)}**: {answer_sentence(row)}"
        for method, row in best.items()
        if row is not None
    )
    rows = words[words["tested"] & _on_real_data(words)]
    against = (
        rows["against"]
        .fillna("")
        .str.replace(r"\s*\|\s*", " and ", regex=True)
        .map(lambda arm: f" against {arm}" if arm else "")
    )
    names = rows["method"].replace(spelled)
    compared = names + ": " + (rows["arm"] + against).str.replace("_", " ")
    lists = rows["protocol"].map(lambda name: "" if name in ("official", "ten_fold") else f", {name}")
    table = rows.assign(compared=compared, place=rows["data"] + lists.str.replace("_", " "))
    budgets = dict.fromkeys(names + " on " + rows["condition"])
    as_published = int((rows["as_published"].astype(str) == "True").sum())
    message = (
        f"{as_published or 'None'} of these {len(rows)} ran as published. Budgets: {'; '.join(budgets)}."
    )
    return f"{answers}\n\n{as_markdown(table, _SHORT)}\n{message}\n"


def with_table(readme: str, table: str) -> str:
    """Put the table between its two markers.

    Raises:
        UserError: the markers are missing.
    """
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not marked.search(readme):
        raise UserError(f"README.md: expected the lines '{BEGIN}' and '{END}'")
    return marked.sub(lambda _: f"{BEGIN}\n\n{table}\n{END}", readme)


def spelled_methods(root: Path) -> dict[str, str]:
    """Read how each paper spells its method: key of ``methods`` -> name."""
    return {key: paper["name"] for key, paper in read_yaml(root / _PAPERS).items()}


def _claims(rows: pd.DataFrame, columns: tuple[Column, ...], names: Mapping[str, str]) -> list[str]:
    """Lay out claims by method: the statement, and below it a row for each place."""
    sections = []
    for method, of_method in rows.groupby("method", sort=False):
        sections.append(f"### {names.get(str(method), method)}")
        for statement, places in of_method.groupby("statement", sort=False):
            sections += [f"**{statement}**", as_markdown(places, columns)]
    return sections


def _counts(ledger: pd.DataFrame) -> pd.DataFrame:
    counts = dict(count_verdicts(ledger))
    return pd.DataFrame([{"verdict": name, "claims": counts.get(name, 0)} for name in VERDICTS])


def _on_real_data(ledger: pd.DataFrame) -> pd.Series:
    return ~ledger["dataset"].str.startswith("synthetic")


def _gaps(ledger: pd.DataFrame, folders: list[Path]) -> str:
    """State with counts what the tables do not show."""
    tested = ledger[ledger["verdict"] != "not attempted"]
    as_published = int((tested["as_published"].astype(str) == "True").sum())
    unclear = int((~tested["verdict"].isin(DECIDED)).sum())
    real = int(_on_real_data(tested).sum())
    points = [
        f"{as_published} of the {len(tested)} tested claims ran as published: same data, width, resolution, "
        "epochs and pretrained weights. All others are smaller or on other data; their line states how.",
        f"{real} of the {len(tested)} were tested on real faces, the others on synthetic ones.",
        f"{len(ledger) - len(tested)} claims were not attempted: their data are private, available on "
        "request, or too large for the available machines.",
        f"{unclear} are not decided: the interval allows both answers, the networks still learn, or there is "
        "no run with half the epochs. The column *Missing* states what would decide.",
    ]
    devices = {read_record(folder / "record.json")["environment"].get("device") for folder in folders}
    if folders and devices <= {"cpu"}:
        points.append("Every record was made on a CPU. No run used a paper's full recipe.")
    return "\n".join(f"- {point}" for point in points)


def _record(folder: Path, root: Path, names: Mapping[str, str]) -> str:
    record, rows = read_record(folder / "record.json"), read_rows(folder / "rows.csv")
    rows = rows[rows["metric"].isin(_SHOWN) & ~is_difference(rows)]
    published = read_rows(root / "results/published/results.csv")
    table = for_people(beside_published(without_repeats(rows), published))
    columns = [
        column for column in result_columns(table) if column.name not in ("method", "note", "class_mean")
    ]
    how = "\n".join(f"- {what}: {value}" for what, value in provenance(record))
    name = f"{names.get(record['method'], record['method'])} on {record['dataset'].replace('_', ' ')}"
    return f"### {name}\n\n{as_markdown(table, columns)}\n{how}"


def citation(root: Path) -> str:
    """Write CITATION.cff (version 1.2.0): the project, and as its references the papers that it reproduces.

    Args:
        root: the project's folder.

    Raises:
        UserError: results/published/papers.yaml or pyproject.toml is not readable.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = {
        "cff-version": "1.2.0",
        "message": "If you use fer_repro, please cite it and the papers whose methods you used.",
        "type": "software",
        "title": "fer_repro",
        "abstract": project["description"],
        "version": project["version"],
        "license": project["license"],
        "authors": [{"name": "fer_repro contributors"}],
        "references": [_reference(paper) for paper in read_yaml(root / _PAPERS).values()],
    }
    head = "# Made of results/published/papers.yaml: python -m fer_repro.report.results_page\n"
    return head + yaml.safe_dump(text, sort_keys=False, allow_unicode=True, width=120)


def _reference(paper: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one paper; of a name the last word counts as the family's."""
    names = [str(name).rpartition(" ") for name in paper["authors"]]
    authors = [{"family-names": last, "given-names": given} for given, _, last in names]
    found: dict[str, Any] = {
        "type": "article",
        "title": paper["title"],
        "authors": [{key: value for key, value in author.items() if value} for author in authors],
        "year": paper["year"],
        "notes": paper["venue"],
    }
    if paper.get("arxiv"):
        found["identifiers"] = [{"type": "other", "value": f"arXiv:{paper['arxiv']}"}]
    return found


def _main() -> int:
    """Bring README's table and CITATION.cff up to date; print whether they have changed."""
    root = Path()
    readme = (root / "README.md").read_text(encoding="utf-8")
    for path, after in (
        (root / "README.md", with_table(readme, short_table(root))),
        (root / CITATION, citation(root)),
    ):
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if after != before:
            with atomic_write(path) as partial:
                partial.write_text(after, encoding="utf-8")
        print(f"{path}: {'is up to date' if after == before else 'was rewritten'}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(_main())
    except (UserError, OSError) as error:
        print_error(error)
        sys.exit(2)
