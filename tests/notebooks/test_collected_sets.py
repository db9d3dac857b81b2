"""Own data to a verdict: a collected set of each task through notebooks and report, nothing untrue told."""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from miniature_sets import LAYOUTS, write_noise

from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.prepare import fitting_tasks, prepare_dataset
from fer_repro.files import read_yaml
from fer_repro.params import TASKS
from fer_repro.pipeline.run import train_run

ROOT = Path(__file__).parents[2]
SEEDS = [0, 1]
TRAINED = {"folder-mine": "rmn", "afew": "fan", "identities-mine": "adacos", "ffpp-2fpv": "efficientnet"}
OF_RENDERED_FACES = re.compile(
    r"drawn (face|clip|data)|On the synthetic|0\.85 and 1|In these clips|truth: how strong"
    r"|outline is the true|different, lookalikes"
)


def folder(root):
    """Three classes, of which the test part lacks one; grey and colour, of different sizes."""
    for label, name in enumerate(("glad", "sad", "tired")):
        for number in range(20):
            part = ("train", "train", "val", "test")[number % 4]
            if (part, name) != ("test", "tired"):
                shape = (20 + label, 24, 3) if number % 2 else (22, 20)
                write_noise(root / part / name / f"{number}.png", shape, 100 * label + number)


def afew(root):
    for part in ("Train_AFEW", "Val_AFEW"):
        for number in range(36):
            name = ("Happy", "Angry", "Sad")[number % 3]
            for frame in range(2 + number % 2):
                seed = 10 * number + frame + 1000 * (part == "Val_AFEW")
                write_noise(root / part / name / f"{number:09}" / f"{frame:07}.jpg", seed=seed)


def identities(root):
    for person in range(16):
        for number in range(4):
            name = f"P{person:02}/P{person:02}_{number}.png"
            write_noise(root / name, (24, 20, 3), 10 * person + number)


LAID_OUT = {
    "folder-mine": folder, "afew": afew, "identities-mine": identities, "ffpp-2fpv": LAYOUTS["ffpp"],
}  # fmt: skip


def places(home, *names):
    return {"params_file": str(home / "params.yaml"), **{name: str(home / name) for name in names}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project of collected sets alone, in whose pipeline each stands in the tasks that it fits."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for name in ("results/published", "results/records"):
            shutil.copytree(ROOT / name, folder / name)
        params = read_yaml(ROOT / "params.yaml")
        params["seeds"], params["further_seeds"] = list(SEEDS), list(SEEDS)
        params["evaluation"]["bootstrap"] = 50
        params["pipeline"] = {"datasets": {}} | {task: {"datasets": [], "methods": []} for task in TASKS}
        yield folder, params


def add(home, name, tell):
    """Add, enable, prepare and train one set with one method."""
    folder, params = home
    LAID_OUT[name](folder / "raw" / name)
    store = add_dataset(name, folder / "raw" / name, folder / "stores", size=32)
    manifest = f"stores/{name}/manifest.json"
    task, method = fitting_tasks(store)[-1], TRAINED[name]
    params["pipeline"]["datasets"][name] = manifest
    for key, value in (("datasets", name), ("methods", method)):
        params["pipeline"][task][key].append(value)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    if name == "folder-mine":
        out = str(folder / "prepared" / name)
        given = {"dataset": name, "manifest": str(folder / manifest), "out": out}
        tell("data", given, folder / f"executed/data-{name}.ipynb")
    else:
        prepare_dataset(name, folder / manifest, folder / "prepared" / name)
    roots = [folder / part for part in ("runs", "ckpt", "timings", "prepared")]
    for seed in SEEDS:
        train_run(folder / "params.yaml", method, name, seed, *roots, smoke=True)
    return method


def message(path):
    """All that a reader sees: prose, outputs, and the text of figures; exercises say what they are for."""
    cells = nbformat.read(path, 4).cells
    texts = [
        cell.source for cell in cells if cell.cell_type == "markdown" and "## Exercises" not in cell.source
    ]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "stream"]
    texts += [re.sub(r"data:image[^\"]*", "", output.data.get("text/html", "")) for output in outputs]
    return "\n".join(texts)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in TRAINED if name != "folder-mine"]


@pytest.mark.parametrize("name", ["folder-mine", *SLOW])
def test_the_story_of_a_collected_set(home, name, tell):
    method = add(home, name, tell)
    folder = home[0]
    given = {"dataset": name, "out": str(folder / "results/measured"), **places(folder, "runs", "prepared")}
    text = message(tell(method, given, folder / f"executed/{method}-{name}.ipynb"))
    assert not OF_RENDERED_FACES.search(text)
    rows = pd.read_csv(folder / "results/measured" / name / method / "rows.csv")
    config = json.loads(next((folder / "runs" / name / method).glob("0/*/config.json")).read_text())
    assert config["recipe_name"] == "real_faces"
    measured = rows[rows["seed"] >= 0]
    assert set(measured["dataset"]) == {name}
    assert measured["note"].str.endswith(config["recipe"]["note"]).all()
    assert config["recipe"]["note"] in text


def test_what_was_added_is_compared_and_reported(home, tell):
    from fer_repro.report.html import write_report

    folder, params = home
    assert not OF_RENDERED_FACES.search(message(folder / "executed/data-folder-mine.ipynb"))
    given = places(folder, "runs", "prepared") | {"results": str(folder / "results/measured")}
    tell(
        "comparison",
        given | {"out": str(folder / "results/comparison")},
        folder / "executed/comparison.ipynb",
    )
    ledger = pd.read_csv(folder / "results/comparison/ledger.csv")
    write_report(folder, folder / "reports/index.html")
    page = (folder / "reports/index.html").read_text(encoding="utf-8")
    for name in params["pipeline"]["datasets"]:
        lines = ledger[(ledger["dataset"] == name) & (ledger["verdict"] != "not attempted")]
        assert set(lines["method"]) == {TRAINED[name]}
        assert lines["line"].str.contains("a smoke run").all()
        assert name in page
