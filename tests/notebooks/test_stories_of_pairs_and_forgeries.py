"""The stories of AdaCos, P2SGrad and the ensemble, on small drawn sets and shrunken runs of two seeds."""

import json
from pathlib import Path

import nbformat
import pytest
import yaml

from fer_repro.data.prepare import prepare_dataset
from fer_repro.files import read_yaml
from fer_repro.pipeline.notebooks import run_notebook
from fer_repro.pipeline.run import train_run

pytestmark = pytest.mark.slow
SEEDS = [0, 1]
SMALL = {
    "synthetic_pairs": {
        "people": {"train": 6, "val": 4, "test": 8},
        "pictures": 7,
        "folds": 2,
        "per_fold": 20,
    },
    "synthetic_forgeries": {"frames": 2}
    | {kind: {"train": 6, "val": 6, "test": 6} for kind in ("real", "manipulated")},
}
SETS = {"adacos": "synthetic_pairs", "p2sgrad": "synthetic_pairs", "efficientnet": "synthetic_forgeries"}
FIGURES = {"adacos": 11, "p2sgrad": 10, "efficientnet": 16}
WRITTEN = {"rows.csv", "intervals.csv", "metrics.json", "curves.csv"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prepared sets, and the params of two seeds."""
    folder = tmp_path_factory.mktemp("project")
    params = read_yaml(Path("params.yaml"))
    params["seeds"], params["evaluation"]["bootstrap"] = SEEDS, 50
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for name, changes in SMALL.items():
        kind = name.removeprefix("synthetic_")
        settings = {"name": name, "kind": kind, "seed": 0, **changes}
        if kind == "forgeries":
            settings["size"] = 48
        manifest = folder / "data" / name / "manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps(settings), encoding="utf-8")
        prepare_dataset(name, manifest, folder / "prepared" / name)
    return folder


@pytest.mark.parametrize("name", SETS)
def test_a_story_is_told_to_its_end(home, name):
    places = {part: str(home / part) for part in ("runs", "prepared")}
    for seed in SEEDS:
        states = (home / "ckpt", home / "timings")
        train_run(
            home / "params.yaml",
            name,
            SETS[name],
            seed,
            places["runs"],
            *states,
            places["prepared"],
            smoke=True,
        )
    given = {"params_file": str(home / "params.yaml"), "out": str(home / "results"), **places}
    executed = run_notebook(name, given, home / f"executed/{name}.ipynb")
    outputs = [output for cell in nbformat.read(executed, 4).cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "stream"]  # no warning was printed
    shown = "".join(output.data.get("text/html", "") for output in outputs)
    assert shown.count("<figure class=") == FIGURES[name]
    assert {path.name for path in (home / "results" / SETS[name] / name).iterdir()} > WRITTEN
