"""What a network was trained on is said with every answer."""

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

import fer_repro
from fer_repro.inference.annotate import annotate, annotated
from fer_repro.inference.cards import card
from fer_repro.inference.catalogue import trained_on, warning_of
from fer_repro.inference.journal import predict_to
from fer_repro.inference.model import Looking
from fer_repro.inference.sources import list_inputs
from fer_repro.inference.spec import OfficialNetwork


@pytest.mark.parametrize(
    ("dataset", "official", "expected"),
    [
        ("synthetic", False, "synthetic faces"),
        ("synthetic_forgeries", False, "synthetic faces"),
        ("fer2013", False, "fer2013"),
        ("folder-synthetic", False, "folder-synthetic"),
        ("ferplus-plain", True, "ferplus-plain"),
        ("unknown", True, "as published"),
        ("unknown", False, "unknown"),
        ("", False, "unknown"),
        ("kdef", False, "unknown (kdef)"),
    ],
)
def test_training_data_are_never_guessed(dataset, official, expected):
    assert trained_on(dataset, official) == expected


def test_the_warning_names_doubtful_networks_only():
    assert warning_of([("a", "fer2013"), ("b", "as published")]) == ""
    said = warning_of([("a", "fer2013"), ("b", "synthetic faces"), ("c", "unknown")])
    assert said.startswith("warning: b was trained on synthetic faces only")
    assert said.endswith("c was trained on unknown data")
    assert "b and 1 more were" in warning_of([(name, "synthetic faces") for name in "bcc"])


def test_every_kind_of_file_says_the_training_data(rmn, faces, tmp_path):
    assert rmn.trained_on == "synthetic faces"
    outs = [tmp_path / f"found{kind}" for kind in (".csv", ".json", ".parquet")]
    inputs = list_inputs([faces[0], np.zeros((9, 9), np.uint8)])
    list(predict_to(outs, rmn, inputs, Looking(detector="none")))
    with outs[0].open(newline="") as file:
        cells = [row["trained_on"] for row in csv.DictReader(file)]
    assert cells == ["synthetic faces"] * 2
    assert [row["trained_on"] for row in json.loads(outs[1].read_text())] == cells
    assert pd.read_parquet(outs[2])["trained_on"].tolist() == cells


def test_an_image_without_a_face_says_it_too(rmn):
    table = rmn.predict(np.zeros((40, 40, 3), np.uint8))
    assert table[["face", "trained_on", "note"]].values.tolist() == [[-1, "synthetic faces", "no face"]]


def test_exported_graphs_and_pairs_say_it(run_of, project, faces, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    from fer_repro.inference.export import export_model

    monkeypatch.chdir(project)
    export_model(run_of("adacos"), tmp_path / "a.onnx")
    model = fer_repro.load(tmp_path / "a.onnx")
    assert model.trained_on == "synthetic faces"
    assert asdict(model.verify(faces[0], faces[1], detector="none"))["trained_on"] == "synthetic faces"


def test_cards_say_it_first(rmn):
    assert "- It was trained on synthetic faces only" in card(rmn.spec)
    assert "trained on: fer2013" in card(replace(rmn.spec, dataset="fer2013"))
    published = replace(
        rmn.spec, dataset="unknown", official=OfficialNetwork("models.resmasking.resmasking", {})
    )
    assert "trained on: as published" in card(published)
    assert "synthetic" not in card(replace(rmn.spec, dataset="fer2013", source="mine"))


def lower_strip(image):
    return image[-16:].astype(int)


def test_frames_say_it_whether_or_not_a_face_is_found(rmn, faces):
    image = np.full((240, 320, 3), 90, np.uint8)
    table = rmn.predict(image)
    assert table["face"].tolist() == [-1]
    assert (lower_strip(annotated(image, table)) != 90).any()
    real = table.assign(trained_on="fer2013")
    assert (annotated(image, real) == image).all()
    assert (lower_strip(annotated(image, table.assign(trained_on="unknown"))) != 90).any()


def test_every_frame_of_a_video_says_it(rmn, tmp_path):
    from videos import write_video

    from fer_repro.inference.sources import video_frames

    path = write_video(tmp_path / "video.avi", np.full((5, 240, 320, 3), 90, np.uint8))
    table = rmn.predict(path, every=4, detector="10,10,60,60")
    (copy,) = annotate(table, tmp_path / "seen")
    shown = [frame for _, frame in video_frames(copy)]
    assert len(shown) == 5
    assert all(np.abs(lower_strip(frame) - 90).max() > 60 for frame in shown)
