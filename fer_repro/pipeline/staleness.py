"""What has changed since numbers were made: code, parameters and data, each with its file or key."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from fer_repro.config import DATA_DIGESTS, HALF, load_config
from fer_repro.datasets.store import MANIFEST, open_store
from fer_repro.errors import UserError
from fer_repro.git import ask_git, changed_files, head_commit
from fer_repro.params import read_params
from fer_repro.pipeline.check_results import LOCK
from fer_repro.pipeline.inputs import INPUTS
from fer_repro.report.records import CODE
from fer_repro.stage_code import RUN, STAGES, TRAINING, changed_digests, code_digests

PARAMS = Path("params.yaml")
_MOST = 8  # files that are named


def stale_record(record: Mapping[str, Any]) -> Iterator[str]:
    """Name what has changed since a record was made.

    Args:
        record: what its record.json holds.
    """
    method, dataset, then = record["method"], record["dataset"], record.get(CODE)
    if then is None:
        yield "code: not known, the record keeps no digests of it"
    else:
        yield from _changed_code(then, code_digests(TRAINING, method))
    arm = str(record["runs"][0]["arm"]) if record["runs"] else ""
    half = bool(record.get(HALF))
    yield from changed_recipe(record["recipe"], method, dataset, arm, record["recipe_name"], half)
    yield from changed_data(record.get(DATA_DIGESTS, {}), dataset)


def _changed_code(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in changed_digests(then, now):
        yield f"code: fer_repro/{name} {'has changed' if name in now else 'is gone'}"


def stale_runs(
    configs: Sequence[Mapping[str, Any]], outdated: Sequence[str], dataset: str, method: str
) -> list[str]:
    """Name what has changed since the pipeline's own runs of a method were made.

    The runs' own files and the digests in ``inputs`` come first, for DVC compares parameters and code only
    after the stage ``inputs`` was run; its lines are added where they say more.

    Args:
        configs: what config.json of each run holds; those that are here.
        outdated: lines of ``outdated_stages``, or one that begins with "unknown".
        dataset: of the runs.
        method: likewise.
    """
    found = list[str]()
    for config in configs:
        given = config["recipe"], method, dataset, str(config["arm"]), str(config["recipe_name"])
        found += changed_recipe(*given)
        found += changed_data(config.get(DATA_DIGESTS, {}), dataset)
    for stage in ("train", "evaluate"):
        path = INPUTS / "code" / f"{stage}-{method}.json"
        if path.is_file():
            patterns = STAGES[f"{stage}-{{method}}"]
            found += _changed_code(json.loads(path.read_text("utf-8")), code_digests(patterns, method))
    if found:  # what `inputs` states is named by its file or key already
        outdated = [line for line in outdated if not _is_by_inputs(line)]
    stages = stale_stages(outdated, dataset, method)
    return list(dict.fromkeys([*found, *stages]))


def _is_by_inputs(line: str) -> bool:
    reasons = line.partition(": ")[2].split(", ")
    return all(reason.startswith(f"{INPUTS}/") for reason in reasons)


def changed_recipe(
    then: Mapping[str, Any], method: str, dataset: str, arm: str, name: str, half: bool = False
) -> Iterator[str]:
    """Name the numbers of a recipe that params.yaml has otherwise now; what is new there has its default.

    Args:
        then: the resolved recipe of a run.
        method: that was trained.
        dataset: it was trained on.
        arm: whose learning rate the recipe has.
        name: of the recipe.
        half: the run had half the recipe's epochs.
    """
    try:
        now = _flat(asdict(load_config(PARAMS, method, dataset, arm, 0, name).recipe))
    except UserError as error:
        yield f"parameters: {error}"
        return
    before, defaults = _flat(then), _flat(read_params(PARAMS).recipe_defaults)
    ignored = {"note", *(["epochs"] if half else [])}
    for key in sorted({*now, *before} - ignored):
        if before.get(key, defaults.get(key)) != now.get(key):
            was = json.dumps(before[key]) if key in before else "not there"
            yield f"parameters: {PARAMS}: {method}, {name}: {key} was {was}, is {json.dumps(now.get(key))}"


def _flat(section: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Name every leaf of nested mappings by its dotted path."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def changed_data(then: Mapping[str, str], dataset: str) -> Iterator[str]:
    """Name the files of a data set that are others now, where it is here.

    Args:
        then: digests that a run keeps of its data.
        dataset: prepared or added.
    """
    folders = [top / dataset for top in map(Path, ("prepared", "stores"))]
    for folder in [folder for folder in folders if (folder / MANIFEST).is_file() and then][:1]:
        now = open_store(folder).digests
        for name in sorted(name for name in {*now, *then} if now.get(name) != then.get(name)):
            yield f"data: {name} of {folder} has changed"


def stale_stages(outdated: Sequence[str], dataset: str, method: str) -> Iterator[str]:
    """Name the stages of a method that are not as in dvc.lock, and the files changed since its commit.

    Args:
        outdated: lines of ``outdated_stages``, or one that begins with "unknown".
        dataset: of the stages.
        method: likewise.
    """
    own = [line for line in outdated if f"{dataset}-{method}" in line or f"prepare@{dataset}:" in line]
    yield from _joined_seeds(own) or [line for line in outdated if line.startswith("unknown")]
    if not own or not head_commit(Path())[0]:
        return
    since = ask_git(Path(), "log", "-1", "--format=%H", "--", str(LOCK))
    used = {*code_digests(RUN, method), *code_digests(STAGES["evaluate-{method}"], method)}
    changed = ask_git(Path(), "diff", "--name-only", since, "HEAD").splitlines() if since else []
    names = {*changed, *changed_files(Path())}
    names = {name for name in names if name == str(PARAMS) or name.removeprefix("fer_repro/") in used}
    yield from (f"{name} has changed since {LOCK} was committed" for name in islice(sorted(names), _MOST))


def _joined_seeds(lines: Sequence[str]) -> list[str]:
    """Say once what holds for the stages of several seeds.

    >>> _joined_seeds(["train@a-b-0: code modified", "train@a-b-1: code modified", "compare: code modified"])
    ['train@a-b, seeds 0, 1: code modified', 'compare: code modified']
    """
    seeds: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        name, _, rest = line.partition(": ")
        stage, _, seed = name.rpartition("-")
        key, number = ((stage, rest), seed) if seed.isdecimal() else ((name, rest), "")
        seeds.setdefault(key, []).append(number)
    names = {key: f"{key[0]}, seeds {', '.join(found)}" for key, found in seeds.items() if any(found)}
    return [f"{names.get(key, key[0])}: {key[1]}" for key in seeds]
