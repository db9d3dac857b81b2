"""Where neither DVC nor papermill is: data, training, evaluation, record and prediction need neither."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from stub_project import ROOT
from warm_python import CLI, TRAINING, WarmPython

PIPELINE_ALONE = (
    "dvc",
    "papermill",
    "nbclient",
    "nbconvert",
    "nbformat",
    "ipykernel",
    "jupyterlab",
    "psutil",
)


@pytest.fixture
def call(tmp_path):
    """Run the command where the pipeline's packages cannot be imported."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {PIPELINE_ALONE!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    path = os.pathsep.join([str(blocked), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    warm = WarmPython((*CLI, *TRAINING), environment)

    def run(*words, code=0):
        done = warm.call(tmp_path, *map(str, words))
        assert done.returncode == code, done.stderr[-3000:]
        return (done.stderr if code else done.stdout).decode()

    yield run
    warm.end()


@pytest.fixture
def faces(tmp_path):
    """Three people's noisy faces of seven classes as a folder of images."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for label in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"):
            folder = tmp_path / "faces" / split / label
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 256, (48, 48)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"p{k:02d}.png")
    return tmp_path / "faces"


def test_data_training_evaluation_record_and_prediction(call, faces, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/published").symlink_to(ROOT / "results/published")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["pipeline"]["datasets"]["folder"] = "stores/folder/manifest.json"
    params["pipeline"]["faces"]["datasets"].append("folder")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    call("data", "add", "folder", faces)
    for seed in (0, 1):
        said = call("train", "rmn", "folder", "--recipe", "synthetic", "--smoke", "--seed", seed)
    assert said.count("test accuracy") == 2
    said = call("evaluate", "rmn", "folder", "--seed", 0, "--seed", 1)
    rows = pd.read_csv(tmp_path / "scratch/results/measured/folder/rmn/rows.csv", dtype={"seed": str})
    mean = rows[rows["seed"].isna() & (rows["arm"] == "masked") & (rows["metric"] == "accuracy")]
    assert f"{mean['value'].iloc[0]:.2f}" in said
    kept = (tmp_path / "scratch/results/measured/folder/rmn/rows.csv").read_bytes()
    (tmp_path / "scratch/runs/folder/rmn/1").rename(tmp_path / "elsewhere")
    said = call("evaluate", "rmn", "folder", "--seed", 0, code=2)
    assert "has results of arm 'masked', seed 1, which is not among the runs now" in said
    assert (tmp_path / "scratch/results/measured/folder/rmn/rows.csv").read_bytes() == kept
    (tmp_path / "elsewhere").rename(tmp_path / "scratch/runs/folder/rmn/1")
    call("record", "mine", "folder", "rmn", "--project", "scratch")
    record = json.loads((tmp_path / "scratch/results/records/mine/record.json").read_text())
    assert {run["arm"] for run in record["runs"]} == {"masked", "no_mask"}
    assert all(run["memory_mb"] > 50 and run["epochs"] == 1 for run in record["runs"])
    model = tmp_path / "scratch/runs/folder/rmn/0/masked"
    image = faces / "test/happy/p00.png"
    found = call("predict", image, "--model", model, "--detector", "none", "--json", "-")
    assert len(json.loads(found)) == 1
