"""Export a record as an RO-Crate of the profile Workflow Run, the form in which other tools read provenance.

The crate holds the record's files and one action: the commands that make the record again, applied to data
(named by digest) and parameters, with software, results, author and licence. What a record does not keep,
such as the time at which its runs ended, is left out. https://w3id.org/ro/wfrun/workflow/0.5
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_repro.config import DATA_DIGESTS, HALF
from fer_repro.datasets.dataset import is_addable, load_dataset
from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_folder, file_sha256
from fer_repro.git import ask_git
from fer_repro.inference.cards import CODE_LICENCE, NO_REAL_PERSON
from fer_repro.recipes import is_synthetic
from fer_repro.report.records import read_record, spell_machine

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

COMMANDS = "commands.sh"
CONTRIBUTORS = "fer_repro contributors"
_FULL = {"full-": "record", "half-": "half", "long-": "long", "half-long-": "long"}
"""How the names of records begin that the full reproduction makes -> its stage in full/dvc.yaml."""
_VERSION = "1.1"  # of RO-Crate, as the profiles want it
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_LICENCE = f"https://spdx.org/licenses/{CODE_LICENCE}"
_FORMATS = {
    ".csv": "text/csv", ".json": "application/json", ".npz": "application/zip", ".sh": "application/x-sh"
}  # fmt: skip
_UNKNOWN = "application/octet-stream"


def export_crate(name: str, to: Path, force: bool = False, records: Path = Path("results/records")) -> Path:
    """Write a record as an RO-Crate.

    Args:
        name: of the record.
        to: the folder to write.
        force: replace a folder that is there.
        records: where records live.

    Returns:
        The folder.

    Raises:
        UserError: there is no such record, ``rocrate`` is not installed, or the folder exists.
    """
    known = sorted(path.parent.name for path in records.glob("*/record.json"))
    if name not in known:
        raise UserError(f"{records} has no record '{name}'; {nearest(name, known)}")
    try:
        from rocrate.rocrate import ROCrate
    except ImportError:
        raise UserError(
            "--crate needs rocrate, which is not installed: pip install 'fer-repro[crate]'"
        ) from None
    folder = records / name
    record = read_record(folder / "record.json")
    with atomic_folder(to, force) as temporary:
        crate = ROCrate(version=_VERSION)
        crate.metadata.extra_contexts.append(_TERMS)
        _describe(crate, name, record, folder)
        action = _action(crate, name, record, commands(name, record, (folder / "runs").is_dir()))
        action["agent"] = _agent(crate, folder)
        action["object"] = [*_data(crate, record), *_parameters(crate, record)]
        action["result"] = list(_results(crate, folder))
        crate.mainEntity["output"] = _outputs(crate, action["result"])
        crate.write(temporary)
    return to


def commands(name: str, record: Mapping[str, Any], kept: bool = False) -> str:
    """Write the commands that make a record again, as a shell script; see ``again``."""
    where = f"at commit {record['commit']}" if record["commit"] else "whose commit was not recorded"
    head = f"#!/bin/sh\n# Makes this record again, in the project {where}, with its data.\nset -e\n"
    return head + "\n".join(again(name, record, kept)) + "\n"


def again(name: str, record: Mapping[str, Any], kept: bool = False) -> list[str]:
    """Name the commands that make a record again.

    Args:
        name: of the record.
        record: what its record.json holds.
        kept: the record keeps its runs.
    """
    method, dataset, half = record["method"], record["dataset"], bool(record.get(HALF))
    seeds = sorted({run["seed"] for run in record["runs"]})
    stage = _FULL.get(name.removesuffix(f"{dataset}-{method}"), "") if is_synthetic(dataset) else ""
    if stage:  # its arms are more than `fer-repro train` trains
        return ["make reproduce", f"dvc --cd full repro {stage}@{dataset}-{method}"]
    recipe = f" --recipe {record['recipe_name']}" if record["recipe_name"] != dataset else ""
    epochs = f" -s recipe.epochs={record['recipe']['epochs']}" if half else ""
    chosen = "".join(f" --seed {seed}" for seed in seeds)
    kinds = f"{' --half' if half else ''}{' --keep-runs' if kept else ''}"
    return [
        *(f"fer-repro train {method} {dataset} --seed {seed}{recipe}{epochs}" for seed in seeds),
        f"fer-repro evaluate {method} {dataset}{chosen}",
        f"fer-repro record {name} {dataset} {method}{kinds} --project scratch",
    ]


def _describe(crate: "ROCrate", name: str, record: Mapping[str, Any], folder: Path) -> None:
    """State what the crate is, when the record was published, by whom and with which licence."""
    when, _ = _published(folder)
    machine = spell_machine(record["environment"])
    crate.name = f"{name}: {record['method']} on {record['dataset']}, measured with fer_repro"
    crate.description = (
        " ".join(
            f"{part.rstrip('.')}." for part in (record["note"], machine and f"Machine: {machine}") if part
        )
        or f"Rows and intervals of {record['method']} on {record['dataset']}."
    )
    crate.datePublished = when
    crate.license = _add(
        crate, _LICENCE, "CreativeWork", name=f"{CODE_LICENCE} License",
        description=f"Of these results and of the code. Of the data: {_terms(record['dataset'])}",
    )  # fmt: skip
    project = _add(crate, "#contributors", "Organization", name=CONTRIBUTORS)
    crate.root_dataset["author"] = crate.root_dataset["publisher"] = project
    text = f"# {crate.name}\n\n{crate.description}\n\n`{COMMANDS}` makes it again.\n"
    facts = {"name": "README", "encodingFormat": "text/markdown"}
    crate.add_file(StringIO(text), "README.md", properties=facts)["about"] = crate.root_dataset
    profiles = [
        _add(crate, profile, "CreativeWork", name=title, version=version)
        for profile, (title, version) in _PROFILES.items()
    ]
    crate.root_dataset["conformsTo"] = profiles


def _agent(crate: "ROCrate", folder: Path) -> "Entity":
    """Name who recorded: git's author of the record, else git's own user, else the contributors."""
    _, who = _published(folder)
    return _add(crate, "#who", "Person", name=who) if who else crate.get("#contributors")


def _published(folder: Path) -> tuple[str, str]:
    """Return when and by whom a record was committed; of a new one when it was written, and git's user."""
    try:
        when, _, who = ask_git(folder, "log", "-1", "--format=%cI|%an", "--", ".").partition("|")
        if when:
            return when, who
        who = ask_git(folder, "config", "user.name")
    except UserError:  # no repository, or git knows no user
        who = ""
    written = (folder / "record.json").stat().st_mtime
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"), who


def _action(crate: "ROCrate", name: str, record: Mapping[str, Any], script: str) -> "Entity":
    """Describe the run: the workflow that was applied, with its software, and on what machine."""
    from rocrate.model.computerlanguage import ComputerLanguage

    shell = crate.add(ComputerLanguage(crate, "#sh", properties={"name": "POSIX shell"}))
    workflow = crate.add_workflow(
        StringIO(script), COMMANDS, main=True, lang=shell,
        properties={
            "name": f"Train, evaluate and record {record['method']} on {record['dataset']}",
            "description": "The commands that make this record again. The record does not keep whether its "
            "runs were started by these or by the pipeline's stages, which call the same functions.",
            "encodingFormat": _FORMATS[".sh"],
            "sha256": hashlib.sha256(script.encode()).hexdigest(),
            **({"version": record["commit"]} if record["commit"] else {}),
        },
    )  # fmt: skip
    workflow["softwareRequirements"] = list(_software(crate, record))
    workflow["creator"], workflow["license"] = crate.get("#contributors"), crate.get(_LICENCE)
    seconds = sum(float(run.get("train_seconds", 0)) for run in record["runs"])
    machine = spell_machine(record["environment"]) or "machine not recorded"
    action = _add(
        crate, "#run", "CreateAction", name=f"The runs of record {name}",
        description=f"{len(record['runs'])} trained arms; {seconds:.0f} s of training; {machine}.",
        actionStatus="http://schema.org/CompletedActionStatus",
    )  # fmt: skip
    action["instrument"] = workflow
    crate.root_dataset["mentions"] = action
    return action


def _software(crate: "ROCrate", record: Mapping[str, Any]) -> Iterator["Entity"]:
    """Name fer_repro by its commit, Python and the packages that numbers depend on."""
    changed = f"; {len(record['changed'])} files had changed since" if record["changed"] else ""
    commit = f"commit {record['commit']}{changed}" if record["commit"] else "commit not recorded"
    code = {"softwareVersion": record["commit"]} if record["commit"] else {}
    yield _add(crate, "#fer_repro", "SoftwareApplication", name="fer_repro", description=commit, **code)
    found = {"python": record["environment"].get("python"), **record["environment"].get("packages", {})}
    for name, version in found.items():
        if version:
            yield _add(crate, f"#{name}", "SoftwareApplication", name=name, softwareVersion=version)


def _data(crate: "ROCrate", record: Mapping[str, Any]) -> list["Entity"]:
    """Name the data set's files by their digests; they are not in the crate."""
    dataset, terms = record["dataset"], _terms(record["dataset"])
    wanted = _add(crate, "#input-data", "FormalParameter", additionalType="File", name=f"data set {dataset}")
    crate.mainEntity.append_to("input", wanted)
    found: list[Entity] = []
    for part, digest in sorted(record.get(DATA_DIGESTS, {}).items()):
        file = _add(
            crate, _named(digest), "File", name=f"{dataset}: {part}", sha256=digest, conditionsOfAccess=terms,
            description="Named by its digest; its content is not in this crate.", encodingFormat=_UNKNOWN,
        )  # fmt: skip
        crate.root_dataset.append_to("hasPart", file)
        found.append(file)
    if not found:
        about = "The record keeps no digests of it."
        found = [_add(crate, "#data", "PropertyValue", name="data set", value=dataset, description=about)]
    for entity in found:
        entity["exampleOfWork"] = wanted
    wanted["workExample"] = found if len(found) > 1 else found[0]
    return found


def _named(sha256: str) -> str:
    """Write a digest as a name of RFC 6920: what has no address is still identified.

    >>> _named("00" * 32)
    'ni:///sha-256;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    return f"ni:///sha-256;{base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"


def _terms(dataset: str) -> str:
    if is_addable(dataset):
        return " ".join(load_dataset(dataset).terms.split())
    return NO_REAL_PERSON


def _parameters(crate: "ROCrate", record: Mapping[str, Any]) -> Iterator["Entity"]:
    """Describe every number of the recipe, the limits of the data, arms and seeds."""
    runs = record["runs"]
    values = {
        **dict(_leaves(record["recipe"], "recipe")),
        **dict(_leaves(record.get("data", {}), "data")),
        "recipe_name": record["recipe_name"],
        "arms": ", ".join(dict.fromkeys(str(run["arm"]) for run in runs)),
        "seeds": ", ".join(map(str, sorted({run["seed"] for run in runs}))),
    }
    for key, value in values.items():
        kind = "Boolean" if isinstance(value, bool) else "Text" if isinstance(value, str) else "Number"
        wanted = _add(crate, f"#parameter-{key}", "FormalParameter", additionalType=kind, name=key)
        given = _add(crate, f"#value-{key}", "PropertyValue", name=key, value=value)
        given["exampleOfWork"], wanted["workExample"] = wanted, given
        crate.mainEntity.append_to("input", wanted)
        yield given


def _leaves(section: Mapping[str, Any], above: str) -> Iterator[tuple[str, bool | int | float | str]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}.{key}")
        else:
            plain = isinstance(value, bool | int | float | str)
            yield f"{above}.{key}", value if plain else "none" if value is None else str(value)


def _results(crate: "ROCrate", folder: Path) -> Iterator["Entity"]:
    """Copy the record's files, each with size and digest."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        kind = _FORMATS.get(path.suffix, _UNKNOWN)
        facts = {"name": name, "encodingFormat": kind, "sha256": file_sha256(path)}
        yield crate.add_file(path, name, properties={**facts, "contentSize": str(path.stat().st_size)})


def _outputs(crate: "ROCrate", results: list["Entity"]) -> list["Entity"]:
    found = []
    for result in results:
        name = result["name"]
        key = hashlib.sha256(name.encode()).hexdigest()[:12]
        made = _add(crate, f"#output-{key}", "FormalParameter", additionalType="File", name=name)
        made["workExample"], result["exampleOfWork"] = result, made
        found.append(made)
    return found


def _add(crate: "ROCrate", place: str, kind: str, **facts: Any) -> "Entity":  # noqa: ANN401 - of JSON-LD
    """Add an entity that is no file of the crate."""
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, place, properties={"@type": kind, **facts}))
