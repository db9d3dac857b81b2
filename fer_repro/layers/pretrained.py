"""Pretrained weights that networks start from, and the standardisation that belongs to them.

ImageNet's are those that torchvision publishes. Those trained on faces are read from a file the user has,
since nobody may redistribute them: ``Resnet18_FER+_pytorch.pth.tar`` and ``Resnet18_MS1M_pytorch.pth.tar``
(FAN's README), ``ijba_res18_naive.pth.tar`` (RAN's); or of a network trained here. Networks take images in
[0, 1] and standardise inside.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.files import file_sha256
from fer_repro.recipes import is_path, start_file

Trunk = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"]


def check_start(pretraining: str, width: int, stem: str = "table", whose: str = "ResNet-18") -> None:
    """Refuse to start a network of another width or stem from ImageNet weights.

    Args:
        pretraining: of the recipe's model, as are the next two.
        width: channels of the stem.
        stem: before stage 1.
        whose: the network that has been trained on ImageNet.

    Raises:
        UserError: naming both.
    """
    if pretraining != "imagenet":
        return
    if width != 64:
        raise UserError(
            f"model.width is {width}, but model.pretraining imagenet needs 64, {whose}'s own width"
        )
    if stem != "table":
        raise UserError(
            f"model.stem is {stem}, but model.pretraining imagenet needs table, {whose}'s own stem"
        )


def imagenet_weights(trunk: Trunk) -> dict[str, Tensor]:
    """Read the ImageNet weights of a trunk from torch's cache, fetching them once if they are not there.

    Returns:
        The state dict without the classifier, in torchvision's key names.

    Raises:
        UserError: the weights are not in the cache and cannot be fetched (it names where to put the file),
            or the file in the cache is damaged.
    """
    from torchvision.models import get_model_weights  # slow to import, and only ImageNet weights need it

    weights = get_model_weights(trunk)["IMAGENET1K_V1"]
    with _fetching(trunk, weights.url):
        state = weights.get_state_dict(progress=False, check_hash=True)
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def imagenet_network(name: str, **options: bool) -> nn.Module:
    """Build one of torchvision's networks with its ImageNet weights and classifier, fetched once as above.

    Args:
        name: torchvision's, e.g. ``densenet121``.
        options: of its constructor.

    Raises:
        UserError: as for ``imagenet_weights``.
    """
    from torchvision.models import get_model, get_model_weights

    weights = get_model_weights(name)["IMAGENET1K_V1"]
    with _fetching(name, weights.url):
        return get_model(name, weights=weights, progress=False, **options)


@contextmanager
def _fetching(trunk: str, url: str) -> Iterator[None]:
    """Check the file in the cache before it is read, and name the place of one that cannot be fetched."""
    name = url.rsplit("/", 1)[-1]
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    if place.is_file():
        _check_hash(place)
    try:
        yield
    except (URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the ImageNet weights of {trunk} are not there and cannot be fetched ({reason}): "
            f"put {name} from {url} at {place}, or set model.pretraining to none"
        ) from None


def _check_hash(place: Path) -> None:
    """Compare a cached file with the hash in its name; torch checks only while it fetches."""
    digest = file_sha256(place)
    expected = place.stem.rsplit("-", 1)[-1]
    if not digest.startswith(expected):
        raise UserError(f"{place}: its SHA-256 begins with {digest[:8]}, not with {expected}: delete it")


def load_imagenet_trunk(network: nn.Module, trunk: Trunk) -> None:
    """Copy the ImageNet weights into the parts of ``network`` that torchvision's trunk has too.

    Raises:
        UserError: the weights cannot be fetched, or a tensor of the trunk does not fit.
    """
    own = network.state_dict()
    for key, value in imagenet_weights(trunk).items():
        if key not in own or own[key].shape != value.shape:
            found = tuple(own[key].shape) if key in own else "absent"
            raise UserError(
                f"the ImageNet weights of {trunk} do not fit: {key} is {found} here, not {tuple(value.shape)}"
            )
        own[key].copy_(value)


IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Standardise(nn.Module):
    """Subtract ImageNet's mean from images in [0, 1] and divide by its deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Standardise (N, 3, H, W)."""
        return (images - self.mean) / self.deviation


def check_images(images: Tensor) -> None:
    """Refuse anything but (N, 3, H, W).

    Raises:
        UserError: naming the shape.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise UserError(f"images have the shape {tuple(images.shape)}: expected (N, 3, H, W)")


def load_start(network: nn.Module, start: str, digest: str = "") -> None:
    """Copy the trunk that a ResNet-18 starts from.

    Args:
        network: with torchvision's key names, e.g. a ``SharedTrunk``.
        start: ``none``, ``imagenet`` or a path as for ``fer_repro.recipes.start_file``.
        digest: SHA-256 of that file; empty does not check it.

    Raises:
        UserError: the weights are missing, are not those of the digest, or do not fit.
    """
    if start == "imagenet":
        load_imagenet_trunk(network, "resnet18")
    elif is_path(start):
        file = start_file(start)
        found = file_sha256(file)
        if digest not in ("", found):
            raise UserError(
                f"{file}: its SHA-256 begins with {found[:8]}, not with {digest[:8]}: it has changed "
                "since the configuration was read"
            )
        load_face_trunk(network, file)


def load_face_trunk(network: nn.Module, path: Path) -> None:
    """Copy the trunk of a checkpoint into ``network``; heads keep their initial weights.

    Of the papers' authors their importer's rule: take ``state_dict``, leave out ``fc``, strip ``module.``,
    load the rest. Unlike there, an incomplete trunk is refused. Of a network trained here
    (``.safetensors``) all heads are left out.

    Args:
        network: with torchvision's key names, e.g. a ``SharedTrunk``.
        path: the checkpoint; read with ``weights_only``.

    Raises:
        UserError: the file is missing or no checkpoint, or a tensor of the trunk is missing or does not fit.
    """
    own = network.state_dict()
    trunk = [key for key in own if key.startswith(_TRUNK)]
    heads = ("",) if path.suffix == ".safetensors" else ("fc.",)
    given = {
        key: value
        for key, value in _read(path).items()
        if key.startswith(_TRUNK) or not key.startswith(heads)
    }
    odd = [key for key in given if key not in trunk]
    missing = [key for key in trunk if key not in given and not key.endswith("num_batches_tracked")]
    wrong = [key for key in trunk if key in given and given[key].shape != own[key].shape]
    for word, keys in (("missing", missing), ("unexpected", odd), ("of another shape", wrong)):
        if keys:
            raise UserError(f"{path}: does not fit this trunk: {len(keys)} {word}, first {keys[0]}")
    with torch.no_grad():
        for key, value in given.items():
            own[key].copy_(value)


_TRUNK = ("conv1.", "bn1.", "layer")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the authors' checkpoint") from None
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path}: not readable as a checkpoint of tensors alone: {reason}") from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a state dict, or a dictionary that holds one as 'state_dict'")
    return {key.removeprefix("module."): value for key, value in state.items()}
