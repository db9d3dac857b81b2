"""The stories of FAN and RAN, on small drawn sets and shrunken runs of two seeds; RAN without truth, too."""

import json
from pathlib import Path

import nbformat
import pytest
import yaml

from fer_repro.data.prepare import prepare_dataset
from fer_repro.data.synthetic.drawn import TRUTH
from fer_repro.data.synthetic.stills import write_stills
from fer_repro.files import read_yaml
from fer_repro.pipeline.notebooks import run_notebook
from fer_repro.pipeline.run import train_run

pytestmark = pytest.mark.slow
SEEDS = [0, 1]
CLIPS = {
    "name": "synthetic_clips", "kind": "clips", "seed": 0, "size": 48, "clips_per_person": 2,
    "people": {"train": 12, "val": 4, "test": 4}, "min_frames": 3, "max_frames": 5,
    "distractors": {"blink": 0.1, "occluder": 0.1, "speech": 0.1, "turned": 0.1},
}  # fmt: skip
SETS = {"fan": "synthetic_clips", "ran": "synthetic"}
FIGURES = {"fan": 11, "ran": 14}
WRITTEN = {"rows.csv", "intervals.csv", "metrics.json", "curves.csv"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prepared sets, the params of two seeds, and their runs."""
    folder = tmp_path_factory.mktemp("project")
    params = read_yaml(Path("params.yaml"))
    params["seeds"], params["evaluation"]["bootstrap"] = SEEDS, 50
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    clips = folder / "data/synthetic_clips/manifest.json"
    clips.parent.mkdir(parents=True)
    clips.write_text(json.dumps(CLIPS), encoding="utf-8")
    write_stills(folder / "data/synthetic", subjects={"train": 4, "val": 2, "test": 3}, faces_per_class=1)
    for method, name in SETS.items():
        prepare_dataset(name, folder / "data" / name / "manifest.json", folder / "prepared" / name)
        for seed in SEEDS:
            places = (folder / part for part in ("runs", "ckpt", "timings", "prepared"))
            train_run(folder / "params.yaml", method, name, seed, *places, smoke=True)
    return folder


def tell(home, name):
    places = {part: str(home / part) for part in ("runs", "prepared")}
    given = {"params_file": str(home / "params.yaml"), "out": str(home / "results"), **places}
    executed = run_notebook(name, given, home / f"executed/{name}.ipynb")
    outputs = [output for cell in nbformat.read(executed, 4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "stream"]  # no warning was printed
    return "".join(output.data.get("text/html", "") for output in outputs)


@pytest.mark.parametrize("name", SETS)
def test_a_story_is_told_to_its_end(home, name):
    assert tell(home, name).count("<figure class=") == FIGURES[name]
    assert {path.name for path in (home / "results" / SETS[name] / name).iterdir()} > WRITTEN


def test_without_truth_the_story_says_so(home):
    truth = home / "prepared/synthetic" / TRUTH
    kept = truth.read_bytes()
    truth.unlink()
    shown = tell(home, "ran")
    truth.write_bytes(kept)
    assert shown.count("<figure class=") == FIGURES["ran"] - 1
    assert shown.count("not known") == 3
