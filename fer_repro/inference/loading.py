"""``load``: from a run, a model file, an official checkpoint or a hub to a model that predicts."""

import sys
from pathlib import Path

from fer_repro.errors import UserError, did_you_mean
from fer_repro.files import file_state
from fer_repro.inference.backends import OnnxBackend
from fer_repro.inference.catalogue import list_models
from fer_repro.inference.model import Model
from fer_repro.inference.spec import Colour

MODEL, ONNX = "model.safetensors", "model.onnx"
HUB = "hf://"


def load(
    source: str | Path = "",
    runtime: str = "",
    device: str = "auto",
    variant: str = "",
    fold: int = 0,
    colour: Colour | None = None,
    face_size: int = 0,
    threads: int = 0,
    fast: bool = False,
) -> Model:
    """Open a model.

    Example: ``fer_repro.load("runs/synthetic/rmn/0/masked").predict("photos/")``

    Args:
        source: a run's folder; a ``.safetensors`` or ``.onnx`` file of this project, or a folder with
            ``model.safetensors``; an official checkpoint; or ``hf://owner/name`` on the Hugging Face hub. ""
            chooses a network of expressions below the current folder, as the commands do; a line on stderr
            names it, with the reason.
        runtime: ``torch`` or ``onnx``; "" takes onnx for ``.onnx`` files and torch for all else. Under
            ``onnx`` torch is never imported.
        device: for torch: ``auto``, ``cpu``, ``cuda`` ...
        variant: of an official checkpoint, where its keys are not enough; see ``fer-repro import --list``.
        fold: which network of a run that was tested fold by fold; 0 is the first.
        colour: of a run's training data, where its manifest is missing.
        face_size: side of its images, likewise.
        threads: for ONNX Runtime; 0 leaves it to the runtime.
        fast: for torch: fold batch normalisations and compute in bfloat16 where the device can. Networks of
            full width at 224 pixels take a third to a half of the time, small ones may take longer;
            probabilities move by up to some hundredths. docs/benchmarks.md has the numbers.

    Raises:
        UserError: there is no model, it cannot be read, or ``fast`` is given for ONNX Runtime.
    """
    if runtime not in ("", "torch", "onnx"):
        raise UserError(f"runtime is '{runtime}'; expected torch or onnx")
    path = _fetched(source) if source else _chosen()
    if runtime == "onnx" or (not runtime and path.suffix == ".onnx"):
        if fast:
            raise UserError(f"{path}: fast is for runtime torch; ONNX Runtime folds and fuses by itself")
        file = path / ONNX if path.is_dir() else path.with_suffix(".onnx")
        backend = OnnxBackend(file, threads)
        return Model(backend.spec, backend, str(file_state(file)))
    if path.suffix == ".onnx":
        raise UserError(f"{path}: an ONNX file runs under runtime onnx, not torch")
    return _load_torch(path, device, variant, fold, colour, face_size, fast)


def _load_torch(
    path: Path, device: str, variant: str, fold: int, colour: Colour | None, face_size: int, fast: bool
) -> Model:
    from fer_repro.inference.networks import load_state
    from fer_repro.inference.torch_backend import TorchBackend

    state, spec = open_weights(path, variant, fold, colour, face_size)
    backend = TorchBackend(load_state(spec, state, str(path)), spec, device, fast)
    return Model(spec, backend, "fast" if fast else "")


def open_weights(  # type: ignore[no-untyped-def]  # noqa: ANN201 - named in the docstring; torch is imported late
    path: Path, variant: str = "", fold: int = 0, colour: Colour | None = None, face_size: int = 0
):
    """Read the tensors of a model, ``dict[str, Tensor]``, and its ``ModelSpec``.

    Raises:
        UserError: see ``load``.
    """
    from fer_repro.inference.checkpoints import open_official
    from fer_repro.inference.networks import read_model, read_tensors, state_digest
    from fer_repro.inference.run_models import run_weights, spec_of_run
    from fer_repro.training.checkpoint import check_finite

    if not path.exists():
        known = [each.path for each in list_models()]  # those of the repository are there from now on
        if not path.exists():
            raise UserError(_no_such(path, known))
    if path.is_dir() and (path / MODEL).is_file():
        path = path / MODEL
    if path.is_dir():
        weights, _ = read_tensors(run_weights(path, fold))
        check_finite(weights, str(path))
        return weights, spec_of_run(path, weights, state_digest(weights), colour, face_size)
    if path.suffix == ".safetensors" and path.name.startswith("weights"):
        return open_weights(path.parent, variant, fold, colour, face_size)
    if path.suffix == ".safetensors":
        return read_model(path)
    return open_official(path, variant)


def _no_such(path: Path, known: list[str]) -> str:
    named = [*known, *(str(Path(each).parent) for each in known if Path(each).name == MODEL)]
    wanted = did_you_mean(path.as_posix(), named)
    return f"{path}: no such model; {f'{wanted} ' if wanted else ''}`fer-repro models` lists those available"


def _chosen() -> Path:
    from fer_repro.inference.choosing import choose_models

    choice = choose_models()
    print(choice.text(), file=sys.stderr, flush=True)
    return Path(choice.paths[0])


def _fetched(source: str | Path) -> Path:
    if str(source).startswith(HUB):
        from fer_repro.inference.hub import fetch

        return fetch(str(source).removeprefix(HUB))
    return Path(source)
