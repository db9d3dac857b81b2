import sys

from fer_repro.data.progress import progress


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
