"""The roads "Using your own data" of README and docs/data.md, carried out to the letter up to the report."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from worked_pages import ROOT, blocks_of, run

from fer_repro.config import load_config
from fer_repro.files import read_yaml
from fer_repro.params import TASKS, read_params
from fer_repro.pipeline.preload import preloaded

REAL = Path(os.environ.get("FER_REPRO_REAL_DATA", "-"))
ROAD = "From your data to a verdict"
FACES = read_params(ROOT / "params.yaml").pipeline.faces.methods
FFPP = {"train": "519 515", "val": "004 982", "test": "634 660"}  # of the sample clips
RECIPES = {"fer2013": ("fer2013", "real_faces"), "ferplus": ("real_faces", "ferplus")}  # RMN's and RAN's


def cut_down(path):
    """One epoch, one seed, forty samples of a split, no set of the project's own."""
    params = read_yaml(path)
    params["seeds"], params["further_seeds"] = [0], [0]
    params["evaluation"]["bootstrap"] = 50
    params["pipeline"]["datasets"] = {}
    for task in TASKS:
        params["pipeline"][task]["datasets"] = []
    params["data"] = {"default": params["data"]["default"] | {"max_train": 40, "max_val": 40, "max_test": 40}}
    for section in params["methods"].values():
        for recipe in section["recipes"].values():
            recipe.update(epochs=1, tta_copies=0, batch_size=8)
            if recipe.get("triplets"):
                recipe["triplets"].update(epochs=1, per_epoch=8, batch_size=4)
            if recipe.get("sampling", {}).get("per_epoch"):
                recipe["sampling"]["per_epoch"] = 40
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What git holds, as a repository of its own whose params.yaml is cut down."""
    folder = tmp_path_factory.mktemp("own") / "project"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file() and not name.startswith(
            ("dvcstore/", "tests/", "results/measured/", "results/comparison/")
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name in ("dvc.lock", "data.dvc", "networks.dvc"):
        (folder / name).unlink(missing_ok=True)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()
    cut_down(folder / "params.yaml")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(clone, tmp_path, monkeypatch):
    """The clone, and a home folder that is the test's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return clone


def block_of(page, heading):
    return next(block.text for block in blocks_of(page) if block.section == heading)


def test_the_lines_of_the_page_are_taken(tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    recipe, limits = [block.text for block in blocks_of("data.md") if block.text.startswith("  ")]
    text = text.replace("data:\n  #", f"data:\n{limits}  #").replace(
        "    recipes:\n", f"    recipes:\n{recipe}", 1
    )
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "params.yaml", "rmn", "folder-office", "masked", 0)
    assert (config.recipe_name, config.recipe.epochs, config.data.max_train) == ("folder-office", 10, 600)


def faces(folder):
    """Three classes of noise, 48 x 48, in train, val and test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 5), ("test", 5)):
        for label in ("calm", "happy", "sad"):
            place = folder / split / label
            place.mkdir(parents=True)
            for k in range(count):
                Image.fromarray(rng.integers(0, 256, (48, 48)).astype(np.uint8)).save(place / f"{k}.png")


def check_results(project, dataset, method, recipe=""):
    """Rows and story of every arm, from the recipe that the method states for real faces."""
    arms = read_params(project / "params.yaml").methods[method].arms
    rows = pd.read_csv(project / f"results/measured/{dataset}/{method}/rows.csv")
    assert set(arms) <= set(rows["arm"])
    for arm in arms:
        config = json.loads((project / f"runs/{dataset}/{method}/0/{arm}/config.json").read_text())
        assert config["recipe_name"] == (recipe or "real_faces")
        assert rows.loc[rows["arm"] == arm, "note"].str.endswith(config["recipe"]["note"]).all()
    assert (project / f"executed/{method}-{dataset}.ipynb").is_file()


@pytest.fixture
def forked(project, monkeypatch):
    """The stages of this project are forked from a process with the libraries, as a sweep has it."""
    monkeypatch.chdir(project)  # whose package the server is to run
    monkeypatch.setenv("PYTHONPATH", str(project))
    with preloaded():
        yield


@pytest.mark.slow
def test_a_folder_of_faces_gets_to_the_report(project, forked, tmp_path):
    faces(tmp_path / "faces")
    said = run(block_of("data.md", ROAD), project)
    assert "params.yaml: added to pipeline.faces" in said
    for method in FACES:
        check_results(project, "folder-office", method)
    page = (project / "reports/index.html").read_text(encoding="utf-8")
    assert "folder-office" in page
    assert "width 16 (paper: 64)" in page
    assert run("dvc status --json", project).strip() == "{}"
    shown = run("dvc metrics show", project).splitlines()
    assert max(map(len, shown)) <= 120
    assert sum("folder-office" in line for line in shown) == len(FACES)


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "fer2013").is_dir(), reason="FER_REPRO_REAL_DATA names no folder of real data"
)
def test_every_real_set_gets_to_the_report(project, tmp_path):
    (tmp_path / "Downloads").mkdir()
    (tmp_path / "Downloads/fer2013.csv").symlink_to(REAL / "fer2013/fer2013.csv")
    clips = Path(shutil.copytree(REAL / "deepfake/ffpp", tmp_path / "ffpp"))
    for split, pair in FFPP.items():
        (clips / f"{split}.json").write_text(json.dumps([pair.split()]))
    both = Path(tmp_path / "ferplus")
    shutil.copytree(REAL / "ferplus", both)
    (both / "fer2013.csv").symlink_to(REAL / "fer2013/fer2013.csv")
    places = {
        "ferplus": both, "ckplus48": REAL / "CK+48", "lfw": REAL / "lfw", "identities-orl": REAL / "orl/orl",
        "folder-orl": REAL / "orl/orl", "ffpp-10fpv": clips,
    }  # fmt: skip
    added = "".join(f"fer-repro data add {name} {place} --enable\n" for name, place in places.items())
    (road,) = [text for text in readme_blocks("Using your own data") if "data add" in text]
    assert "dvc repro" in road
    run(added + road, project, timeout=3600)  # seven sets and all methods that take them
    runs = read_params(project / "params.yaml").pipeline.runs
    assert {dataset for dataset, _ in runs} >= {"fer2013", *places}
    assert ("ckplus48", "fan") in runs
    page = (project / "reports/index.html").read_text(encoding="utf-8")
    for dataset, method in runs:
        own = dict(zip(("rmn", "ran"), RECIPES.get(dataset, ("", "")), strict=True)).get(method, "")
        own = {("ckplus48", "fan"): "ckplus48", ("lfw", "adacos"): "lfw"}.get((dataset, method), own)
        check_results(project, dataset, method, own)
        assert dataset in page


def readme_blocks(heading):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [part.partition("\n```")[0] for part in section.split("```sh\n")[1:]]
