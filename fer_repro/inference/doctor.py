"""Check what prediction needs: environment, data and models, each with how to get what is missing."""

import platform
import shutil
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

from fer_repro.inference.catalogue import list_models

NEEDED = ("torch", "torchvision", "timm", "numpy", "pandas", "safetensors", "opencv-python-headless")
OPTIONAL = {
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "huggingface-hub": "hub",
    "dvc": "pipeline",
    "papermill": "pipeline",
}
LEAST_ROOM = 2.0  # gigabytes


class Finding(NamedTuple):
    """One thing that was checked.

    Attributes:
        part: environment, data or models.
        name: what was checked.
        state: ok, missing (nothing works without it) or absent (optional).
        message: what was found, and how to get what is missing.
    """

    part: str
    name: str
    state: str
    message: str


def examine_machine(root: Path = Path()) -> list[Finding]:
    """Check environment, data and models of a project's folder."""
    return [*_packages(), *_machine(root), *_data(root), *_models(root)]


def as_dict(findings: list[Finding]) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "healthy": all(each.state != "missing" for each in findings),
        "findings": [each._asdict() for each in findings],
    }


def _packages() -> Iterator[Finding]:
    for name in NEEDED:
        version = _version(name)
        message = version or "not installed: pip install fer-repro"
        yield Finding("environment", name, "ok" if version else "missing", message)
    for name, extra in OPTIONAL.items():
        version = _version(name)
        message = version or f"not installed: pip install 'fer-repro[{extra}]'"
        yield Finding("environment", name, "ok" if version else "absent", message)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _machine(root: Path) -> Iterator[Finding]:
    yield Finding("environment", "python", "ok", f"{platform.python_version()} on {platform.platform()}")
    if util.find_spec("torch"):
        import torch

        found = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: networks run on the CPU"
        yield Finding("environment", "accelerator", "ok" if torch.cuda.is_available() else "absent", found)
    yield _cascades()
    yield _yunet()
    free = shutil.disk_usage(root).free / 1e9
    state = "ok" if free >= LEAST_ROOM else "absent"
    yield Finding("environment", "disk", state, f"{free:.1f} GB free; training needs {LEAST_ROOM:g} or more")


def _cascades() -> Finding:
    from fer_repro.datasets.faces import CascadeDetector
    from fer_repro.errors import UserError

    try:
        return Finding("environment", "face detector", "ok", CascadeDetector().name)
    except UserError as error:
        return Finding("environment", "face detector", "missing", str(error))


def _yunet() -> Finding:
    from fer_repro.datasets.yunet import YUNET, named_detector
    from fer_repro.errors import UserError

    try:
        return Finding("environment", YUNET, "ok", named_detector(YUNET).name)
    except UserError as error:
        return Finding("environment", YUNET, "absent", str(error))


def _data(root: Path) -> Iterator[Finding]:
    for kind, fix in (("prepared", "dvc repro prepare"), ("stores", "fer-repro data add NAME PATH")):
        names = sorted(path.parent.name for path in (root / kind).glob("*/manifest.json"))
        message = ", ".join(names) or f"none; {fix}"
        yield Finding("data", kind, "ok" if names else "absent", message)


def _models(root: Path) -> Iterator[Finding]:
    models = list_models(root)
    for task in ("expression", "verification", "manipulation"):
        count = sum(each.task == task for each in models)
        message = (
            f"{count}; fer-repro models lists them" if count else "none; dvc repro, fer-repro train or import"
        )
        yield Finding("models", task, "ok" if count else "absent", message)
