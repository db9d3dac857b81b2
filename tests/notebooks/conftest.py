"""A small project that stories can be told of: drawn sets of few people, shrunken runs of two seeds."""

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.files import read_yaml
from fer_repro.pipeline.notebooks import run_notebook
from fer_repro.pipeline.preload import ADDRESS, preloaded, run_preloaded
from fer_repro.pipeline.run import train_run
from fer_repro.synthetic.stills import write_stills

ROOT = Path(__file__).parents[2]
SEEDS = [0, 1]
DRAWN = {
    "synthetic_clips": {
        "size": 48, "clips_per_person": 2, "people": {"train": 12, "val": 4, "test": 4},
        "min_frames": 3, "max_frames": 5,
        "distractors": {"blink": 0.1, "occluder": 0.1, "speech": 0.1, "turned": 0.1},
    },
    "synthetic_pairs": {
        "people": {"train": 6, "val": 4, "test": 8}, "pictures": 7, "folds": 2, "per_fold": 20,
    },
    "synthetic_forgeries": {
        "size": 48, "frames": 2, "real": {"train": 6, "val": 6, "test": 6},
        "manipulated": {"train": 6, "val": 6, "test": 6},
    },
    "synthetic_engagement": {
        "units": {"train": 1, "val": 1, "test": 1}, "rows": 12, "videos_per_person": 2,
    },
    "synthetic_resampled": {"size": 64, "quality": 90, "people": {"train": 12, "val": 4, "test": 6}},
    "synthetic_smiles": {"size": 48, "people": {"train": 30, "val": 4, "test": 6}},
}  # fmt: skip
TASKS = {
    "synthetic": "faces",
    "synthetic_clips": "clips",
    "synthetic_pairs": "pairs",
    "synthetic_forgeries": "forgeries",
    "synthetic_engagement": "sequences",
    "synthetic_resampled": "traces",
    "synthetic_smiles": "synthesis",
}
SETS = {
    "rmn": "synthetic",
    "ran": "synthetic",
    "fan": "synthetic_clips",
    "adacos": "synthetic_pairs",
    "p2sgrad": "synthetic_pairs",
    "efficientnet": "synthetic_forgeries",
    "distillation": "synthetic",
    "maxout": "synthetic",
    "cascade": "synthetic",
    "engagement": "synthetic_engagement",
    "benford": "synthetic_resampled",
    "face_losses": "synthetic_forgeries",
    "pixel_synthesis": "synthetic_smiles",
    "blinding": "synthetic_pairs",
    "inside_bias": "synthetic",
}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder with the settings of small drawn sets, ``params.yaml`` of two seeds, and what is published."""
    folder = tmp_path_factory.mktemp("project")
    write_stills(folder / "data/synthetic", subjects={"train": 4, "val": 2, "test": 3}, faces_per_class=1)
    for name, settings in DRAWN.items():
        manifest = folder / "data" / name / "manifest.json"
        manifest.parent.mkdir(parents=True)
        whole = {"name": name, "kind": name.removeprefix("synthetic_"), "seed": 0, **settings}
        manifest.write_text(json.dumps(whole), encoding="utf-8")
    params = read_yaml(ROOT / "params.yaml")
    params["seeds"], params["further_seeds"] = list(SEEDS), list(SEEDS)
    params["evaluation"]["bootstrap"] = 50
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for name in ("results/published", "results/records"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def trained(drawn):
    """The same folder with the prepared sets and a shrunken run of every method."""
    patch = pytest.MonkeyPatch()
    patch.chdir(ROOT)
    for name in TASKS:
        prepare_dataset(name, drawn / "data" / name / "manifest.json", drawn / "prepared" / name)
    places = [drawn / part for part in ("runs", "ckpt", "timings", "prepared")]
    for method, name in SETS.items():
        for seed in SEEDS:
            train_run(drawn / "params.yaml", method, name, seed, *places, smoke=True)
    patch.undo()
    return drawn


@pytest.fixture(scope="session")
def libraries():
    """The address of a server that forks stages from a process with the libraries; unset outside of here."""
    for name in ("torchvision", "sklearn.metrics", "cv2"):
        importlib.import_module(name)  # they set variables in which stage and server must agree
    with preloaded(), pytest.MonkeyPatch.context() as patch:
        address = os.environ.get(ADDRESS, "")
        patch.setenv(ADDRESS, "")
        yield address


@pytest.fixture(scope="session")
def tell(libraries):
    """Runs a notebook with its parameters into a file, as ``run_notebook``; forked where it can be."""

    def run(name, parameters, out):
        pairs = [f"{key}={json.dumps(value)}" for key, value in parameters.items()]
        words = [word for pair in pairs for word in ("-p", pair)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ADDRESS, libraries)
            code = run_preloaded(["run", name, *words, "--out", str(out)])
        if code is None:
            return run_notebook(name, parameters, out)
        assert code == 0
        return out

    return run
