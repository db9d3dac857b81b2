"""Run all benchmarks, or the named ones: ``python -m benchmarks [NAME ...] [--quick] [--device cuda]``.

All together write ``benchmarks/results.json`` and ``docs/benchmarks.md`` (with ``--device cuda`` files of
their own); named ones and ``--quick`` only print. Exit code 1: a part failed, the others are
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

PARTS = ("data_path", "training", "allocator", "networks", "latency", "stages", "start_up", "memory")
ON_CUDA = ("data_path", "training", "networks", "latency")


def main(arguments: list[str]) -> int:
    """Measure and write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder of benchmarks/ and docs/")
    parser.add_argument("--rival", type=Path, metavar="CLONE", help="another clone, to train beside this one")
    asked = parser.parse_args(arguments)
    parts = (*PARTS, *(["rival"] if asked.rival else []))
    unknown = [name for name in asked.names if name not in parts]
    if unknown:
        parser.error(f"there is no benchmark '{unknown[0]}'; expected some of {', '.join(parts)}")
    torch.set_num_threads(1)
    settings = Settings(asked.device, asked.quick, asked.rival)
    tables: dict[str, Table] = {}
    names = asked.names or (parts if asked.device == "cpu" else ON_CUDA)
    for name in names:
        begin = time.monotonic()
        try:
            tables[name] = importlib.import_module(f"benchmarks.{name}").measure(settings)
        except Exception:  # the others are worth their minutes
            traceback.print_exc()
            continue
        print(table_text(tables[name]))
        print(f"[{name}: {time.monotonic() - begin:.0f} s]\n", file=sys.stderr, flush=True)
    if not asked.names and not asked.quick:
        _write(asked.out, machine(settings), tables, "" if asked.device == "cpu" else f"-{asked.device}")
    return int(len(tables) < len(names))


def _write(root: Path, described: dict[str, str | int], tables: dict[str, Table], suffix: str) -> None:
    values = {"machine": described, "tables": {name: asdict(table) for name, table in tables.items()}}
    path = root / "benchmarks" / f"results{suffix}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(root / "docs" / f"benchmarks{suffix}.md", described, tables)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
