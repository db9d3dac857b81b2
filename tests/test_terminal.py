import os
import pty
import subprocess
import sys

from fer_repro.terminal import Sparse, about, doing, fit_path, print_table, progress

LONG = "photographs/" * 12 + "face.png"


def test_a_log_gets_few_lines(capsys):
    with progress(25, "images", every=10) as step:
        for _ in range(5):
            step(5)
    assert capsys.readouterr().err.splitlines() == [
        "10 of 25 images",
        "20 of 25 images",
        "25 of 25 images",
    ]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(10, "images") as step:
        step(10)
    assert "0/10" in capsys.readouterr().err


def test_a_log_gets_a_line_per_step(capsys):
    with doing("reading"):
        pass
    assert capsys.readouterr().err == "reading ...\n"


def test_piped_tables_are_never_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("file", "MB"), [[LONG, "1.0"], ["[red]a[/red]", "12.5"]], right=("MB",))
    head, first, second = capsys.readouterr().out.splitlines()
    assert first == f"{LONG}   1.0"
    assert second.split() == ["[red]a[/red]", "12.5"]
    assert head.split() == ["file", "MB"]


def test_tables_on_a_terminal_have_its_width():
    code = f"from fer_repro.terminal import print_table; print_table(('file', 'MB'), [[{LONG!r}, '1.0']])"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "40", "TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    lines = os.read(ours, 65536).decode().splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 40 for line in lines[1:])
    assert "".join(line.split()[0] for line in lines[1:]) == LONG


def test_durations_are_said_in_one_unit():
    assert [about(seconds) for seconds in (42.4, 312, 7500, 2e6)] == ["42 s", "5 min", "2.1 hours", "23 days"]


def test_lines_are_due_by_time():
    assert not Sparse(1000.0).is_due()
    assert Sparse(0.0).is_due()


def test_long_paths_keep_their_end():
    assert fit_path("a/b.png", 10) == "a/b.png"
    assert fit_path(LONG, 9) == "…face.png"
