"""Which stage a free worker takes, and when."""

import threading
import time

import pytest

from fer_repro.pipeline import sweep as local_sweep
from fer_repro.pipeline.sweep import run_stages


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

    monkeypatch.setattr(local_sweep, "_run_stage", run)
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
