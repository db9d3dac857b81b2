"""The available models - runs, imported and exported files, the networks that come with the repository.

What each was trained on is decided here only.

A network that learned from rendered faces alone is as confident about photographs as about such faces, and is
wrong much more often: docs/inference.md has the numbers.
"""

import functools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_repro.config import TASK
from fer_repro.datasets.dataset import is_addable
from fer_repro.errors import UserError
from fer_repro.files import atomic_folder
from fer_repro.project_files import packaged, unpack
from fer_repro.recipes import is_synthetic

if TYPE_CHECKING:
    from fer_repro.inference.spec import ModelSpec

PLACES = ("runs", "scratch/runs")
FILES = "models"
SHIPPED = "networks"  # with networks.dvc beside it, which names what the embedded store holds


@dataclass(frozen=True)
class Listed:
    """An available model.

    Attributes:
        path: what ``load`` takes.
        kind: run, file or, of ONNX, graph; shipped: a file that comes with the repository.
        method: of the model.
        arm: of the model.
        dataset: it was trained on.
        seed: of the run; -1 of files.
        task: expression, verification or manipulation.
        val_accuracy: of the run, in [0, 1]; None where there is none.
        megabytes: of the weights.
        trained_on: the data set's name, ``synthetic faces``, ``as published`` or ``unknown``.
    """

    path: str
    kind: str
    method: str
    arm: str
    dataset: str
    seed: int
    task: str
    val_accuracy: float | None
    megabytes: float
    trained_on: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return asdict(self)


def list_models(root: Path = Path()) -> list[Listed]:
    """List the models below a folder, runs first; what cannot be read is left out.

    In a folder that is no project the network that comes along is the package's own.
    """
    fetch_networks(root)
    return [*_runs(root), *_files(root / FILES, "file"), *_files(_shipped(root), "shipped")]


def _shipped(root: Path) -> Path:
    own = root / SHIPPED
    no_project = not own.exists() and not (root / "params.yaml").exists()
    return packaged(SHIPPED) if no_project and not own.with_suffix(".dvc").exists() else own


def fetch_networks(root: Path = Path()) -> None:
    """Make ``networks/`` from the embedded store, as ``dvc pull networks.dvc`` does, without DVC.

    Nothing is done where the folder is there, or where none comes with the project; a line on stderr reports
    a store that is not complete.
    """
    pointer = root / f"{SHIPPED}.dvc"
    if (root / SHIPPED).exists() or not pointer.is_file():
        return
    try:
        with atomic_folder(root / SHIPPED, force=True) as folder:
            unpack(root, SHIPPED, folder)
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"note: {pointer}: its networks were not copied: {error}", file=sys.stderr, flush=True)


def list_graphs(root: Path = Path()) -> Iterator[Listed]:
    """List the ONNX files beside other model files; what cannot be read is left out, all without ``onnx``."""
    paths = [path for place in (root / FILES, _shipped(root)) for path in sorted(place.rglob("*.onnx"))]
    if not paths or find_spec("onnx") is None:
        return
    import onnx

    from fer_repro.inference.spec import spec_of_metadata

    for path in paths:
        try:
            entries = onnx.load(path, load_external_data=False).metadata_props
            spec = spec_of_metadata({entry.key: entry.value for entry in entries}, path)
        except Exception:  # a damaged file raises anything
            continue
        yield _file(path, "graph", spec)


def _runs(root: Path) -> Iterator[Listed]:
    for place in PLACES:
        for config in sorted((root / place).glob("*/*/*/*/config.json")):
            folder = config.parent
            weights = sorted(folder.glob("weights*.safetensors"))
            try:
                values = json.loads(config.read_text(encoding="utf-8"))
                metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
                if weights:
                    yield _run(folder, values, metrics, weights)
            except (OSError, ValueError, KeyError):
                continue


def _run(folder: Path, values: dict[str, Any], metrics: dict[str, Any], weights: list[Path]) -> Listed:
    pairs = (folder / "pairs.csv").is_file()
    detects = not pairs and _answers_real_or_manipulated(folder)
    numbers = values.get(TASK) == "regression"
    return Listed(
        folder.as_posix(),
        "run",
        values["method"],
        values["arm"],
        values["dataset"],
        values["seed"],
        "regression" if numbers else "verification" if pairs else "manipulation" if detects else "expression",
        metrics.get("val", {}).get("accuracy"),
        round(sum(file.stat().st_size for file in weights) / 1e6, 1),
        trained_on(values["dataset"]),
    )


def _answers_real_or_manipulated(run: Path) -> bool:
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        return "logit_manipulated" in file.readline()


def _files(folder: Path, kind: str) -> Iterator[Listed]:
    from safetensors import SafetensorError, safe_open

    from fer_repro.inference.spec import spec_of_metadata

    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(str(path), framework="numpy") as file:
                spec = spec_of_metadata(dict(file.metadata() or {}), path)
        except (SafetensorError, OSError, ValueError):  # a UserError, or a name that is not UTF-8
            continue
        yield _file(path, kind, spec)


def _file(path: Path, kind: str, spec: "ModelSpec") -> Listed:
    arm = spec.official.identifier if spec.official else spec.arm
    size = round(path.stat().st_size / 1e6, 1)
    return Listed(
        path.as_posix(), kind, spec.method, arm, spec.dataset, -1, spec.task, None, size, spec.trained_on
    )


SYNTHETIC_FACES, AS_PUBLISHED, UNKNOWN_DATA = "synthetic faces", "as published", "unknown"
_NO_NAME = ("", "none", "unknown")


@functools.cache
def trained_on(dataset: str, official: bool = False) -> str:
    """Name what a network was trained on.

    Args:
        dataset: as the run's config.json or the model file names it.
        official: the weights are those of a paper's authors.

    Returns:
        ``synthetic faces``, the name of a data set that can be added, ``as published`` for authors' weights
        whose data no file names, or ``unknown``, with the name of a set that no adapter here reads.
    """
    if is_synthetic(dataset):
        return SYNTHETIC_FACES
    if dataset in _NO_NAME:
        return AS_PUBLISHED if official else UNKNOWN_DATA
    return dataset if is_addable(dataset) else f"{UNKNOWN_DATA} ({dataset})"


def is_unknown(data: str) -> bool:
    """Whether ``trained_on`` gave unknown data."""
    return data.startswith(UNKNOWN_DATA)


def warning_of(networks: Iterable[tuple[str, str]]) -> str:
    """Write the warning about networks that were not trained on photographs, or on unknown data.

    Args:
        networks: name and ``trained_on`` of each.

    Returns:
        One line; "" where no warning is needed.
    """
    pairs = list(networks)
    synthetic = [name for name, data in pairs if data == SYNTHETIC_FACES]
    unknown = [f"{name} was trained on {data} data" for name, data in pairs if is_unknown(data)]
    said = list(dict.fromkeys(unknown))
    if synthetic:
        first, *others = dict.fromkeys(synthetic)
        named = f"{first} and {len(others)} more were" if others else f"{first} was"
        said.insert(
            0,
            f"{named} trained on synthetic faces only: on photographs and real videos answers are often "
            "wrong, however confident",
        )
    return f"warning: {'; '.join(said)}" if said else ""


def caption_of(data: Iterable[str]) -> str:
    """Write the text of an annotated frame; "" for networks of photographs.

    Args:
        data: ``trained_on`` of the networks.
    """
    found = set(data)
    if SYNTHETIC_FACES in found:
        return f"trained on {SYNTHETIC_FACES}"
    return "trained on unknown data" if any(map(is_unknown, found)) else ""
