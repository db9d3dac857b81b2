"""The notebooks as git keeps them: thin, without outputs, ready for papermill."""

import ast
import json
from pathlib import Path

import nbformat
import pytest

FILES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PARAMETER_KINDS = (ast.Constant, ast.Dict, ast.UnaryOp)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_the_four_are_there():
    assert {"data", "train", "rmn", "comparison"} <= {path.stem for path in FILES}


def test_nothing_is_stored_but_the_source(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_one_parameters_cell_of_scalars(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        assert isinstance(statement.value, PARAMETER_KINDS)


def test_logic_lives_in_the_package(notebook):
    for source in code(notebook):
        tree = ast.parse(source)
        for node in ast.walk(tree):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For | ast.While | ast.Lambda), (
                source
            )
        assert "import *" not in source
        assert not source.lstrip().startswith(("!", "%"))


def test_prose_leads(notebook):
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    first = prose[0].source
    assert first.startswith("# ")
    for word in ("**Question.**", "**Reads**", "**Writes**", "**Takes**"):
        assert word in first
    words = sum(len(cell.source.split()) for cell in prose)
    assert words > sum(len(source.split()) for source in code(notebook)) * 0.6


def test_files_are_byte_stable_json(notebook):
    path = next(path for path in FILES if nbformat.read(path, as_version=4) == notebook)
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
