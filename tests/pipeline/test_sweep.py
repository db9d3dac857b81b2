"""Sweeps with two workers, in a small project with stubs."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml
from stub_project import make_clone
from sweep_project import (
    LIMIT,
    STAGES,
    SWEEP,
    stages_in_lock,
    start,
    sweep,
    training,
    wait_for,
    wait_for_quiet,
)

from fer_repro.params import read_params
from fer_repro.pipeline import sweep as local_sweep
from fer_repro.pipeline.sweep import _needs, run_stages

TWO = ("--workers", "2")
ROOT = Path(__file__).parents[2]


def test_stages_are_named_as_dvc_names_them():
    recorded = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    named = _needs(read_params(ROOT / "params.yaml"))
    assert set(named) == set(recorded) - {"inputs", "compare", "report"}
    for stage, needed in named.items():
        reads = [dependency["path"] for dependency in recorded[stage]["deps"]]
        written = {each: [out["path"] for out in recorded[each]["outs"]] for each in named}
        sources = {
            each for each, paths in written.items() for path in paths
            if any(path == read or path.startswith(f"{read}/") for read in reads)
        }  # fmt: skip
        assert set(needed) == sources, stage


posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks")


@pytest.fixture(scope="module")
def swept(project, tmp_path_factory):
    """A clone without data after two sweeps at once that fetch it, and what each of them said."""
    clone = make_clone(project, tmp_path_factory.mktemp("swept"))
    shutil.rmtree(clone.folder / "data")
    training(clone, "import time; time.sleep(1)")
    both = [start(clone, *TWO, "--pull", "data.dvc", preloads=True) for _ in range(2)]
    said = [one.communicate(timeout=LIMIT)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    return clone, *sorted(said, key=lambda text: "another sweep" in text)


def test_two_workers_leave_nothing_to_do(swept):
    clone, said, later = swept
    assert said.count(": done in") == 2 + 4 + 2  # inputs and prepared, trained, evaluated
    assert clone.would_run() == set()
    assert "Data and pipelines are up to date." in later
    assert clone.call("git", "status", "--porcelain", "--", "dvc.lock") == ""


@posix
def test_a_second_sweep_waits_for_the_first(swept):
    _, worked, waited = swept
    assert "another sweep of this project runs (process" in waited
    assert "another sweep" not in worked
    assert "Running stage" not in waited


def test_it_fetches_what_it_is_told_to(swept):
    assert json.loads((swept[0].folder / "prepared/synthetic/manifest.json").read_text()) == {}


def test_a_failing_stage_stops_no_other_and_is_named(clone):
    training(
        clone, 'if values["method"] + values["seed"] == "rmn1": sys.exit("no such face in MaskingBlock")'
    )
    code, said = sweep(clone, *TWO)
    assert code != 0
    assert "train-faces@synthetic-rmn-1: failed" in said
    assert said.count("no such face") == 2  # by its worker, and by the serial end that says why last
    assert said.count(": done in") == 2 + 3 + 1  # inputs and prepared, trained; the twin is evaluated
    assert "evaluate-faces@synthetic-twin: done in" in said


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
    process = start(clone, "--workers", str(workers), preloads=True)
    wait_for(clone.folder / "started", process)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    process.send_signal(number)
    said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        assert "stopped; the same command continues" in said
        assert "failed" not in said.partition("stopped;")[0]
    wait_for_quiet(clone.folder)
    code, said = sweep(clone, *TWO)
    assert code == 0, said
    assert clone.would_run() == set()
    assert stages_in_lock(clone).keys() > STAGES


def test_a_mistake_in_the_parameters_comes_before_any_work(clone):
    clone.change("params.yaml", "epochs: 2", "epoch: 2")
    code, said = sweep(clone, *TWO)
    assert code == 2
    assert said.startswith("fer-repro: params.yaml: methods.rmn.recipes.synthetic: ")
    assert "did you mean 'epochs'?" in said
    assert said.count("\n") == 1
    assert not (clone.folder / "prepared").exists()


def test_outside_a_project_it_says_so(tmp_path, project):
    shutil.copy(project.folder / "params.yaml", tmp_path)
    done = subprocess.run(
        [*SWEEP, *TWO], cwd=tmp_path, env=project.environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.endswith(
        "no DVC project here; start in the project's top folder, or make a project: fer-repro new FOLDER\n"
    )


@pytest.fixture
def ran(monkeypatch):
    """Stages that take 20 ms and note what was at work; those with an x fail."""
    events, lock = [], threading.Lock()

    def run(stage):
        with lock:
            events.append(("begin", stage))
        time.sleep(0.02)
        with lock:
            events.append(("end", stage))
        return "x" not in stage

    monkeypatch.setattr(local_sweep, "run_stage", run)
    return events


def order(events, what):
    return [stage for kind, stage in events if kind == what]


def most_at_once(events):
    count = most = 0
    for kind, _ in events:
        count += 1 if kind == "begin" else -1
        most = max(most, count)
    return most


def test_a_stage_waits_for_what_it_needs_and_no_longer(ran):
    stages = {"a": [], "b": [], "b1": ["b"], "a1": ["a"], "c": ["a1", "b1"]}
    assert run_stages(stages, 2) == set()
    for stage, needed in stages.items():
        begun = ran.index(("begin", stage))
        assert all(ran.index(("end", each)) < begun for each in needed)
    assert order(ran, "begin")[:2] == ["a", "b"]
    assert most_at_once(ran) == 2


def test_no_worker_is_idle_while_a_stage_can_run(ran):
    run_stages({"a": [], "late": ["a"], "b": [], "c": []}, 2)
    assert order(ran, "begin")[:2] == ["a", "b"]
    run_stages({name: [] for name in "defgh"}, 3)
    assert most_at_once(ran) == 3


def test_what_needs_a_failed_stage_is_left_out(ran):
    stages = {"ax": [], "b": [], "a1": ["ax"], "a2": ["a1", "b"], "b1": ["b"]}
    assert run_stages(stages, 2) == {"ax", "a1", "a2"}
    assert sorted(order(ran, "begin")) == ["ax", "b", "b1"]


def test_nothing_is_said_of_no_stages(ran, capsys):
    assert run_stages({}, 2) == set()
    assert capsys.readouterr().out == ""
