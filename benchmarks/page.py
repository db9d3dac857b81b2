"""The page of the documentation that shows the benchmarks' tables."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.tables import Table

HEAD = """# Benchmarks

`make bench` (`python -m benchmarks`) measures all of this in one run and writes this page;
`python -m benchmarks NAME` prints one table, `--device cuda` measures a GPU. The last tables take long: they
are measured when they are named (`budgets`, `time_to_accuracy`, `rival`), and kept until then. Numbers are
medians of several rounds, with the smallest and the largest in brackets; what is compared is timed
alternately, and ratios are taken round by round. One thread; seconds are of processor time where nothing else
is stated, so that other work on the machine has little influence.
"""


def table_text(table: Table) -> str:
    """Write one table as Markdown, below its heading and prose."""
    body = tabulate(table.rows, headers=table.columns, tablefmt="github", disable_numparse=True)
    return f"## {table.title}\n\n{table.prose}\n\n{body}\n"


def write_page(path: Path, values: Mapping[str, Any]) -> None:
    """Write the page from what ``results.json`` holds."""
    described = "\n".join(f"- {name}: {value}" for name, value in values["machine"].items())
    parts = [HEAD, f"## Machine\n\n{described}\n"]
    parts += [table_text(Table(**table)) for table in values["tables"].values()]
    for kept in values["long"].values():
        about = kept["machine"]
        on = f"Machine: {about['processor']}, {about['instructions']}, torch {about['torch']}."
        table = Table(**kept["table"])
        parts.append(table_text(replace(table, prose=f"{table.prose} {on}")))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")
