"""Runs that a notebook needs and the pipeline does not make."""

import shutil
from pathlib import Path

import pytest
import yaml

from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.files import read_yaml
from fer_repro.pipeline.own_runs import runs_or_train
from fer_repro.synthetic.stills import write_stills

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lacking")
    write_stills(folder / "data", subjects={"train": 2, "val": 1, "test": 1}, faces_per_class=1)
    prepare_dataset("synthetic", folder / "data/manifest.json", folder / "prepared/synthetic")
    params = read_yaml(ROOT / "params.yaml")
    params["seeds"] = [0]
    params["methods"]["p2sgrad"]["arms"] = ["p2sgrad", "softmax"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder


def find(home, runs="runs", params="params.yaml"):
    given = (home / params, "p2sgrad", "synthetic", home / runs, home / "prepared")
    return runs_or_train(*given, scratch=home / "scratch", smoke=True)


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_is_missing_is_trained_once_and_again_when_parameters_change(home):
    assert find(home) == home / "scratch/runs"
    assert not (home / "runs").exists()
    made = stamps(home / "scratch/runs")
    assert {path.name for path in made} >= {"config.json", "metrics.json", "weights.safetensors"}
    assert find(home) == home / "scratch/runs"
    assert stamps(home / "scratch/runs") == made

    shutil.rmtree(home / "scratch/runs/synthetic/p2sgrad/0/softmax")
    find(home)
    after = stamps(home / "scratch/runs")
    assert {path for path in made if after[path] != made[path]} == {p for p in made if "softmax" in p.parts}

    params = read_yaml(home / "params.yaml")
    params["methods"]["p2sgrad"]["recipes"]["synthetic"]["optimiser"]["lr"] = 0.001
    (home / "other.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    find(home, params="other.yaml")
    latest = stamps(home / "scratch/runs")
    assert all(latest[path] != after[path] for path in after)


def test_other_data_are_trained_on_again(home):
    find(home)
    before = stamps(home / "scratch/runs")
    write_stills(home / "new", subjects={"train": 2, "val": 1, "test": 1}, faces_per_class=2)
    shutil.copytree(home / "prepared", home / "kept")
    prepare_dataset("synthetic", home / "new/manifest.json", home / "prepared/synthetic")
    find(home)
    after = stamps(home / "scratch/runs")
    shutil.rmtree(home / "prepared")
    (home / "kept").rename(home / "prepared")
    assert all(after[path] != before[path] for path in before)


def test_finished_runs_are_read_where_they_are(home):
    find(home)
    shutil.copytree(home / "scratch/runs", home / "whole", dirs_exist_ok=True)
    before = stamps(home / "scratch/runs")
    assert find(home, "whole") == home / "whole"
    (home / "whole/synthetic/p2sgrad/0/softmax/metrics.json").unlink()
    assert find(home, "whole") == home / "scratch/runs"
    assert stamps(home / "scratch/runs") == before
