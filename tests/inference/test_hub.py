"""Models on a hub: tested against a folder that stands in for it, and the library's own cache."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest

import fer_repro
from fer_repro.errors import UserError
from fer_repro.inference.export import export_model
from fer_repro.inference.hub import push_model


class FolderHub:
    """What is used of the hub's interface, on a folder that is laid out as the library's cache."""

    def __init__(self, cache):
        self.cache, self.created = cache, {}

    def create_repo(self, name, private, exist_ok):
        self.created[name] = private

    def upload_folder(self, repo_id, folder_path, allow_patterns):
        home = self.cache / f"models--{repo_id.replace('/', '--')}"
        snapshot = home / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        for name in allow_patterns:
            if (Path(folder_path) / name).is_file():
                shutil.copy(Path(folder_path) / name, snapshot / name)
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text("a" * 40)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder; the library looks into it as its cache and asks no network."""
    original = huggingface_hub.snapshot_download

    def offline(name, **arguments):
        return original(name, **arguments, cache_dir=tmp_path / "cache", local_files_only=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    return FolderHub(tmp_path / "cache")


def test_a_model_goes_to_the_hub_and_comes_back(run_of, rmn, hub, faces, tmp_path):
    folder = tmp_path / "model"
    export_model(run_of("rmn"), folder / "model.safetensors")
    with pytest.raises(UserError, match=r"README\.md: no such file"):
        push_model(folder, "me/rmn", api=hub)
    (folder / "model.md").rename(folder / "README.md")
    (folder / "secret.txt").write_text("not for the hub")
    assert push_model(folder, "me/rmn", api=hub) == "https://huggingface.co/me/rmn"
    assert hub.created == {"me/rmn": True}  # private unless asked otherwise
    assert not list(hub.cache.rglob("secret.txt"))
    model = fer_repro.load("hf://me/rmn")
    assert model.spec == rmn.spec
    found, expected = (each.predict(faces[:2], detector="none") for each in (model, rmn))
    assert found["confidence"].tolist() == pytest.approx(expected["confidence"].tolist(), abs=1e-5)


def test_what_the_hub_does_not_have_is_told(hub, tmp_path):
    with pytest.raises(UserError, match="hf://me/absent: LocalEntryNotFoundError"):
        fer_repro.load("hf://me/absent")
    (tmp_path / "README.md").write_text("# nothing")
    hub.upload_folder("me/empty", tmp_path, ["README.md"])
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        fer_repro.load("hf://me/empty")


def test_refusals_of_the_hub_are_told(run_of, tmp_path):
    class Refusing(FolderHub):
        def create_repo(self, name, private, exist_ok):
            raise PermissionError("log in first")

    (tmp_path / "README.md").write_text("# card")
    export_model(run_of("rmn"), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="hf://me/rmn: PermissionError: log in first"):
        push_model(tmp_path, "me/rmn", api=Refusing(tmp_path))
