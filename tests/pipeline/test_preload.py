"""Stages forked from a process with the libraries: the same bytes as others, and as clean an end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fer_repro.pipeline.preload import ADDRESS, LIBRARIES, preloaded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux only")

ROOT = Path(__file__).parents[2]
LOADED = """
import os, sys
loaded = {"torch", "pandas", "lightning.fabric"} <= set(sys.modules)
ours = sorted(name for name in sys.modules if name.startswith("fer_repro"))
print(loaded, ours)
"""
SHOWN = """
import numpy as np, torch, matplotlib.pyplot as plt
from fer_repro.figures.display import say
plt.plot(np.arange(9.0))
print(torch.ones(3) @ torch.ones(3), hash("word"), __name__, torch.get_num_threads())
plt.show()
say("a sentence")
"""
WAITS = """
import os, pathlib, time
pathlib.Path(place).write_text(str(os.getpid()))
time.sleep(600)
"""


def notebook(folder, *sources, parameters=""):
    """Write a notebook of these cells."""
    cells = [(parameters, ["parameters"])] * bool(parameters) + [(source, []) for source in sources]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    content = {
        "cells": [
            {"cell_type": "code", "id": f"c{number}", "execution_count": None, "outputs": [],
             "metadata": {"tags": tags}, "source": source}
            for number, (source, tags) in enumerate(cells)
        ],
        "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "small.ipynb").write_text(json.dumps(content), encoding="utf-8")
    return folder


def start(folder, *arguments, **environment):
    """Start a stage as DVC does."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "fer_repro.pipeline.notebooks",
            "run",
            "small",
            "--from",
            str(folder),
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in the background
    )


def run(folder, out, *arguments, **environment):
    """Run a stage; its exit code, what it printed and its notebook's cells."""
    stage = start(folder, "--out", str(out), *arguments, **environment)
    said, message = stage.communicate(timeout=300)
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"] if out.is_file() else []
    return stage.returncode, said + message, cells


def printed(cells):
    return "".join(output.get("text", "") for cell in cells for output in cell["outputs"])


@pytest.fixture(scope="module")
def server():
    """A server that has imported everything; the environment names it."""
    with preloaded():
        address = Path(os.environ[ADDRESS])
        yield address
    assert not address.exists()


def test_no_library_is_a_module_of_this_package(server):
    assert not any(name.startswith("fer_repro") for name in LIBRARIES)


def test_the_libraries_are_there_and_nothing_of_the_package_is(server, tmp_path):
    code, said, cells = run(notebook(tmp_path / "books", LOADED), tmp_path / "out.ipynb")
    assert code == 0, said
    inherited = ["", ".errors", ".pipeline", ".pipeline.preload", ".pipeline.project_lock", ".project_files"]
    assert printed(cells) == f"True {['fer_repro' + name for name in inherited]}\n"
    assert "wrote" in said
    assert "NOTE" not in said


def test_the_executed_notebook_is_the_same_bytes(server, tmp_path):
    books = notebook(tmp_path / "books", SHOWN)
    for name, environment in (("forked", {}), ("plain", {ADDRESS: ""})):
        code, said, _ = run(books, tmp_path / f"{name}.ipynb", **environment)
        assert code == 0, said
    assert (tmp_path / "forked.ipynb").read_bytes() == (tmp_path / "plain.ipynb").read_bytes()
    assert '"image/png"' in (tmp_path / "forked.ipynb").read_text()


@pytest.mark.parametrize(
    "environment", [{"OMP_NUM_THREADS": "7"}, {ADDRESS: "/nowhere"}], ids=["other environment", "no server"]
)
def test_a_stage_that_cannot_be_forked_imports_by_itself(server, tmp_path, environment):
    code, said, cells = run(notebook(tmp_path / "books", LOADED), tmp_path / "out.ipynb", **environment)
    assert code == 0, said
    assert printed(cells) == "False []\n"


def test_a_failing_cell_is_told_as_ever(server, tmp_path):
    code, said, _ = run(notebook(tmp_path / "books", "1 / 0"), tmp_path / "out.ipynb")
    assert code == 1
    assert "ZeroDivisionError: division by zero" in said
    assert (tmp_path / "out.failed.ipynb").is_file()


def test_a_kernel_that_ends_is_told_as_ever(server, tmp_path):
    code, said, _ = run(notebook(tmp_path / "books", "import os; os._exit(9)"), tmp_path / "out.ipynb")
    assert code == 1
    assert "DeadKernelError" in said


def test_a_mistake_starts_nothing(server, tmp_path):
    code, said, _ = run(notebook(tmp_path / "books", "1"), tmp_path / "out.ipynb", "-p", "seed=1")
    assert code == 2
    assert "takes no parameters" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stage_that_is_stopped_leaves_no_process(server, tmp_path, number):
    place = tmp_path / "kernel"
    books = notebook(tmp_path / "books", WAITS, parameters='place = ""')
    stage = start(books, "--out", str(tmp_path / "out.ipynb"), "-p", f"place={place}")
    until = time.monotonic() + 120
    while not (place.is_file() and place.read_text()):
        assert stage.poll() is None, stage.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    kernel = psutil.Process(int(place.read_text()))
    family = [kernel, kernel.parent()]
    assert stage.pid not in [each.pid for each in family]
    stage.send_signal(number)
    _, message = stage.communicate(timeout=60)
    if number != signal.SIGKILL:
        assert stage.returncode == 128 + number
        assert "the same command continues" in message
        assert not any(each.is_running() and each.status() != "zombie" for each in family)
    psutil.wait_procs(family, timeout=30)
    assert not any(each.is_running() for each in family)


def test_runners_end_with_their_server(tmp_path):
    place = tmp_path / "kernel"
    books = notebook(tmp_path / "books", WAITS, parameters='place = ""')
    with preloaded():
        stage = start(books, "--out", str(tmp_path / "out.ipynb"), "-p", f"place={place}", DVC_STAGE="small")
        until = time.monotonic() + 120
        while not (place.is_file() and place.read_text()):
            assert time.monotonic() < until
            time.sleep(0.1)
    kernel = int(place.read_text())
    stage.communicate(timeout=60)
    assert stage.returncode != 0
    assert not psutil.pid_exists(kernel)
