"""The blocks of a documentation page: files to write, lines to put in, commands to run."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"^## ([^\n]+)$|^(<!-- not run -->\n)?^```\w+(?: title=\"([^\"]+)\")?\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_PLACE = re.compile(r"(?P<file>\S+?)(?:, (?P<how>at the end|below|instead of)(?: '(?P<line>.+)')?)?")


@dataclass(frozen=True)
class Block:
    """One fenced block: heading above it, title ("" for none), what it holds, whether a test runs it."""

    section: str
    title: str
    text: str
    is_run: bool


def blocks_of(page):
    """All fenced blocks of a page of docs/, in order."""
    blocks, section = [], ""
    for heading, skipped, title, text in _BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if heading:
            section = heading
        else:
            blocks.append(Block(section, title, text, not skipped))
    return blocks


def carry_out(blocks, project):
    """Write what has a title, call what has none; what the commands said."""
    said = ""
    for block in blocks:
        if block.title:
            place(block, project)
        elif block.is_run:
            said += run(block.text, project)
    return said


def run(command, project, timeout=900):
    """Call a command as a reader would, with this environment and the project's own package."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(project), "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def place(block, project):
    """Write a titled block into the project, where its title says."""
    message = _PLACE.fullmatch(block.title)
    assert message, block.title
    path = project / message["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not message["how"]:
        assert not path.exists(), path
        path.write_text(block.text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8")
    if message["how"] == "at the end":
        path.write_text(before + block.text, encoding="utf-8")
        return
    line = f"{message['line']}\n"
    head, found, tail = f"\n{before}".partition(f"\n{line}")
    assert found, f"{path}: no line {message['line']!r}"
    kept = line if message["how"] == "below" else ""
    path.write_text(f"{head}\n{kept}{block.text}{tail}".removeprefix("\n"), encoding="utf-8")


def copy_project(project):
    """Copy what a reader of a page works on; data/ is only pointed to."""
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("fer_repro", "notebooks", "results/published", "tests/methods"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml", "tests/goldens/fill.py", "docs/face.png"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    (project / "data").symlink_to(ROOT / "data", target_is_directory=True)
