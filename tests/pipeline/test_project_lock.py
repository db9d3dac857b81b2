"""DVC's table of locked paths after a death."""

import json
import subprocess
import sys
import threading
import time

import pytest

from fer_repro.errors import UserError
from fer_repro.pipeline.project_lock import DVC_LOCK, alone, clear_dvc_lock


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    DVC_LOCK.parent.mkdir(parents=True)


def held_by(pid):
    who = {"pid": pid, "cmd": "dvc repro"}
    return json.dumps({"write": {"/a/runs": who}, "read": {"/a/data": [who]}})


@pytest.fixture
def living():
    """A process with a word in its command line: (start, ...)."""
    started = []

    def start(word):
        code = "print(flush=True); import time; time.sleep(60)"
        started.append(subprocess.Popen([sys.executable, "-c", code, word], stdout=subprocess.PIPE))
        started[-1].stdout.readline()
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("text", ["", '{"write": {"/a": {"pi', "\x00\x00"])
def test_a_half_written_table_is_removed(project, text):
    DVC_LOCK.write_text(text)
    with alone():
        assert not DVC_LOCK.exists()


def test_a_table_that_is_being_written_is_waited_for(project, living):
    DVC_LOCK.write_text("")
    text = held_by(living("dvc"))
    threading.Timer(0.3, DVC_LOCK.write_text, [text]).start()
    clear_dvc_lock()
    assert DVC_LOCK.read_text() == text


def test_a_living_dvc_keeps_its_table(project, living):
    DVC_LOCK.write_text(held_by(living("/somewhere/bin/dvc")))
    clear_dvc_lock()
    assert DVC_LOCK.exists()


def test_a_number_that_went_to_another_program_locks_nothing(project, living):
    DVC_LOCK.write_text(held_by(living("editor")))
    clear_dvc_lock()
    assert not DVC_LOCK.exists()


def test_no_table_needs_no_wait(project):
    begin = time.monotonic()
    clear_dvc_lock()
    assert time.monotonic() - begin < 0.5
    assert not DVC_LOCK.exists()


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no DVC project here; start in the project's top folder"), alone():
        pass
