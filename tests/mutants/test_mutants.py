"""Mutants of a tiny package are drawn, tried, counted and judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutant_files import Mutant, places
from mutant_record import Judgement, changed_lines, count, judge, raised_lines, spell, whole_draw

HERE = Path(__file__).parent
CODE = """
def half(number, where="here"):
    if number < 0:
        raise ValueError(f"{where}: negative")
    return number / 2


def unseen():
    return 1
"""
TEST = """
import pytest
from tiny.code import half

def test_half():
    assert half(4) == 2
    with pytest.raises(ValueError):
        half(-1)
"""
SETTINGS = """
[tool.mutmut]
source_paths = ["tiny"]
only_mutate = ["tiny/code.py"]
pytest_add_cli_args_test_selection = ["tests"]
"""


@pytest.fixture
def project(tmp_path):
    for name, text in {
        "tiny/__init__.py": "", "tiny/code.py": CODE, "tests/test_code.py": TEST, "pyproject.toml": SETTINGS,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for command in (
        ["init", "-q"],
        ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def call(project, script, *arguments):
    command = [sys.executable, str(HERE / script), *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(command, cwd=project, env=clean, capture_output=True, text=True, timeout=300)


def test_a_tiny_package_is_tried_and_recorded(project):
    half = call(project, "try_mutants.py", "--share", "0.5")
    assert half.returncode == 0, half.stdout + half.stderr
    call(project, "mutant_record.py", "half.json")
    whole = call(project, "try_mutants.py", "--processes", "1")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    message = call(project, "mutant_record.py", "record.json")
    drawn, made = (json.loads((project / name).read_text()) for name in ("half.json", "record.json"))
    assert drawn["mutants"] == made["mutants"] // 2
    assert drawn["drawn share"] == pytest.approx(0.5, abs=0.1)
    assert drawn["interval"][0] < drawn["share killed"] < drawn["interval"][1]
    assert (made["drawn share"], made["drawn seed"], made["not run"]) == (1.0, 0, 0)
    assert made["modules"]["tiny/code.py"]["mutants"] == made["mutants"]
    assert made["no tests"] == 1
    assert made["survived"] + made["killed"] + 1 == made["mutants"]
    spelled = {one: group["verdict"] for group in made["survivors"] for one in group["mutants"]}
    assert spelled["tiny.code.x_unseen_1: return [1 -> 2]"] == "hole"
    assert any(
        name.endswith("if number <[ -> =] 0:") and verdict == "hole" for name, verdict in spelled.items()
    )
    assert any("negative" in name and verdict == "message" for name, verdict in spelled.items())
    assert not any("number / 2" in name for name in spelled)
    assert made["verdicts"]["hole"] + made["verdicts"]["message"] == made["survived"] + 1
    assert message.returncode == 1
    assert f"{made['share killed']} % of the mutants are killed: expected 85 % or more" in message.stderr


def test_a_larger_draw_holds_the_smaller():
    names = [f"mutant {number}" for number in range(40)]
    order = places(names, 3)
    assert sorted(order.values()) == [(number + 1) / 40 for number in range(40)]
    assert list(order) == sorted(names, key=order.get) != names
    assert places(reversed(names), 3) == order != places(names, 4)


def test_a_run_that_was_stopped_is_a_smaller_draw():
    """Of two files with places 0.25 to 1 the one lacks its third mutant: then half of both was drawn."""
    states = ["killed", "survived", "not run", "killed", "killed", "killed", "killed", "killed"]
    mutants = [Mutant("ab"[n // 4], str(n), state, (n % 4 + 1) / 4) for n, state in enumerate(states)]
    share, kept = whole_draw(mutants)
    assert share == 0.5
    assert [mutant.name for mutant in kept] == ["0", "1", "4", "5"]
    assert whole_draw(mutants[4:]) == (1.0, mutants[4:])


def test_a_change_is_told_with_what_stands_around_it():
    before = "--- a\n+++ b\n@@ -1,3 +1,3 @@\n def f():\n"
    was, became = changed_lines(
        f"{before}-    return zip(a, b, strict=True)\n+    return zip(a, b, strict=None)\n"
    )
    assert (was, became) == ("return zip(a, b, strict=True)", "return zip(a, b, strict=None)")
    assert spell(was, became) == "(a, b, strict=[Tru -> Non]e)"
    assert spell("aa", "aaa") == "aa[ -> a]"


def test_the_first_judgement_that_fits_counts():
    known = [
        Judgement("equivalent", "a guard", change=r"strict=\[Tru -> Non\]e"),
        Judgement("hole", "seldom", at=r"x\.f_", change="strict"),
    ]
    raised = raised_lines('def f():\n    raise ValueError(\n        "what"\n    )\n')
    given = ("strict=True", "strict=None")
    assert judge("x.f_1", *given, raised, known).why == "a guard"
    assert judge("x.f_2", "strict=True", "strict=False", raised, known).why == "seldom"
    assert judge("x.g_1", '"what"', '"XXwhatXX"', raised, known).verdict == "message"
    assert judge("x.g_2", "what", "WHAT", raised, known) == Judgement("hole", "not closed")


def test_what_a_time_limit_ends_is_killed_and_what_no_test_reaches_is_not():
    states = ["killed"] * 5 + ["timeout"] * 2 + ["survived", "no tests", "not run"]
    found = count(Mutant("a.py", str(number), state) for number, state in enumerate(states))
    assert found == {
        "mutants": 10, "killed": 5, "timeout": 2, "survived": 1, "no tests": 1, "not run": 1,
        "share killed": 70.0,
    }  # fmt: skip
