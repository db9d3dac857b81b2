"""Make a project in a folder of its own, from the files that come with the package: ``fer-repro new``.

The package stays where it is installed. So the stage ``inputs``, which in a clone depends on the package's
files, always runs in such a project: after an update of the package it is what finds the changed code.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_repro.errors import UserError
from fer_repro.git import ask_git
from fer_repro.pipeline.dvc_stages import find_programs
from fer_repro.project_files import TRACKED, lay_out, packaged

_COMMAND = "    cmd: python -m fer_repro.pipeline.inputs\n"
_STAGING = ".new.tmp"
README = """# A reproduction with fer_repro

| what | where |
|---|---|
| data, methods, recipes, seeds | `params.yaml`; unwanted tasks stay, with `{datasets: [], methods: []}` |
| train, evaluate, compare, report | `fer-repro sweep` or `dvc repro`; it continues where it was stopped |
| the page | `reports/index.html` |
| numbers | `results/measured/`, `results/comparison/`; records of runs that are kept: `results/records/` |
| your own data | `fer-repro data add NAME PATH --enable` |
| from a number to its data, code and command | `fer-repro why NAME` |
| JupyterLab | `jupyter lab notebooks/start.ipynb` |

`dvc status` always names the stage `inputs`: it takes a second and finds changes of the installed package.
"""
KEPT_EMPTY = "results/records/.gitkeep"
"""Keeps the folder in git, which stages depend on, while there is no record."""


def make_project(folder: Path) -> None:
    """Write a project: its files, a git repository, a DVC project with an embedded store. All is staged.

    Args:
        folder: absent or empty.

    Raises:
        UserError: the folder is not empty, it is no folder, or git or DVC is missing or fails; nothing is
            left of what was begun.
    """
    _check_free(folder)
    find_programs("fer-repro new")
    with _moved_when_done(folder) as staging:
        lay_out(packaged(), staging)
        pipeline = staging / "dvc.yaml"
        pipeline.write_text(without_package(pipeline.read_text(encoding="utf-8")), encoding="utf-8")
        (staging / "README.md").write_text(README, encoding="utf-8")
        kept = staging / KEPT_EMPTY
        kept.parent.mkdir(parents=True)
        kept.touch()
        ask_git(staging, "init", "-q")
        pointers = [f"{name}.dvc" for name in TRACKED]
        _dvc(staging, "commit", "--quiet", "--force", *pointers)
        _dvc(staging, "push", "--quiet", *pointers)
        ask_git(staging, "add", "--all")


def without_package(pipeline: str) -> str:
    """Change the text of dvc.yaml: the package's files are not in the project, so ``inputs`` always runs."""
    text = re.sub(r"^ +- fer_repro/.*\n", "", pipeline, flags=re.MULTILINE)
    return text.replace(_COMMAND, f"{_COMMAND}    always_changed: true # the package is not in this folder\n")


def _check_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: expected a new or empty folder; nothing was changed")
    first = next(iter(sorted(folder.iterdir())), None) if folder.exists() else None
    if first:
        raise UserError(f"{folder} is not empty, it has {first.name}; nothing was changed; name a new folder")


@contextmanager
def _moved_when_done(folder: Path) -> Iterator[Path]:
    """Give a folder within ``folder`` whose content moves up when all is done, and is deleted on failure."""
    made = not folder.exists()
    staging = folder / _STAGING
    staging.mkdir(parents=True)
    try:
        yield staging
        for path in sorted(staging.iterdir()):
            path.rename(folder / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _dvc(folder: Path, *command: str) -> None:
    done = subprocess.run(["dvc", "--cd", str(folder), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"dvc {command[0]}: {' '.join((done.stderr or done.stdout).split())}")
