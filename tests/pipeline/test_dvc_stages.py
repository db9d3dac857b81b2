"""Stages as DVC resolves them, restored from its cache, and recorded after others ran their commands."""

import json
import shutil
import subprocess

import pytest
from stub_project import Project
from sweep_project import stages_in_lock

from fer_repro.errors import UserError
from fer_repro.pipeline.dvc_stages import changed_stages, record, stage_to_run

TRAIN = "train-faces@synthetic-rmn-1"
EVALUATE = "evaluate-faces@synthetic-rmn"


@pytest.fixture
def finished(project, tmp_path, monkeypatch):
    """The working folder: a copy of the project where DVC itself has run everything, cache and all."""
    made = Project(shutil.copytree(project.folder, tmp_path / "copy"))
    made.environment["DVC_SITE_CACHE_DIR"] = project.environment["DVC_SITE_CACHE_DIR"]
    monkeypatch.chdir(made.folder)
    for name in ("PATH", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, made.environment[name])
    made.dvc("repro", "-q")  # whatever other tests have left
    return made


def change_epochs(project, before, after):
    """Change the recipe, and let the first stage resolve it."""
    project.change("params.yaml", f"epochs: {before}", f"epochs: {after}")  # of rmn: the first method there
    project.dvc("repro", "-q", "inputs")


def run(stage):
    for command in stage.commands:
        subprocess.run(command, shell=True, cwd=stage.folder, check=True)


def test_a_stage_is_resolved_restored_and_recorded_as_dvc_does(finished):
    original = stages_in_lock(finished)
    assert changed_stages("train-faces", "evaluate-faces") == []
    change_epochs(finished, 2, 3)
    before = stages_in_lock(finished)
    assert before.pop("inputs") != original["inputs"]
    assert changed_stages("evaluate-faces", "train-faces")[0] == EVALUATE  # group after group
    assert TRAIN in changed_stages("train-faces")

    stage = stage_to_run(TRAIN)
    assert stage.name == TRAIN
    assert stage.folder == finished.folder
    assert len(stage.commands) == 1
    assert stage.commands[0].startswith(
        "python -m fer_repro.pipeline.notebooks run train --from inputs/notebooks -p dataset=synthetic"
    )
    outs = ["executed/train-synthetic-rmn-1.ipynb", "runs/synthetic/rmn/1"]
    assert sorted(stage.outs) == [finished.folder / out for out in outs]
    recipe = json.loads((finished.folder / "inputs/recipes/synthetic/rmn.json").read_text())
    assert recipe["recipe"]["epochs"] == 3
    assert "inputs/recipes/synthetic/rmn.json" in {entry["path"] for entry in stage.inputs["deps"]}
    run(stage)
    assert record(stage)
    assert TRAIN not in changed_stages("train-faces")
    recorded = stages_in_lock(finished)
    assert recorded.pop(TRAIN) != before[TRAIN]
    recorded.pop("inputs")
    assert recorded == {name: entry for name, entry in before.items() if name != TRAIN}

    change_epochs(finished, 3, 2)
    assert stage_to_run(TRAIN) is None  # DVC has seen these inputs
    assert stages_in_lock(finished) == original
    assert json.loads(finished.dvc("status", "--json")) == {}


def test_what_dvc_records_itself_is_the_same(finished):
    change_epochs(finished, 2, 3)
    stage = stage_to_run(TRAIN)
    run(stage)
    assert record(stage)
    ours = stages_in_lock(finished)[TRAIN]
    finished.dvc("repro", "-q", "--force", "--single-item", TRAIN)
    assert stages_in_lock(finished)[TRAIN] == ours


def test_outputs_that_git_keeps_stay_out_of_the_run_cache(finished):
    """As with ``dvc repro``: an evaluation is never taken from the cache."""
    (finished.folder / "dvc.lock").unlink()
    shutil.rmtree(finished.folder / "results/measured/synthetic/rmn")
    stage = stage_to_run(EVALUATE)
    run(stage)
    assert record(stage)
    shutil.rmtree(finished.folder / "results/measured/synthetic/rmn")
    assert stage_to_run(EVALUATE) is not None


def test_a_change_while_a_stage_runs_leaves_everything_as_it_was(finished):
    change_epochs(finished, 2, 3)
    stage = stage_to_run(TRAIN)
    run(stage)
    before = (finished.folder / "dvc.lock").read_bytes()
    code = finished.folder / "inputs/code/train-rmn.json"
    text = code.read_text()
    code.unlink()  # a link to DVC's cache
    code.write_text("{}")
    assert not record(stage)
    assert (finished.folder / "dvc.lock").read_bytes() == before
    code.write_text(text)
    assert record(stage)  # the same code again


def test_a_missing_output_or_input_is_one_sentence(finished):
    change_epochs(finished, 2, 3)
    stage = stage_to_run(TRAIN)
    shutil.rmtree(finished.folder / "runs/synthetic/rmn/1")
    with pytest.raises(UserError, match=f"^{TRAIN}: output 'runs/synthetic/rmn/1' does not exist"):
        record(stage)
    (finished.folder / "inputs/notebooks/train.ipynb").unlink()
    with pytest.raises(UserError, match=f"^{TRAIN}: .*inputs/notebooks/train.ipynb"):
        stage_to_run(TRAIN)
