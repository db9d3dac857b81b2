"""Reproduce papers on facial expression recognition, and believe the result.

``load``, ``verify`` and ``detect_manipulation`` are imported when they are first used.
"""

from typing import Any

_PUBLIC = {
    "load": "fer_repro.inference.loading",
    "verify": "fer_repro.inference.manipulation",
    "detect_manipulation": "fer_repro.inference.manipulation",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """Import what is asked for (PEP 562), so that ``import fer_repro`` loads nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("fer-repro")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fer_repro' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted((*globals(), *_PUBLIC, "__version__"))
