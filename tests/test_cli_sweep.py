"""The options of ``fer-repro sweep``, up to where the sweep itself begins (tests/pipeline)."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from fer_repro import cli
from fer_repro.pipeline import dvc_stages
from fer_repro.pipeline import sweep as module

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fer(tmp_path, monkeypatch, capsys):
    """Runs the command in this process, beside a copy of params.yaml: (exit code, stdout, stderr)."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.environ["PATH"])  # a sweep puts its own programs first

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fer-repro", "sweep", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out = capsys.readouterr()
        return exit_.value.code or 0, out.out, out.err

    return call


def test_help_teaches(fer):
    code, out, _ = fer("--help")
    assert code == 0
    for word in ("--workers", "--ray", "--gpus", "--pull", "--params", "Example: fer-repro sweep"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--workers", "-1"), "Invalid value for '--workers'"),
        (("--workers", "two"), "Invalid value for '--workers'"),
        (("--gpus", "half"), "Invalid value for '--gpus'"),
        (("--worker", "2"), "No such option: --worker"),
    ],
)
def test_a_bad_option_is_named(fer, arguments, said):
    code, _, error = fer(*arguments)
    assert code == 2
    assert said in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--params", "none.yaml"), "none.yaml: no such file"),
        (
            ("--ray", "local", "--gpus", "1.5"),
            "--gpus is 1.5: expected a share above 0 and below 1, or a whole",
        ),
        ((), "no DVC project here; start in the project's top folder"),
    ],
)
def test_a_mistake_is_one_line_and_begins_nothing(fer, monkeypatch, arguments, said):
    monkeypatch.setattr(module, "stop_with_children", lambda: None)  # it would stay with this process
    before = sorted(Path.cwd().iterdir())
    code, out, error = fer(*arguments)
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert sorted(Path.cwd().iterdir()) == before


def test_a_project_outside_git_is_told_what_helps(fer, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "stop_with_children", lambda: None)
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    code, _, error = fer()
    assert code == 2
    assert "run git init here, or: dvc config --local core.no_scm true" in error


def test_without_ray_it_says_what_to_install(fer, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = fer("--ray", "10.0.0.1:6379")
    assert code == 2
    assert error == "fer-repro: --ray needs Ray, which is not installed: pip install 'fer-repro[ray]'\n"


def test_without_dvc_it_says_what_to_install(fer, monkeypatch):
    monkeypatch.setattr(dvc_stages.shutil, "which", lambda name: None)
    code, _, error = fer()
    assert code == 2
    assert (
        error == "fer-repro: a sweep needs DVC, which is not installed: pip install 'fer-repro[pipeline]'\n"
    )


def test_options_reach_the_sweep(fer, monkeypatch):
    given = []
    monkeypatch.setattr(module, "sweep", lambda *values: given.append(values) or 7)
    code, *_ = fer(
        "--workers", "3", "--ray", "auto", "--gpus", "0.5", "--pull", "data.dvc", "--params", "p.yaml"
    )
    assert code == 7
    assert given == [(Path("p.yaml"), 3, "data.dvc", "auto", 0.5)]
    fer()
    assert given[1] == (Path("params.yaml"), 0, "", "", 1.0)
