"""One seed, one machine, two people: the same bytes, whatever their shells and folders are like."""

import os
import shutil
import subprocess
import sys

import pytest
from targets import QUIET, STAGES, small_project

pytestmark = pytest.mark.skipif(os.name != "posix", reason="umask")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PEOPLE = {  # folder -> environment and umask
    "one": (
        {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC", "COLUMNS": "80", **dict.fromkeys(THREADS, "1")},
        0o022,
    ),
    "zweiter Ordner, größer": (
        {"PYTHONHASHSEED": "4711", "LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}
        | {"COLUMNS": "213", "LINES": "7", "USER": "someone", **dict.fromkeys(THREADS, "2")},
        0o077,
    ),
}


def call(command, folder, environment, umask):
    """Run a command in a folder, with a home of its own."""
    home = folder.with_name(f"home of {folder.name}")
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **QUIET, **environment, "HOME": str(home)}, umask=umask,
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def products(folder, patterns):
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}


def assert_equal_bytes(found):
    first, second = found
    assert first
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_training_gives_two_people_the_same_bytes(tmp_path):
    """Without notebooks: weights, history, predictions, explained tensors and metrics of all arms."""
    train = ("train", "rmn", "synthetic", "--smoke", "-s", "runtime.threads=1", "--out", "runs")
    found = []
    for name, (environment, umask) in PEOPLE.items():
        small_project(tmp_path / name)
        call([sys.executable, "-m", "fer_repro.cli", *train], tmp_path / name, environment, umask)
        found.append(products(tmp_path / name, ("runs/**/*", "prepared/**/*")))
    assert_equal_bytes(found)


@pytest.mark.slow
def test_the_pipeline_gives_two_people_the_same_bytes(tmp_path):
    """Metrics, predictions, tables, figures, executed notebooks, and the page of it all.

    The last two stages show how long the others took: both people read the times of the first.
    """
    patterns = [pattern for _, some, _ in STAGES.values() for pattern in some]
    found, times = [], tmp_path / "times"
    for name, (environment, umask) in PEOPLE.items():
        small_project(tmp_path / name)
        for stage, (command, _, _) in STAGES.items():
            taken = tmp_path / name / "timings"
            if (times / stage).is_dir():
                shutil.rmtree(taken)
                shutil.copytree(times / stage, taken)
            elif taken.is_dir():
                shutil.copytree(taken, times / stage)
            call(list(command), tmp_path / name, environment, umask)
        found.append(products(tmp_path / name, patterns))
    assert_equal_bytes(found)
