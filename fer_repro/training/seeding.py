"""Seeds, determinism and the record of the environment that numbers depend on; the allocator.

The allocator's setting decides how the C library keeps memory that is freed and asked for again at every
step.
"""

import ctypes
import os
import platform
import random
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from fer_repro.config import RunConfig
from fer_repro.errors import UserError
from fer_repro.params import RuntimeConfig

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PACKAGES = ("torch", "torchvision", "lightning", "numpy", "pandas", "scipy", "safetensors")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on all devices.

    Args:
        seed: from 0.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that draw from the global state
    torch.manual_seed(seed)


def make_deterministic(runtime: RuntimeConfig) -> None:
    """Let equal runs give equal bits: deterministic algorithms and a fixed number of threads.

    Args:
        runtime: gives the thread count, and whether PyTorch may choose faster algorithms on accelerators.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # PyTorch's reproducibility notes
    torch.use_deterministic_algorithms(runtime.deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not runtime.deterministic
    torch.set_num_threads(runtime.threads)


def choose_device(runtime: RuntimeConfig) -> str:
    """Resolve ``auto`` to cuda where there is one, else cpu.

    Raises:
        UserError: cuda is asked for and absent.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise UserError("runtime.device is 'cuda', but PyTorch finds none; set it to 'auto' or 'cpu'")
    if runtime.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return runtime.device


def choose_precision(config: RunConfig) -> Precision:
    """Resolve ``auto`` to bf16 where the device multiplies in it, else to float32."""
    if config.recipe.precision != "auto":
        return config.recipe.precision
    if choose_device(config.runtime) == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if has_it else "32-true"


def environment(runtime: RuntimeConfig) -> dict[str, Any]:
    """Record what the numbers of a run depend on besides its configuration.

    Returns:
        Python, packages, system, processor, threads, device and its name.
    """
    device = choose_device(runtime)
    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": runtime.threads,
        "device": device,
        "accelerator": torch.cuda.get_device_name() if device == "cuda" else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


KEPT = 2**30  # bytes that stay with the process
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # <malloc.h> of the GNU C library


def keep_freed_memory() -> bool:
    """Let the GNU C library keep freed memory rather than hand it back and have it zeroed at every step.

    Training on a CPU saves 2 to 5 % of its time; its peak of memory stays (docs/benchmarks.md). Numbers do
    not change. Elsewhere nothing happens.

    Returns:
        Whether the library took the setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    change = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return change is not None and all(change(key, KEPT) for key in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
