"""How networks answer when half of a face is visible, and whether they answer as a teacher of whole faces."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fer_repro.datasets.store import Store
from fer_repro.layers.half_faces import COVERS
from fer_repro.measures.intervals import wilson_interval
from fer_repro.runs.loaded_run import load_run, look

Answers = Mapping[str, Sequence[Mapping[str, np.ndarray]]]
"""Arm -> for each seed what is visible -> probabilities (n, K)."""
VIEWS = {"lower": "lower half", "upper": "upper half", "whole": "whole face"}
_COLUMNS = ["arm", "class", "value", "low", "high"]


def covered_faces(images: np.ndarray) -> dict[str, np.ndarray]:
    """Cover faces (N, H, W) as their networks do: each of ``VIEWS`` -> images."""
    faces = torch.from_numpy(np.asarray(images))
    return {
        words: COVERS[name](faces, 0.0).numpy() for name, words in zip(COVERS, VIEWS.values(), strict=True)
    }


def answers_by_view(folders: Mapping[str, Mapping[int, Path]], store: Store, rows: np.ndarray) -> Answers:
    """Let every network answer for both halves and the whole of some faces, whatever it was trained for.

    Args:
        folders: arm -> seed -> run of a method whose ``explain`` gives these probabilities.
        store: the data set.
        rows: (n,) of the sample table.
    """
    return {
        arm: [look(load_run(folder, store), rows) for folder in seeds.values()]
        for arm, seeds in folders.items()
    }


def accuracy_by_view(answers: Answers, targets: np.ndarray, confidence: float) -> pd.DataFrame:
    """Accuracy of each arm by what is visible, over seeds, with Wilson's interval for the faces.

    Args:
        answers: from ``answers_by_view``.
        targets: (n,) class indices.
        confidence: such as 0.95.

    Returns:
        ``arm``, ``class`` (what is visible), ``value``, ``low``, ``high`` in [0, 1].
    """
    return _shares(
        {
            (arm, words): np.stack([seed[view].argmax(1) == targets for seed in seeds])
            for arm, seeds in answers.items()
            for view, words in VIEWS.items()
        },
        confidence,
    )


def agreement_with_teacher(
    answers: Answers, teacher: str, targets: np.ndarray, confidence: float, view: str = "lower"
) -> pd.DataFrame:
    """Share of faces that an arm answers from one half as its teacher answers them whole, right or wrong.

    Args:
        answers: from ``answers_by_view``.
        teacher: its arm.
        targets: (n,) class indices.
        confidence: such as 0.95.
        view: of the arms that are compared.

    Returns:
        As ``accuracy_by_view``; ``class`` tells the faces that the teacher knows from the others.
    """
    shares = {}
    for arm, seeds in answers.items():
        own = np.stack([seed[view].argmax(1) for seed in seeds])  # (S, n)
        wanted = np.stack([seed["whole"].argmax(1) for seed in answers[teacher]])
        right = wanted == targets
        for words, chosen in (("teacher is right", right), ("teacher is wrong", ~right)):
            shares[arm, words] = np.where(chosen, (own == wanted).astype(float), np.nan)
    return _shares(shares, confidence)


def softened_answers(
    probabilities: np.ndarray, temperatures: Sequence[float], classes: Sequence[str]
) -> pd.DataFrame:
    """Soften one answer: softmax(z / T) of the logits behind its probabilities.

    Args:
        probabilities: (K,) at T = 1.
        temperatures: T.
        classes: K names.

    Returns:
        As ``accuracy_by_view``; ``arm`` is T, and there is no interval.
    """
    rows = []
    for temperature in temperatures:
        logits = np.log(np.maximum(probabilities.astype(float), 1e-12)) / temperature
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        rows += [
            (f"T = {temperature:g}", name, *[value] * 3) for name, value in zip(classes, shares, strict=True)
        ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _shares(hits: Mapping[tuple[str, str], np.ndarray], confidence: float) -> pd.DataFrame:
    """Average hits (S, n) over seeds and faces; NaN does not count. All seeds see the same faces."""
    rows = []
    for key, each in hits.items():
        counted = np.isfinite(each)
        total = counted.sum() / len(each)
        share = float(each[counted].mean()) if counted.any() else np.nan
        rows.append([*key, share, *wilson_interval(share * total, total, confidence)])
    return pd.DataFrame(rows, columns=_COLUMNS)
