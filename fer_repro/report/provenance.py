"""Where and with what the page was made, and the commands that make its numbers again."""

import functools
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pandas as pd

from fer_repro.figures.tables import Column
from fer_repro.files import file_sha256, read_yaml
from fer_repro.git import ask_git, changed_files, head_commit

FACTS = (Column("what", "What"), Column("value", "Value"))
HASHES = (Column("file", "File"), Column("hash", "SHA-256"))
OUTPUTS = (
    Column("stage", "Stage"),
    Column("output", "Output"),
    Column("size", "Bytes", "count"),
    Column("md5", "MD5"),
)
_SHOWN = ("torch", "torchvision", "lightning", "numpy", "scipy", "pandas", "matplotlib",
          "seaborn", "dvc", "papermill", "nbconvert")  # fmt: skip


def facts(root: Path) -> pd.DataFrame:
    """Name the commit, machine and packages that made the page.

    Args:
        root: the project's folder.

    Returns:
        ``what`` and ``value``.
    """
    rows = [
        *commit_facts(root),
        ("machine", f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"),
        ("Python", platform.python_version()),
        *((name, _version(name)) for name in _SHOWN),
    ]
    return pd.DataFrame(rows, columns=["what", "value"])


def commit_facts(root: Path) -> list[tuple[str, str]]:
    """Name the commit, when it was made, and how many tracked files differ from it."""
    commit, reason = head_commit(root)
    if not commit:
        return [("commit", f"none: {reason}")]
    changed = len(changed_files(root))
    since = f"{changed} tracked file{'' if changed == 1 else 's'}" if changed else "nothing"
    return [
        ("commit", commit),
        ("committed", ask_git(root, "show", "-s", "--format=%cI", "HEAD")),
        ("changed since", since),
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "processor unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "processor unknown"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def packages() -> str:
    """List all packages of this environment as pip does, one ``name==version`` per line."""
    found = {(one.metadata["Name"], one.version) for one in metadata.distributions()}
    names = sorted((f"{name}=={version}" for name, version in found if name), key=str.casefold)
    return "\n".join(names)


def file_hashes(root: Path, files: Iterable[Path]) -> pd.DataFrame:
    """Hash the files that exist.

    Args:
        root: the project's folder, left out of the names.
        files: below it.

    Returns:
        ``file`` and ``hash``, SHA-256 in hexadecimal.
    """
    rows = [(file.relative_to(root).as_posix(), file_sha256(file)) for file in files if file.is_file()]
    return pd.DataFrame(rows, columns=["file", "hash"])


def locked_outputs(root: Path, stages: Sequence[str]) -> pd.DataFrame:
    """List what stages made according to dvc.lock; empty where there is no dvc.lock.

    Args:
        root: the project's folder; its data.dvc comes first.
        stages: names to list, in this order; the lock keeps those of earlier pipelines, too.

    Returns:
        ``stage``, ``output``, ``size`` in bytes and ``md5``, as DVC counts them.

    Raises:
        UserError: dvc.lock or data.dvc is not readable.
    """
    made = []
    if (root / "data.dvc").is_file():
        made.append(("raw data", read_yaml(root / "data.dvc")))
    if (root / "dvc.lock").is_file():
        locked = read_yaml(root / "dvc.lock").get("stages") or {}
        made += [(name, locked[name]) for name in stages if name in locked]
    rows = [
        (name, out.get("path", ""), out.get("size", ""), out.get("md5", ""))
        for name, section in made
        for out in section.get("outs", [])
    ]
    return pd.DataFrame(rows, columns=["stage", "output", "size", "md5"])


COMMANDS = (
    Column("what", "Number"),
    Column("command", "Command"),
    Column("writes", "Writes"),
)


def stage_name(
    tasks: Mapping[tuple[str, str], str], step: str, dataset: str, method: str, *seed: object
) -> str:
    """Name a stage of dvc.yaml.

    Args:
        tasks: data set and method -> the task, ``runs`` of the pipeline.
        step: train or evaluate.
        dataset: of the stage.
        method: of the stage.
        seed: where the step has one.

    >>> stage_name({("synthetic", "rmn"): "faces"}, "train", "synthetic", "rmn", 0)
    'train-faces@synthetic-rmn-0'
    """
    return f"{step}-{tasks[dataset, method]}@{'-'.join(map(str, (dataset, method, *seed)))}"


def command_table(datasets: Iterable[str], trained: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    """List what makes each number of the page again.

    Args:
        datasets: of the pipeline.
        trained: data set and method -> the task, ``runs`` of the pipeline.

    Returns:
        ``what``, ``command`` and ``writes``.
    """
    rows = [
        ("everything that this page shows, from the embedded data", "make reproduce", "reports/index.html")
    ]
    for dataset in datasets:
        stage = f"prepare@{dataset}"
        rows.append((f"counts and findings of {dataset}", f"dvc repro -f -s {stage}", f"prepared/{dataset}/"))
    for dataset, method in trained:
        place, stage = f"{dataset}/{method}", stage_name(trained, "train", dataset, method, "*")
        again = f"dvc repro -f -s --glob '{stage}'"
        rows.append((f"networks of {method} on {dataset}, all seeds", again, f"runs/{place}/"))
        stage = stage_name(trained, "evaluate", dataset, method)
        rows.append(
            (f"results of {method} on {dataset}", f"dvc repro -f -s {stage}", f"results/measured/{place}/")
        )
    rows += [
        (
            "verdicts, methods on the same people, costs, papers' tables",
            "dvc repro -f -s compare",
            "results/comparison/",
        ),
        ("this page", "dvc repro -f -s report", "reports/index.html"),
        (
            "all other arms, and all methods on the same people",
            "make reproduce-full",
            "results/records/full-*/",
        ),
        ("a check of all of it against the repository", "make check-results", "nothing"),
    ]
    return pd.DataFrame(rows, columns=["what", "command", "writes"])
