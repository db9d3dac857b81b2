import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from fer_repro.config import load_config
from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.measures.classification import softmax
from fer_repro.methods.method import load_method
from fer_repro.pipeline import arm, outcome
from fer_repro.pipeline import run as module
from fer_repro.pipeline.run import train_run
from fer_repro.runs.predictions import SPLITS, read_predictions
from fer_repro.training.checkpoint import Checkpoint

PARAMS = Path(__file__).parents[2] / "params.yaml"
FILES = [
    "config.json",
    "explained.npz",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "weights.safetensors",
]


@pytest.fixture(autouse=True)
def restored_determinism():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def place(tmp_path):
    """A prepared set of forty noisy images in the classes of FER2013, and the roots of a run."""
    rng = np.random.default_rng(0)
    labels = np.arange(56) % 7
    images = (rng.integers(0, 60, (56, 48, 48)) + 25 * labels[:, None, None]).astype(np.uint8)
    splits = np.repeat(["train", "val", "test", "challenge"], [32, 8, 8, 8])
    samples = pd.DataFrame({"image": range(56), "label": labels, "subject": "", "clip": "", "split": splits})
    classes = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    write_store(tmp_path / "prepared" / "synthetic", "synthetic", classes, images, samples, {})
    return tmp_path


def train(place, name="one", **arguments):
    roots = {f"{root}_root": place / name / root for root in ("out", "ckpt", "timings")}
    overrides = {
        "recipe.epochs": 2,
        "runtime.checkpoint_seconds": 0.0,
        "runtime.threads": 1,
        **arguments.pop("overrides", {}),
    }
    return train_run(
        PARAMS,
        "rmn",
        "synthetic",
        0,
        **roots,
        prepared_root=place / "prepared",
        overrides=overrides,
        smoke=True,
        **arguments,
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_its_files_and_nothing_else(place):
    report = train(place)
    out = place / "one" / "out" / "synthetic" / "rmn" / "0"
    assert report.folders == {arm: out / arm for arm in ("masked", "no_mask")}
    assert sorted(path.name for path in (out / "masked").iterdir()) == FILES
    assert sorted(path.name for path in (out / "no_mask").iterdir()) == [
        f for f in FILES if "explained" not in f
    ]
    assert not (place / "one" / "ckpt" / "synthetic" / "rmn" / "0").exists()
    history = pd.read_csv(out / "masked" / "history.csv")
    assert list(history) == [
        "epoch",
        "lr",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "best",
    ]
    assert len(history) == 2
    predictions = read_predictions(out / "masked" / "predictions.csv")
    assert predictions.splits.tolist() == ["val"] * 8 + ["test"] * 8 + ["challenge"] * 8
    assert (np.diff(predictions.samples) > 0).all()
    metrics = json.loads((out / "masked" / "metrics.json").read_text())
    test = predictions.of_split("test")
    assert metrics["test"]["accuracy"] == np.mean(test.logits.argmax(1) == test.targets)
    assert metrics["test_tta"]["accuracy"] == np.mean(test.probabilities.argmax(1) == test.targets)
    parts = {name: predictions.of_split(name) for name in SPLITS}
    alike = {name: np.allclose(softmax(part.logits), part.probabilities) for name, part in parts.items()}
    assert alike == {"val": False, "test": False, "challenge": True}  # hard faces have no copies
    assert "challenge_tta" not in metrics
    config = json.loads((out / "masked" / "config.json").read_text())
    assert config["arm"] == "masked"
    with np.load(out / "masked" / "explained.npz", allow_pickle=False) as explained:
        shown = np.isin(test.samples, explained["samples"])
        assert shown.sum() == 2
        assert len(set(test.targets[shown])) == 2  # of as many classes as there is room for
        assert explained["mask1"].dtype == np.float16
    timing = json.loads((place / "one" / "timings" / "synthetic" / "rmn" / "0" / "masked.json").read_text())
    assert timing["trained_images"] == 48
    assert timing["environment"]["threads"] == config["runtime"]["threads"]
    method = load_method("rmn")
    network = method.build_model("masked", method.options(**config["recipe"]["model"]), 7)
    network.load_state_dict(load_file(out / "masked" / "weights.safetensors"))


def test_two_runs_are_byte_identical(place):
    train(place, "one")
    train(place, "two")
    first, second = contents(place / "one" / "out"), contents(place / "two" / "out")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["training", "predicting", "second arm"])
def test_a_killed_run_continues_and_keeps_finished_arms(place, monkeypatch, moment, capsys):
    train(place, "whole")
    calls = {"save": 0, "fit": 0, "_predict": 0}

    def killing(name, original, last):
        def call(*arguments, **named):
            calls[name] += 1
            if calls[name] == last:
                raise Killed
            return original(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        if moment == "training":
            patch.setattr(Checkpoint, "save", killing("save", Checkpoint.save, 3))
        elif moment == "predicting":
            patch.setattr(outcome, "_predict", killing("_predict", outcome._predict, 1))
        else:
            patch.setattr(arm, "fit", killing("fit", arm.fit, 2))
        with pytest.raises(Killed):
            train(place)
    shutil.rmtree(place / "one" / "out", ignore_errors=True)  # as DVC does before it runs a stage again
    capsys.readouterr()
    report = train(place)
    assert report.kept == (("masked",) if moment == "second arm" else ())
    assert ("was finished before; kept" in capsys.readouterr().err) == (moment == "second arm")
    assert contents(place / "one" / "out") == contents(place / "whole" / "out")


def test_what_is_trained_waits_until_its_notebook_has_ended(place):
    assert train(place, keep_state=True).kept == ()
    shutil.rmtree(place / "one" / "out")
    assert train(place).kept == ("masked", "no_mask")
    assert train(place).kept == ()


def test_other_parameters_never_reuse_a_finished_arm(place, monkeypatch):
    def no_fit(*arguments, **named):
        if arguments[4].arm == "no_mask":
            raise Killed
        return fit(*arguments, **named)

    fit = arm.fit
    with monkeypatch.context() as patch:
        patch.setattr(arm, "fit", no_fit)
        with pytest.raises(Killed):
            train(place)
    assert train(place, overrides={"recipe.optimiser.lr": 0.001}).kept == ()


def test_arms_share_order_augmentation_and_trunk(place, monkeypatch):
    seen = {}

    def spy(network, loss, view, split, config, fabric, *rest, **named):
        seen[config.arm] = {
            "stem": network.conv1.weight.detach().clone(),
            "head": network.fc[1].weight.detach().clone(),
            "samples": split.samples,
            "recipe": config.recipe,
            "generator": torch.get_rng_state(),
        }
        return fit(network, loss, view, split, config, fabric, *rest, **named)

    fit = arm.fit
    monkeypatch.setattr(arm, "fit", spy)
    train(place)
    first, second = seen["masked"], seen["no_mask"]
    for name in ("stem", "head", "generator"):
        assert torch.equal(first[name], second[name])
    assert (first["samples"] == second["samples"]).all()
    assert first["recipe"] == second["recipe"]


def test_a_wrong_option_is_named_before_anything_is_trained(place):
    with pytest.raises(UserError, match=r"methods.rmn.recipes.synthetic.model: dropout is 1.5"):
        train(place, overrides={"recipe.model.dropout": 1.5})
    assert not (place / "one").exists()


def test_the_stamp_follows_the_evaluation_too(place):
    store = module.open_store(place / "prepared" / "synthetic")
    config = load_config(PARAMS, "rmn", "synthetic", "masked", 0)
    other = replace(config, evaluation=replace(config.evaluation, explained=3))
    assert module.run_stamp(config, store) != module.run_stamp(other, store)
