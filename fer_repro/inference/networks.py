"""Networks as a model's specification describes them, and the safetensors files that hold them.

``FaceNetwork`` is all that lies between the pixels of a face and the numbers of a prediction. It runs here
and is what ``fer_repro.inference.export`` writes, so both compute the same.
"""

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fer_repro.errors import UserError, nearest
from fer_repro.files import atomic_write
from fer_repro.inference.spec import KEY, ModelSpec, spec_of_metadata
from fer_repro.layers.pretrained import Standardise
from fer_repro.loading.augmentation import clean_images
from fer_repro.loading.views import Faces, Frames, Regions, View
from fer_repro.methods.method import Method, load_method
from fer_repro.training.checkpoint import check_finite

LOGITS, EMBEDDING, FRAME_WEIGHTS, REGION_WEIGHTS = "logits", "embedding", "frame_weights", "region_weights"
MAPS = ("mask", "attention")
"""Names that ``Method.explain`` gives to maps over a face which weigh its features; a number may follow."""


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network of a specification without its weights; an official one has no memory for them yet.

    Raises:
        UserError: method, arm, identifier or options are unknown.
    """
    method = load_method(spec.method)
    if spec.official is None:
        where = f"model {spec.name}: options"
        return method.build_model(spec.arm, options_of(spec, method, where), spec.outputs, pretrained=False)
    layout = method.official.get(spec.official.identifier)
    if layout is None:
        raise UserError(
            f"method {spec.method} knows no official network '{spec.official.identifier}'; "
            f"{nearest(spec.official.identifier, method.official)}"
        )
    with torch.device("meta"):
        return layout.build(spec.official.constructor)


def options_of(spec: ModelSpec, method: Method, where: str) -> Any:  # noqa: ANN401 - the method's type
    """Check the recipe's ``model`` section against the method."""
    return method.read_options(spec.options, where, spec.classes)


def view_of(spec: ModelSpec) -> View:
    """Return what the network gets; an official RAN's regions follow from their number."""
    if spec.official is None:
        method = load_method(spec.method)
        return method.view(options_of(spec, method, f"model {spec.name}: options"))
    if spec.shows == "frames":
        return Frames("paper", 3)  # used in training only
    if spec.shows == "regions":
        return Regions("affectnet" if len(spec.regions) == 8 else "fixed")
    return Faces()


def load_state(spec: ModelSpec, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Build the network and fill it, strictly; it is left in evaluation mode.

    Raises:
        UserError: the network cannot be built, or tensors are missing, unexpected or of another shape.
    """
    try:
        network = build_network(spec)
    except (RuntimeError, MemoryError, OverflowError, TypeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{where}: {spec.name} cannot be built from its specification: {reason[:300]}"
        ) from None
    try:
        network.load_state_dict(dict(state), strict=True, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where}: the weights do not fit {spec.name}: {reason[:300]}") from None
    return network.eval()


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and values of tensors: SHA-256, whatever file they are in."""
    hasher = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


class FaceNetwork(nn.Module):
    """A network behind its preprocessing.

    Args:
        network: in evaluation mode.
        spec: how faces are prepared for it.
        exported: compute all images of a call at once, as a graph without loops needs it.
        explained: also give the maps over the face by which the method explains itself, where it has some.
    """

    def __init__(
        self, network: nn.Module, spec: ModelSpec, exported: bool = False, explained: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.explain = load_method(spec.method).explain if explained and spec.shows == "images" else None
        self.view = view_of(spec)
        self.size = spec.image_size
        self.standardise = Standardise() if spec.standardise else nn.Identity()
        self.exported = exported

    def forward(self, faces: Tensor) -> dict[str, Tensor]:
        """Compute faces.

        Args:
            faces: (N, C, S, S) uint8, C = 1 grey or 3 RGB; for a network of clips the N frames of one clip.

        Returns:
            ``logits`` (N, K), of a clip (1, K); where the network has them ``embedding`` (N, D),
            ``frame_weights`` (1, N) and ``region_weights`` (N, R), each of sum 1; where it is ``explained``
            ``mask1`` ... or ``attention`` (N, h, w) in [0, 1], of several channels the largest.
        """
        images = self.standardise(clean_images(faces, self.size))  # (N, 3, S', S')
        network = _without_loops(self.network) if self.exported else self.network
        if self.view.in_clips:
            return _named(network(images.unsqueeze(0)))
        grouped = images.unsqueeze(1)
        mask = torch.ones(grouped.shape[:2], dtype=torch.bool, device=faces.device)
        (shown,) = self.view.inputs(grouped, mask, self._samples(faces), 0, 0)
        if hasattr(network, "attend"):
            return _attended(network, shown)
        return _named(network(shown)) | self._maps(shown)

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        found = self.explain(self.network, images) if self.explain else None
        maps = {name: each for name, each in (found or {}).items() if name.rstrip("0123456789") in MAPS}
        return {name: each.amax(dim=1) for name, each in maps.items()}

    def _samples(self, faces: Tensor) -> np.ndarray:
        """Row 0 for every face: random regions, which are drawn by row, are then the same for all."""
        random = isinstance(self.view, Regions) and self.view.crops == "random"
        if random and self.exported:
            raise UserError("random regions are drawn for each face: export a model with fixed regions")
        return np.zeros((len(faces) if random else 1, 1), np.int64)  # a length would be frozen in a graph


def _named(output: Any) -> dict[str, Tensor]:  # noqa: ANN401 - a tensor or a method's named tuple
    """Keep what tables show of a network's output."""
    if isinstance(output, Tensor):
        return {LOGITS: _two_columns(output)}
    named = {LOGITS: _two_columns(output.logits)}
    if (embeddings := getattr(output, "embeddings", None)) is not None:
        named[EMBEDDING] = embeddings
    if (alpha := getattr(output, "alpha", None)) is not None:
        weights = alpha if output.beta is None else alpha * output.beta
        named[FRAME_WEIGHTS] = weights / weights.sum(dim=1, keepdim=True)
    return named


def _attended(network: Any, regions: Tensor) -> dict[str, Tensor]:  # noqa: ANN401 - a network with ``attend``
    """Classify regions and keep their shares: the network's own forward, which also returns its weights."""
    feature, weights = network.attend(regions)
    return {LOGITS: network.fc(feature), REGION_WEIGHTS: weights.shares().squeeze(2)}


def _two_columns(logits: Tensor) -> Tensor:
    """Give the one logit z of an official detector as (0, z), as the arms do."""
    return nn.functional.pad(logits, (1, 0)) if logits.shape[-1] == 1 else logits


def _without_loops(network: nn.Module) -> nn.Module:
    """Embed all images in one pass: how many parts a loop has would be frozen in an exported graph."""
    if not hasattr(network, "embed_images"):
        return network
    copied: Any = copy.copy(network)
    trunk: Any = network

    def embed(images: Tensor, mask: Tensor | None = None) -> Tensor:
        return trunk.embed_images(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    copied.embed = embed
    return copied


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
        UserError: the file is missing or damaged, has no specification, or its tensors were changed or
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
    """Write a model file atomically."""
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    with atomic_write(path) as temporary:
        save_file(tensors, str(temporary), {KEY: spec.as_json()})
