"""Start weights that were trained on faces, read from a file the user has: nobody may redistribute them.

The papers' own trunks are ``Resnet18_FER+_pytorch.pth.tar`` and ``Resnet18_MS1M_pytorch.pth.tar`` (FAN's
README) and ``ijba_res18_naive.pth.tar`` (RAN's).
"""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from fer_repro.errors import UserError


def load_face_trunk(network: nn.Module, path: Path) -> None:
    """Copy the trunk of an authors' checkpoint into ``network``; heads keep their start.

    Their importer's rule: take ``state_dict``, leave out ``fc``, strip ``module.``, load the rest. Unlike
    there, a trunk that is not whole is refused.

    Args:
        network: with torchvision's key names, e.g. a ``SharedTrunk``.
        path: the checkpoint; read with ``weights_only``.

    Raises:
        UserError: the file is missing or no checkpoint, or a tensor of the trunk is missing or does not fit.
    """
    given = {
        key.removeprefix("module."): value
        for key, value in _read(path).items()
        if not key.removeprefix("module.").startswith("fc.")
    }
    own = network.state_dict()
    trunk = [key for key in own if key.startswith(("conv1.", "bn1.", "layer"))]
    odd = [key for key in given if key not in trunk]
    missing = [key for key in trunk if key not in given and not key.endswith("num_batches_tracked")]
    wrong = [key for key in trunk if key in given and given[key].shape != own[key].shape]
    for word, keys in (("missing", missing), ("unexpected", odd), ("of another shape", wrong)):
        if keys:
            raise UserError(f"{path}: does not fit this trunk: {len(keys)} {word}, first {keys[0]}")
    with torch.no_grad():
        for key, value in given.items():
            own[key].copy_(value)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected the authors' checkpoint") from None
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path}: not readable as a checkpoint of tensors alone: {reason}") from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a state dict, or a dictionary that holds one as 'state_dict'")
    return state
