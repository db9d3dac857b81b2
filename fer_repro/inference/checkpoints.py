"""Checkpoints that the papers' authors published: read without executing anything, recognised by their keys.

A pickle can run any program when it is read. Here it is read with ``weights_only``, which accepts tensors,
plain containers and NumPy numbers, and refuses everything else.
"""

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fer_repro.errors import UserError, nearest, one_line
from fer_repro.files import check_name, file_sha256, keep_existing
from fer_repro.inference.networks import state_digest
from fer_repro.inference.spec import ModelSpec, OfficialNetwork, of_faces
from fer_repro.methods.method import load_method, load_official, method_names
from fer_repro.terminal import doing
from fer_repro.training.checkpoint import check_finite

CONTAINERS = ("net", "state_dict")  # where training checkpoints keep the state dict beside other things
AT_TYPES = ("self_relation-attention", "self-attention")
"""FAN's checkpoints hold both heads; the first is the paper's."""
SIDE = 224  # of every published network
COUNTER = "num_batches_tracked"
NO_CHECKPOINT = "not readable as a checkpoint: damaged, or no file that torch.save or safetensors wrote"


def open_official(path: Path, variant: str = "", padding: str = "") -> tuple[dict[str, Tensor], ModelSpec]:
    """Read a checkpoint of a paper's own code into our layout.

    Args:
        path: the file; a pickle or a safetensors file with the authors' names.
        variant: official identifier or its end, e.g. ``resmasking_dropout1``, or one of ``AT_TYPES``; ""
            recognises it by the keys.
        padding: of an EfficientNet, see ``fer_repro.layers.efficientnet_trunk``; "" is ``same``, right for
            the published ones.

    Returns:
        Our tensors by name, and what they are.

    Raises:
        UserError: the file cannot be read safely, or keys are missing, unexpected or reshaped: it names the
            first of each kind and counts all; or numbers are not finite.
    """
    return _opened(read_official(path), path, variant, padding)


def _opened(
    state: dict[str, Tensor], path: Path, variant: str, padding: str
) -> tuple[dict[str, Tensor], ModelSpec]:
    state = {**state, **missing_counters(state)}
    method_name, identifier, constructor = recognise(state, variant, str(path))
    if padding:
        constructor["backbone"] = padding
    method = load_method(method_name)
    task, shows = of_faces(method.task, method.inputs, str(path))
    layout = method.official[identifier]
    described = {key: constructor[key] for key in layout.described if key in constructor}
    arguments = {key: value for key, value in constructor.items() if key not in described}
    network = load_official(
        {"repo": layout.repository, "class": identifier, "constructor": arguments, **described}, state
    )
    ours = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    check_finite(ours, str(path))
    return ours, ModelSpec(
        version=1,
        method=method_name,
        arm="",
        official=OfficialNetwork(identifier, constructor),
        task=task,
        classes=layout.classes,
        outputs=len(layout.classes),
        options={},
        shows=shows,
        regions=layout.regions,
        image_size=SIDE,
        face_size=SIDE,
        colour=layout.colour,
        crop=method.crop,
        standardise=layout.standardise,
        dataset="unknown",
        pretraining="unknown",
        source=f"{layout.repository}: {one_line(path.name)}",
        threshold=None,
        weights_sha256=state_digest(ours),
    )


def read_official(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint without executing anything in it.

    Raises:
        UserError: the file is missing or damaged, holds more than tensors, containers and numbers, or no
            state dict.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a checkpoint")
    if path.suffix == ".safetensors":
        from fer_repro.inference.networks import read_tensors

        return read_tensors(path)[0]
    loaded = _unpickle(path)
    for container in CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(container), Mapping):
            loaded = loaded[container]
            break
    if (
        not isinstance(loaded, Mapping)
        or not loaded
        or not all(isinstance(v, Tensor) for v in loaded.values())
    ):
        raise UserError(
            f"{path}: expected a state dict of tensors, or a dictionary that holds one as "
            f"{' or '.join(repr(name) for name in CONTAINERS)}"
        )
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def missing_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the counters of training batches that batch norms did not have before torch 0.4.1, here 0.

    It changes nothing in evaluation. A state dict that has some of them is left as it is.
    """
    if any(name.endswith(COUNTER) for name in state):
        return {}
    norms = (name.removesuffix("running_var") for name in state if name.endswith(".running_var"))
    return {f"{norm}{COUNTER}": torch.tensor(0) for norm in norms}


def _unpickle(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    numbers = [np.dtype, scalar, (scalar, "numpy.core.multiarray.scalar")]
    numbers += [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4")]
    try:
        with (
            torch.serialization.safe_globals(numbers),
            warnings.catch_warnings(),
        ):  # the accuracies that RMN keeps beside the network
            warnings.simplefilter("ignore")  # of old and new pickles
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if not found:
            raise UserError(f"{path}: refused: {NO_CHECKPOINT}. Nothing in it was executed") from None
        raise UserError(
            f"{path}: refused: it asks for {found[1]}; a checkpoint of tensors alone needs no such object, "
            "and reading it could run any program. Nothing in it was executed; ask its authors for a plain "
            "state dict"
        ) from None
    except Exception:  # a damaged pickle raises anything
        raise UserError(f"{path}: {NO_CHECKPOINT}") from None


def variants() -> dict[str, str]:
    """List the official networks: identifier -> method."""
    return {identifier: name for name in method_names() for identifier in load_method(name).official}


def recognise(
    state: Mapping[str, Tensor], variant: str, where: str
) -> tuple[str, str, dict[str, bool | int | float | str | None]]:
    """Find the official network that a state dict belongs to.

    Args:
        state: official key -> tensor.
        variant: identifier or its end, or which of FAN's two heads; "" uses the keys.
        where: the file, for messages.

    Returns:
        Method, identifier, constructor.

    Raises:
        UserError: the variant is unknown, or the keys are of no known network.
    """
    known = variants()
    at_type = variant if variant in AT_TYPES else AT_TYPES[0]
    if variant and variant not in AT_TYPES:
        fitting = [
            name for name in known if name == variant or re.search(rf"[. /]{re.escape(variant)}$", name)
        ]
        if len(fitting) != 1:
            ends = {name.rsplit(".", 1)[-1]: name for name in known}
            message = f"it fits {', '.join(fitting)}" if fitting else nearest(variant, ends)
            raise UserError(f"{where}: variant '{variant}': {message}")
        identifier = fitting[0]
    else:
        identifier = _by_keys(state, where)
    takes_type = "at_type" in load_method(known[identifier]).official[identifier].constructor
    return known[identifier], identifier, {"at_type": at_type} if takes_type else {}


def _by_keys(state: Mapping[str, Tensor], where: str) -> str:
    try:
        for name in method_names():
            if identifier := load_method(name).recognise(state):
                return identifier
        raise UserError(f"no known network has the keys {', '.join(list(state)[:3])} ...")
    except UserError as error:
        raise UserError(f"{where}: {error}; `fer-repro import --list` names the known networks") from None


@dataclass(frozen=True)
class Imported:
    """What an import wrote.

    Attributes:
        card: the model card.
        tensors: how many, all of them matched.
        facts: network, classes, SHA-256 of the authors' file, and how many counters of batches were filled
            in, see ``missing_counters``.
    """

    card: Path
    tensors: int
    facts: dict[str, Any]


def import_official(
    path: Path,
    to: Path,
    variant: str = "",
    padding: str = "",
    classes: Sequence[str] = (),
    force: bool = False,
) -> Imported:
    """Convert a checkpoint into a model file with a card beside it.

    Args:
        path: the authors' file.
        to: the ``.safetensors`` file to write.
        variant: see ``open_official``.
        padding: see ``open_official``.
        classes: names in the order of the logits, where they are others than the method's usual ones.
        force: replace a model and a card of these names.

    Raises:
        UserError: see ``open_official``; or there are more or fewer names than logits, or a file exists.
    """
    from fer_repro.inference.cards import write_card
    from fer_repro.inference.networks import write_model

    check_name(to)
    if to.suffix != ".safetensors":
        raise UserError(f"{to}: expected a name that ends in .safetensors")
    card = to.with_suffix(".md")
    keep_existing([to, card], force)
    with doing(f"reading {path}"):
        theirs = read_official(path)
    with doing(f"matching {len(theirs)} tensors"):
        state, spec = _opened(theirs, path, variant, padding)
    if classes and len(classes) != spec.outputs:
        raise UserError(f"--classes names {len(classes)} classes: {spec.name} has {spec.outputs}")
    digest = file_sha256(path)
    spec = replace(spec, classes=tuple(classes) or spec.classes, source=f"{spec.source}, sha256 {digest}")
    with doing(f"writing {to}"):
        write_model(to, state, spec)
        write_card(card, spec)
    facts = {"network": spec.name, "classes": list(spec.classes), "sha256": digest}
    return Imported(card, len(state), {**facts, "filled_in": len(missing_counters(theirs))})
