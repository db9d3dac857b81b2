"""The network that comes with the repository: it is found, named, and answers photographs."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import fer_repro
from fer_repro import cli
from fer_repro.files import read_yaml
from fer_repro.inference.catalogue import fetch_networks, list_graphs, list_models

ROOT = Path(__file__).parents[2]
POINTER, STORE = "networks.dvc", "dvcstore"
FOLDER = "networks/ferplus-whole_face"
BASIC = {"happy": "happiness"} | {
    name: name for name in ("anger", "disgust", "fear", "sadness", "surprise")
}  # CK+48's folders


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder as git makes it, in which the networks are not yet."""
    if not (ROOT / POINTER).is_file() or not (ROOT / STORE).is_dir():
        pytest.skip(f"{POINTER} or {STORE}/ is not there: no network comes with this copy")
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / POINTER, folder)
    (folder / STORE).symlink_to(ROOT / STORE)
    return folder


@pytest.fixture
def inside(clone, monkeypatch):
    """The clone as the current folder, its networks made."""
    monkeypatch.chdir(clone)
    fetch_networks()
    return clone


@pytest.fixture
def card(inside):
    _, header, body = (inside / FOLDER / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), body


def test_first_use_makes_what_dvc_would_pull(clone):
    assert not (clone / "networks").exists()
    (found,) = list_models(clone)
    assert (found.kind, found.trained_on, found.task) == ("shipped", "ferplus", "expression")
    (tracked,) = read_yaml(clone / POINTER)["outs"]
    files = [path for path in (clone / "networks").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"README.md", "model.onnx", "model.safetensors"}
    assert len(files) == tracked["nfiles"]
    assert sum(path.stat().st_size for path in files) == tracked["size"] <= 8_000_000
    pytest.importorskip("onnx")
    assert [each.path for each in list_graphs(clone)] == [f"{clone}/{FOLDER}/model.onnx"]


def test_a_damaged_store_gives_no_network(tmp_path, capsys):
    listing = tmp_path / "dvcstore/files/md5/ab/cd.dir"
    listing.parent.mkdir(parents=True)
    listing.write_text("[]")
    (tmp_path / POINTER).write_text("outs:\n- md5: abcd.dir\n  path: networks\n")
    assert list_models(tmp_path) == []
    assert not (tmp_path / "networks").exists()
    assert "another content than its name says" in capsys.readouterr().err


def test_load_chooses_it_and_says_why(inside, capsys):
    model = fer_repro.load()
    assert capsys.readouterr().err == (
        f"model: {FOLDER}/model.safetensors (the only one for expression; it comes with the repository)\n"
    )
    assert model.trained_on == "ferplus"
    assert {str(each.dtype) for each in model.backend.network.parameters()} == {"torch.float32"}
    shares = model.predict(ROOT / "docs/face.png").filter(regex="^p_")
    assert shares.shape == (1, 8)
    assert shares.sum(axis=1).tolist() == pytest.approx([1])


def test_the_command_needs_no_model(inside, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fer-repro", "predict", str(ROOT / "docs/face.png")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    printed = capsys.readouterr()
    assert printed.err.startswith(f"model: {FOLDER}/model.safetensors (")
    assert "warning" not in printed.err
    assert "ferplus" in printed.out


def test_torch_and_onnx_runtime_agree(inside):
    pytest.importorskip("onnxruntime")
    images = np.random.default_rng(0).integers(0, 256, (9, 48, 48, 1), np.uint8)
    expected, found = (
        fer_repro.load(FOLDER, runtime).predict(images, detector="none") for runtime in ("torch", "onnx")
    )
    assert np.allclose(found.filter(regex="^p_"), expected.filter(regex="^p_"), atol=1e-4)


def test_rounding_moved_accuracy_little(card):
    rounding = card[0]["rounding"]
    assert rounding["test_samples"] == 3137  # FERPlus' own test part, by majority
    assert abs(rounding["accuracy_after"] - rounding["accuracy_before"]) < 0.002


def test_the_card_names_data_terms_and_misuse(card):
    header, body = card
    assert header["license"] == "other"
    assert "do not publish them again" in header["licences"]["data"]
    assert {row["value"] for row in header["groups"]} >= set(BASIC.values())
    for words in ("FER2013", "decide about them", "surveillance", "what anybody feels", "calibration error"):
        assert words in body
    assert "![" not in body  # no face, not even as an example


def test_most_posed_photographs_are_answered_right(inside):
    folder = Path(os.environ.get("FER_REPRO_REAL_DATA", "")) / "CK+48"
    if not os.environ.get("FER_REPRO_REAL_DATA") or not folder.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with CK+48/")
    paths = [path for name in BASIC for path in sorted((folder / name).glob("*.png"))]
    images = np.stack([np.asarray(Image.open(path).convert("L")) for path in paths])[..., None]
    table = fer_repro.load(FOLDER).predict(images, detector="none")
    labels = np.array([BASIC[path.parent.name] for path in paths])
    assert (table["prediction"] == labels).mean() > 0.5
