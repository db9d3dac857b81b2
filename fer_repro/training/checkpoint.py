"""What a killed run continues from: one atomic file, stamped with a hash of all that decides the result."""

import hashlib
import json
import random
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fer_repro.config import RunConfig
from fer_repro.errors import UserError
from fer_repro.files import atomic_write
from fer_repro.stage_code import TRAINING, code_digests
from fer_repro.training.seeding import choose_precision


def fingerprint(
    config: RunConfig, data_digest: str, code: Iterable[str] = TRAINING, processes: int = 1
) -> str:
    """Hash everything that training depends on: configuration, data, code, processes and PyTorch's version.

    How often checkpoints are written and how results are evaluated do not enter.

    Args:
        config: of the run.
        data_digest: ``Store.digest``.
        code: patterns of files below the package; ``{method}`` is the method's name.
        processes: that share the run.

    Returns:
        64 hexadecimal digits.
    """
    values = asdict(config)
    values["recipe"]["precision"] = choose_precision(config)  # auto is not the same everywhere
    del values["evaluation"], values["runtime"]["checkpoint_seconds"]
    parts = [json.dumps(values, sort_keys=True), data_digest, torch.__version__, str(processes)]
    parts += [f"{path} {digest}" for path, digest in code_digests(code, config.method).items()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Checkpoint:
    """The resume state of one arm.

    Args:
        path: the file, e.g. ``ckpt/synthetic/rmn/0/masked/state.pt``.
        stamp: the run's ``fingerprint``.
    """

    def __init__(self, path: Path, stamp: str) -> None:
        self.path = path
        self.stamp = stamp

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state atomically."""
        with atomic_write(self.path) as temporary:
            torch.save({**state, "fingerprint": self.stamp}, temporary)

    def load(self) -> dict[str, Any] | None:
        """Read the state, or None where there is none of this very run.

        A file of another configuration, data set, code or PyTorch is never used: a line reports it, and the
        next ``save`` replaces it.
        """
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            stamp = state["fingerprint"]
        except Exception as error:  # a damaged file raises anything
            reason = f"it cannot be read ({type(error).__name__})"
        else:
            if stamp == self.stamp:
                return state
            reason = "it belongs to other parameters, data or code"
        print(f"{self.path}: {reason}; training starts anew", file=sys.stderr, flush=True)
        return None


def generators() -> dict[str, Any]:
    """Read the states of the random generators of Python, NumPy and PyTorch."""
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    inner = {**numpy_state["state"], "key": numpy_state["state"]["key"].tolist()}
    version, numbers, gauss = random.getstate()
    return {
        "python": [version, list(numbers), gauss],
        "numpy": {**numpy_state, "state": inner},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_generators(states: Mapping[str, Any]) -> None:
    """Put the random generators back where ``generators`` found them."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    numpy_state = dict(states["numpy"])
    numpy_state["state"] = {**numpy_state["state"], "key": np.array(numpy_state["state"]["key"], np.uint32)}
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copy a module's state to the CPU, each tensor of its own and contiguous."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()
    }


def check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights with which a network would return NaN.

    Args:
        weights: tensors by name.
        where: their file or run, for messages.

    Raises:
        UserError: naming the first tensor that holds NaN or infinity.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise UserError(
                f"{where}: {count} of {tensor.numel()} numbers of '{name}' are not finite: the training "
                "diverged or the file is damaged; take another checkpoint"
            )


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights as safetensors, atomically and byte-stable (sorted by name).

    Args:
        path: e.g. ``weights.safetensors``.
        weights: from ``copy_weights``.

    Raises:
        UserError: see ``check_finite``.
    """
    check_finite(weights, str(path))
    with atomic_write(path) as temporary:
        save_file(dict(sorted(weights.items())), temporary)
