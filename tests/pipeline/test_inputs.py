"""Copies of notebooks that stages depend on, and resolved recipes."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from stub_project import save_as_an_editor, write_notebook

from fer_repro import stage_code
from fer_repro.errors import UserError
from fer_repro.git import ask_git
from fer_repro.params import read_params
from fer_repro.pipeline.inputs import (
    check_code,
    full_plan,
    read_notebook,
    strip_at_save,
    stripped,
    write_inputs,
)

ROOT = Path(__file__).parents[2]


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture
def notebooks(tmp_path):
    return Path(shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks"))


def test_what_an_editor_saves_changes_no_copy(notebooks, tmp_path):
    write_inputs(ROOT / "params.yaml", notebooks, tmp_path / "inputs")
    before = files(tmp_path / "inputs")
    for path in notebooks.glob("*.ipynb"):
        save_as_an_editor(path)
    write_inputs(ROOT / "params.yaml", notebooks, tmp_path / "inputs")
    assert files(tmp_path / "inputs") == before


@pytest.mark.parametrize(
    ("old", "new"), [("epochs", "episodes"), ('"parameters"', '"parameter"'), ("# Training", "# Practising")]
)
def test_what_a_notebook_does_and_says_is_in_the_copy(notebooks, old, new):
    path = notebooks / "train.ipynb"
    before = stripped(read_notebook(path))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert stripped(read_notebook(path)) != before


def test_a_copy_is_a_notebook_that_papermill_runs(notebooks, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    write_inputs(ROOT / "params.yaml", notebooks, tmp_path / "inputs")
    for path in (tmp_path / "inputs/notebooks").glob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))


def test_a_recipe_is_written_with_all_it_takes_over(notebooks, tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = tmp_path / "params.yaml"
    text = text.replace(
        "    synthetic: data", "    fer2013: stores/fer2013/manifest.json\n    synthetic: data"
    )
    params.write_text(
        text.replace("    - synthetic\n", "    - synthetic\n    - fer2013\n", 1), encoding="utf-8"
    )
    write_inputs(params, notebooks, tmp_path / "inputs")
    rmn, ran = (
        json.loads((tmp_path / f"inputs/recipes/fer2013/{method}.json").read_text())
        for method in ("rmn", "ran")
    )
    assert (rmn["recipe_name"], rmn["recipe"]["epochs"], rmn["recipe"]["tta_copies"]) == ("fer2013", 40, 8)
    assert (ran["recipe_name"], ran["recipe"]["batch_size"]) == ("real_faces", 64)
    assert ran["data"]["folds"] == 0


def test_the_learning_rate_of_every_arm_is_in_the_recipe_that_its_training_depends_on(notebooks, tmp_path):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = tmp_path / "params.yaml"
    for arm in ("masked", "no_mask"):
        line = f"        rates: {{{arm}: 0.007}}\n"
        params.write_text(
            text.replace("        image_size: 64          # budget\n", f"{line}        image_size: 64\n", 1),
            "utf-8",
        )
        write_inputs(params, notebooks, tmp_path / "inputs")
        recipe = json.loads((tmp_path / "inputs/recipes/synthetic/rmn.json").read_text())["recipe"]
        assert recipe["arm_rate"] == {"masked": 0.0, "no_mask": 0.0, arm: 0.007}


def test_long_recipes_are_trained_on_the_data_of_the_recipe_that_they_are_like():
    plan = full_plan(read_params(ROOT / "params.yaml"))
    assert plan["long"]["synthetic_pairs-p2sgrad"] == {"dataset": "synthetic_pairs", "method": "p2sgrad"}
    assert {*plan["half"]} < {*plan["long"]}
    assert "synthetic_smiles-pixel_synthesis" in plan["records"]
    assert "synthetic_smiles-pixel_synthesis" not in {*plan["half"], *plan["long"]}  # it has no epochs
    assert not any(name.startswith("synthetic_apex") for name in plan["long"])


def test_code_that_has_changed_since_is_refused_where_it_counts(notebooks, tmp_path, monkeypatch):
    package = Path(shutil.copytree(ROOT / "fer_repro", tmp_path / "fer_repro"))
    monkeypatch.setattr(stage_code, "PACKAGE", package)
    write_inputs(ROOT / "params.yaml", notebooks, tmp_path / "inputs")
    copies = tmp_path / "inputs/notebooks"
    every = [("data", ""), ("train", "rmn"), ("train", "ran"), ("rmn", ""), ("comparison", "")]
    for name, method in every:
        check_code(copies, name, method)
    (package / "methods/rmn.py").write_text("# changed")
    (package / "cli.py").write_text("# changed")
    for name, method in (("train", "rmn"), ("rmn", ""), ("comparison", "")):
        with pytest.raises(UserError, match=r"^fer_repro/methods/rmn\.py has changed since .*: dvc repro$"):
            check_code(copies, name, method)
    for name, method in (("data", ""), ("train", "ran")):
        check_code(copies, name, method)
    check_code(notebooks, "train", "rmn")  # of no stage
    (package / "training/new.py").write_text("")
    with pytest.raises(UserError, match=r"training/new\.py"):
        check_code(copies, "train", "ran")


@pytest.mark.parametrize("text", ["", "[]", '{"nbformat": 3, "cells": []}', '{"nbformat": 4, "cells": [1]}'])
def test_a_file_that_is_no_notebook_is_named(notebooks, tmp_path, text):
    write_inputs(ROOT / "params.yaml", notebooks, tmp_path / "inputs")
    before = files(tmp_path / "inputs")
    (notebooks / "broken.ipynb").write_text(text)
    with pytest.raises(UserError, match=r"broken\.ipynb"):
        write_inputs(ROOT / "params.yaml", notebooks, tmp_path / "inputs")
    assert files(tmp_path / "inputs") == before


def test_the_hook_strips_what_git_knows_only(tmp_path):
    """`make lab` saves the project's notebooks as git has them; a notebook of one's own keeps its outputs."""
    known, own = tmp_path / "notebooks/known.ipynb", tmp_path / "notebooks/own.ipynb"
    for path in (known, own, tmp_path / "elsewhere/known.ipynb"):
        write_notebook(path, "1 + 1")
    ask_git(tmp_path, "init", "-q")
    ask_git(tmp_path, "add", "notebooks/known.ipynb", "elsewhere")
    committed = read_notebook(known)
    manager = SimpleNamespace(root_dir=str(tmp_path))
    for path in (known, own, tmp_path / "elsewhere/known.ipynb"):
        save_as_an_editor(path)
        model = {"type": "notebook", "content": read_notebook(path)}
        strip_at_save(path.relative_to(tmp_path).as_posix(), model, contents_manager=manager)
        has_outputs = any(cell["outputs"] for cell in model["content"]["cells"])
        assert has_outputs == (path != known)
    model = {
        "type": "notebook",
        "content": committed | {"cells": [{**committed["cells"][0], "outputs": [1]}]},
    }
    strip_at_save("notebooks/known.ipynb", model, contents_manager=manager)
    assert model["content"] == committed
