"""Says how many mutants the tests kill, and what is thought of each that survives.

``python tests/mutants/mutant_record.py tests/mutants/mutants.json`` from the repository's root, after
``try_mutants.py``.
"""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from mutant_files import STATES, Mutant, tried_mutants
from mutmut.mutation.diff_apply import get_diff_for_mutant
from scipy.stats import binomtest

JUDGEMENTS = Path(__file__).with_name("judgements.yaml")
MESSAGE = "text of an error message"
WANTED = 85  # percent to be killed
AROUND = 14  # letters told on either side of a change


@dataclass(frozen=True)
class Judgement:
    """What is thought of surviving mutants whose function and change fit, both regular expressions."""

    verdict: str
    why: str
    at: str = ""
    change: str = ""

    def fits(self, name: str, change: str) -> bool:
        """Tell whether a survivor, with its change as ``spell`` has it, is one of these."""
        return bool(re.search(self.at, name) and re.search(self.change, change))


def changed_lines(difference: str) -> tuple[str, str]:
    """Take the old and the new lines out of a unified difference."""
    lines = [line for line in difference.splitlines() if not line.startswith(("---", "+++"))]
    was, became = ("\n".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    return was, became


def spell(was: str, became: str) -> str:
    """Say the change in one line, with a few letters around it."""
    start = _same(was, became)
    end = min(_same(was[::-1], became[::-1]), min(len(was), len(became)) - start)
    before, after = was[max(0, start - AROUND) : start], was[len(was) - end :][:AROUND]
    old, new = was[start : len(was) - end], became[start : len(became) - end]
    return f"{before}[{old} -> {new}]{after}".replace("\n", " ")


def _same(one: str, two: str) -> int:
    shorter = min(len(one), len(two))
    return next((n for n in range(shorter) if one[n] != two[n]), shorter)


def raised_lines(source: str) -> set[str]:
    """List the lines that belong to a ``raise``."""
    lines = source.splitlines()
    raises = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
    return {line.strip() for node in raises for line in lines[node.lineno - 1 : node.end_lineno]}


def judge(name: str, was: str, became: str, raised: set[str], known: Iterable[Judgement]) -> Judgement:
    """Find the first judgement that fits; a change within a ``raise`` is one of its text."""
    change = spell(was, became)
    for judgement in known:
        if judgement.fits(name, change):
            return judgement
    if set(was.splitlines()) <= raised:
        return Judgement("message", MESSAGE + ": the tests ask for its telling words")
    return Judgement("hole", "not closed")


def count(mutants: Iterable[Mutant]) -> dict[str, float]:
    """Count states; killed are also those that a time limit ended, ``share killed`` in percent of all."""
    found = Counter(mutant.state for mutant in mutants)
    total = found.total()
    share = 100 * (found["killed"] + found["timeout"]) / total
    return {"mutants": total, **{state: found[state] for state in STATES}} | {"share killed": round(share, 1)}


def survivors(mutants: Iterable[Mutant], known: list[Judgement]) -> list[dict]:
    """Group the survivors, and those that no test reaches, by what is thought of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    raised: dict[str, set[str]] = {}
    for mutant in mutants:
        if mutant.state not in ("survived", "no tests"):
            continue
        was, became = changed_lines(get_diff_for_mutant(mutant.name, path=mutant.path))
        if mutant.path not in raised:
            raised[mutant.path] = raised_lines(Path(mutant.path).read_text(encoding="utf-8"))
        short = mutant.name.removeprefix("fer_repro.").replace("__mutmut", "")
        found = judge(short, was, became, raised[mutant.path], known)
        groups.setdefault((found.verdict, found.why), []).append(f"{short}: {spell(was, became)}")
    return [
        {"verdict": verdict, "why": why, "count": len(group), "mutants": sorted(group)}
        for (verdict, why), group in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1])))
    ]


def whole_draw(mutants: list[Mutant]) -> tuple[float, list[Mutant]]:
    """Keep the largest share of which every mutant was tried: a run that was stopped is a smaller draw."""
    first = min((mutant.place for mutant in mutants if mutant.state == "not run"), default=2.0)
    kept = [mutant for mutant in mutants if mutant.place < first]
    return max((mutant.place for mutant in kept), default=0.0), kept


def record(mutants: list[Mutant], seed: int, known: list[Judgement]) -> dict:
    """Assemble the record; the interval is Wilson's of the share that is killed, where mutants were drawn."""
    share, kept = whole_draw(mutants)
    whole = count(kept)
    killed = int(whole["killed"] + whole["timeout"])
    inside = binomtest(killed, len(kept)).proportion_ci(0.95, "wilson")
    interval = {"interval": [round(100 * float(inside.low), 1), round(100 * float(inside.high), 1)]}
    judged = survivors(mutants, known)
    verdicts = Counter(dict.fromkeys(("equivalent", "hole", "message"), 0))
    for group in judged:
        verdicts[group["verdict"]] += group["count"]
    paths = sorted({mutant.path for mutant in kept})
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "mutmut": importlib.metadata.version("mutmut"),
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
        "drawn share": round(share, 3),
        "drawn seed": seed,
        **whole,
        **(interval if share < 1 else {}),
        "tried besides": sum(mutant.state != "not run" for mutant in mutants) - len(kept),
        "verdicts": dict(verdicts),
        "modules": {path: count(mutant for mutant in kept if mutant.path == path) for path in paths},
        "survivors": judged,
    }


def main() -> None:
    """Write the record, say its main figures, and fail where too few mutants are killed."""
    seed = int(Path("mutants/seed").read_text(encoding="utf-8"))
    known = [Judgement(**entry) for entry in yaml.safe_load(JUDGEMENTS.read_text(encoding="utf-8"))]
    made = record(tried_mutants(seed), seed, known)
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    for name, value in made.items():
        if name not in ("modules", "survivors"):
            print(f"{name:14}{value}")
    if made["share killed"] < WANTED:
        sys.exit(f"{made['share killed']} % of the mutants are killed: expected {WANTED} % or more")


if __name__ == "__main__":
    main()
