"""The first notebook: through papermill on a few faces, and what it says of two networks."""

import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch import nn

from fer_repro import first_network
from fer_repro.errors import UserError
from fer_repro.pipeline.notebooks import run_notebook
from fer_repro.synthetic.stills import write_stills

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with nothing but params.yaml, the notebook and a few faces: no run, no result."""
    folder = tmp_path_factory.mktemp("project")
    write_stills(folder / "data/synthetic", subjects={"train": 4, "val": 2, "test": 3}, faces_per_class=1)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks/start.ipynb", folder / "notebooks")
    return folder


@pytest.fixture
def store(project, monkeypatch):
    monkeypatch.chdir(project / "notebooks")  # as in JupyterLab
    return first_network.open_faces("scratch/start")


def test_the_notebook_needs_no_reproduction(project, monkeypatch):
    monkeypatch.chdir(project)
    executed = run_notebook("start", {"seeds": 2, "epochs": 1}, project / "executed/start.ipynb")
    outputs = [output for cell in nbformat.read(executed, 4).cells for output in cell.get("outputs", [])]
    shown = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert (shown.count("<figure class="), shown.count('<table class="sortable">')) == (6, 3)
    assert "dropout minus plain: " in shown
    assert [output.text for output in outputs if output.output_type == "stream"] == [
        "seed 0: trained dropout, plain\nseed 1: trained dropout, plain\n"
    ]
    made = {path.relative_to(project).parts[0] for path in project.rglob("*") if path.is_file()}
    assert made == {"data", "executed", "notebooks", "params.yaml", "scratch"}


def test_missing_faces_are_said_in_one_line(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"manifest.json: no such file; run `dvc pull data.dvc`") as raised:
        first_network.open_faces("out")
    (line,) = raised.value._render_traceback_()
    assert line == f"fer-repro: {raised.value}"


def test_two_equal_networks_do_not_differ_and_two_seeds_do(store):
    body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten())
    network = nn.Sequential(body, nn.Linear(4 * 12 * 12, 7))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = nn.Sequential(body, nn.Identity(), nn.Linear(4 * 12 * 12, 7))
    trained = first_network.compare_networks({"one": network, "twin": twin}, store, seeds=2, epochs=2)
    np.testing.assert_array_equal(trained.logits["one"], trained.logits["twin"])
    assert not np.allclose(*trained.logits["one"])
    assert (trained.interval("one", "twin").value, trained.interval("one", "twin").high) == (0, 0)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert trained.curves.groupby(["arm", "seed"])["epoch"].max().eq(2).all()
    with pytest.raises(UserError, match="no network 'twn' was trained; did you mean 'twin'"):
        trained.interval("one", "twn")


def test_the_claim_is_the_difference_on_people_not_seen(store):
    test = store.samples[store.samples["split"] == "test"]
    targets = test["label"].to_numpy()
    right, wrong = np.eye(7)[targets], np.eye(7)[(targets + 1) % 7]
    mixed = np.where((test["subject"] == test["subject"].iloc[0]).to_numpy()[:, None], wrong, right)
    split = first_network.open_table(store, store.samples, "test")
    comparison = first_network.Comparison(
        store, {}, None, {"claimed": np.stack([right, right]), "control": np.stack([right, mixed])}, split
    )
    share = (test["subject"] == test["subject"].iloc[0]).mean()
    found = comparison.interval("claimed", "control")
    assert found.value == pytest.approx(share / 2)
    assert found.low < 0 < found.high
    assert f"+{100 * share:.2f}" in comparison.show_seeds("claimed", "control").markup
    assert "claimed minus control: +" in comparison.show_claim("claimed", "control").markup
