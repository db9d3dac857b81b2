"""A card says what was measured, what is not known, and under which terms."""

import json
import shutil

import pandas as pd
import pytest
import yaml

import fer_repro
from fer_repro.inference.cards import card, pretrained_weights
from fer_repro.methods.method import load_method
from fer_repro.runs.predictions import read_predictions


def read(text):
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


@pytest.fixture
def rmn_card(rmn, run_of):
    return read(card(rmn.spec, run_of("rmn")))


def test_the_header_holds_what_was_measured(rmn, run_of, rmn_card, project):
    header, body = rmn_card
    predictions = read_predictions(run_of("rmn") / "predictions.csv").of_split("test")
    hits = predictions.logits.argmax(1) == predictions.targets
    assert header["metrics"]["accuracy"] == pytest.approx(hits.mean())
    assert header["input"] == {
        "colour": "grey",
        "crop": "square",
        "face_size": 48,
        "image_size": 64,
        "values": "0 to 1",
        "shows": "images",
    }
    assert header["model"]["classes"][3] == "happy"
    assert header["training"]["budget"]
    samples = pd.read_csv(project / "prepared" / "synthetic" / "samples.csv").iloc[predictions.samples]
    for row in header["groups"]:
        if row["factor"] == "occluder":
            chosen = (samples["occluder"] == row["value"]).to_numpy()
            assert row["samples"] == chosen.sum()
            assert row["accuracy"] == pytest.approx(hits[chosen].mean())
    assert "Accuracy differs between people" in body
    assert "Regulation 2024/1689, Article 5(1)(f)" in body


def test_groups_need_five_samples_and_two_values(tmp_path):
    from fer_repro.inference.measured import groups

    run = tmp_path / "run"
    run.mkdir()
    rows = [f"{n},test,{n % 2},{1 - n % 3 % 2},{n % 3 % 2}" for n in range(15)]
    (run / "config.json").write_text('{"recipe": {}}')
    (run / "predictions.csv").write_text("sample,split,target,logit_a,logit_b\n" + "\n".join(rows) + "\n")
    table = pd.DataFrame({"image": range(15), "label": [n % 2 for n in range(15)]})
    table["glasses"] = ["yes"] * 7 + ["no"] * 8
    table["rare"] = ["yes"] * 4 + ["no"] * 11
    table["width"] = [0.5, 0.6, 0.7] * 5
    table["age"] = range(15)
    table.to_csv(tmp_path / "samples.csv", index=False)
    hit = [n % 3 % 2 == n % 2 for n in range(15)]
    found = {(row["factor"], row["value"]): row for row in groups(run, tmp_path / "samples.csv")}
    assert {factor for factor, _ in found} == {"class", "glasses", "age"}
    assert found["glasses", "yes"]["accuracy"] == pytest.approx(sum(hit[:7]) / 7)
    assert found["glasses", "no"]["samples"] == 8
    assert found["age", "lowest third"]["samples"] == 5
    assert found["age", "lowest third"]["accuracy"] == pytest.approx(sum(hit[:5]) / 5)
    assert found["class", "b"]["accuracy"] == pytest.approx(sum(hit[n] for n in range(1, 15, 2)) / 7)


def test_intervals_are_taken_from_the_results(rmn, run_of, tmp_path):
    folder = tmp_path / "results/measured" / "synthetic" / "rmn"
    folder.mkdir(parents=True)
    head = "method,arm,dataset,protocol,split,metric,tta,unit,value,low,high,confidence,kind,runs"
    rows = [
        "rmn,masked,synthetic,official,test,accuracy,none,%,76.1,55.0,97.2,0.95,t over seeds,3",
        "rmn,no_mask,synthetic,official,test,accuracy,none,%,72.3,64.1,80.5,0.95,t over seeds,3",
        "rmn,masked,synthetic,clean,test,accuracy,none,%,70.0,50.0,90.0,0.95,t over seeds,3",
    ]
    (folder / "intervals.csv").write_text("\n".join([head, *rows]) + "\n")
    accuracy = json.loads((run_of("rmn") / "metrics.json").read_text())["test"]["accuracy"]
    columns = (
        "method,arm,paper,table,dataset,protocol,split,metric,unit,value,pretraining,tta,source,note,seed"
    )
    own = f"rmn,masked,,,synthetic,official,test,accuracy,%,{100 * accuracy:.9g},none,none,measured,,0"
    (folder / "rows.csv").write_text(f"{columns}\n{own}\n")
    header, body = read(card(rmn.spec, run_of("rmn"), tmp_path))
    (interval,) = header["intervals"]
    assert (interval["value"], interval["low"], interval["high"]) == (76.1, 55.0, 97.2)
    assert "| 76.10 % | 55.00 to 97.20 (95% t over seeds, 3 runs) |" in body


def test_licences_of_code_data_and_weights_stand_apart(rmn, run_of, rmn_card, tmp_path, monkeypatch):
    header, _ = rmn_card
    assert header["licences"] == {
        "code": "MIT",
        "data": "rendered by this project; no real person is shown; MIT, as the code",
        "weights": "MIT as far as this project can grant it",
        "pretrained_weights": "none: nothing was pretrained",
    }
    from dataclasses import replace

    fer2013 = replace(rmn.spec, dataset="fer2013", pretraining="imagenet")
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    licences = read(card(fer2013))[0]["licences"]
    assert "do not publish them again" in licences["data"]
    assert "the terms of the data apply" in licences["weights"]
    assert licences["pretrained_weights"]["name"] == "resnet34-b627a593.pth"
    assert licences["pretrained_weights"]["sha256"].startswith("b627a593")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet34-b627a593.pth").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, "abc"
    assert pretrained_weights(fer2013).sha256 == known
    started = {"pretraining": "networks/faces", "start_sha256": known}
    licence = read(card(replace(rmn.spec, options={**rmn.spec.options, **started})))[0]["licences"]
    assert licence["pretrained_weights"] == {
        "name": "networks/faces", "licence": "the terms of the data it was trained on", "sha256": known
    }  # fmt: skip


@pytest.mark.parametrize("method", ["adacos", "efficientnet", "fan"])
def test_every_task_has_its_own_limits(run_of, method):
    model = fer_repro.load(run_of(method))
    header, body = read(card(model.spec, run_of(method)))
    assert header["model"]["task"] == model.spec.task
    words = {"verification": "biometric", "manipulation": "accuse", "expression": "what anybody feels"}
    assert words[model.spec.task] in body


def test_a_paper_without_open_copy_has_no_number_in_an_archive(rmn_card, run_of):
    assert "(arXiv:2603.05937)" in rmn_card[1]
    model = fer_repro.load(run_of("maxout"))
    header, body = read(card(model.spec, run_of("maxout")))
    assert header["model"]["paper"]["arxiv"] == ""
    assert "*Inspired by: Probability Guided Maxout*, for expression." in body
    assert f"Arm pgm: {load_method('maxout').arms['pgm']}" in body
    assert "arXiv" not in body.partition("## Input")[0]


def test_a_model_file_stays_itself_when_moved(run_of, tmp_path, rmn):
    from fer_repro.inference.export import export_model

    export_model(run_of("rmn"), tmp_path / "a.safetensors")
    shutil.move(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert fer_repro.load(tmp_path / "b.safetensors").spec == rmn.spec
