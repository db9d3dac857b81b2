"""Sweeps with two workers, in a small project with stubs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml
from stub_project import ROOT, STUB

SWEEP = (sys.executable, str(ROOT / "fer_repro/pipeline/sweep.py"), "--workers", "2")
TRAIN = 'elif name == "train":\n'
STAGES = {f"train-faces@synthetic-{method}-{seed}" for method in ("rmn", "twin") for seed in (0, 1)}
posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks")


def training(clone, first):
    """Let the stub of a training stage do this first."""
    text = STUB.replace(TRAIN, f"{TRAIN}    {first}\n")
    assert text != STUB
    (clone.folder / "fer_repro/pipeline/notebooks.py").write_text(text)


def start(clone, *arguments):
    return subprocess.Popen(
        [*SWEEP, *arguments], cwd=clone.folder, env=clone.environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def sweep(clone, *arguments):
    """Run a sweep to its end: (exit code, what it said)."""
    process = start(clone, *arguments)
    said = process.communicate(timeout=120)[0]
    return process.returncode, said


def stages_in_lock(clone):
    return set(yaml.safe_load((clone.folder / "dvc.lock").read_text())["stages"])


def test_two_workers_leave_nothing_to_do(clone):
    code, said = sweep(clone)
    assert code == 0
    assert said.count(": done in") == 1 + 4 + 2  # prepared, trained, evaluated
    assert clone.would_run() == set()
    assert "Data and pipelines are up to date." in sweep(clone)[1]
    assert clone.call("git", "status", "--porcelain", "--", "dvc.lock") == ""


def test_a_failing_stage_stops_no_other_and_is_named(clone):
    training(
        clone, 'if values["method"] + values["seed"] == "rmn1": sys.exit("no such face in MaskingBlock")'
    )
    code, said = sweep(clone)
    assert code != 0
    assert "train-faces@synthetic-rmn-1: failed" in said
    assert said.count("no such face") == 2  # by its worker, and by the serial end that says why last
    assert said.count(": done in") == 1 + 3  # prepared, trained; nothing is evaluated


@posix
def test_a_second_sweep_waits_for_the_first(clone):
    training(clone, "import time; time.sleep(1)")
    first, second = start(clone), start(clone)
    said = [one.communicate(timeout=120)[0] for one in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    waited, worked = sorted(said, key=lambda text: "another sweep" not in text)
    assert "another sweep of this project runs (process" in waited
    assert "Running stage" not in waited
    assert worked.count(": done in") == 1 + 4 + 2
    assert clone.would_run() == set()


def running_stages(folder):
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@posix
@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, 2),
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_sweep_leaves_nothing_running_and_the_next_one_finishes(clone, number, workers):
    """SIGTERM and SIGINT go to the sweep alone, as ``kill`` sends them; SIGKILL goes to the whole group."""
    once = 'started = Path("started")'
    training(clone, f"{once}; started.exists() or started.touch() or __import__('time').sleep(60)")
    process = start(clone, "--workers", str(workers))
    limit = time.monotonic() + 60
    while not (clone.folder / "started").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.05)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    process.send_signal(number)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        assert "stopped; the same command continues" in said
        assert "failed" not in said.partition("stopped;")[0]
    limit = time.monotonic() + 10
    while left := running_stages(clone.folder):
        assert time.monotonic() < limit, left
        time.sleep(0.05)
    code, said = sweep(clone)
    assert code == 0, said
    assert clone.would_run() == set()
    assert stages_in_lock(clone) > STAGES


def test_a_mistake_in_the_parameters_comes_before_any_work(clone):
    clone.change("params.yaml", "epochs: 2", "epoch: 2")
    code, said = sweep(clone)
    assert code == 2
    assert said.startswith("error: params.yaml: methods.rmn.recipes.synthetic: ")
    assert "did you mean 'epochs'?" in said
    assert said.count("\n") == 1
    assert not (clone.folder / "prepared").exists()


def test_outside_a_project_it_says_so(tmp_path, project):
    shutil.copy(project.folder / "params.yaml", tmp_path)
    done = subprocess.run(SWEEP, cwd=tmp_path, env=project.environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("no DVC project here; start in the project's root\n")


def test_it_fetches_what_it_is_told_to(clone):
    shutil.rmtree(clone.folder / "data")
    code, said = sweep(clone, "--pull", "data.dvc")
    assert code == 0, said
    assert json.loads((clone.folder / "prepared/synthetic/manifest.json").read_text()) == {}
