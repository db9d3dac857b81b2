"""Each notebook states how long it takes, as the one file of measurements says."""

import json
from pathlib import Path

import pytest

from fer_repro.errors import UserError
from fer_repro.pipeline.durations import DURATIONS, read_durations, spell_duration, write_sentences

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_notebook_states_what_was_measured():
    durations = read_durations(ROOT / DURATIONS)
    assert sorted(durations) == [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        assert f"**Takes** {spell_duration(durations[path.stem])}" in first, path


def test_a_sentence_is_written_and_nothing_else(tmp_path):
    source = ROOT / "notebooks/start.ipynb"
    copy = tmp_path / "start.ipynb"
    copy.write_bytes(source.read_bytes())
    write_sentences({"start": 301.0}, tmp_path)
    assert "**Takes** about 5 minutes." in copy.read_text(encoding="utf-8")
    write_sentences({"start": read_durations(ROOT / DURATIONS)["start"]}, tmp_path)
    assert copy.read_bytes() == source.read_bytes()


def test_a_notebook_that_does_not_say_it_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"strat\.ipynb: no such notebook"):
        write_sentences({"strat": 3.0}, tmp_path)
    cells = [{"cell_type": "markdown", "source": ["# Title\n"]}]
    (tmp_path / "start.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    with pytest.raises(UserError, match=r"first cell: expected .*Takes.* about a minute"):
        write_sentences({"start": 3.0}, tmp_path)
    (tmp_path / "durations.csv").write_text("notebook,seconds\nstart,soon\n", encoding="utf-8")
    with pytest.raises(UserError, match="could not convert string to float"):
        read_durations(tmp_path / "durations.csv")
