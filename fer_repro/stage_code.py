"""Which files of the package make the numbers of which stage: the only list of them.

``inputs`` (pipeline/inputs.py) writes the digests that stages depend on, and a resume state is stamped with
those of its training. Left out on purpose: errors.py, files.py, project_files.py, params.py, config.py,
recipes.py, sections.py, terminal.py and pipeline/notebooks.py carry numbers but do not make them; report/
and the evaluation of a single seed only plot in data.ipynb and train.ipynb.
"""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from fer_repro.files import file_sha256

PACKAGE = Path(__file__).parent
_DATA = ("datasets/draws.py", "datasets/protocols.py", "datasets/votes.py", "loading/*.py")
_TESTED_DATA = (
    "datasets/folds.py",
    "datasets/names.py",
    "datasets/pairs.py",
    "datasets/samples.py",
    "datasets/store.py",
)
_NETWORKS = ("layers/*.py", "methods/method.py", "methods/{method}.py")
TRAINING = (*_NETWORKS, "training/*.py", *_DATA, "datasets/groups.py", "measures/probes.py")
"""What trained weights depend on."""
RUN = (
    *TRAINING,
    *_TESTED_DATA,
    "measures/classification.py",
    "measures/regression.py",
    "measures/saliency.py",
    "measures/verification.py",
    "pipeline/arm.py",
    "pipeline/outcome.py",
    "pipeline/run.py",
    "pipeline/training_task.py",
    "runs/*.py",
)
"""What the files of a trained arm depend on."""
_REPORT = ("figures/*.py", "measures/*.py", "report/**/*")
STAGES = {
    "prepare": ("datasets/**/*.py", "synthetic/*.py"),
    "train-{method}": RUN,
    "evaluate-{method}": (
        *_NETWORKS,
        *_DATA,
        *_TESTED_DATA,
        "datasets/groups.py",
        "synthetic/*.py",
        "evaluation/*.py",
        *_REPORT,
        "runs/*.py",
        "story.py",
        "training/loop.py",
    ),
    "compare": ("evaluation/*.py", "layers/*.py", "methods/*.py", *_REPORT, "runs/*.py"),
    "report": (  # records name the code that trained them
        *_REPORT,
        "datasets/*.py",
        "layers/*.py",
        "loading/*.py",
        "methods/*.py",
        "training/*.py",
    ),
}
"""Stage -> patterns of files below the package; ``{method}`` is a method's name."""


def code_digests(patterns: Iterable[str], method: str = "") -> dict[str, str]:
    """Hash the files that patterns name; of the layers, only those that the others import.

    Args:
        patterns: of files below the package.
        method: put in place of ``{method}``.

    Returns:
        Path below the package -> SHA-256, sorted by path.
    """
    files = {path for pattern in patterns for path in PACKAGE.glob(pattern.format(method=method))}
    files -= _unused_layers(files)
    return {
        path.relative_to(PACKAGE).as_posix(): file_sha256(path)
        for path in sorted(files)
        if path.is_file() and path.suffix != ".pyc"
    }


def changed_digests(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the files that have changed or are gone, sorted.

    Args:
        then: digests by path below the package, from ``code_digests``; older records name layers that their
            method does not import: these count only if they are gone.
        now: those of today.
    """
    gone = {name for name in then.keys() - now.keys() if not (PACKAGE / name).is_file()}
    return sorted(gone | {name for name in now if now[name] != then.get(name)})


def _unused_layers(files: set[Path]) -> set[Path]:
    """Return the layers that none of the other files imports, directly or by way of other layers."""
    folder = PACKAGE / "layers"
    layers = {path for path in files if path.parent == folder and path.stem != "__init__"}
    used: set[Path] = set()
    waiting = [path for path in files - layers if path.suffix == ".py"]
    while waiting:
        names = _imported_layers(waiting.pop().read_text(encoding="utf-8"))
        found = ({folder / f"{name}.py" for name in names} & layers) - used
        used |= found
        waiting += found
    return layers - used


@cache
def _imported_layers(text: str) -> set[str]:
    """Name the modules of ``layers`` that a file's text imports, in functions too."""
    room, found = "fer_repro.layers", set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[2] for name in names if name.startswith(f"{room}.")}
    return found
