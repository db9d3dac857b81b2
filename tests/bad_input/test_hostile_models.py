"""Model files made to do harm: nothing in them is run, nothing outside them is read, nothing grows."""

import io
import json
import os
import pickle
import struct

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from fer_repro.errors import UserError
from fer_repro.inference.backends import ITEM_BYTES, OnnxBackend
from fer_repro.inference.checkpoints import read_official
from fer_repro.inference.networks import load_state, read_model, read_tensors, write_model
from fer_repro.inference.spec import KEY, ModelSpec, read_spec

TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "b.bias": torch.ones(2)}
SPEC = {
    "version": 1, "method": "rmn", "arm": "plain", "official": None, "task": "expression",
    "classes": ["happy", "sad"], "outputs": 2, "options": {"width": 8, "pretrained": False},
    "shows": "images", "regions": [], "image_size": 64, "face_size": 48, "colour": "grey", "crop": "square",
    "standardise": False, "dataset": "synthetic", "pretraining": "none", "source": "here", "threshold": None,
    "weights_sha256": "0",
}  # fmt: skip


class Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def old_form(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def new_form(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


PLANTED = {
    "as the file": lambda planted: pickle.dumps(planted),
    "beside tensors": lambda planted: new_form({**TENSORS, "extra": planted}),
    "beside tensors, old form": lambda planted: old_form({**TENSORS, "extra": planted}),
    "beside a state dict": lambda planted: new_form({"state_dict": TENSORS, "optimizer": planted}),
    "as a key": lambda planted: new_form({"state_dict": {(1, 2): planted}}),
    "in the oldest pickle": lambda planted: pickle.dumps(planted, protocol=0),
}


@pytest.mark.parametrize("case", PLANTED)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".tar", ".bin", ""])
def test_a_planted_pickle_is_refused_and_not_run(case, suffix, tmp_path, tell):
    mark = tmp_path / "ran"
    (tmp_path / f"weights{suffix}").write_bytes(PLANTED[case](Planted(mark)))
    said = tell("import", tmp_path / f"weights{suffix}", "--to", tmp_path / "model.safetensors")
    assert f"weights{suffix}: refused: " in said
    assert "posix.mkdir" in said or case == "as the file"
    assert not mark.exists()
    assert not (tmp_path / "model.safetensors").exists()


def test_the_planted_program_would_have_worked(tmp_path):
    pickle.loads(pickle.dumps(Planted(tmp_path / "ran")))
    assert (tmp_path / "ran").is_dir()


NO_CHECKPOINTS = {
    "empty": b"",
    "a text": b"weights",
    "a web page": b"<html>404</html>",
    "zeros": bytes(4096),
    "an archive": b"PK\x03\x04" + bytes(999),
    "no dictionary": new_form([torch.ones(2)]),
    "numbers for tensors": new_form({"a": 3}),
    "an empty dictionary": new_form({}),
    "an empty state dict": new_form({"state_dict": {}}),
    "tensors of nobody": new_form(TENSORS),
    "a pickle without end": pickle.PROTO + b"\x04" + b"(" * 100_000,
}


@pytest.mark.parametrize("case", NO_CHECKPOINTS)
def test_a_file_that_is_no_checkpoint(case, tmp_path, tell):
    (tmp_path / "weights.pth").write_bytes(NO_CHECKPOINTS[case])
    said = tell("import", tmp_path / "weights.pth", "--to", tmp_path / "model.safetensors")
    assert "weights.pth: " in said
    assert len(said) < 1000
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("form", [old_form, new_form], ids=["old form", "new form"])
def test_damaged_checkpoints_are_told_of_or_read(form, tmp_path):
    """Bytes changed at random, and files cut off: a clear error, or tensors of the same names and shapes."""
    whole, rng, refused = form(TENSORS), np.random.default_rng(0), 0
    for _ in range(150):
        content = bytearray(whole)
        for at in rng.integers(0, len(whole), 1 + rng.integers(8)):
            content[at] = rng.integers(256)
        (tmp_path / "weights.pth").write_bytes(
            content[: rng.integers(1, len(whole))] if rng.random() < 0.3 else content
        )
        try:
            found = read_official(tmp_path / "weights.pth")
        except UserError:
            refused += 1
        else:
            assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
    assert refused > 30


def safetensors_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


LYING = {
    "a head longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "a head longer than memory": struct.pack("<Q", 2**63) + b"{}",
    "no JSON": safetensors_of(b"{{{{"),
    "JSON without end": safetensors_of(b"[" * 100_000),
    "data beyond the file": safetensors_of(
        {"a": {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}}
    ),
    "a shape that does not fit": safetensors_of(
        {"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(4)
    ),
    "a shape beyond counting": safetensors_of(
        {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, bytes(4)
    ),
    "tensors that overlap": safetensors_of(
        {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, bytes(4)
    ),
    "a hole": safetensors_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
    "data behind the end": safetensors_of(
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(99)
    ),
    "negative places": safetensors_of(
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, bytes(4)
    ),
    "an unknown type": safetensors_of({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "a pickle": pickle.dumps(TENSORS),
    "empty": b"",
}


@pytest.mark.parametrize("case", LYING)
def test_a_safetensors_file_that_lies(case, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(LYING[case])
    with pytest.raises(UserError, match=r"model\.safetensors: not readable as safetensors"):
        read_tensors(tmp_path / "model.safetensors")


SPECS = {
    "no JSON": ("{", "not readable as JSON"),
    "JSON without end": ("[" * 100_000, "not readable as JSON"),
    "a list": ("[]", "expected a mapping of keys"),
    "a key missing": ({"crop": ...}, "key 'crop' is missing"),
    "an unknown key": ({"run": "rm -rf /"}, "unknown key 'run'"),
    "an unknown crop": ({"crop": "sqare"}, "crop is 'sqare'; did you mean 'square'?"),
    "too few classes": ({"outputs": 3}, "names 2 classes for 3 outputs"),
    "outputs beyond memory": ({"outputs": 10**12}, "names 2 classes for 1000000000000 outputs"),
    "images beyond memory": ({"image_size": 10**9}, "images of 1000000000 pixels a side"),
    "faces beyond memory": ({"face_size": 10**9}, "images of 1000000000 pixels a side"),
    "no image": ({"image_size": 0}, "image_size is 0"),
    "a word for a number": ({"image_size": "64"}, "image_size is '64'"),
    "another version": ({"version": 2}, "version is 2"),
    "another task": ({"task": "everything"}, "task is 'everything'"),
}


def spec_text(changes):
    if isinstance(changes, str):
        return changes
    return json.dumps({name: value for name, value in {**SPEC, **changes}.items() if value is not ...})


@pytest.mark.parametrize("case", SPECS)
def test_a_model_that_describes_itself_wrongly(case, tmp_path):
    changes, expected = SPECS[case]
    save_file(TENSORS, str(tmp_path / "model.safetensors"), {KEY: spec_text(changes)})
    with pytest.raises(UserError) as caught:
        read_model(tmp_path / "model.safetensors")
    assert str(caught.value).startswith(f"{tmp_path / 'model.safetensors'}: ")
    assert expected in str(caught.value)


def test_a_model_without_description_and_a_changed_one(tmp_path):
    save_file(TENSORS, str(tmp_path / "model.safetensors"))
    with pytest.raises(UserError, match=f"no model of this project: its metadata have no '{KEY}'"):
        read_model(tmp_path / "model.safetensors")
    write_model(tmp_path / "model.safetensors", TENSORS, read_spec(json.dumps(SPEC), "here"))
    with pytest.raises(UserError, match="the file was changed; write it again"):
        read_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "rnm"},
        {"arm": "masks"},
        {"options": {"widht": 8}},
        {"options": {}},
        {"task": "verification", "classes": [], "outputs": 10**13},
    ],
)
def test_a_network_that_cannot_be_built_is_one_line(changes):
    spec: ModelSpec = read_spec(spec_text(changes), "model.safetensors")
    with pytest.raises(UserError) as caught:
        load_state(spec, TENSORS, "model.safetensors")
    assert len(str(caught.value)) < 600


def onnx_file(path, location="", kind=TensorProto.UINT8, output="logits", metadata=None):
    """A graph that joins a tensor to its input, the tensor in another file where ``location`` says so."""
    tensor = helper.make_tensor("w", kind, [4], [1, 2, 3, 4])
    if location:
        tensor = TensorProto(name="w", data_type=kind, dims=[4], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="length", value="4")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["faces"], ["sum"], to=kind),
            helper.make_node("BitwiseXor", ["sum", "w"], [output]),
        ],
        "g",
        [helper.make_tensor_value_info("faces", kind, [4])],
        [helper.make_tensor_value_info(output, kind, [4])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {KEY: json.dumps(SPEC), ITEM_BYTES: "4"} | (metadata or {}))
    path.write_bytes(model.SerializeToString())
    return path


def test_the_graph_of_these_tests_is_taken(tmp_path):
    backend = OnnxBackend(onnx_file(tmp_path / "model.onnx"))
    assert backend.run(np.zeros(4, np.uint8))["logits"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["climbing", "absolute", "linked"])
def test_onnx_data_outside_the_folder_are_not_read(kind, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\x07\x07\x07\x07")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(secret)
    location = {"climbing": "../secret.bin", "absolute": str(secret), "linked": "link.bin"}[kind]
    with pytest.raises(UserError, match=r"model\.onnx: not readable as ONNX: .*[Ee]xternal"):
        OnnxBackend(onnx_file(folder / "model.onnx", location))


ONNX = {
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_text("a graph"),
    "cut off": lambda path: path.write_bytes(onnx_file(path).read_bytes()[:40]),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(TENSORS)),
    "other input": lambda path: onnx_file(path, kind=TensorProto.INT32),
    "other output": lambda path: onnx_file(path, output="scores"),
    "a size that is none": lambda path: onnx_file(path, metadata={ITEM_BYTES: "many"}),
    "no description": lambda path: onnx.save(
        helper.make_model(onnx.load(onnx_file(path)).graph, ir_version=10), path
    ),
    "wrong classes": lambda path: onnx_file(path, metadata={KEY: spec_text({"outputs": 3})}),
}


@pytest.mark.parametrize("case", ONNX)
def test_a_file_that_is_no_onnx_model(case, tmp_path):
    ONNX[case](tmp_path / "model.onnx")
    with pytest.raises(UserError) as caught:
        OnnxBackend(tmp_path / "model.onnx")
    assert "model.onnx: " in str(caught.value)
