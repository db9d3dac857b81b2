"""Small finished runs on disk, with the answers given by the test."""

import json

import numpy as np
import pandas as pd
import yaml
from small_pipeline import pipeline_of

from fer_repro.config import load_config, run_folder
from fer_repro.datasets.store import write_store
from fer_repro.files import read_yaml
from fer_repro.runs.predictions import Predictions, write_pair_scores, write_predictions

NOTE = "a small note"


def sample_table(labels, splits, **columns):
    return pd.DataFrame(
        {
            "image": range(len(labels)), "label": labels, "subject": "", "clip": "", "split": splits,
            **columns,
        }
    )  # fmt: skip


def write_params(folder, params, method, arms):
    """A params.yaml whose only method trains ``arms``; returns it and the method's usual options."""
    known = read_yaml(params)
    section = {
        "data": known["data"],
        "evaluation": known["evaluation"],
        "full": pipeline_of(),
        "recipe_defaults": known["recipe_defaults"],
        "methods": {method: {"arms": list(arms), "recipes": known["methods"][method]["recipes"]}},
        "pipeline": pipeline_of("faces", [], small="data/small/manifest.json"),
        "runtime": known["runtime"],
        "seeds": [0, 1],
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(section))
    recipe = next(name for name in known["methods"][method]["recipes"] if name != "paper")
    return folder / "params.yaml", load_config(params, method, "synthetic", arms[0], 0, recipe).recipe.model


def write_data(folder, samples, classes):
    images = np.zeros((len(samples), 4, 4), np.uint8)
    write_store(folder / "prepared" / "small", "small", classes, images, samples, {})


def write_run(folder, method, arm, seed, model, copies=0, folds=0):
    place = run_folder(folder / "runs", "small", method, seed, arm)
    place.mkdir(parents=True)
    recipe = {"model": model, "note": NOTE, "tta_copies": copies}
    data = {"max_train": 0, "max_test": 0, "folds": folds}
    (place / "config.json").write_text(json.dumps({"recipe": recipe, "data": data, "task": "expression"}))
    (place / "history.csv").write_text(
        "epoch,lr,train_loss,val_accuracy,best\n1,0.1,2,0.6,1\n2,0.1,1,0.7,1\n"
    )
    return place


def write_classes(place, classes, samples, logits, probabilities=None):
    """Predictions of all samples but the training ones; logits (M, K) of those."""
    set_task(place, "manipulation" if tuple(classes) == ("real", "manipulated") else "expression")
    rows = np.flatnonzero(samples["split"] != "train")
    part = samples.iloc[rows]
    shown = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) if probabilities is None else probabilities
    write_predictions(
        place / "predictions.csv",
        Predictions(
            tuple(classes), rows, part["split"].to_numpy(str), part["label"].to_numpy(), logits, shown
        ),
    )


def write_pairs(place, table):
    set_task(place, "verification")
    write_pair_scores(place / "pairs.csv", table)


def set_task(place, task):
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "task": task}))
