"""params.yaml as it stands: its top level, and what the pipeline is to train."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_write, read_yaml

TOP_LEVEL = ("data", "evaluation", "full", "methods", "pipeline", "runtime", "seeds")
FINDER = "detector"
"""The optional key of params.yaml that names what finds the faces of videos that are added."""
TASKS = ("faces", "clips", "pairs", "forgeries")
"""What the pipeline trains for: each task with data sets and methods of its own."""
DEFAULT = "default"
"""The entry of ``data`` that holds what the entry of a data set does not say."""
_AXES = ("datasets", "methods")


def read_params(params_file: Path) -> dict[str, Any]:
    """Read params.yaml and check its top level.

    Raises:
        UserError: an unknown or missing top-level key, or one of the wrong kind.
    """
    params = read_yaml(params_file)
    _check_keys({key: value for key, value in params.items() if key != FINDER}, TOP_LEVEL, f"{params_file}")
    if not isinstance(params.get(FINDER, ""), str):
        raise UserError(f"{params_file}: {FINDER} is {params[FINDER]!r}: expected cascade or yunet:FILE")
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
    pipelines = {f"{key}.datasets": params[key].get("datasets") for key in ("full", "pipeline")}
    for key, section in {"data": params["data"], "methods": params["methods"], **pipelines}.items():
        for name in section if isinstance(section, dict) else ():
            if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name, re.ASCII):
                raise UserError(
                    f"{params_file}: {key}: {name!r} becomes a folder: expected letters, digits, _ and -"
                )
    for name, section in params["methods"].items():
        _check_method(section, f"{params_file}: methods.{name}")
    for key in ("full", "pipeline"):
        _check_pipeline(params[key], f"{params_file}: {key}", params["methods"])
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


def _check_pipeline(section: dict[str, Any], where: str, methods: dict[str, Any]) -> None:
    _check_keys(section, ("datasets", *TASKS), where)
    if not isinstance(section["datasets"], dict):
        raise UserError(f"{where}.datasets is {section['datasets']!r}: expected names with manifests")
    for name, manifest in section["datasets"].items():
        if not isinstance(name, str) or not isinstance(manifest, str):
            raise UserError(f"{where}.datasets: {name!r} is {manifest!r}: expected a name with its manifest")
    tasks = {task: section[task] for task in TASKS}
    for task, chosen in tasks.items():
        if not isinstance(chosen, dict):
            raise UserError(f"{where}.{task} is {chosen!r}: expected datasets and methods")
        _check_keys(chosen, _AXES, f"{where}.{task}")
        for axis, known in zip(_AXES, (section["datasets"], methods), strict=True):
            _check_axis(chosen[axis], f"{where}.{task}.{axis}", axis, known)
    pairs = [(d, m) for chosen in tasks.values() for d in chosen["datasets"] for m in chosen["methods"]]
    for dataset, method in pairs:
        if pairs.count((dataset, method)) > 1:  # both would write one folder
            raise UserError(f"{where}: two tasks train '{method}' on '{dataset}': expected one")
    for name in section["datasets"]:
        if not any(name in chosen["datasets"] for chosen in tasks.values()):
            raise UserError(f"{where}.datasets names '{name}', but no task: expected it in {_choices(where)}")


def _check_axis(names: object, where: str, axis: str, known: dict[str, Any]) -> None:
    if not isinstance(names, list):
        raise UserError(f"{where} is {names!r}: expected a list of names")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where} names {name!r} twice: expected different {axis}")
        if not isinstance(name, str) or name not in known:
            place = (
                "methods" if axis == "methods" else f"{where.rpartition('.')[0].rpartition('.')[0]}.datasets"
            )
            raise UserError(f"{where} names '{name}', which {place} lacks; {nearest(str(name), known)}")


def _choices(where: str) -> str:
    key = where.rpartition(" ")[2]
    return ", ".join(f"{key}.{task}.datasets" for task in TASKS)


def pipeline_datasets(params: dict[str, Any], key: str = "pipeline") -> dict[str, str]:
    """Every data set of the pipeline, or of ``full``, and its manifest."""
    return dict(params[key]["datasets"])


def pipeline_methods(params: dict[str, Any]) -> list[str]:
    """Every method of the pipeline once, task after task."""
    return list(dict.fromkeys(name for task in TASKS for name in params["pipeline"][task]["methods"]))


def pipeline_runs(params: dict[str, Any], key: str = "pipeline") -> dict[tuple[str, str], str]:
    """Every data set with each method that the pipeline trains on it, and the task, as dvc.yaml has them.

    Args:
        params: from ``read_params``.
        key: ``full`` gives what only the full reproduction trains.
    """
    return {
        (dataset, method): task
        for task in TASKS
        for dataset in params[key][task]["datasets"]
        for method in params[key][task]["methods"]
    }


def data_limits(params: dict[str, Any], dataset: str, where: str) -> dict[str, Any]:
    """What ``data`` says of a data set: in its own entry or its adapter's, else in the default.

    Raises:
        UserError: ``data`` knows neither the data set nor its adapter.
    """
    known = params["data"]
    name = dataset if dataset in known else dataset.partition("-")[0]
    if name not in known or name == DEFAULT:
        raise UserError(f"{where}: data has no '{dataset}'; {nearest(dataset, known.keys() - {DEFAULT})}")
    default = known.get(DEFAULT, {})
    if not isinstance(default, dict) or not isinstance(known[name], dict):
        raise UserError(f"{where}: data.{name} is {known[name]!r}: expected limits such as max_train")
    return {**default, **known[name]}


def enable_dataset(params_file: Path, dataset: str, tasks: Iterable[str], manifest: str) -> bool:
    """Put a data set into the pipeline, in the form that DVC's own writer gives params.yaml.

    Args:
        params_file: usually ``params.yaml``; comments stay, and a mistake leaves it as it is.
        dataset: its name.
        tasks: those of ``TASKS`` that train on it.
        manifest: of the set, seen from the project's folder.

    Returns:
        Whether the file has changed.

    Raises:
        UserError: the file is not in order before or after, or no YAML writer is installed.
    """
    read_params(params_file)
    try:
        from ruamel.yaml import YAML
    except ImportError:
        raise UserError("--enable needs ruamel.yaml: pip install 'fer-repro[pipeline]'") from None
    yaml = YAML()
    yaml.default_flow_style = False
    found = yaml.load(params_file.read_text(encoding="utf-8"))
    section, changed = found["pipeline"], False
    if section["datasets"].get(dataset) != manifest:
        section["datasets"][dataset], changed = manifest, True
    for task in tasks:
        if dataset not in section[task]["datasets"]:
            section[task]["datasets"].append(dataset)
            changed = True
    if changed:
        with atomic_write(params_file) as temporary:
            with temporary.open("w", encoding="utf-8") as stream:
                yaml.dump(found, stream)
            read_params(temporary)
    return changed


def dataset_manifest(params_file: Path, dataset: str) -> Path:
    """Where the manifest of a data set lies: as ``pipeline`` or ``full`` says, else in ``stores/``.

    Raises:
        UserError: ``data`` knows neither the data set nor its adapter.
    """
    params = read_params(params_file)
    data_limits(params, dataset, str(params_file))
    known = {**pipeline_datasets(params, "full"), **pipeline_datasets(params)}
    return params_file.parent / known.get(dataset, f"stores/{dataset}/manifest.json")
