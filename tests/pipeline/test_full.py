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
from fer_repro.pipeline.inputs import INPUTS, write_inputs
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
    params["full"] = pipeline_of()
    params["seeds"], params["further_seeds"] = [0], [0]
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


@pytest.mark.parametrize("words", [["train", "synthetic", "rmn", "x"], ["train", "synthetic"], ["paint"]])
def test_an_unknown_stage_is_named(project, capsys, words):
    assert full_main(words) == 2
    assert "expected prepare SET, train SET METHOD SEED, record SET METHOD" in capsys.readouterr().err


def test_all_arms_are_known_and_common_ground_has_the_headlines_alone():
    params = ROOT / "params.yaml"
    assert full.arms_of(params, "synthetic_apex", "rmn") == ("masked",)
    assert set(full.arms_of(params, "synthetic_clips", "fan")) >= {"self_relation", "self_attention"}
    with pytest.raises(UserError):
        full.arms_of(params, "synthetic", "rnm")


def test_arms_that_claims_compare_are_trained_at_both_lengths(monkeypatch):
    monkeypatch.chdir(ROOT)
    arms = full.compared_arms(ROOT / "params.yaml", "fan")
    assert {"self_relation", "score_fusion", "self_attention", "frame_graph"} <= {*arms}
    assert "feature_average" not in arms  # of no claim
    assert full.compared_arms(ROOT / "params.yaml", "rmn") == ("masked", "no_mask")


@pytest.fixture
def whole(project):
    """The project with git, DVC, the inputs and the stages of the full reproduction, and nothing prepared."""
    shutil.rmtree("full")
    for name in ("full/dvc.yaml", "full/.dvcignore", "full/.dvc/config", ".gitignore", ".dvcignore"):
        target = project.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "notebooks", project.parent / "notebooks")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([Path(sys.executable).with_name("dvc"), "init", "-q"], check=True)
    write_inputs(project, Path("notebooks"), INPUTS)
    return project


@pytest.mark.slow
def test_the_stages_train_and_record_and_run_once(whole, capfd):
    assert full_main(["--workers", "2"]) == 0
    record = json.loads(Path("results/records/full-synthetic-rmn/record.json").read_text())
    assert [run["arm"] for run in record["runs"]] == ["masked", "no_mask", "sigmoid_mask"]
    capfd.readouterr()
    assert full_main(["--workers", "2"]) == 0
    assert "Running stage" not in capfd.readouterr().out
    dvc = Path(sys.executable).with_name("dvc")
    status = subprocess.run([dvc, "status"], capture_output=True, text=True, check=True)
    assert "full" not in status.stdout  # a project of its own


@pytest.mark.skipif(os.name != "posix", reason="signals and locks")
def test_it_takes_its_runs_with_it_when_stopped(whole):
    command = [sys.executable, "-m", "fer_repro.pipeline.full", "--workers", "2"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 120
    while not (runs := psutil.Process(first.pid).children(recursive=True)):
        assert first.poll() is None, first.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    shown = first.communicate(timeout=60)[0]
    assert first.returncode == 128 + signal.SIGTERM
    assert shown.endswith("stopped; the same command continues\n")
    assert psutil.wait_procs(runs, timeout=10)[1] == []
