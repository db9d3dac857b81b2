"""Models as single safetensors files: tensors, and in the metadata what they are."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.inference.networks import state_digest
from fer_repro.inference.spec import KEY, ModelSpec, spec_of_metadata
from fer_repro.training.checkpoint import check_finite


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file; nothing in it is ever executed.

    Returns:
        Tensors by name, and the file's metadata.

    Raises:
        UserError: the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a model")
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, UnicodeEncodeError) as error:  # the last of a name that is not UTF-8
        raise UserError(f"{path}: not readable as safetensors: {' '.join(str(error).split())}") from None


def read_model(path: Path) -> tuple[dict[str, Tensor], ModelSpec]:
    """Read a model file.

    Raises:
        UserError: the file is missing or damaged, says nothing about itself, or its tensors were changed or
            are not finite.
    """
    state, metadata = read_tensors(path)
    spec = spec_of_metadata(metadata, path)
    digest = state_digest(state)
    if digest != spec.weights_sha256:
        raise UserError(
            f"{path}: the SHA-256 of its tensors begins with {digest[:8]}, not with "
            f"{spec.weights_sha256[:8]}: the file was changed; write it again"
        )
    check_finite(state, str(path))
    return state, spec


def write_model(path: Path, state: dict[str, Tensor], spec: ModelSpec) -> None:
    """Write a model file, whole or not at all."""
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    with atomic_write(path) as temporary:
        save_file(tensors, str(temporary), {KEY: spec.as_json()})
