"""``fer-repro new``: a project that DVC reads, in a folder where nothing was."""

import json
from pathlib import Path

import pytest
import yaml
from stub_project import ROOT, Project

from fer_repro.errors import UserError
from fer_repro.pipeline import dvc_stages, new_project
from fer_repro.pipeline.check_results import _changes
from fer_repro.pipeline.new_project import KEPT_EMPTY, make_project, without_package
from fer_repro.stage_code import code_digests


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "project"
    make_project(folder)
    return Project(folder)


def test_dvc_reads_it_and_has_its_data(project):
    assert project.dvc("status", "data.dvc", "networks.dvc").strip() == "Data and pipelines are up to date."
    (changed, _, always) = json.loads(project.dvc("status", "--json", "inputs"))["inputs"]
    assert changed == {
        "changed deps": dict.fromkeys(("notebooks", "params.yaml"), "modified")
    }  # they are there
    assert always == "always changed"
    assert "train-faces@synthetic-rmn-0" in project.dvc("dag", "--mermaid", "train-faces@synthetic-rmn-0")
    assert sum(path.stat().st_size for path in (project.folder / "dvcstore").rglob("*")) > 4_000_000


def test_git_has_all_of_it_and_no_data(project):
    staged = project.call("git", "diff", "--cached", "--name-only").splitlines()
    assert {"params.yaml", "dvc.yaml", "data.dvc", KEPT_EMPTY, "results/published/claims.yaml"} <= {*staged}
    assert not [name for name in staged if name.startswith(("data/", "networks/", "fer_repro/"))]
    assert project.call("git", "ls-files", "--others", "--exclude-standard") == ""


def test_no_stage_depends_on_the_packages_files():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    stages = yaml.safe_load(without_package(text))["stages"]
    assert stages["inputs"] == {
        **(before := yaml.safe_load(text)["stages"])["inputs"],
        "always_changed": True,
        "deps": ["notebooks", "params.yaml"],
    }
    assert {name: stage for name, stage in stages.items() if name != "inputs"} == {
        name: stage for name, stage in before.items() if name != "inputs"
    }


def test_check_results_finds_an_updated_package(project, monkeypatch):
    """Where `inputs` always runs, DVC itself cannot know whether the package has changed."""
    monkeypatch.chdir(project.folder)
    code = Path("inputs/code/prepare.json")
    code.parent.mkdir(parents=True, exist_ok=True)
    code.write_text(json.dumps(code_digests(["datasets/store.py"])))
    assert _changes("always changed", ()) == []
    code.write_text(json.dumps({"datasets/store.py": "of an earlier version", "gone.py": "0"}))
    assert _changes("always changed", ()) == [
        "fer_repro/datasets/store.py modified",
        "fer_repro/gone.py modified",
    ]


def test_an_empty_folder_is_taken_and_another_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(new_project, "_dvc", lambda *arguments: None)
    make_project(Path())
    assert Path("params.yaml").is_file()
    before = sorted(path for path in tmp_path.rglob("*") if ".git/" not in path.as_posix())
    with pytest.raises(UserError, match=r"is not empty, it has \.dvc; nothing was changed"):
        make_project(Path())
    assert sorted(path for path in tmp_path.rglob("*") if ".git/" not in path.as_posix()) == before
    with pytest.raises(UserError, match="is a file: expected a new or empty folder"):
        make_project(Path("params.yaml"))


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise UserError("dvc commit: no space")

    monkeypatch.setattr(new_project, "_dvc", fail)
    with pytest.raises(UserError, match="no space"):
        make_project(tmp_path / "a" / "project")
    assert not (tmp_path / "a" / "project").exists()
    monkeypatch.setattr(dvc_stages.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="fer-repro new needs DVC"):
        make_project(tmp_path / "project")
    assert not (tmp_path / "project").exists()
