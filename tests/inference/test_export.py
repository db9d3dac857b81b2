"""ONNX files give torch's numbers, for every method, and need no torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from PIL import Image

import fer_repro
from fer_repro.config import load_config
from fer_repro.errors import UserError
from fer_repro.inference import export
from fer_repro.inference.catalogue import list_models
from fer_repro.inference.checkpoints import open_official
from fer_repro.inference.export import export_model, export_onnx
from fer_repro.inference.loading import open_weights
from fer_repro.inference.networks import build_network
from fer_repro.methods.method import load_method, method_names
from fer_repro.runs.predictions import read_predictions
from fer_repro.training.checkpoint import copy_weights, save_weights

PARITY = 1e-4  # of probabilities; the float32 rounding of ten layers


@pytest.fixture(scope="session")
def exported(run_of, tmp_path_factory):
    """A method's exported folder, made once."""
    made = {}

    def make(method):
        if method not in made:
            folder = tmp_path_factory.mktemp(method) / "model"
            made[method] = folder, export_model(run_of(method), folder)
        return made[method]

    return make


OF_FACES = [  # the others read no faces, or pixels as they are stored: they are not exported
    name
    for name in method_names()
    if load_method(name).inputs != "sequences" and not load_method(name).as_stored
]


QUICK = ("ran", "fan", "adacos", "cascade", "blinding")  # a graph takes 10 to 40 seconds


@pytest.mark.parametrize(
    "method",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in OF_FACES],
)
def test_onnx_runtime_gives_torchs_numbers(exported, run_of, faces, method):
    folder, done = exported(method)
    assert done["largest difference"] < PARITY
    assert done["faces compared"] == 10
    if method not in ("adacos", "p2sgrad", "blinding"):  # they name no classes
        assert done["largest difference of probabilities"] < PARITY
    torch_model, onnx_model = fer_repro.load(run_of(method)), fer_repro.load(folder, runtime="onnx")
    assert onnx_model.spec == torch_model.spec
    side = torch_model.spec.face_size
    shape = (side, side, 1) if torch_model.spec.colour == "grey" else (side, side, 3)
    noise = np.random.default_rng(1).integers(0, 256, (9, *shape), np.uint8)
    for count in (1, 4, 9):
        ours, theirs = (each.predict(noise[:count], detector="none") for each in (torch_model, onnx_model))
        assert list(ours) == list(theirs)
        for name in ours.select_dtypes("number"):
            assert np.allclose(ours[name], theirs[name], atol=PARITY, equal_nan=True), name
        if "embedding" in ours:
            pair = [np.stack(each["embedding"].tolist()) for each in (ours, theirs)]
            assert np.allclose(*pair, atol=PARITY)
    assert onnx_model.backend.batch == torch_model.backend.batch


@pytest.mark.slow
def test_graphs_of_frames_are_exported_one_after_another(run_of, tmp_path):
    """Each takes any number of frames, also after another LSTM was exported by the same process."""
    spec = fer_repro.load(run_of("fan")).spec
    for arm in ("frame_lstm", "frame_graph", "frame_graph_softmax"):
        chosen = replace(spec, arm=arm)
        network = build_network(chosen).eval()
        assert export_onnx(network, chosen, tmp_path / f"{arm}.onnx").outputs < PARITY
        (given,) = onnx.load(tmp_path / f"{arm}.onnx").graph.input
        assert given.type.tensor_type.shape.dim[0].dim_param == "frames"


def test_the_metadata_tell_preprocessing_and_labels(exported, run_of):
    folder, _ = exported("ran")
    properties = {each.key: each.value for each in onnx.load(folder / "model.onnx").metadata_props}
    message = json.loads(properties["fer_repro"])
    expected = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert tuple(message["classes"]) == expected
    assert (message["face_size"], message["image_size"], message["colour"], message["crop"]) == (
        48,
        64,
        "grey",
        "padded",
    )
    graph = onnx.load(folder / "model.onnx").graph
    (given,) = graph.input
    dims = given.type.tensor_type.shape.dim
    assert dims[0].dim_param  # as many faces as one likes
    assert [dim.dim_value for dim in dims[1:]] == [1, 48, 48]
    assert [output.name for output in graph.output] == ["logits", "region_weights"]


def test_the_onnx_runtime_never_imports_torch(exported, faces, tmp_path):
    folder, _ = exported("ran")
    for number in range(3):
        Image.fromarray(faces[number]).save(tmp_path / f"{number}.png")
    out = tmp_path / "found.csv"
    code = (
        "import sys\n"
        "from fer_repro import cli\n"
        f"sys.argv = ['fer-repro', 'predict', {str(tmp_path)!r}, '--model', {str(folder)!r}, '--runtime',"
        f" 'onnx', '--detector', 'none', '--csv', {str(out)!r}, '--annotate', {str(tmp_path / 'seen')!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    found = pd.read_csv(out)
    expected = fer_repro.load(folder).predict(
        faces[:3, ..., None], detector="none"
    )  # its safetensors file, in torch
    assert np.allclose(found["p_happy"], expected["p_happy"], atol=PARITY)


def test_rounded_weights_take_half_and_answer_alike(exported, run_of, faces, tmp_path):
    folder, _ = exported("ran")
    done = export_model(run_of("ran"), tmp_path / "half.safetensors", half=True)
    whole, half = folder / "model.safetensors", tmp_path / "half.safetensors"
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    expected, found = (fer_repro.load(path).predict(faces[:9], detector="none") for path in (whole, half))
    assert np.allclose(found["confidence"], expected["confidence"], atol=0.01)
    test = read_predictions(run_of("ran") / "predictions.csv").of_split("test")
    accuracy = (test.logits.argmax(1) == test.targets).mean()
    rounding = done["rounding"]
    assert rounding["test_samples"] == len(test.targets)
    assert rounding["accuracy_before"] == pytest.approx(accuracy)
    assert abs(rounding["accuracy_after"] - accuracy) <= rounding["answers_changed"] / len(test.targets)
    text = (tmp_path / "half.md").read_text()
    assert f"Of the {len(test.targets)} test samples the network has {rounding['accuracy_after']:.2%}" in text
    export_model(half, tmp_path / "again.safetensors")  # a rounded file stays whole
    assert fer_repro.load(tmp_path / "again.safetensors").spec == fer_repro.load(half).spec


def test_a_weight_beyond_float16_is_refused(run_of, tmp_path, monkeypatch):
    state, spec = open_weights(run_of("ran"))
    large = {name: each * 1e6 if each.is_floating_point() else each for name, each in state.items()}
    monkeypatch.setattr(export, "open_weights", lambda *arguments: (large, spec))
    with pytest.raises(UserError, match="numbers beyond float16; export it without --half"):
        export_model(run_of("ran"), tmp_path / "a.safetensors", half=True)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def traced(exported, monkeypatch):
    """The graph of AdaCos' network is at hand: tracing it takes seconds."""
    graph = onnx.load(exported("adacos")[0] / "model.onnx")
    monkeypatch.setattr(export, "_graph", lambda network, spec: graph)


def test_a_graph_that_differs_is_not_kept(traced, run_of, tmp_path, monkeypatch):
    for found in ((0.0, 0.5, 1.0), (0.01, 0.0, 1.0), (0.0, float("nan"), 1.0)):
        monkeypatch.setattr(export, "compare", lambda *arguments, found=found: found)
        with pytest.raises(UserError, match=r"ONNX Runtime differs from torch by"):
            export_model(run_of("adacos"), tmp_path / "a.onnx")
        assert list(tmp_path.iterdir()) == []


def test_large_outputs_may_differ_by_their_rounding(traced, run_of, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "compare", lambda *arguments: (1e-6, 8.4e-3, 400.0))
    assert export_model(run_of("adacos"), tmp_path / "a.onnx")["largest difference"] == 8.4e-3


def test_a_graph_names_no_folder_of_this_machine(exported):
    content = (exported("ran")[0] / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(export.__file__).parents[2]).encode() not in content


def test_another_networks_graph_differs(exported, run_of):
    """The comparison itself, on a graph of other weights."""
    from fer_repro.inference.loading import open_weights
    from fer_repro.inference.networks import load_state

    folder, _ = exported("ran")
    state, spec = open_weights(run_of("ran"))
    same = export.compare(load_state(spec, state, "ran"), spec, folder / "model.onnx", 2)
    moved = {name: 2 * values if values.ndim > 1 else values for name, values in state.items()}
    other = export.compare(load_state(spec, moved, "ran"), spec, folder / "model.onnx", 2)
    assert same[0] < PARITY < other[0]
    assert same[1] < PARITY < other[1]


def test_random_regions_are_the_same_for_every_face_and_not_exported(run_of, faces, tmp_path):
    from fer_repro.inference.loading import open_weights
    from fer_repro.inference.model import Model
    from fer_repro.inference.networks import load_state
    from fer_repro.inference.torch_backend import TorchBackend

    state, spec = open_weights(run_of("ran"))
    names = (*(f"crop {n}" for n in range(1, 6)), "whole face")
    random = replace(spec, options={**spec.options, "crops": "random"}, regions=names)
    network = load_state(random, state, "ran")
    model = Model(random, TorchBackend(network, random, "cpu"))
    both = model.predict(faces[[0, 0]], detector="none")
    alone = model.predict(faces[0], detector="none")
    assert both["confidence"].tolist() == pytest.approx([alone.loc[0, "confidence"]] * 2)
    with pytest.raises(UserError, match="random regions are drawn for each face"):
        export.export_onnx(network, random, tmp_path / "a.onnx")


def test_only_files_of_this_project_are_opened(exported, tmp_path):
    folder, _ = exported("ran")
    graph = onnx.load(folder / "model.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="no model of this project"):
        fer_repro.load(tmp_path / "foreign.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"damaged\.onnx: not readable as ONNX"):
        fer_repro.load(tmp_path / "damaged.onnx")
    with pytest.raises(UserError, match="write one with `fer-repro export"):
        fer_repro.load(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match=r"expected a folder, \.onnx or \.safetensors"):
        export_model(folder, tmp_path / "a.pth")


def test_a_changed_model_file_is_refused(exported, tmp_path):
    folder, _ = exported("ran")
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="the file was changed"):
        fer_repro.load(tmp_path / "changed.safetensors")


def test_a_network_of_sequences_is_refused_in_one_sentence(tmp_path):
    """It is listed, but neither loaded nor exported: a model here takes faces."""
    run = tmp_path / "runs/synthetic_engagement/engagement/0/mse"
    run.mkdir(parents=True)
    config = load_config("params.yaml", "engagement", "synthetic_engagement", "mse", 0)
    (run / "config.json").write_text(config.as_json({"images": ""}, "regression"))
    (run / "metrics.json").write_text('{"val": {"mse": 0.05}}')
    (run / "predictions.csv").write_text("sample,split,target,prediction\n0,val,0,0.5\n")
    options = load_method("engagement").options(**config.recipe.model)
    network = load_method("engagement").build_model("mse", options, 4)
    save_weights(run / "weights.safetensors", copy_weights(network))
    (tmp_path / "params.yaml").touch()  # a project, which lists no network of the package
    (listed,) = list_models(tmp_path)
    assert (listed.task, listed.val_accuracy) == ("regression", None)
    for attempt in (fer_repro.load, lambda path: export_model(path, tmp_path / "out")):
        with pytest.raises(UserError, match="a network for regression that takes sequences: expected one"):
            attempt(run)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_sequences_is_refused_in_one_sentence(tmp_path):
    network = (
        load_method("engagement")
        .official["lstm_module.lstm_processing"]
        .build({"feature_num": 3, "hidden_dim": 4})
    )
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(UserError) as error:
        open_official(tmp_path / "theirs.pt")
    assert str(tmp_path / "theirs.pt") in str(error.value)
