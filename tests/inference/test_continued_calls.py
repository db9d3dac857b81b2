"""A killed call is continued only where model, inputs, boxes and options are still the same."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_models import dying, tiny_model
from typer.testing import CliRunner

import fer_repro
from fer_repro.cli import app
from fer_repro.inference.export import export_model
from fer_repro.inference.journal import stamp_of
from fer_repro.inference.loading import open_weights
from fer_repro.inference.model import Looking
from fer_repro.inference.networks import state_digest, write_model
from fer_repro.inference.sources import list_inputs
from fer_repro.inference.torch_backend import TorchBackend

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    boxes = {"source": [str(folder / f"{n}.png") for n in range(6)], "frame": None}
    sides = {"left": 0, "top": 0, "right": 64, "bottom": 64}
    pd.DataFrame(boxes | sides).to_csv(tmp_path / "boxes.csv", index=False)
    tiny_model(tmp_path)
    return folder


def call(folder, out):
    options = ["--boxes", str(folder / "boxes.csv"), "--batch-size", "1", "--csv", str(folder / out)]
    given = ["predict", str(folder / "album"), "-m", str(folder / "rmn.safetensors")]
    return CliRunner().invoke(app, [*given, *options])


def replaced_image(folder):
    Image.fromarray(IMAGES[5, ::-1]).save(folder / "album" / "0.png")


def replaced_boxes(folder):
    path = folder / "boxes.csv"
    table = pd.read_csv(path)
    table.assign(right=40).to_csv(path, index=False)


def replaced_model(folder):
    state, spec = open_weights(folder / "rmn.safetensors")
    state = {name: tensor * 1.1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    write_model(folder / "rmn.safetensors", state, replace(spec, weights_sha256=state_digest(state)))


CHANGES = {
    "image": replaced_image,
    "boxes": replaced_boxes,
    "model": replaced_model,
    "nothing": lambda folder: None,
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_old_is_kept_of_what_was_replaced(album, tmp_path, monkeypatch, what):
    run, calls = TorchBackend.run, []
    monkeypatch.setattr(TorchBackend, "run", dying(run, calls))
    assert call(tmp_path, "out.csv").exit_code not in (0, 3)
    CHANGES[what](tmp_path)
    monkeypatch.setattr(
        TorchBackend, "run", lambda backend, faces: calls.append(faces) or run(backend, faces)
    )
    done, before = call(tmp_path, "out.csv"), len(calls)
    assert done.exit_code == 0
    assert ("started from the beginning" in done.stderr) == (what != "nothing")
    assert before - 4 == (6 if what != "nothing" else 3)
    assert call(tmp_path, "whole.csv").exit_code == 0
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_every_part_of_a_call_enters(album, tmp_path):
    model = fer_repro.load(tmp_path / "rmn.safetensors")
    table = model.predict(album, detector="none")
    many = pd.concat([table] * 50, ignore_index=True)  # where only the ends of a table are shown as text
    changed = many.copy()
    changed.loc[150, "left"] = 1.0

    def stamp(given, **looking):
        return stamp_of(looking.pop("model", model), list_inputs(given), Looking(**looking))

    os.utime(album / "5.png", (1, 1))
    earlier = stamp(album)
    os.utime(album / "5.png", (2, 2))
    export_model(tmp_path / "rmn.safetensors", tmp_path / "a.onnx")
    onnx = stamp(album, model=fer_repro.load(tmp_path / "a.onnx"))
    os.utime(tmp_path / "a.onnx", (1, 1))
    stamps = [
        earlier,
        stamp(album),
        stamp([album, album]),
        stamp([album, album / "0.png"]),
        stamp(f"{album}/[0-4].png"),
        stamp(album, boxes=many),
        stamp(album, boxes=changed),
        stamp(album, detector="none"),
        stamp(album, detector="0,0,9,9"),
        stamp(album, faces="largest"),
        stamp(album, every=2),
        stamp(album, frames=2),
        stamp(album, window=2),
        stamp(IMAGES[0]),
        stamp(IMAGES[1]),
        stamp(IMAGES[:1]),
        stamp(Image.fromarray(IMAGES[2])),
        stamp(album, model=fer_repro.load(tmp_path / "rmn.safetensors", fast=True)),
        onnx,
        stamp(album, model=fer_repro.load(tmp_path / "a.onnx")),
    ]
    assert len(set(stamps)) == len(stamps)
    assert stamp(album, boxes=many) == stamp(album, boxes=many.copy())
