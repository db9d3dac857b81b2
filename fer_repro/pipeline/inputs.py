"""What stages depend on, without what does not affect them: the pipeline's first stage, a second long.

``python -m fer_repro.pipeline.inputs`` copies the notebooks without outputs and without what editors note in
them, and writes the resolved recipe of each run, the digests of the code that makes each stage's numbers
(stage_code.py), and the sections of params.yaml that all runs together depend on. All other stages depend on
these files, so that a notebook that was run and saved, or a comment in params.yaml, re-runs this stage alone.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fer_repro.config import ARM_RATE, load_config, method_arms
from fer_repro.errors import UserError, exit_code
from fer_repro.files import atomic_folder
from fer_repro.git import ask_git
from fer_repro.params import Params, read_params
from fer_repro.stage_code import STAGES, changed_digests, code_digests

INPUTS = Path("inputs")
NOTEBOOKS = Path("notebooks")
COMPARED = (
    "methods",
    "pipeline",
    "recipe_defaults",
    "seeds",
    "further_seeds",
)  # what the comparison and the report read of params.yaml
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def write_inputs(params_file: Path, notebooks: Path, out: Path) -> None:
    """Write notebooks/NAME.ipynb, recipes/DATASET/METHOD.json, code/STAGE.json, params.json and full.json.

    All files are replaced in one step.

    Args:
        params_file: usually ``params.yaml``.
        notebooks: folder of the notebooks.
        out: the folder to write.

    Raises:
        UserError: a mistake in params.yaml, or a file that is not a notebook.
    """
    sources = {path.name: stripped(read_notebook(path)) for path in sorted(notebooks.glob("*.ipynb"))}
    params = read_params(params_file)
    recipes = {run: _resolved(params_file, *run) for run in params.pipeline.runs}
    methods = sorted({method for _, method in (*params.pipeline.runs, *params.full.runs)})
    with atomic_folder(out, force=True) as folder:
        for name, notebook in sources.items():
            _write_json(folder / "notebooks" / name, notebook)
        for (dataset, method), values in recipes.items():
            _write_json(folder / "recipes" / dataset / f"{method}.json", values)
        for stage, patterns in STAGES.items():
            for method in methods if "{method}" in stage else [""]:
                digests = code_digests(patterns, method)
                _write_json(folder / "code" / f"{stage.format(method=method)}.json", digests)
        _write_json(folder / "params.json", {key: asdict(params)[key] for key in COMPARED})
        _write_json(folder / "full.json", full_plan(params))


def full_plan(params: Params) -> dict[str, dict[str, Any]]:
    """Name what the full reproduction prepares, trains and records, as full/dvc.yaml takes it."""
    pairs = [
        {"dataset": dataset, "method": method}
        for dataset, method in {**params.pipeline.runs, **params.full.runs}
    ]
    default = pairs[: len(params.pipeline.runs)]
    return {
        "datasets": {**params.pipeline.datasets, **params.full.datasets},
        "runs": {
            f"{pair['dataset']}-{pair['method']}-{seed}": {**pair, "seed": seed}
            for pair in pairs
            for seed in params.seeds_of(pair["method"])
        },
        "records": {f"{pair['dataset']}-{pair['method']}": pair for pair in pairs},
        "half": {  # a recipe without an optimiser has no epochs to halve
            f"{pair['dataset']}-{pair['method']}": pair
            for pair in default
            for own in [params.methods[pair["method"]].recipes.get(pair["dataset"], {})]
            if own.get("optimiser", {}).get("name") != "none"
        },
        "long": {
            f"{pair['dataset']}-{pair['method']}": pair
            for pair in pairs
            if params.methods[pair["method"]].recipes.get("long", {}).get("like") == pair["dataset"]
        },
    }


def check_code(notebooks: Path, name: str, method: str) -> None:
    """Refuse to compute with code that differs from the code whose digests a stage depends on.

    Code that was edited after ``write_inputs``, or while a stage ran, would give numbers that DVC takes for
    those of the code before.

    Args:
        notebooks: folder of the stage's notebook; there are digests beside ``inputs/notebooks`` alone.
        name: of the notebook.
        method: that it trains; empty where there is none.

    Raises:
        UserError: naming the first file that has changed.
    """
    stage = {"data": "prepare", "train": "train-{method}", "comparison": "compare"}.get(
        name, "evaluate-{method}"
    )
    method = method or name
    path = notebooks.parent / "code" / f"{stage.format(method=method)}.json"
    if not path.is_file():
        return
    then = json.loads(path.read_text(encoding="utf-8"))
    now = code_digests(STAGES[stage], method)
    if changed := changed_digests(then, now):
        raise UserError(
            f"fer_repro/{changed[0]} has changed since {path} was written; to update everything: dvc repro"
        )


def changed_code(inputs: Path = INPUTS) -> list[str]:
    """List the package's files that are others than those whose digests ``write_inputs`` wrote, sorted."""
    changed = set()
    for path in inputs.glob("code/*.json"):
        then = json.loads(path.read_text(encoding="utf-8"))
        changed.update(changed_digests(then, code_digests(then)))
    return sorted(changed)


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook of format 4.

    Raises:
        UserError: it is not readable as one.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as a notebook: {error}") from None
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise UserError(f"{path}: expected a notebook of format 4")
    for number, cell in enumerate(found["cells"], 1):
        if not isinstance(cell, dict) or not {"cell_type", "metadata", "source"} <= cell.keys():
            raise UserError(f"{path}: cell {number} has no cell_type, metadata or source")
    return found


def stripped(notebook: Mapping[str, Any], keep_ids: bool = False) -> dict[str, Any]:
    """Reduce a notebook to what decides what it does and prints: cells, their text, tags and attachments.

    Args:
        notebook: of format 4.
        keep_ids: keep the cells' ids and empty cells but the last, as a file that people edit has them; else
            ids follow from the text, as some editors give new ones each time.
    """
    cells = [_cell(index, cell, keep_ids) for index, cell in enumerate(notebook["cells"])]
    while cells and _is_empty(cells[-1]):  # Shift+Enter in the last cell adds one
        cells.pop()
    if not keep_ids:
        cells = [cell for cell in cells if not _is_empty(cell)]
    return {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}


def _cell(index: int, cell: Mapping[str, Any], keep_id: bool) -> dict[str, Any]:
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    tags = cell["metadata"].get("tags")
    digest = hashlib.sha256(f"{index}\n{source}".encode()).hexdigest()[:12]
    kept: dict[str, Any] = {
        "cell_type": cell["cell_type"],
        "id": cell.get("id", digest) if keep_id else digest,
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source.splitlines(keepends=True),
    }
    if cell.get("attachments"):
        kept["attachments"] = cell["attachments"]
    if cell["cell_type"] == "code":
        kept |= {"execution_count": None, "outputs": []}
    return kept


def _is_empty(cell: Mapping[str, Any]) -> bool:
    return not "".join(cell["source"]).strip() and not cell.get("attachments")


def strip_at_save(path: str, model: dict[str, Any], contents_manager: Any, **_: Any) -> None:  # noqa: ANN401 - Jupyter's
    """Save the project's own notebooks without outputs: Jupyter's ``pre_save_hook``, as ``make lab`` sets it.

    Notebooks that git does not track keep their outputs.
    """
    file = Path(contents_manager.root_dir, path.strip("/")).absolute()
    if model.get("type") != "notebook" or file.parent.name != NOTEBOOKS.name:
        return
    try:
        ask_git(file.parent, "ls-files", "--error-unmatch", "--", file.name)
    except UserError:
        return
    model["content"] = stripped(model["content"], keep_ids=True)


def _resolved(params_file: Path, dataset: str, method: str) -> dict[str, Any]:
    arms = method_arms(params_file, method)
    configs = {arm: load_config(params_file, method, dataset, arm, seed=0) for arm in arms}
    first = configs[arms[0]]
    rates = {arm: config.recipe.arm_rate for arm, config in configs.items()}
    recipe = asdict(first.recipe) | {ARM_RATE: rates}
    return {"data": asdict(first.data), "recipe": recipe, "recipe_name": first.recipe_name}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m fer_repro.pipeline.inputs", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--out", type=Path, default=INPUTS)
    chosen = parser.parse_args(arguments)
    return exit_code(write_inputs, chosen.params, NOTEBOOKS, chosen.out)


if __name__ == "__main__":
    sys.exit(_main())
