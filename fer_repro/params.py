"""params.yaml as it stands: its top level, and what the pipeline is to train."""

import re
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
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
            raise UserError(f"{params_file}: seeds holds {seed!r}: expected whole numbers from 0")
        if params["seeds"].count(seed) > 1:  # the interval would count its runs twice
            raise UserError(f"{params_file}: seeds holds {seed} twice: expected different seeds")
    for key in ("data", "full", "methods", "pipeline"):
        if not isinstance(params[key], dict) or not params[key]:
            raise UserError(
                f"{params_file}: {key} is {params[key]!r}: expected a mapping with at least one entry"
            )
    for key in ("data", "methods"):
        for name in params[key]:
            if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name, re.ASCII):
                raise UserError(
                    f"{params_file}: {key}: {name!r} becomes a folder: expected letters, digits, _ and -"
                )
    for name, section in params["methods"].items():
        _check_method(section, f"{params_file}: methods.{name}")
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


def _check_method(section: object, where: str) -> None:
    if not isinstance(section, dict):
        raise UserError(f"{where} is {section!r}: expected arms and recipes")
    arms = [arm for key in ("arms", "more_arms") for arm in _listed(section.get(key))]
    for arm in arms:
        if arms.count(arm) > 1:
            raise UserError(f"{where}: arm '{arm}' is named twice: expected different arms")


def _listed(section: object) -> list[Any]:
    return section if isinstance(section, list) else []


def _check_task(section: object, where: str, methods: dict[str, Any]) -> None:
    if not isinstance(section, dict):
        raise UserError(f"{where} is {section!r}: expected datasets and methods")
    _check_keys(section, ("datasets", "methods"), where)
    if not isinstance(section["datasets"], dict):
        raise UserError(f"{where}.datasets is {section['datasets']!r}: expected names with manifests")
    if not isinstance(section["methods"], list):
        raise UserError(f"{where}.methods is {section['methods']!r}: expected a list of names")
    for name, manifest in section["datasets"].items():
        if not isinstance(name, str) or not isinstance(manifest, str):
            raise UserError(f"{where}.datasets: {name!r} is {manifest!r}: expected a name with its manifest")
    for name in section["methods"]:
        if section["methods"].count(name) > 1:
            raise UserError(f"{where}.methods names {name!r} twice: expected different methods")
        if not isinstance(name, str) or name not in methods:
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
