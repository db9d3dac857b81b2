"""Models on the Hugging Face hub, through its own library, which is an optional extra."""

from pathlib import Path
from typing import Any

from fer_repro.errors import UserError
from fer_repro.inference.spec import KEY

CARD, WEIGHTS = "README.md", "model.safetensors"
FILES = [CARD, WEIGHTS, "model.onnx"]


def push_model(folder: Path, name: str, private: bool = True, api: Any = None) -> str:  # noqa: ANN401 - HfApi
    """Upload an exported folder: card, weights, ONNX graph; nothing else.

    Args:
        folder: from ``fer-repro export MODEL --to FOLDER``.
        name: ``owner/name``; created if it does not exist.
        private: whether a new one is seen by its owner alone.
        api: what talks to the hub; the library's own if left out.

    Returns:
        Its address.

    Raises:
        UserError: the folder holds no model, the library is missing, or the hub refuses.
    """
    for file in (CARD, WEIGHTS):
        if not (folder / file).is_file():
            raise UserError(
                f"{folder / file}: no such file; write it with `fer-repro export MODEL --to {folder}`"
            )
    hub = api or _library().HfApi()
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=str(folder), allow_patterns=FILES)
    except Exception as error:  # the library raises many kinds
        raise _refused(name, error) from None
    return f"https://huggingface.co/{name}"


def fetch(name: str, revision: str | None = None) -> Path:
    """Download a model, or take it from the library's cache.

    Args:
        name: ``owner/name``.
        revision: branch, tag or commit; the newest if left out.

    Returns:
        The folder that holds it.

    Raises:
        UserError: the library is missing, or the model cannot be downloaded or is none of this project.
    """
    library = _library()
    try:
        folder = Path(library.snapshot_download(name, revision=revision, allow_patterns=FILES))
    except Exception as error:  # the library raises many kinds
        raise _refused(name, error) from None
    if not (folder / WEIGHTS).is_file():
        raise UserError(
            f"hf://{name}: no {WEIGHTS} with metadata '{KEY}' there; expected a model of this project"
        )
    return folder


def _library() -> Any:  # noqa: ANN401 - the module
    try:
        import huggingface_hub
    except ImportError:
        raise UserError("huggingface-hub is not installed: pip install 'fer-repro[hub]'") from None
    return huggingface_hub


def _refused(name: str, error: Exception) -> UserError:
    return UserError(f"hf://{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
