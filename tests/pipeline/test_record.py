"""Records keep what is needed to judge a row, and nothing is overwritten."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fer_repro.errors import UserError
from fer_repro.pipeline.record import keep_record

CONFIG = {"recipe": {"note": "small"}, "recipe_name": "fer2013", "data_sha256": {"images": "12ab"}}
ROWS = "".join(
    [
        "method,arm,paper,table,dataset,protocol,split,metric,unit,value,pretraining,tta,source,note,seed\n",
        *(
            f"rmn,masked,,,fer2013,official,test,accuracy,%,{value},none,none,measured,,{seed}\n"
            for value, seed in ((50, 0), (52, 1), (51, ""))  # the last one is the mean
        ),
    ]
)


@pytest.fixture
def project(tmp_path):
    results = tmp_path / "results/measured/fer2013/rmn"
    results.mkdir(parents=True)
    (results / "rows.csv").write_text(ROWS)
    (results / "intervals.csv").write_text("method,low,high\nrmn,49,53\n")
    for seed in (0, 1, 7):  # 7 is a stranger: results do not know it
        run = tmp_path / f"runs/fer2013/rmn/{seed}/masked"
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps(CONFIG))
        (run / "metrics.json").write_text(
            json.dumps({"best_epoch": 2, "epochs": 3, "parameters": 5, "test": {}})
        )
        (run / "history.csv").write_text("epoch,val_accuracy,best\n1,0.5,1\n2,0.6,1\n3,0.4,0\n")
        timing = tmp_path / f"timings/fer2013/rmn/{seed}/masked.json"
        timing.parent.mkdir(parents=True)
        timing.write_text(json.dumps({"train_seconds": 7.5, "environment": {"cores": 2}}))
    return tmp_path


def test_a_record_holds_rows_recipe_machine_and_time(project):
    folder = keep_record(
        "r", "fer2013", "rmn", "a note", project=project, records=project / "results/records"
    )
    assert (folder / "rows.csv").read_text() == ROWS
    record = json.loads((folder / "record.json").read_text())
    assert [(run["seed"], run["train_seconds"], run["parameters"]) for run in record["runs"]] == [
        (0, 7.5, 5),
        (1, 7.5, 5),
    ]
    assert record["recipe"] == {"note": "small"}
    assert [run["validation_accuracy"] for run in record["runs"]] == [60.0, 60.0]
    assert not record["half_epochs"]
    assert record["environment"] == {"cores": 2}
    assert record["note"] == "a note"
    assert record["data_sha256"] == {"images": "12ab"}


def test_a_record_is_not_overwritten_without_force(project):
    place = {"project": project, "records": project / "results/records"}
    keep_record("r", "fer2013", "rmn", **place)
    with pytest.raises(UserError, match="exists already"):
        keep_record("r", "fer2013", "rmn", **place)
    keep_record("r", "fer2013", "rmn", force=True, **place)


def test_results_of_another_training_are_not_recorded(project):
    """Results and runs are joined by name; a run that was trained again since has another accuracy."""
    run = project / "runs/fer2013/rmn/1/masked/metrics.json"
    numbers = json.loads(run.read_text())
    run.write_text(json.dumps(numbers | {"test": {"accuracy": 0.52}}))
    place = {"project": project, "records": project / "results/records"}
    keep_record("r", "fer2013", "rmn", **place)
    run.write_text(json.dumps(numbers | {"test": {"accuracy": 0.53}}))
    with pytest.raises(UserError, match=r"rows of arm 'masked', seed 1, are not those of .*rmn/1/masked"):
        keep_record("s", "fer2013", "rmn", **place)
    assert not (project / "results/records/s").exists()


def test_runs_that_were_not_evaluated_are_no_part_of_a_record(project):
    """An arm that lies beside the evaluated ones, or that params.yaml no longer names."""
    shutil.copytree(project / "runs/fer2013/rmn/0/masked", project / "runs/fer2013/rmn/0/no_mask")
    folder = keep_record("r", "fer2013", "rmn", project=project, records=project / "results/records")
    record = json.loads((folder / "record.json").read_text())
    assert {run["arm"] for run in record["runs"]} == {"masked"}


def test_a_record_without_a_commit_says_why(project):
    folder = keep_record("r", "fer2013", "rmn", project=project, records=project / "results/records")
    record = json.loads((folder / "record.json").read_text())
    assert (record["commit"], record["changed"]) == ("", [])
    assert "not a git repository" in record["no_commit"]
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    folder = keep_record("s", "fer2013", "rmn", project=project, records=project / "results/records")
    assert "no commit yet" in json.loads((folder / "record.json").read_text())["no_commit"]


def test_records_in_git_that_keep_times_keep_their_runs():
    for timings in (Path(__file__).parents[2] / "results/records").glob("*/timings"):
        kept = {path.relative_to(timings).with_suffix("") for path in timings.rglob("*.json")}
        runs = timings.with_name("runs")
        assert kept == {path.parent.relative_to(runs) for path in runs.rglob("config.json")}, timings


def test_files_that_git_would_leave_out_are_named(project, capsys):
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run(["git", "-C", str(project), *command], check=True)
    places = {"project": project, "records": project / "results/records"}
    keep_record("r", "fer2013", "rmn", keep_runs=True, **places)
    assert capsys.readouterr().err == ""
    exclude = project / ".git/info/exclude"  # a rule of the user's own, which hides more than it was meant to
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("runs\n")
    keep_record("s", "fer2013", "rmn", keep_runs=True, **places)
    said = capsys.readouterr().err
    assert "git ignores" in said
    assert "records/s/runs/fer2013/rmn/0/masked/config.json and 8 other files" in said


def test_rows_that_are_no_table_are_told(project):
    (project / "results/measured/fer2013/rmn/rows.csv").write_text("seed,value\n0,50\n")
    with pytest.raises(UserError, match=r"rows\.csv: column 'method' is missing"):
        keep_record("r", "fer2013", "rmn", project=project, records=project / "results/records")


def test_missing_results_are_named(project):
    with pytest.raises(UserError, match=r"rows\.csv: no such file"):
        keep_record("r", "synthetic", "rmn", project=project, records=project / "results/records")
