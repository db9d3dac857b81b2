"""How a user meets a mistake: through the command line, as one line and an exit code."""

import shutil
import sys

import pytest
from miniature_sets import LAYOUTS

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


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory):
    """Gives the folder of a set as its publisher lays it out; it is laid out once and not changed."""
    home = tmp_path_factory.mktemp("sets")

    def build(name):
        root = home / name
        if not root.exists():
            root.mkdir()
            LAYOUTS[name](root)
        return root

    return build


@pytest.fixture
def raw(laid_out, tmp_path):
    """Gives a copy of a set that a test may spoil."""
    return lambda name: shutil.copytree(laid_out(name), tmp_path / "raw", symlinks=True)
