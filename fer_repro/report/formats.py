"""Write the tables of results/comparison/ in further formats.

``python -m fer_repro.report.formats html json tex [--out scratch/comparison]``.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from fer_repro.errors import UserError, print_error
from fer_repro.figures.exports import TablePart, read_kept_table, results_part, write_formats
from fer_repro.figures.ledger_tables import ledger_parts, read_ledger
from fer_repro.figures.paper_tables import paper_parts
from fer_repro.figures.result_tables import common_part
from fer_repro.params import read_params
from fer_repro.report.run_costs import cost_part

KINDS = ("html", "json", "md", "tex")


def comparison_tables(
    folder: Path, confidence: float
) -> Iterator[tuple[str, pd.DataFrame, Sequence[TablePart]]]:
    """Read what the compare stage wrote: name of each table, its numbers, and its parts for people.

    Args:
        folder: usually results/comparison/.
        confidence: of the intervals.

    Raises:
        UserError: a table is missing or not readable.
    """
    ledger = read_ledger(folder / "ledger.csv")
    yield "ledger", ledger, ledger_parts(ledger)
    table = read_kept_table(folder / "table.csv")
    yield "table", table, [results_part(table)]
    ground = read_kept_table(folder / "common_ground.csv")
    yield "common_ground", ground, [common_part(ground, confidence)]
    costs = read_kept_table(folder / "cost.csv")
    yield "cost", costs, [cost_part(costs)]
    for file in sorted((folder / "tables").glob("*.csv")):
        table = read_kept_table(file)
        yield f"tables/{file.stem}", table, paper_parts(table, confidence)


def formats_main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, write the files, print their folder."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_repro.report.formats", description="Write the tables of results/comparison/."
    )
    parser.add_argument("kinds", nargs="+", choices=KINDS, help="formats to write")
    parser.add_argument("--out", type=Path, default=Path("scratch/comparison"), help="folder to write to")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    options = parser.parse_args(arguments)
    try:
        confidence = read_params(options.root / "params.yaml").evaluation.confidence
        tables = comparison_tables(options.root / "results/comparison", confidence)
        files = [
            file
            for name, numbers, parts in tables
            for file in write_formats(options.out / name, numbers, parts, options.kinds)
        ]
    except (UserError, OSError) as error:
        print_error(error)
        return 2
    print(f"{len(files)} files written to {options.out}/")
    return 0


if __name__ == "__main__":
    sys.exit(formats_main())
