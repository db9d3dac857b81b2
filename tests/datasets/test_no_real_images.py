"""An added set stays on the user's machine: git and DVC take no image of it, whatever is added or pushed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniature_fer2013 import write_csv

from fer_repro.datasets.adding import add_dataset

pytest.importorskip("dvc")
ROOT = Path(__file__).parents[2]
PREPARE = (
    "from fer_repro.datasets.prepare import prepare_dataset; "
    "prepare_dataset('fer2013', 'stores/fer2013/manifest.json', 'prepared/fer2013')"
)
STAGES = f"""\
stages:
  prepare:
    cmd: {sys.executable} -c "{PREPARE}"
    deps: [stores/fer2013/manifest.json]
    outs: [prepared/fer2013]
"""


@pytest.fixture
def project(tmp_path, miniature, monkeypatch):
    """A repository with this project's ignore files, an embedded DVC store, and the set added to it."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = tmp_path / "project"
    root.mkdir()
    run(root, "git", "init", "-q")
    dvc(root, "init", "-q")
    dvc(root, "remote", "add", "-q", "-d", "embedded", "dvcstore")
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    (root / "dvc.yaml").write_text(STAGES)
    add_dataset("fer2013", write_csv(tmp_path / "raw" / "fer2013.csv", miniature), root / "stores")
    return root


def run(root, *command, fails=False):
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(root, *arguments, fails=False):
    return run(root, sys.executable, "-m", "dvc", *arguments, fails=fails)


def holds_an_image(path, images):
    content = path.read_bytes()
    return any(image.tobytes() in content for image in images if image.any())


def taken(root):
    """Every file that would leave the machine: what git tracks, and what DVC caches or pushes."""
    tracked = [root / name for name in run(root, "git", "ls-files").splitlines()]
    stored = [path for part in (".dvc/cache", "dvcstore") for path in (root / part).rglob("*")]
    return [path for path in tracked + stored if path.is_file()]


def test_git_and_dvc_take_no_image(project, miniature):
    images = miniature[2]
    assert holds_an_image(project / "stores" / "fer2013" / "images.npy", images)
    dvc(project, "repro")
    dvc(project, "commit", "-f")
    dvc(project, "push")
    run(project, "git", "add", "-A")
    files = taken(project)
    assert any("dvcstore" in path.parts for path in files)
    assert not [path for path in files if holds_an_image(path, images)]
    assert not [path for path in files if "stores" in path.relative_to(project).parts]


@pytest.mark.parametrize("target", ["stores", "stores/fer2013", "stores/fer2013/images.npy"])
def test_even_asked_to_dvc_does_not_take_it(project, miniature, target):
    assert "ignored" in dvc(project, "add", target, fails=True)
    dvc(project, "push")
    run(project, "git", "add", "-A")
    assert not [path for path in taken(project) if holds_an_image(path, miniature[2])]


def test_a_changed_set_is_noticed(project, tmp_path, miniature):
    dvc(project, "repro")
    assert "up to date" in dvc(project, "status")
    labels, usages, images = miniature
    path = write_csv(tmp_path / "raw" / "fer2013.csv", (labels, usages, 255 - images))
    add_dataset("fer2013", path, project / "stores", force=True)
    assert "stores/fer2013/manifest.json" in dvc(project, "status")
