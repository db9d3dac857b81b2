"""A network that answers NaN or infinity is never said to see anything: refused, or reported."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_models import dying, tiny_model, tiny_state
from typer.testing import CliRunner

import fer_repro
from fer_repro.cli import app
from fer_repro.errors import UserError
from fer_repro.inference.checkpoints import import_official
from fer_repro.inference.export import export_model
from fer_repro.inference.networks import state_digest, write_model
from fer_repro.inference.torch_backend import TorchBackend
from fer_repro.methods.method import load_method

METHODS = ("rmn", "fan", "efficientnet", "adacos")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {method: tiny_model(folder, method) for method in METHODS}


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def spoiled(monkeypatch):
    """Networks answer a number that is none to the second image, as one does whose activations overflow."""
    run = TorchBackend._forward

    def answer(backend, faces):
        output = {name: values.copy() for name, values in run(backend, faces).items()}
        for row, face in enumerate(faces):
            if (face[0] == IMAGES[1, :, :, 0]).all():
                for values in output.values():
                    values[row if len(values) == len(faces) else 0] = np.inf if "logits" in output else np.nan
        return output

    monkeypatch.setattr(TorchBackend, "_forward", answer)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_everywhere(tmp_path, value):
    (layout,) = load_method("fan").official.values()
    state = layout.build({"at_type": "self_relation-attention"}).state_dict()
    state["layer4.0.conv1.weight"][0, 0, 0, 0] = value
    torch.save(state, tmp_path / "official.pth")
    own, spec = tiny_state("rmn")
    own = {name: tensor.clone() for name, tensor in own.items()}
    name = next(name for name, tensor in own.items() if tensor.is_floating_point())
    own[name].view(-1)[0] = value
    write_model(tmp_path / "own.safetensors", own, replace(spec, weights_sha256=state_digest(own)))
    calls = (
        lambda: import_official(tmp_path / "official.pth", tmp_path / "a.safetensors"),
        lambda: fer_repro.load(tmp_path / "official.pth"),
        lambda: fer_repro.load(tmp_path / "own.safetensors"),
        lambda: export_model(tmp_path / "own.safetensors", tmp_path / "b.safetensors"),
        lambda: export_model(tmp_path / "own.safetensors", tmp_path / "c.onnx"),
    )
    for call in calls:
        with pytest.raises(
            UserError, match=r"(official.pth|own.safetensors): 1 of \d+ numbers of '.*' are not finite"
        ):
            call()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["official.pth", "own.safetensors"]


def test_the_row_is_empty_and_noted(files, spoiled):
    table = fer_repro.load(files["rmn"]).predict(IMAGES, detector="none")
    assert table["note"].tolist() == ["", "no answer: not finite", "", "", ""]
    assert table["prediction"].isna().tolist() == [False, True, False, False, False]
    assert table.filter(regex="^p_|confidence").isna().all(axis=1).tolist() == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert table["left"].notna().all()
    assert list(table.attrs["failed"].values()) == [
        "array 0, frame 1: the network's answer is not a finite number (NaN or infinity)"
    ]


def test_all_frames_of_a_clip_have_no_answer(files, spoiled):
    table = fer_repro.load(files["fan"]).predict(IMAGES, detector="none", window=3)
    assert table["note"].str.startswith("no answer").tolist() == [True, True, True, False, False]
    assert table["clip"].tolist() == ["array 0 from 0"] * 3 + ["array 0 from 3"] * 2


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_files_hold_no_class_and_the_exit_code_is_3(files, album, spoiled, tmp_path, kind):
    out = tmp_path / f"out.{kind}"
    call = ["predict", str(album), "-m", str(files["rmn"]), "--detector", "none", f"--{kind}", str(out)]
    done = CliRunner().invoke(app, [*call, "--annotate", str(tmp_path / "seen")])
    assert done.exit_code == 3
    assert f"failed: {album}/1.png: the network's answer is not a finite number" in done.stderr
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[kind]
    table = read(out)
    assert table["prediction"].isna().tolist() == [False, True, False, False, False]
    assert table["note"].tolist()[1] == "no answer: not finite"
    assert "NaN" not in (out.read_text() if kind == "json" else "")
    assert len(list((tmp_path / "seen").iterdir())) == 5


@pytest.mark.parametrize("arguments", [(), ("--csv", "-"), ("--json", "-")])
def test_what_is_printed_holds_no_class(files, album, spoiled, arguments):
    done = CliRunner().invoke(
        app, ["predict", str(album), "-m", str(files["rmn"]), "--detector", "none", *arguments]
    )
    assert done.exit_code == 3
    assert done.stdout.count("no answer: not finite") == 1
    if "--json" in arguments:
        assert json.loads(done.stdout)[1]["prediction"] is None


def test_a_continued_call_reports_what_the_killed_one_found(files, album, spoiled, tmp_path, monkeypatch):
    call = ["predict", str(album), "-m", str(files["rmn"]), "--detector", "none", "--batch-size", "1"]
    call += ["--csv", str(tmp_path / "out.csv")]
    answer, calls = TorchBackend.run, []
    monkeypatch.setattr(TorchBackend, "run", dying(answer, calls))
    assert CliRunner().invoke(app, call).exit_code not in (0, 3)
    monkeypatch.setattr(TorchBackend, "run", answer)
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 3
    assert done.stderr.count(f"failed: {album}/1.png") == 1
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].isna().sum() == 1


def test_embeddings_and_scores_are_refused(files, album, spoiled):
    people, detects = fer_repro.load(files["adacos"]), fer_repro.load(files["efficientnet"])
    one, other = str(album / "0.png"), str(album / "1.png")
    for call in (
        lambda: people.embed(album, detector="none"),
        lambda: people.verify(one, other, detector="none"),
        lambda: fer_repro.verify(one, other, people, detector="none"),
        lambda: fer_repro.detect_manipulation(other, detects, detector="none"),
        lambda: fer_repro.detect_manipulation(IMAGES, [detects, detects], detector="none"),
    ):
        with pytest.raises(
            UserError, match=r"(1.png|array 0, frame 1): the network's answer is not a finite number"
        ):
            call()
    table = people.predict(album, detector="none")
    assert [each is None for each in table["embedding"]] == [False, True, False, False, False]
    run = CliRunner().invoke
    done = run(app, ["compare-faces", one, other, "-m", str(files["adacos"]), "--detector", "none"])
    assert isinstance(done.exception, UserError)
    done = run(
        app, ["detect-manipulation", one, other, "-m", str(files["efficientnet"]), "--detector", "none"]
    )
    assert done.exit_code == 3
    assert "0.png" in done.stdout
    assert "1.png: the network's answer" in done.stderr


def test_an_onnx_file_that_overflows_is_reported(files, tmp_path):
    export_model(files["rmn"], tmp_path / "rmn.onnx")
    graph = onnx.load(tmp_path / "rmn.onnx")
    for each in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(each)
        if values.dtype == np.float32 and values.ndim == 4:
            each.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, 3e38), each.name))
    onnx.save(graph, tmp_path / "rmn.onnx")
    table = fer_repro.load(tmp_path / "rmn.onnx").predict(IMAGES[:2], detector="none")
    assert table["note"].tolist() == ["no answer: not finite"] * 2
    assert table["prediction"].isna().all()
    assert len(table.attrs["failed"]) == 1


def test_images_are_no_embeddings(files):
    people = fer_repro.load(files["adacos"])
    with pytest.raises(UserError, match=r"floats of the shape \(64, 64, 3\): expected one embedding"):
        people.verify(IMAGES[0] / 255, IMAGES[1] / 255)
    with pytest.raises(UserError, match="array 0 is uint16"):
        people.verify(IMAGES[0].astype(np.uint16), IMAGES[1])
    assert people.verify(np.ones((1, 4)), np.ones(4)).score == pytest.approx(1)


BLANK = np.zeros((100, 100, 3), np.uint8)


def test_an_image_without_a_face_is_not_a_network_without_embeddings(files, tmp_path):
    Image.fromarray(BLANK).save(tmp_path / "blank.png")
    people, blank = fer_repro.load(files["adacos"]), str(tmp_path / "blank.png")
    for call in (
        lambda: people.embed(blank),
        lambda: people.verify(blank, IMAGES[0]),
        lambda: people.embed([IMAGES[0], blank], detector="0,0,100,100"),
    ):
        with pytest.raises(UserError, match=r"no face found in .*blank.png|array 0: box"):
            call()
    done = CliRunner().invoke(app, ["compare-faces", blank, blank, "-m", str(files["adacos"])])
    assert str(done.exception).startswith(f"no face found in {blank}; detector none takes")
    done = CliRunner().invoke(app, ["detect-manipulation", blank, "-m", str(files["efficientnet"])])
    assert (done.exit_code, f"no face found in {blank}" in done.stderr) == (3, True)
    with pytest.raises(UserError, match="rmn masked has no embeddings"):
        fer_repro.load(files["rmn"]).embed(blank)


def test_predict_names_inputs_without_a_face(files, tmp_path):
    for name in "ab":
        Image.fromarray(BLANK).save(tmp_path / f"{name}.png")
    call = ["predict", "-m", str(files["rmn"]), "--csv", str(tmp_path / "found.csv"), "--force"]
    done = CliRunner().invoke(app, [*call, f"{tmp_path}/a.png"])
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, f"no face found in {tmp_path}/a.png")
    done = CliRunner().invoke(app, [*call, f"{tmp_path}/a.png", f"{tmp_path}/b.png"])
    expected = f"no face found in 2 of 2 inputs: {tmp_path}/a.png, {tmp_path}/b.png"
    assert done.stderr.splitlines()[-1] == expected
    done = CliRunner().invoke(app, [*call, f"{tmp_path}/a.png", "--detector", "none"])
    assert "no face" not in done.stderr


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_embeddings_are_kept_where_the_first_image_has_no_face(files, tmp_path, kind):
    """Their column used to be decided by the first row, or by the first thousands."""
    Image.fromarray(BLANK).save(tmp_path / "a.png")
    Image.fromarray(IMAGES[0]).save(tmp_path / "b.png")
    table = pd.DataFrame({"source": [str(tmp_path / "a.png"), str(tmp_path / "b.png")], "frame": None})
    boxes = table.assign(left=[None, 0], top=[None, 0], right=[None, 64], bottom=[None, 64])
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    out = tmp_path / f"out.{kind}"
    call = ["predict", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "-m", str(files["adacos"])]
    done = CliRunner().invoke(app, [*call, "--boxes", str(tmp_path / "boxes.csv"), f"--{kind}", str(out)])
    assert done.exit_code == 0
    found = (pd.read_csv if kind == "csv" else pd.read_parquet)(out)
    assert found["embedding"].isna().tolist() == [True, False]
