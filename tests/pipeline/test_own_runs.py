"""Runs that a notebook needs and the pipeline does not make."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.errors import UserError
from fer_repro.files import read_yaml
from fer_repro.pipeline.own_runs import check_seeds, keep_results, runs_or_train
from fer_repro.synthetic.stills import write_stills

HEAD = (
    "method,arm,paper,table,dataset,protocol,split,metric,unit,value,pretraining,tta,source,note,seed,"
    "deviation,runs"
)


def rows_of(*runs):
    """A mean over all, and a row of each (arm, seed)."""
    line = "rmn,{},p,,synthetic,official,test,accuracy,%,50,none,none,measured,n,{},,1"
    return "\n".join([HEAD, line.format("masked", ""), *(line.format(*run) for run in runs)]) + "\n"


def table_of(*runs):
    arms, seeds = zip(("masked", ""), *runs, strict=True)
    return pd.DataFrame({"arm": arms, "seed": seeds})


@pytest.fixture
def results(tmp_path):
    (tmp_path / "rows.csv").write_text(rows_of(("masked", 0), ("masked", 1), ("no_mask", 0)))
    return tmp_path


def test_seeds_without_a_run_are_named_before_evaluation(tmp_path):
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    params, runs = tmp_path / "params.yaml", tmp_path / "runs"
    check_seeds(params, runs, "synthetic", "rmn")  # nothing is there: the reader of runs says so
    for seed in (0, 2):
        (runs / f"synthetic/rmn/{seed}/masked").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no run of seed 1, 3, 4, .*the others: --seed 0 --seed 2"):
        check_seeds(params, runs, "synthetic", "rmn")


def test_more_runs_and_the_same_runs_may_be_written(results):
    keep_results(results, table_of(("masked", 0), ("masked", 1), ("no_mask", 0)))
    keep_results(results, table_of(("masked", 0), ("masked", 1), ("no_mask", 0), ("no_mask", 1)))


def test_where_nothing_is_nothing_is_kept(tmp_path):
    keep_results(tmp_path, table_of(("masked", 0)))


def test_results_of_runs_that_are_gone_stay(results):
    with pytest.raises(
        UserError, match=r"rows\.csv has results of arm 'masked', seed 1, .*nothing was changed"
    ):
        keep_results(results, table_of(("masked", 0), ("no_mask", 0)))
    keep_results(results, table_of(("masked", 0), ("no_mask", 0)), force=True)


def test_a_file_that_is_no_table_of_rows_stays(results):
    (results / "rows.csv").write_text("notes of mine\n")
    with pytest.raises(UserError, match="column 'method' is missing"):
        keep_results(results, table_of(("masked", 0)))


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lacking")
    write_stills(folder / "data", subjects={"train": 2, "val": 1, "test": 1}, faces_per_class=1)
    prepare_dataset("synthetic", folder / "data/manifest.json", folder / "prepared/synthetic")
    params = read_yaml(ROOT / "params.yaml")
    params["seeds"], params["further_seeds"] = [0], [0]
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
