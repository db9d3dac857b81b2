"""How a user meets a mistake: through the command line, as one line and an exit code."""

import sys

import pytest

from fer_repro import cli


@pytest.fixture
def tell(monkeypatch, capsys):
    """Runs ``fer-repro`` with arguments that hold a mistake; returns the one line it says."""

    def run(*arguments, code=2):
        monkeypatch.setattr(sys, "argv", ["fer-repro", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().err
        assert ended.value.code == code
        assert "Traceback" not in said
        *before, last = said.splitlines()
        assert not [line for line in before if line.startswith("fer-repro: ")]
        assert last.startswith("fer-repro: ")
        return last.removeprefix("fer-repro: ")

    return run
