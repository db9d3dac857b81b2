"""A claim as its paper tested it, and evidence made of given hits."""

import numpy as np
import pandas as pd

from fer_repro.evaluation.claims import Claim, Claims, Conditions, DataSet, Place, Published, Size
from fer_repro.evaluation.evidence import Evidence
from fer_repro.evaluation.shorter import Shorter

PLACE = Place(dataset="fer2013", protocol="official", split="test", metric="accuracy", augmented=False)
DRAWN = Place(dataset="synthetic", protocol="official", split="test", metric="accuracy", augmented=False)
PAPER = {
    "model.width": 64, "image_size": 224, "epochs": 50, "batch_size": 48, "optimiser.name": "radam",
    "optimiser.lr": 1e-4,
}  # fmt: skip
RECIPE = {**PAPER, "max_train": 0, "max_test": 0, "smoke": False}


def published(value, tolerance=0.5, unit="points", place=PLACE):
    return Published(place, Size(value=value, unit=unit, tolerance=tolerance, source="a table"), "")


CLAIM = Claim(
    "masks", "rmn", "Masks help.", "difference", "masked", ("no_mask",), 0.0, (published(2.0),), (DRAWN,)
)
CLAIMS = Claims(
    (CLAIM,),
    {"rmn": Conditions(pretraining="imagenet", recipe=PAPER)},
    {
        "fer2013": DataSet(words="FER2013", access="free: Kaggle"),
        "synthetic": DataSet(words="synthetic faces", access="make reproduce"),
    },
)


def evidence_of(arms, targets=None, **changes):
    """Evidence that differs in nothing from the paper's, but for ``changes``."""
    hits = {arm: np.asarray(values) for arm, values in arms.items()}
    seeds, count = next(iter(hits.values())).shape
    classes = np.arange(count) % 7 if targets is None else targets
    kept = {
        "method": "rmn", "dataset": "fer2013", "protocol": "official", "metric": "accuracy",
        "augmented": False, "arms": hits, "seeds": tuple(range(seeds)), "targets": classes, "groups": None,
        "chance": 100 * np.bincount(classes).max() / count, "pretraining": "imagenet", "note": "a note",
        "recipe": RECIPE, "validation": dict.fromkeys(hits, (70.0,) * seeds), **changes,
    }  # fmt: skip
    return Evidence(**kept)


def shorter_of(evidence, changes=None, rise=0.0, seeds=None):
    """A record of half the epochs: values that differ by ``changes``, validation lower by ``rise``."""
    rows, validation = [], {}
    for arm in evidence.arms:
        values = evidence.by_seed(arm)
        for seed in evidence.seeds if seeds is None else seeds:
            rows.append(
                {
                    "arm": arm, "protocol": evidence.protocol, "metric": evidence.metric, "split": "test",
                    "seed": str(seed), "tta": "random" if evidence.augmented else "none",
                    "value": values[seed] + (changes or {}).get(arm, 0.0),
                }
            )  # fmt: skip
        known = zip(evidence.seeds, evidence.validation[arm], strict=True)
        validation[arm] = {seed: accuracy - rise for seed, accuracy in known}
    recipe = {**evidence.recipe, "epochs": evidence.recipe["epochs"] // 2}
    return Shorter(evidence.method, evidence.dataset, recipe, pd.DataFrame(rows), validation)
