"""ImageNet start weights of ResNet trunks, as torchvision publishes them."""

import hashlib
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import torch
from torch import Tensor, nn

from fer_repro.errors import UserError

Trunk = Literal["resnet18", "resnet34", "resnet50"]


def imagenet_weights(trunk: Trunk) -> dict[str, Tensor]:
    """Read the ImageNet weights of a trunk from torch's cache, fetching them once if they are not there.

    Returns:
        The state dict without the classifier, in torchvision's key names.

    Raises:
        UserError: the weights are not in the cache and cannot be fetched (it says where to put the file),
            or the file in the cache is damaged.
    """
    from torchvision.models import get_model_weights  # slow to import, and only this start needs it

    weights = get_model_weights(trunk)["IMAGENET1K_V1"]
    name = weights.url.rsplit("/", 1)[-1]
    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    if place.is_file():
        _check_hash(place)
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"the ImageNet weights of {trunk} are not there and cannot be fetched ({reason}): "
            f"put {name} from {weights.url} at {place}, or set model.pretraining to none"
        ) from None
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def _check_hash(place: Path) -> None:
    """Compare a cached file with the hash in its name; torch checks only while it fetches."""
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
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
