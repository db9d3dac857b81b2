"""``fer-repro export``: a model as ONNX, as safetensors with its card, or all of them in a folder."""

from pathlib import Path
from typing import Any

from fer_repro.errors import UserError, nearest
from fer_repro.files import check_name, keep_existing
from fer_repro.inference.cards import write_card
from fer_repro.inference.hub import CARD
from fer_repro.inference.loading import MODEL, ONNX, open_weights
from fer_repro.inference.model_files import write_model
from fer_repro.inference.networks import load_state
from fer_repro.terminal import doing


def export_model(
    source: str | Path,
    to: Path,
    variant: str = "",
    fold: int = 0,
    colour: str = "",
    face_size: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Write a model.

    Args:
        source: what ``fer_repro.load`` takes, but no ONNX file.
        to: a ``.onnx`` or ``.safetensors`` file, or a folder for both and the card.
        variant: of an official checkpoint.
        fold: of a run tested fold by fold.
        colour: grey or rgb, where the manifest of a run's data is gone.
        face_size: likewise.
        force: replace files of these names.

    Returns:
        What was written: ``safetensors``, ``card``, ``onnx``, and what a ``Difference`` from torch says.

    Raises:
        UserError: the model cannot be read or exported, the name is of another kind, or a file exists.
    """
    if to.suffix not in ("", ".onnx", ".safetensors"):
        raise UserError(
            f"{to}: expected a folder, .onnx or .safetensors; {nearest(to.suffix, ('.onnx', '.safetensors'))}"
        )
    check_name(to)
    weights = to if to.suffix else to / MODEL
    card = to.with_suffix(".md") if to.suffix else to / CARD
    graph = to if to.suffix else to / ONNX
    keep_existing(
        {"": [weights, card, graph], ".safetensors": [weights, card], ".onnx": [graph]}[to.suffix], force
    )
    path = Path(source)
    shade: Any = colour or None
    with doing(f"reading {path}"):
        state, spec = open_weights(path, variant, fold, shade, face_size)
    run = path if (path / "config.json").is_file() else None
    done: dict[str, Any] = {}
    if to.suffix in ("", ".safetensors"):
        with doing(f"writing {weights} and its card"):
            write_model(weights, state, spec)
            write_card(card, spec, run)
        done |= {"safetensors": str(weights), "card": str(card)}
    if to.suffix in ("", ".onnx"):
        from fer_repro.inference.export import export_onnx

        done["onnx"] = str(graph)
        done |= export_onnx(load_state(spec, state, str(path)), spec, graph).as_dict()
    return done
