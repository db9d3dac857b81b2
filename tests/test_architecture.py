"""The layers hold, notebooks are stored clean and thin, and nothing in the store is large."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_imports_go_one_way():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", ["config.py", "measures", "figures", "report", "pipeline/notebooks.py"])
def test_what_needs_no_torch_loads_none(place):
    path = ROOT / "fer_repro" / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" not in loaded
    above = ("evaluation", "runs", "methods", "data")
    assert place != "report" or not loaded & {f"fer_repro.{name}" for name in above}


def test_packages_hold_a_docstring_and_nothing_else():
    for path in (ROOT / "fer_repro").glob("*/**/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_the_main_block_ends_its_module():
    """What is defined below it does not exist yet when the module runs as a program."""
    for path in (ROOT / "fer_repro").rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        mains = [node for node in body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
        assert not mains or mains[-1] is body[-1], path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_stored_without_outputs(self, path):
        for cell in code_cells(path):
            assert not cell.outputs
            assert cell.execution_count is None

    def test_names_its_kernel_and_one_parameters_cell(self, path):
        notebook = nbformat.read(path, as_version=4)
        assert notebook.metadata.kernelspec.name == "python3"
        assert notebook.metadata.kernelspec.language == "python"
        tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        assert len(tagged) == 1

    def test_defines_nothing_and_hides_nothing(self, path):
        for cell in code_cells(path):
            assert not cell.source.lstrip().startswith("%%"), cell.source
            lines = cell.source.splitlines()
            assert not [line for line in lines if line.lstrip().startswith(("!", "%"))]
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), (
                    cell.source
                )
                if isinstance(node, ast.ImportFrom):
                    assert node.names[0].name != "*", cell.source

    def test_tells_at_least_as_much_as_it_computes(self, path):
        notebook = nbformat.read(path, as_version=4)
        prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
        assert prose >= len(code_cells(path))


def test_the_embedded_store_stays_small():
    size = sum(path.stat().st_size for path in (ROOT / "dvcstore").rglob("*") if path.is_file())
    assert size <= 9_000_000
