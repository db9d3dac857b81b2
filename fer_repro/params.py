"""params.yaml, read and checked once: its typed top level, and what the pipeline is to train."""

import re
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_write, read_yaml
from fer_repro.project_files import packaged
from fer_repro.sections import STRICT, Count, NonNegative, PositiveInt, read_section

FURTHER = ("further_faces", "further_forgeries", "sequences", "hiding", "groups")
"""Tasks of further systems: they are trained with ``further_seeds``."""
TASKS = ("faces", "clips", "pairs", "forgeries", "traces", "synthesis", *FURTHER)
"""What the pipeline trains for: each task with data sets and methods of its own."""
DEFAULT = "default"
"""The entry of ``data`` that holds what the entry of a data set does not set."""


def dataset_names() -> tuple[str, ...]:
    """The data sets that can be added: the files in ``datasets/adapters``."""
    adapters = Path(__file__).parent / "datasets/adapters"
    return tuple(sorted(path.stem for path in adapters.glob("*.py") if path.stem != "__init__"))


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """What a data set is limited to, and by what it is tested."""

    max_train: Count  # samples or clips; 0 keeps all of a split
    max_val: Count
    max_test: Count
    folds: Count  # trained and tested one after the other by the column ``fold``; 0: the set's own split
    select_on: Literal["val", "test"]  # test: as some papers do, with val among the training samples


@dataclass(frozen=True, config=STRICT)
class EvaluationConfig:
    """Intervals and batch sizes of the evaluation."""

    batch_size: PositiveInt
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    bootstrap: PositiveInt
    explained: PositiveInt


@dataclass(frozen=True, config=STRICT)
class RuntimeConfig:
    """Where and how a run computes; numbers depend on the thread count, so it is fixed here."""

    device: Literal["cpu", "cuda", "auto"]
    threads: PositiveInt
    checkpoint_seconds: NonNegative
    compile: bool
    channels_last: bool
    deterministic: bool  # false lets accelerators choose faster algorithms; CPUs stay the same


@dataclass(frozen=True, config=STRICT)
class MethodConfig:
    """A method's arms, and its recipes as written: ``recipes.resolve`` completes them."""

    arms: Annotated[list[str], Field(min_length=1)]
    recipes: dict[str, dict[str, Any]]
    more_arms: list[str] = field(default_factory=list)  # only the full reproduction trains them


@dataclass(frozen=True, config=STRICT)
class TaskConfig:
    """Each of these methods is trained on each of these data sets."""

    datasets: list[str]
    methods: list[str]


@dataclass(frozen=True, config=STRICT)
class PipelineConfig:
    """The data sets with their manifests, and what each task trains."""

    datasets: dict[str, str]
    faces: TaskConfig
    clips: TaskConfig
    pairs: TaskConfig
    forgeries: TaskConfig
    traces: TaskConfig
    synthesis: TaskConfig
    further_faces: TaskConfig
    further_forgeries: TaskConfig
    sequences: TaskConfig
    hiding: TaskConfig
    groups: TaskConfig

    @property
    def tasks(self) -> dict[str, TaskConfig]:
        """Each of ``TASKS`` by name."""
        return {task: getattr(self, task) for task in TASKS}

    @property
    def methods(self) -> list[str]:
        """Every method once, task after task."""
        return list(dict.fromkeys(name for task in self.tasks.values() for name in task.methods))

    @property
    def runs(self) -> dict[tuple[str, str], str]:
        """Every data set with each method that is trained on it, and the task, as dvc.yaml has them."""
        return {
            (dataset, method): name
            for name, task in self.tasks.items()
            for dataset in task.datasets
            for method in task.methods
        }


Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class Params:
    """The whole of params.yaml; ``data`` is complete, recipes are as written."""

    pipeline: PipelineConfig
    full: PipelineConfig  # what the full reproduction trains besides
    seeds: Seeds
    further_seeds: Seeds  # of the tasks ``FURTHER``
    data: dict[str, DataConfig]
    recipe_defaults: dict[str, Any]  # what neither a recipe nor the one that it is like sets
    methods: dict[str, MethodConfig]
    evaluation: EvaluationConfig
    runtime: RuntimeConfig
    detector: str = "cascade"  # finds the faces of videos that are added

    def seeds_of(self, method: str) -> list[int]:
        """Give the seeds that a method is trained with."""
        further = {name for task in FURTHER for name in self.pipeline.tasks[task].methods}
        return self.further_seeds if method in further else self.seeds

    def limits(self, dataset: str, where: str) -> DataConfig:
        """Look up what ``data`` sets for a data set: in its own entry, its adapter's, or the default.

        Raises:
            UserError: the set has no entry, no adapter and no place in the pipeline.
        """
        known = self.data.keys() - {DEFAULT}
        base = dataset.partition("-")[0]
        found = next((name for name in (dataset, base) if name in known), DEFAULT)
        known |= set(dataset_names())
        known |= self.pipeline.datasets.keys() | self.full.datasets.keys()
        if dataset not in known and base not in known:
            raise UserError(f"{where}: data has no '{dataset}'; {nearest(dataset, known)}")
        return self.data[found]


def read_params(params_file: Path) -> Params:
    """Read params.yaml and check all but the recipes, which are checked where they are resolved.

    Raises:
        UserError: the first mistake, with its key and the nearest valid one.
    """
    return _checked(read_yaml(params_file), str(params_file))


def _checked(raw: dict[str, Any], where: str) -> Params:
    for key in ("data", "methods", "pipeline", "full"):
        section = raw.get(key)
        if section is not None and (not isinstance(section, dict) or not section):
            raise UserError(f"{where}: {key} is {section!r}: expected a mapping with at least one entry")
        datasets = section.get("datasets") if isinstance(section, dict) else {}
        for name in (section if key in ("data", "methods") else datasets) or ():
            if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]*", name, re.ASCII):
                raise UserError(
                    f"{where}: {key}: {name!r} becomes a folder: expected letters, digits, _ and -"
                )
    filled = {"further_seeds": raw.get("seeds"), **raw}
    if raw.get("full"):  # needs no task, where dvc.yaml asks for each one of pipeline
        filled["full"] = {**{task: {"datasets": [], "methods": []} for task in TASKS}, **raw["full"]}
    if isinstance(default := (raw.get("data") or {}).get(DEFAULT), dict):
        filled["data"] = {
            name: {**default, **own} if isinstance(own, dict) else own for name, own in raw["data"].items()
        }
    given = raw.get("pipeline")
    for task in TASKS:  # dvc.yaml reads each of them; an unknown key is likely a misspelled one
        if isinstance(given, dict) and task not in given and set(given) <= {*TASKS, "datasets"}:
            empty = f"{task}: {{datasets: [], methods: []}}"
            raise UserError(f"{where}: key 'pipeline.{task}' is missing; to train nothing of it: {empty}")
    params = read_section(Params, filled, where)
    if DEFAULT not in params.data:
        raise UserError(f"{where}: data.{DEFAULT} is missing: expected limits such as max_train")
    _check_repeats(params, where)
    for key in ("pipeline", "full"):
        _check_pipeline(getattr(params, key), f"{where}: {key}", params.methods)
    return params


def _check_repeats(params: Params, where: str) -> None:
    for key in ("seeds", "further_seeds"):
        seeds = getattr(params, key)
        for seed in seeds:
            if seeds.count(seed) > 1:  # the interval would count its runs twice
                raise UserError(f"{where}: {key} holds {seed} twice: expected different seeds")
    for name, method in params.methods.items():
        arms = [*method.arms, *method.more_arms]
        for arm in arms:
            if arms.count(arm) > 1:
                raise UserError(
                    f"{where}: methods.{name}: arm '{arm}' is named twice: expected different arms"
                )


def _check_pipeline(section: PipelineConfig, where: str, methods: Iterable[str]) -> None:
    for name, task in section.tasks.items():
        _check_names(task.datasets, f"{where}.{name}.datasets", f"{where}.datasets", section.datasets)
        _check_names(task.methods, f"{where}.{name}.methods", "methods", methods)
    pairs = [(d, m) for task in section.tasks.values() for d in task.datasets for m in task.methods]
    for dataset, method in pairs:
        if pairs.count((dataset, method)) > 1:  # both would write one folder
            raise UserError(f"{where}: two tasks train '{method}' on '{dataset}': expected one")
    used = {name for task in section.tasks.values() for name in task.datasets}
    for name in section.datasets:
        if name not in used:
            choices = ", ".join(f"{where.rpartition(' ')[2]}.{task}.datasets" for task in TASKS)
            raise UserError(f"{where}.datasets names '{name}', but no task: expected it in {choices}")


def _check_names(names: list[str], where: str, place: str, known: Iterable[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            kind = where.rpartition(".")[2]
            raise UserError(f"{where} names {name!r} twice: expected different {kind}")
        if name not in known:
            raise UserError(f"{where} names '{name}', which {place} does not have; {nearest(name, known)}")


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
    try:
        from ruamel.yaml import YAML
    except ImportError:
        raise UserError("--enable needs ruamel.yaml: pip install 'fer-repro[pipeline]'") from None
    plain = read_yaml(params_file)
    _checked(plain, str(params_file))
    if not _put(plain, dataset, tasks, manifest):
        return False
    _checked(plain, str(params_file))
    yaml = YAML()
    yaml.default_flow_style = False
    written = yaml.load(params_file.read_text(encoding="utf-8"))
    _put(written, dataset, tasks, manifest)
    with atomic_write(params_file) as temporary, temporary.open("w", encoding="utf-8") as stream:
        yaml.dump(written, stream)
    return True


def _put(params: dict[str, Any], dataset: str, tasks: Iterable[str], manifest: str) -> bool:
    """Change what was read of params.yaml; returns whether anything was to do."""
    section = params["pipeline"]
    changed = section["datasets"].get(dataset) != manifest
    section["datasets"][dataset] = manifest
    for task in tasks:
        if dataset not in section[task]["datasets"]:
            section[task]["datasets"].append(dataset)
            changed = True
    return bool(changed)


def dataset_manifest(params_file: Path, dataset: str) -> Path:
    """Where the manifest of a data set lies: as ``pipeline`` or ``full`` names it, else in ``stores/``.

    The package's own params.yaml has its data beside it; added sets are then in the working folder.

    Raises:
        UserError: the data set is unknown; see ``Params.limits``.
    """
    params = read_params(params_file)
    params.limits(dataset, str(params_file))
    known = {**params.full.datasets, **params.pipeline.datasets}
    if dataset in known:
        return params_file.parent / known[dataset]
    home = Path() if params_file == packaged("params.yaml") else params_file.parent
    return home / "stores" / dataset / "manifest.json"
