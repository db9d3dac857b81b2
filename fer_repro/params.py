"""params.yaml as it stands: its top level, and what the pipeline is to train."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fer_repro.errors import UserError, nearest
from fer_repro.files import read_yaml

TOP_LEVEL = ("data", "evaluation", "full", "methods", "pipeline", "runtime", "seeds")
TASKS = ("faces", "clips", "pairs", "forgeries")
"""What the pipeline trains for: each task with data sets and methods of its own."""


def read_params(params_file: Path) -> dict[str, Any]:
    """Read params.yaml and check its top level.

    Raises:
        UserError: an unknown or missing top-level key, or one of the wrong kind.
    """
    params = read_yaml(params_file)
    _check_keys(params, TOP_LEVEL, f"{params_file}")
    if not isinstance(params["seeds"], list) or not params["seeds"]:
        raise UserError(
            f"{params_file}: seeds is {params['seeds']!r}: expected a list with at least one entry"
        )
    for seed in params["seeds"]:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"{params_file}: seeds holds {seed!r}: expected whole numbers from 0")
    for key in ("data", "full", "methods", "pipeline"):
        if not isinstance(params[key], dict) or not params[key]:
            raise UserError(
                f"{params_file}: {key} is {params[key]!r}: expected a mapping with at least one entry"
            )
    for key in ("full", "pipeline"):
        _check_keys(params[key], TASKS, f"{params_file}: {key}")
        for task, section in params[key].items():
            _check_task(section, f"{params_file}: {key}.{task}", params["methods"])
    names = [name for section in params["pipeline"].values() for name in section["datasets"]]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{params_file}: pipeline: data set '{name}' stands in two tasks; expected one")
    return params


def _check_keys(section: dict[str, Any], keys: Iterable[str], where: str) -> None:
    for key in section:
        if key not in keys:
            raise UserError(f"{where}: unknown key '{key}'; {nearest(str(key), keys)}")
    for key in keys:
        if key not in section:
            raise UserError(f"{where}: key '{key}' is missing")


def _check_task(section: object, where: str, methods: dict[str, Any]) -> None:
    if not isinstance(section, dict):
        raise UserError(f"{where} is {section!r}: expected datasets and methods")
    _check_keys(section, ("datasets", "methods"), where)
    if not isinstance(section["datasets"], dict):
        raise UserError(f"{where}.datasets is {section['datasets']!r}: expected names with manifests")
    if not isinstance(section["methods"], list):
        raise UserError(f"{where}.methods is {section['methods']!r}: expected a list of names")
    for name in section["methods"]:
        if name not in methods:
            raise UserError(
                f"{where}.methods names '{name}', which methods lacks; {nearest(str(name), methods)}"
            )


def pipeline_datasets(params: dict[str, Any], key: str = "pipeline") -> dict[str, str]:
    """Every data set of the pipeline, or of ``full``, and its manifest, task after task."""
    return {
        str(name): str(manifest)
        for section in params[key].values()
        for name, manifest in section["datasets"].items()
    }


def pipeline_methods(params: dict[str, Any]) -> list[str]:
    """Every method of the pipeline once, task after task."""
    return list(dict.fromkeys(str(n) for section in params["pipeline"].values() for n in section["methods"]))


def pipeline_runs(params: dict[str, Any], key: str = "pipeline") -> list[tuple[str, str]]:
    """Every data set with each method that the pipeline trains on it, as the matrix of dvc.yaml has them.

    Args:
        params: from ``read_params``.
        key: ``full`` gives what only the full reproduction trains.
    """
    return [
        (str(dataset), str(method))
        for section in params[key].values()
        for dataset in section["datasets"]
        for method in section["methods"]
    ]


def dataset_manifest(params_file: Path, dataset: str) -> Path:
    """Where the manifest of a data set lies: as ``pipeline`` or ``full`` says, else in ``stores/``.

    Raises:
        UserError: ``data`` does not know the data set.
    """
    params = read_params(params_file)
    if dataset not in params["data"]:
        raise UserError(f"{params_file}: data has no '{dataset}'; {nearest(dataset, params['data'])}")
    known = {**pipeline_datasets(params, "full"), **pipeline_datasets(params)}
    return params_file.parent / known.get(dataset, f"stores/{dataset}/manifest.json")
