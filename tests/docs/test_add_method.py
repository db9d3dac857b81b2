"""The page "Add a method", carried out to the letter in a copy of the project."""

import csv
import json
import sys

import pandas as pd
import pytest
from worked_pages import ROOT, blocks_of, carry_out, copy_project, run

from fer_repro.files import read_yaml

PIPELINE = "6. Into the pipeline"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The copy, after every file was written and every command before the last ones was called."""
    if not (ROOT / "data/synthetic/manifest.json").is_file():
        pytest.skip("data/ is not there: dvc pull data.dvc")
    folder = tmp_path_factory.mktemp("add_method") / "project"
    copy_project(folder)
    said = carry_out([block for block in blocks_of("add_method.md") if block.section != PIPELINE], folder)
    assert " passed" in said  # the contract's tests
    return folder


def check_runs(project, seed):
    for arm in ("island", "softmax"):
        folder = project / f"scratch/runs/synthetic/island/{seed}/{arm}"
        assert (folder / "weights.safetensors").is_file()
        assert len(pd.read_csv(folder / "predictions.csv")) > 0


def test_both_arms_train_and_predict(project):
    check_runs(project, 0)
    (face,) = (row for _, row in pd.read_csv(project / "scratch/face.csv").iterrows())
    assert 0 < face["left"] < face["right"] < 224  # the detector found it
    assert face[[name for name in face.index if name.startswith("p_")]].sum() == pytest.approx(1, abs=1e-5)


def test_the_story_is_a_thin_notebook(project):
    story = json.loads((project / "notebooks/island.ipynb").read_text(encoding="utf-8"))
    tags = [cell["metadata"].get("tags", []) for cell in story["cells"]]
    assert tags.count(["parameters"]) == 1
    assert all(cell.get("outputs", []) == [] for cell in story["cells"])


def test_the_story_writes_rows_of_both_arms_and_all_seeds(project):
    carry_out([block for block in blocks_of("add_method.md") if block.section == PIPELINE], project)
    for seed in range(5):
        check_runs(project, seed)
    assert "island" in read_yaml(project / "params.yaml")["pipeline"]["faces"]["methods"]
    rows = pd.read_csv(project / "scratch/results/measured/synthetic/island/rows.csv")
    accuracies = rows[(rows["metric"] == "accuracy") & rows["seed"].notna()]
    assert {"island", "softmax"} <= set(accuracies["arm"])
    assert set(accuracies.loc[accuracies["arm"] == "island", "seed"]) == set(range(5))


def test_the_loss_is_the_formula(project):
    """Against plain loops over faces and pairs of centres."""
    code = """
import math, torch
from fer_repro.methods.island import IslandLoss, IslandOutput
generator = torch.Generator().manual_seed(3)
draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
logits, features, centres, targets = draw(5, 3), draw(5, 4), draw(3, 4), torch.tensor([0, 2, 1, 1, 0])
expected = 0.0
for row, feature, target in zip(logits.tolist(), features.tolist(), targets.tolist()):
    expected += (math.log(sum(map(math.exp, row))) - row[target]) / 5
    expected += 0.3 * sum((x - c) ** 2 for x, c in zip(feature, centres[target].tolist())) / 2 / 5
for j, one in enumerate(centres.tolist()):
    for k, other in enumerate(centres.tolist()):
        if j != k:
            dot = sum(a * b for a, b in zip(one, other))
            expected += 0.3 * 0.7 * (dot / math.hypot(*one) / math.hypot(*other) + 1)
found = IslandLoss(0.3, 0.7)(IslandOutput(logits, features, centres), targets).item()
assert abs(found - expected) < 1e-12, (found, expected)
"""
    run(f"{sys.executable} - <<'END'\n{code}\nEND", project)


def test_the_published_row_has_all_columns(project):
    with (project / "results/published/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["value"] == "52.52"
    assert None not in rows[-1]
    assert all(value is not None for value in rows[-1].values())
