"""The full reproduction on a project of seconds: what it trains, takes over, keeps and records."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from small_pipeline import pipeline_of

from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.errors import UserError
from fer_repro.files import read_yaml
from fer_repro.pipeline import full
from fer_repro.pipeline.full import Job, full_main, record_results, train_job
from fer_repro.pipeline.run import train_run
from fer_repro.synthetic.stills import write_stills

ROOT = Path(__file__).parents[2]
JOB = Job("synthetic", "rmn", 0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """RMN alone, with one further arm, on a handful of faces, one epoch."""
    write_stills(tmp_path / "data/synthetic", subjects={"train": 3, "val": 1, "test": 1}, faces_per_class=1)
    params = read_yaml(ROOT / "params.yaml")
    params["pipeline"] = pipeline_of("faces", ["rmn"], synthetic="data/synthetic/manifest.json")
    params["full"], params["seeds"] = pipeline_of(), [0]
    params["evaluation"]["bootstrap"] = 20
    rmn = params["methods"]["rmn"]
    rmn["more_arms"] = ["sigmoid_mask"]
    rmn["recipes"]["synthetic"].update(epochs=1, tta_copies=0, batch_size=8)
    rmn["recipes"]["synthetic"]["model"]["width"] = 4
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(params))))
    shutil.copytree(ROOT / "results/published", tmp_path / "results/published")
    monkeypatch.chdir(tmp_path)
    prepare_dataset("synthetic", "data/synthetic/manifest.json", "full/prepared/synthetic")
    return tmp_path / "params.yaml"


def count_trainings(monkeypatch):
    trained = []

    def counting(*arguments, arms, **named):
        trained.extend(arms)
        return train_run(*arguments, arms=arms, **named)

    monkeypatch.setattr(full, "train_run", counting)
    return trained


def test_arms_of_the_pipeline_are_taken_over_and_finished_ones_kept(project, monkeypatch):
    shutil.copytree("full/prepared", "prepared")
    train_run("params.yaml", "rmn", "synthetic", 0)
    trained = count_trainings(monkeypatch)
    train_job(Path("params.yaml"), JOB)
    assert trained == ["sigmoid_mask"]
    for arm in ("masked", "no_mask", "sigmoid_mask"):
        assert Path("full/runs/synthetic/rmn/0", arm, "predictions.csv").is_file()
        assert Path("full/timings/synthetic/rmn/0", f"{arm}.json").is_file()
    train_job(Path("params.yaml"), JOB)
    assert trained == ["sigmoid_mask"]
    Path("params.yaml").write_text(project.read_text().replace("batch_size: 8", "batch_size: 7"))
    train_job(Path("params.yaml"), JOB)
    assert trained == ["sigmoid_mask", "masked", "no_mask", "sigmoid_mask"]


def test_an_arm_trained_on_other_data_is_not_taken_over(project, monkeypatch):
    write_stills(Path("other"), subjects={"train": 3, "val": 1, "test": 1}, faces_per_class=2)
    prepare_dataset("synthetic", "other/manifest.json", "prepared/synthetic")
    train_run("params.yaml", "rmn", "synthetic", 0)
    trained = count_trainings(monkeypatch)
    train_job(Path("params.yaml"), JOB)
    assert trained == ["masked", "no_mask", "sigmoid_mask"]


def test_a_record_holds_the_rows_of_all_arms(project):
    train_job(Path("params.yaml"), JOB)
    folder = record_results(Path("params.yaml"), "synthetic", "rmn", Path("results/records"))
    assert folder == Path("results/records/full-synthetic-rmn")
    record = json.loads((folder / "record.json").read_text())
    assert [run["arm"] for run in record["runs"]] == ["masked", "no_mask", "sigmoid_mask"]
    assert "sigmoid_mask - no_mask" in (folder / "rows.csv").read_text()


def test_an_unknown_run_is_named(project, capsys):
    assert full_main(["--only", "synthetic/rmn/7"]) == 2
    assert "expected one of synthetic/rmn/0" in capsys.readouterr().err


def test_all_arms_are_known_and_common_ground_has_the_headlines_alone():
    params = ROOT / "params.yaml"
    assert full.arms_of(params, "synthetic_apex", "rmn") == ("masked",)
    assert set(full.arms_of(params, "synthetic_clips", "fan")) >= {"self_relation", "self_attention"}
    with pytest.raises(UserError):
        full.arms_of(params, "synthetic", "rnm")


@pytest.mark.skipif(os.name != "posix", reason="signals and locks")
def test_one_goes_at_a_time_and_takes_its_runs_with_it(project):
    command = [sys.executable, "-m", "fer_repro.pipeline.full"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 120
    while not (runs := psutil.Process(first.pid).children(recursive=True)):
        assert first.poll() is None, first.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.05)
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert second.stderr == "fer-repro: full is being written by another process; nothing was changed\n"
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=60)[0]
    assert first.returncode == 128 + signal.SIGTERM
    assert said.endswith("stopped; the same command continues\n")
    assert psutil.wait_procs(runs, timeout=10)[1] == []
