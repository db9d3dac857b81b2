"""``verify``: are two faces of one person? By a model, in one call."""

from pathlib import Path
from typing import Any

from fer_repro.inference.loading import load
from fer_repro.inference.model import Model, Verification


def verify(a: Any, b: Any, model: "Model | str | Path", **looking: Any) -> Verification:  # noqa: ANN401
    """Compare two faces.

    Example: ``fer_repro.verify("a.jpg", "b.jpg", "runs/synthetic_pairs/adacos/0/dynamic")``

    Args:
        a: a picture, an array, or an embedding.
        b: the other.
        model: a network with embeddings, or where it is, see ``load``.
        **looking: fields of ``fer_repro.inference.model.Looking``.

    Raises:
        UserError: the model has no embeddings, or a picture has no face.
    """
    opened = model if isinstance(model, Model) else load(model)
    return opened.verify(a, b, **looking)
