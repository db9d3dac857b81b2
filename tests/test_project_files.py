"""Without a clone: what the wheel carries, where commands find it, and what the build reads."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fer_repro import files, project_files
from fer_repro.cli import main
from fer_repro.errors import UserError
from fer_repro.inference.catalogue import list_models
from fer_repro.params import dataset_manifest, read_params
from fer_repro.project_files import FILES, lay_out, packaged, project_file, project_sources

ROOT = Path(__file__).parents[1]
BUILT = ("fer_repro", "pyproject.toml", "setup.py", "README.md", "LICENSE", *FILES, "dvcstore")
BUILD = "from setuptools import build_meta; build_meta.build_{kind}({out!r})"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The source archive of what git knows, and the wheel that is built from it alone."""
    clone, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("built")
    for name in BUILT:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, clone / name)
    build(clone, "sdist", out)
    with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not before Python 3.11.4
        archive.extractall(out / "unpacked")
    (source,) = (out / "unpacked").iterdir()
    build(source, "wheel", out)
    return next(out.glob("*.whl"))


def build(folder, kind, out):
    command = [sys.executable, "-c", BUILD.format(kind=kind, out=str(out))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def installed(built, tmp_path, monkeypatch):
    """The package's folder as the wheel installs it, with an empty folder as the current one."""
    with zipfile.ZipFile(built) as wheel:
        wheel.extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr(project_files, "PACKAGE", tmp_path / "site/fer_repro")
    return tmp_path / "site/fer_repro"


def test_the_wheel_carries_a_project_once(built):
    names = zipfile.ZipFile(built).namelist()
    carried = {name.removeprefix("fer_repro/project/") for name in names if "/project/" in name}
    sources = {path.relative_to(ROOT).as_posix() for path in project_sources(ROOT)}
    assert {name for name in sources if not name.startswith("dvcstore/")} <= carried
    assert {"data/synthetic/manifest.json", "networks/ferplus-whole_face/model.safetensors"} <= carried
    assert not [name for name in names if name.startswith(("dvcstore", "notebooks", "tests", "setup"))]
    assert not [name for name in carried if name.startswith("dvcstore")]  # its content is in data/, networks/
    assert built.stat().st_size < 10_000_000


def test_what_the_wheel_carries_is_what_git_has(installed):
    for name in ("params.yaml", "dvc.yaml", "results/published/claims.yaml", "notebooks/rmn.ipynb"):
        assert (installed / "project" / name).read_bytes() == (ROOT / name).read_bytes()


def test_commands_outside_a_project_read_the_packages_own(installed):
    params = project_file(Path("params.yaml"))
    assert params == installed / "project/params.yaml"
    assert read_params(params).seeds
    assert dataset_manifest(params, "synthetic").is_file()
    assert dataset_manifest(params, "fer2013") == Path("stores/fer2013/manifest.json")
    (found,) = list_models()
    assert found.path.startswith(str(installed))
    assert not any(Path.cwd().iterdir())


def test_a_projects_own_file_comes_first(installed):
    mine = Path("params.yaml")
    mine.touch()
    assert project_file(mine) == mine
    assert list_models() == []  # its networks would be its own
    assert project_file(Path("none.yaml")) == Path("none.yaml")


def test_a_file_of_a_folder_above_is_never_passed_over(installed, monkeypatch):
    Path("params.yaml").touch()
    Path("below").mkdir()
    monkeypatch.chdir("below")
    with pytest.raises(UserError, match="it lies in "):
        read_params(project_file(Path("params.yaml")))


@pytest.mark.parametrize(
    "command", ["sweep", "report", "check-results", "why rmn-masks", "data add fer2013 x --enable"]
)
def test_what_needs_a_project_names_how_to_make_one(installed, monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["fer-repro", *command.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert "make a project: fer-repro new FOLDER" in said
    assert not any(Path.cwd().iterdir())


def test_what_only_reads_says_whose_parameters_it_read(installed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fer-repro", "train", "rnm", "synthetic"])
    with pytest.raises(SystemExit):
        main()
    note, mistake = capsys.readouterr().err.splitlines()
    assert (
        note == "note: no params.yaml here: the package's own is read (fer-repro new FOLDER makes a project)"
    )
    assert "did you mean 'rmn'?" in mistake


def test_a_damaged_store_is_not_packed(tmp_path):
    for name in ("params.yaml", "data.dvc"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "dvcstore", tmp_path / "dvcstore")
    listing = next((tmp_path / "dvcstore").rglob("*.dir"))
    for path in listing.parents[1].rglob("*.dir"):
        path.write_text("[]")
    with pytest.raises(UserError, match="another content than its name says"):
        lay_out(tmp_path, tmp_path / "out")


def test_in_a_clone_the_files_are_the_clones():
    assert packaged("params.yaml") == ROOT / "params.yaml"
    assert files.read_yaml(packaged("params.yaml"))
