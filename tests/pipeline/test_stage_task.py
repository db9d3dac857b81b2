"""What a worker does for a stage, without Ray."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from fer_repro.pipeline.stage_task import LINES, run_commands

PYTHON = Path(sys.executable).name


def test_what_an_earlier_run_wrote_is_gone_before_the_first_command(tmp_path):
    """A hard link and a symbolic link stand for DVC's ways to link an output to its cache."""
    cache = tmp_path / "cache"
    cache.write_text("cached")
    folder, linked, pointing = tmp_path / "run", tmp_path / "linked", tmp_path / "pointing"
    (folder / "arm").mkdir(parents=True)
    os.link(cache, linked)
    pointing.symlink_to(cache)
    outs = [str(path) for path in (folder, linked, pointing, tmp_path / "never")]
    code, said, machine, seconds = run_commands(
        "train", ["echo new > linked && echo new > pointing"], str(tmp_path), outs
    )
    assert (code, said) == (0, "")
    assert not folder.exists()
    assert cache.read_text() == "cached"
    assert (linked.read_text(), pointing.read_text()) == ("new\n", "new\n")
    assert machine
    assert seconds > 0


def test_commands_follow_one_another_up_to_the_first_that_fails(tmp_path, capsys):
    commands = ["echo one", "echo two; echo why >&2; exit 3", "echo never"]
    code, said, *_ = run_commands("train", commands, str(tmp_path), [])
    assert (code, said) == (3, "one\ntwo\nwhy\n")
    assert capsys.readouterr().out == said


def test_only_the_last_lines_are_kept(tmp_path):
    _, said, *_ = run_commands("train", [f"seq {LINES + 5}"], str(tmp_path), [])
    assert said.split() == [str(number) for number in range(6, LINES + 6)]


def test_commands_get_what_dvc_gives_and_the_programs_beside_this_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)
    show = "echo $DVC_STAGE $DVC_ROOT; command -v " + PYTHON
    _, said, *_ = run_commands("train@a-0", [show], str(tmp_path), [])
    assert said.splitlines() == [f"train@a-0 {tmp_path}", str(Path(sys.executable))]


def test_a_machine_without_the_folder_says_so(tmp_path):
    code, said, machine, _ = run_commands("train", ["echo never"], str(tmp_path / "none"), [])
    assert code == 2
    assert said == f"{tmp_path / 'none'} does not exist on {machine}: the machines of a cluster must share it"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems leave it to the stage")
def test_a_command_ends_with_its_worker(tmp_path):
    words = "import sys; from fer_repro.pipeline.stage_task import run_commands as run; "
    words += "run('a', sys.argv[1:2], sys.argv[2], [])"
    worker = psutil.Popen([sys.executable, "-c", words, "sleep 60", str(tmp_path)])
    limit = time.monotonic() + 60
    family = []
    while not any(one.name() == "sleep" for one in family):
        assert time.monotonic() < limit
        time.sleep(0.05)
        family = worker.children()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert psutil.wait_procs(family, timeout=30)[1] == []
