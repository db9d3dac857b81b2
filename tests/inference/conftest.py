import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.datasets.store import open_store, write_store
from fer_repro.pipeline.run import train_run
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills

ROOT = Path(__file__).parents[2]
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
DRAWN = {  # tiny sets, by the settings of the embedded ones with fewer people
    "synthetic_clips": {"people": {"train": 4, "val": 2, "test": 2}, "clips_per_person": 2},
    "synthetic_pairs": {
        "people": {"train": 4, "val": 3, "test": 6},
        "pictures": 4,
        "folds": 2,
        "per_fold": 6,
    },
    "synthetic_forgeries": {
        "real": {"train": 3, "val": 2, "test": 2},
        "manipulated": {"train": 4, "val": 3, "test": 3},
        "frames": 2,
    },
    "synthetic_resampled": {"people": {"train": 6, "val": 3, "test": 4}},
}
RUNS = {
    "rmn": ("synthetic", ("masked",)),
    "ran": ("synthetic", ("softmax_weights",)),
    "adacos": ("synthetic_pairs", ("dynamic",)),
    "p2sgrad": ("synthetic_pairs", ("p2sgrad",)),
    "fan": ("synthetic_clips", ("self_relation",)),
    "efficientnet": ("synthetic_forgeries", ("plain", "attention")),
    "distillation": ("synthetic", ("joined",)),
    "maxout": ("synthetic", ("pgm",)),
    "cascade": ("synthetic", ("cascade",)),
    "benford": ("synthetic_resampled", ("published_order", "network")),
    "face_losses": ("synthetic_forgeries", ("arcface",)),
    "blinding": ("synthetic_pairs", ("null_space", "reversal")),
    "inside_bias": ("synthetic", ("balanced",)),
}


def _noise():
    rng = np.random.default_rng(0)
    labels = np.arange(56) % 7
    images = (rng.integers(0, 60, (56, 48, 48)) + 25 * labels[:, None, None]).astype(np.uint8)
    splits = np.repeat(["train", "val", "test"], [32, 12, 12])
    samples = pd.DataFrame(
        {"image": range(56), "label": labels, "subject": "", "clip": "", "split": splits}
        | {"skin_tone": np.arange(56) / 56}
        | {"occluder": np.where(np.arange(56) % 2, "hand", "none"), "age": np.arange(56.0)}
    )
    return images, samples


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A project with a smoke run of every method and its prepared data; nobody changes it."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", folder)  # without it the package's own network would be listed, too
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    images, samples = _noise()
    write_store(folder / "prepared" / "synthetic", "synthetic", CLASSES, images, samples, {})
    for name, fewer in DRAWN.items():
        whole = json.loads((ROOT / "data" / name / "manifest.json").read_text())
        path = folder / "settings" / name / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(whole | fewer))
        prepare_dataset(name, path, folder / "prepared" / name)
    for method, (dataset, arms) in RUNS.items():
        roots = {f"{root}_root": folder / root for root in ("ckpt", "timings")}
        train_run(
            ROOT / "params.yaml",
            method,
            dataset,
            0,
            out_root=folder / "runs",
            prepared_root=folder / "prepared",
            overrides={"runtime.threads": 1},
            smoke=True,
            arms=arms,
            **roots,
        )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    return folder


@pytest.fixture(scope="session")
def run_of(project):
    """The folder of a method's run."""

    def find(method, arm=""):
        dataset, arms = RUNS[method]
        return project / "runs" / dataset / method / "0" / (arm or arms[0])

    return find


@pytest.fixture(scope="session")
def rmn(run_of):
    """A small trained network of single grey faces."""
    from fer_repro.inference.loading import load

    return load(run_of("rmn"))


@pytest.fixture(scope="session")
def faces(project):
    """The 56 images of the data set ``synthetic``, (56, 48, 48) uint8."""
    return np.load(project / "prepared" / "synthetic" / "images.npy")


@pytest.fixture(scope="session")
def stills(tmp_path_factory):
    """Drawn stills of three people with their factors; the networks of ``project`` can look at them."""
    table = sample_stills(3, {"train": 1, "val": 0, "test": 2}, 1)
    folder = tmp_path_factory.mktemp("stills") / "synthetic"
    write_store(folder, "synthetic", CLASSES, render(table, 48).images, table, {})
    return open_store(folder)
