"""Are the results in git those of this code, and do fresh ones agree with them?

``python -m fer_repro.pipeline.check_results`` asks DVC whether every stage's inputs and results are as in
dvc.lock and compares each measured row here with the same row in git. ``... summary`` prints the verdict of
every claim.
"""

import argparse
import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import special

from fer_repro.errors import UserError, print_error
from fer_repro.figures.ledger_tables import as_text, count_verdicts, read_ledger
from fer_repro.files import read_yaml
from fer_repro.git import ask_git, head_commit
from fer_repro.pipeline.dvc_stages import advice
from fer_repro.pipeline.inputs import INPUTS, changed_code
from fer_repro.project_files import NO_PROJECT

RESULTS, RUNS = Path("results/measured"), Path("runs")
LEDGER = Path("results/comparison/ledger.csv")
REPORT = Path("reports/index.html")
PIPELINE, LOCK, RAW = Path("dvc.yaml"), Path("dvc.lock"), Path("data.dvc")
WIDTH = 100  # of the terminal that the summary is formatted for
_NUMBERS = ("value", "deviation")
_CHANCE = 0.001  # that a table without any other difference has a row that differs by more
_KEY = (
    "method",
    "arm",
    "dataset",
    "protocol",
    "split",
    "metric",
    "unit",
    "pretraining",
    "tta",
    "seed",
    "runs",
)


@dataclass(frozen=True)
class Difference:
    """One row whose value differs from the one in git, in the row's unit."""

    row: str
    here: float | None  # None: the row is missing
    committed: float | None
    allowed: float  # what other seeds explain; 0 where their deviation is not in git

    @property
    def is_within(self) -> bool:
        """Whether the difference is at most what other seeds explain."""
        if self.here is None or self.committed is None:
            return False
        return abs(self.here - self.committed) <= self.allowed

    def __str__(self) -> str:
        if self.here is None:
            return f"{self.row}: in git, not here"
        if self.committed is None:
            return f"{self.row}: here, not in git"
        verdict = "within" if self.is_within else "MORE than"
        gap = self.here - self.committed
        return (
            f"{self.row}: {self.here:g} here, {self.committed:g} in git: {gap:+.3g}, "
            f"{verdict} the {self.allowed:.3g} that other seeds explain"
        )


def compare_rows(here: str, committed: str) -> list[Difference]:
    """Compare two result tables, given as CSV text, row by row.

    Another kind of processor is like other seeds. Two means over S seeds may differ by t sqrt(2 / S)
    deviations, two single seeds by t sqrt(2), where t is Student's with 2 S - 2 degrees of freedom at
    0.001 / rows on both sides together: of tables without any other difference one in a thousand fails.
    Deviations are those in git.
    """
    fresh, known = _by_key(here), _by_key(committed)
    means = {_group(row): row for row in known.values() if not row.get("seed")}
    differences = []
    for key in sorted(fresh.keys() | known.keys()):
        ours, theirs = fresh.get(key), known.get(key)
        if ours and theirs and all(ours.get(name) == theirs.get(name) for name in _NUMBERS):
            continue
        mean = means.get(_group(theirs)) if theirs else None
        allowed = _explained(mean, bool(theirs and theirs.get("seed")), len(known)) if mean else 0.0
        label = " ".join(part for part in key if part)
        values = [_number(row, "value") if row else None for row in (ours, theirs)]
        differences.append(Difference(label, values[0], values[1], allowed))
    return differences


def _explained(mean: Mapping[str, str], single: bool, rows: int) -> float:
    """How far two numbers may lie apart because their seeds are others."""
    seeds = int(_number(mean, "runs"))
    if seeds < 2:
        return 0.0
    limit = float(special.stdtrit(2 * seeds - 2, 1 - _CHANCE / rows / 2))
    return limit * math.sqrt(2 if single else 2 / seeds) * _number(mean, "deviation")


def _by_key(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {tuple(row.get(name) or "" for name in _KEY): row for row in rows}


def _group(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row.get(name) or "" for name in _KEY if name not in ("seed", "runs"))


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        return float(row.get(name) or 0)
    except ValueError:
        raise UserError(f"{RESULTS}: {name} is {row[name]!r}: expected a number") from None


def outdated_stages() -> list[str]:
    """Find the stages whose code, parameters, data or results are not as in dvc.lock.

    Absent products do not count. After a part of the pipeline was run, a stage behind it counts as absent too
    until all that it reads is here: what was made anew is judged where it is made.

    Returns:
        For each its name and what has changed.

    Raises:
        UserError: DVC cannot determine them.
    """
    if not PIPELINE.is_file():
        raise UserError(f"{PIPELINE}: no such file; {NO_PROJECT}")
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        _, reason = head_commit(Path())
        said = f"{' '.join(done.stderr.split())}{f' ({reason})' if reason else ''}"
        raise UserError(f"dvc cannot check the pipeline: {said}{advice(done.stderr)}")
    locked = read_yaml(LOCK).get("stages") or {}
    products = [out["path"] for section in locked.values() for out in section.get("outs", [])]
    products += [out["path"] for out in (read_yaml(RAW).get("outs", []) if RAW.is_file() else [])]
    changed = {}
    for stage, entries in json.loads(done.stdout or "{}").items():
        behind = not _was_run_here(locked.get(stage, {}), products)
        changed[stage] = [said for entry in entries for said in _changes(entry, products if behind else ())]
    return [f"{stage}: {', '.join(dict.fromkeys(said))}" for stage, said in changed.items() if said]


def _was_run_here(section: Mapping[str, Any], products: Sequence[str]) -> bool:
    """Whether all that a stage reads of other stages is here, and something that it made."""
    read = [dep["path"] for dep in section.get("deps", [])]
    needed = [product for product in products if any(_touches(product, path) for path in read)]
    made = [out["path"] for out in section.get("outs", [])]
    return all(Path(path).exists() for path in needed) and any(Path(path).exists() for path in made)


def _touches(one: str, other: str) -> bool:
    """Whether two paths are one, or one lies in the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _changes(entry: Any, products: Sequence[str]) -> list[str]:  # noqa: ANN401 - what DVC reports of a stage
    """Spell out one entry of ``dvc status --json``; nothing where it is about what may be absent.

    Args:
        entry: what has changed of a stage.
        products: of other stages, which do not count.
    """
    if entry == "always changed":  # `inputs` where the package is not in the project's folder
        return [f"fer_repro/{name} modified" for name in changed_code()]
    if not isinstance(entry, dict):
        return [str(entry)]
    found = []
    for kind, paths in entry.items():
        for path, state in paths.items():
            absent = state in ("deleted", "not in cache") and kind == "changed outs"
            # what `inputs` wrote states what code and parameters are: where it differs, they have changed
            says_code = _touches(path, INPUTS.name) and state == "modified"
            made = not says_code and any(_touches(path, one) for one in products)
            judged_elsewhere = kind == "changed deps" and made
            if not (absent or judged_elsewhere):
                found += [f"{path} {state}"] if isinstance(state, str) else sorted(state)
    return found


def _committed_tables() -> set[Path]:
    """Name the tables of the commit.

    Raises:
        UserError: there is no commit to compare with.
    """
    commit, reason = head_commit(Path())
    if not commit:
        raise UserError(f"nothing is verified, there are no committed results to compare with: {reason}")
    lines = ask_git(Path(), "ls-tree", "-r", "--name-only", "HEAD", "--", f"{RESULTS}/").splitlines()
    return {Path(line) for line in lines if line.endswith("/rows.csv")}


def check_all() -> int:
    """Print what was checked and every difference.

    Returns:
        0 when all agrees, differences that other seeds explain included; 1 otherwise, also where
        there was nothing to compare.

    Raises:
        UserError: there is no commit, or DVC cannot check.
    """
    failures = 0
    stages = outdated_stages()
    for stage in stages:
        print(f"not as recorded in dvc.lock: stage {stage}")
    failures += len(stages)
    committed = _committed_tables()
    tables = sorted(committed | set(RESULTS.glob("*/*/rows.csv")))
    if not tables:
        print(f"no results yet: neither {RESULTS}/*/*/rows.csv nor any in git")
        return 1
    for path in tables:
        if path in committed:
            failures += _verify_table(path)
        else:
            print(f"{path}: not in git, nothing to compare with")
    if not committed:
        print(f"NOT verified: nothing was compared, no {RESULTS}/*/*/rows.csv is in git")
        return 1
    if not any(RUNS.glob("*/*/*")):
        print(
            f"no runs are here: results were compared as they are in git; {RUNS}/ is made by make reproduce"
        )
    print("verified" if not failures else f"NOT verified: {failures} of the checks above failed")
    if failures and not stages:
        print("on another kind of processor rows differ like those of other seeds: docs/determinism.md")
    return int(failures > 0)


def _verify_table(path: Path) -> int:
    committed = ask_git(Path(), "show", f"HEAD:./{path.as_posix()}")
    if not path.exists():
        print(f"{path}: in git, missing here (git checkout -- {path})")
        return 1
    differences = compare_rows(path.read_text(encoding="utf-8"), committed)
    outside = [difference for difference in differences if not difference.is_within]
    count = len(_by_key(committed))
    print(f"{path}: {count} rows, {len(differences)} differ, {len(outside)} by more than other seeds explain")
    for difference in differences:
        print(f"  {difference}")
    return len(outside)


def summary(ledger: Path = LEDGER, report: Path = REPORT) -> str:
    """Print the verdict of every claim, and where the page is.

    Args:
        ledger: what the compare stage wrote; without it the summary states this.
        report: the page.

    Raises:
        UserError: the ledger is damaged.
    """
    lines = []
    if ledger.is_file():
        claims = read_ledger(ledger)
        counts = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(claims))
        lines += [as_text(claims, WIDTH), "", f"claims: {counts}"]
    else:
        lines.append(f"no claim has been judged: {ledger} is missing (make reproduce)")
    lines.append(f"report: {report}" if report.is_file() else f"no report: {report} is missing")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit code is 2 when nothing could be checked."""
    parser = argparse.ArgumentParser(
        prog="python -m fer_repro.pipeline.check_results", description="Check the results."
    )
    parser.add_argument("what", nargs="?", choices=("check", "summary"), default="check")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.what == "check":
            return check_all()
        print(summary())
    except UserError as error:
        print_error(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
