"""Run all benchmarks, or the named ones: ``python -m benchmarks [NAME ...] [--quick] [--device cuda]``.

All together write ``benchmarks/results.json`` and ``docs/benchmarks.md`` (with ``--device cuda`` files of
their own); named ones and ``--quick`` only print. What takes long runs only when it is named, and writes its
table and its machine there. Exit code 1: a part failed, the others are
there.
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.page import table_text, write_page
from benchmarks.tables import ROOT, Settings, Table, machine
from fer_repro.errors import UserError

PARTS = ("data_path", "training", "allocator", "networks", "latency", "stages", "start_up", "memory")
LONG = (
    "budgets",
    "time_to_accuracy",
    "rates",
    "rival",
    "external",
    "real_clips",
)  # a quarter of an hour to three hours of one core
ON_CUDA = ("data_path", "training", "networks", "latency")


def main(arguments: list[str]) -> int:
    """Measure and write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join((*PARTS, *LONG))}")
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder of benchmarks/ and docs/")
    parser.add_argument(
        "--rival", type=Path, metavar="CLONE", help="of rival: another clone, trained beside this one"
    )
    asked = parser.parse_args(arguments)
    known = (*PARTS, *LONG)
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"there is no benchmark '{unknown[0]}'; expected some of {', '.join(known)}")
    if "rival" in asked.names and not asked.rival:
        parser.error("rival needs --rival CLONE")
    torch.set_num_threads(1)
    settings = Settings(asked.device, asked.quick, asked.rival)
    tables: dict[str, Table] = {}
    names = asked.names or (PARTS if asked.device == "cpu" else ON_CUDA)
    for name in names:
        begin = time.monotonic()
        try:
            tables[name] = importlib.import_module(f"benchmarks.{name}").measure(settings)
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        except Exception:  # the others are worth their minutes
            traceback.print_exc()
            continue
        print(table_text(tables[name]))
        print(f"[{name}: {time.monotonic() - begin:.0f} s]\n", file=sys.stderr, flush=True)
    if not asked.quick:
        whole = tables if not asked.names else {}
        long = {name: table for name, table in tables.items() if name in LONG}
        suffix = "" if asked.device == "cpu" else f"-{asked.device}"
        if whole or long:
            _write(asked.out, machine(settings), whole, long, suffix)
    return int(len(tables) < len(names))


def _write(
    root: Path,
    described: dict[str, str | int],
    whole: dict[str, Table],
    long: dict[str, Table],
    suffix: str,
) -> None:
    """Put tables in place of those of the same kind; long ones name the machine each for itself."""
    path = root / "benchmarks" / f"results{suffix}.json"
    values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"machine": {}, "tables": {}}
    if whole:
        values |= {"machine": described, "tables": {name: asdict(table) for name, table in whole.items()}}
    kept = values.setdefault("long", {})
    kept |= {name: {"machine": described, "table": asdict(table)} for name, table in long.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(root / "docs" / f"benchmarks{suffix}.md", values)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
