"""How the C library keeps memory that is freed and asked for again at every step."""

import ctypes
import sys

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
