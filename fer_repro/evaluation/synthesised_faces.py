"""How good synthesised faces are: pixel by pixel, to a network of expressions, and to one of identities.

Errors are measured before anything is stretched or limited; networks get what they were trained on, values
in [0, 1]. The inputs as they are (a copy) and the true targets belong beside every map: the first has the
identity without the expression, the second both.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from fer_repro.errors import UserError, nearest
from fer_repro.loading.augmentation import resize
from fer_repro.runs.loaded_run import LoadedRun

COLUMNS = ("arm", "face", "mse", "called", "similarity")
COPY, TARGET = "copy", "target"
_BATCH = 64


def judge_faces(
    outputs: Mapping[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    classifier: LoadedRun,
    wanted: str,
    embedder: LoadedRun,
) -> pd.DataFrame:
    """Judge the outputs of several maps for the same faces.

    Args:
        outputs: arm -> (N, C, H, H), C = 1 grey or 3; unlimited.
        inputs: (N, C, H, H) in [0, 1].
        targets: (N, C, H, H) in [0, 1], the same people with the expression.
        classifier: a run of expressions, of people that are not among these.
        wanted: the class that the outputs are to show.
        embedder: a run that verifies, whose network has ``embed``.

    Returns:
        ``COLUMNS``, one row per arm and face, the arms ``copy`` and ``target`` first: ``mse`` over pixels and
        channels, ``called`` (whether the classifier answers with ``wanted``) and ``similarity``, the cosine
        of the embeddings of output and input.

    Raises:
        UserError: the classifier does not know the class; names the nearest.
    """
    if wanted not in classifier.classes:
        raise UserError(f"the classifier has no class '{wanted}'; {nearest(wanted, classifier.classes)}")
    label = classifier.classes.index(wanted)
    known = _embeddings(embedder, inputs)
    parts = []
    for arm, images in {COPY: inputs, TARGET: targets, **outputs}.items():
        answers = _run(classifier, images, lambda network, shown: _logits(network(shown)))
        vectors = _embeddings(embedder, images)
        part = {
            "arm": arm,
            "face": range(len(images)),
            "mse": (images.double() - targets.double()).square().flatten(1).mean(dim=1).numpy(),
            "called": (answers.argmax(dim=1) == label).numpy(),
            "similarity": torch.cosine_similarity(vectors, known, dim=1).numpy(),
        }
        parts.append(pd.DataFrame(part, columns=list(COLUMNS)))
    return pd.concat(parts, ignore_index=True)


def _embeddings(run: LoadedRun, images: Tensor) -> Tensor:
    return _run(run, images, lambda network, shown: network.embed(shown))


def _run(run: LoadedRun, images: Tensor, compute: Any) -> Tensor:  # noqa: ANN401 - network, images -> tensor
    """Run a network on images, limited to [0, 1] and at the size that it was trained on."""
    size, parts = run.config["recipe"]["image_size"], []
    for part in images.float().clamp(0, 1).split(_BATCH):
        shown = resize(part.expand(-1, 3, -1, -1), size).clamp(0, 1)
        with torch.no_grad():
            parts.append(compute(run.network, shown).double())
    return torch.cat(parts)


def _logits(output: Any) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    return torch.as_tensor(getattr(output, "logits", output))
