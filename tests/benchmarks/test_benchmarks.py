"""The benchmarks run, their ratios are taken round by round, and their page holds what was measured."""

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def part(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def test_calls_are_timed_by_turns_after_one_round_that_does_not_count(part):
    tables, order = part("tables"), []
    settings = tables.Settings("cpu", quick=False)
    found = tables.by_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, settings)
    assert order == ["a", "b"] * (settings.repeats + 1)
    assert {name: len(spread.values) for name, spread in found.items()} == {"a": 5, "b": 5}
    assert len(tables.by_turns({"a": int}, settings, rounds=7)["a"].values) == 7
    assert len(tables.by_turns({"a": int}, tables.Settings("cpu", quick=True), rounds=7)["a"].values) == 1


def test_work_is_counted_and_waiting_is_not(part):
    tables = part("tables")
    settings = tables.Settings("cpu", quick=True)
    found = tables.by_turns({"wait": lambda: time.sleep(0.3), "work": lambda: sum(range(10**6))}, settings)
    assert found["wait"].median < 0.1 < 100 * found["work"].median


def test_ratios_are_taken_round_by_round(part):
    tables = part("tables")
    slow, fast = tables.Spread((2.0, 8.0, 3.0)), tables.Spread((1.0, 2.0, 3.0))
    assert tables.ratios(slow, fast).values == (2.0, 4.0, 1.0)
    assert tables.ratios(slow, fast).shown(".1f") == "2.0 (1.0 to 4.0)"


def test_named_parts_print_their_tables_and_write_nothing(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "stages", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("## Cost of the default reproduction")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_part_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "there is no benchmark 'speed'" in done.stderr


def test_results_and_page_hold_the_tables_and_the_machine_without_its_name(part, tmp_path):
    tables, runner = part("tables"), part("__main__")
    table = tables.Table("Speed", "What was timed.", ("thing", "s"), [["a", "1.50"], ["b", "20"]])
    described = tables.machine(tables.Settings("cpu", quick=True))
    runner._write(tmp_path, described, {"speed": table}, {}, "")
    kept = json.loads((tmp_path / "benchmarks" / "results.json").read_text())
    assert kept["tables"]["speed"]["rows"] == [["a", "1.50"], ["b", "20"]]
    about = {"processor", "cores", "threads", "instructions", "accelerator"}  # no name of a host
    assert set(kept["machine"]) == about | {"python", "torch", "torchvision", "numpy"}
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "| a       | 1.50 |" in page


def test_tables_of_hours_stay_until_they_are_measured_again(part, tmp_path):
    tables, runner = part("tables"), part("__main__")
    described = tables.machine(tables.Settings("cpu", quick=True))
    first, long = (tables.Table(name, "Prose.", ("a",), [["1"]]) for name in ("Old", "Hours"))
    runner._write(tmp_path, described, {"speed": first}, {}, "")
    runner._write(tmp_path, described, {}, {"budgets": long}, "")
    runner._write(tmp_path, described, {"speed": tables.Table("New", "Prose.", ("a",), [["2"]])}, {}, "")
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "## Hours" in page
    assert "## New" in page
    assert "## Old" not in page
    assert f"Prose. Machine: {described['processor']}" in page


def test_seconds_run_to_the_first_epoch_that_is_good(part):
    import pandas as pd

    trained, timed = part("trained"), part("time_to_accuracy")
    history = pd.DataFrame({"val_accuracy": [0.5, 0.61, 0.59, 0.65], "best": [1, 1, 0, 1]})
    done = [trained.Training(rows, {}, 100, 65.0) for rows in (history, history[:1])]
    assert timed._reached(done, 0.60, 10.0) == "20 (20 to 20), 1 of 2 seeds"
    assert timed._reached(done, 0.66, 10.0) == "not reached"
    assert timed._reached(done, 0.50, 10.0) == "10 (10 to 10)"


def test_the_grid_of_rates_grows_at_its_edge(part):
    rates = part("rates")
    assert rates._beyond({1 / 3: 60.0, 1.0: 62.0, 3.0: 61.0}) == []
    assert rates._beyond({1 / 3: 60.0, 1.0: 62.0, 3.0: 63.0}) == [9.0]
    assert rates._beyond({1 / 3: 64.0, 1.0: 62.0, 3.0: 63.0}) == [pytest.approx(1 / 9)]


def test_faces_are_prepared_as_the_package_does(part):
    external = part("external")
    image = np.full((48, 48), 255, np.uint8)
    image[46:] = 51  # whose mean is the padding
    face = external.whole(image)
    assert face.shape == (64, 64, 1)
    assert face[0, 0] == 1.0
    assert face[63, 0] == pytest.approx(-0.6)  # 2 (51 / 255 - 0.5)
    wide = external.padded(image)
    assert wide[0, 0] == wide[32, 0] == wide[63, 63] == pytest.approx(-0.6)
    assert wide[32, 32] == 1.0


def test_a_missing_package_is_one_clear_error(part, monkeypatch, capsys):
    part("external")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert part("__main__").main(["external", "--quick"]) == 1
    message = capsys.readouterr().err
    assert "is not installed: pip install ai-edge-litert keras h5py" in message
    assert "Traceback" not in message


def test_kept_rows_of_ready_networks_are_the_documented_ones(part):
    rows = pd.read_csv(ROOT / "results/external.csv")
    assert tuple(rows.columns) == part("external").COLUMNS
    assert set(rows["images"]) == {3589, 927}
    page = (ROOT / "docs/inference.md").read_text(encoding="utf-8")
    lite = rows[rows["network"] == "emotion_model_quantized.tflite"]
    for _, pair in lite.groupby(["dataset", "answers"]):
        right_ones = (pair["accuracy"] * pair["images"] / 100).round()
        left, right = (f"{100 * share:.1f} %" for share in right_ones / pair["images"])
        assert f"| {left} | {right} |" in page, "accuracies of both preparations"
    assert f"{lite['ms_per_face'].iloc[0]} ms per face" in page


def test_clips_that_are_told_apart_have_the_whole_area(part):
    clips = part("real_clips")
    manipulated = np.array([False, False, True, True])
    told = np.array([[-2.0, -1.0, 1.0, 2.0], [-1.0, -2.0, 2.0, 1.0]])
    assert clips._row("plain", told, manipulated) == ["plain", "100.0", "100 to 100", "100.0", "100.0"]
    row = clips._row("plain", np.stack([told[0], -told[0]]), manipulated)
    assert (row[1], row[2], *row[3:]) == ("50.0", "0 to 100", "0.0", "100.0")


@pytest.mark.slow
def test_every_part_runs():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.count("\n## ") + done.stdout.startswith("## ") == 8
