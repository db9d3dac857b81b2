"""Ensembles of trained runs, from their saved predictions: summed probabilities, or averaged logits.

Summed probabilities are those of the Residual Masking Network (arXiv:2603.05937): each network's softmax,
with test-time augmentation summed over its copies, added over the networks without weights. Its seven
networks and their 76.82 are not available: two checkpoints are lost. Averaged logits are those of Bonettini
et al. (arXiv:2004.07676, Sec. III-C). Both combine networks of one seed.
"""

from collections.abc import Sequence

import numpy as np
import torch

from fer_repro.errors import UserError, nearest
from fer_repro.layers.ensemble import average_logits, combinations
from fer_repro.measures.classification import softmax
from fer_repro.methods.method import EnsembleRule, load_method
from fer_repro.runs.folder import Run, by_arm
from fer_repro.runs.predictions import Predictions

_LEAST = 1e-300  # below it a probability counts as this, so that its logarithm is finite


def papers_ensembles(method: str, arms: Sequence[str]) -> list[tuple[str, ...]]:
    """List the ensembles of trained arms that a method's paper reports.

    Args:
        method: its name.
        arms: those trained.

    Returns:
        All combinations of two or more of the networks that the paper combines, in the order of its table;
        none for a paper without an ensemble.
    """
    members = [arm for arm in load_method(method).ensemble if arm in arms]
    return [chosen for chosen in combinations(members) if len(chosen) > 1]


def ensemble_name(members: Sequence[str]) -> str:
    """Name an ensemble after its members, as published and measured rows do: ``plain+attention``."""
    return "+".join(members)


def ensemble_runs(runs: Sequence[Run], members: Sequence[str], rule: EnsembleRule) -> list[Run]:
    """Combine the arms of each seed into one run, named after them: ``plain+attention``.

    Args:
        runs: from ``read_runs``, whose samples are the same.
        members: two or more arms.
        rule: sum probabilities, or average logits.

    Returns:
        One run per seed of the first member.

    Raises:
        UserError: an arm is not among the runs, is given twice, or has no run of a seed.
    """
    arms = by_arm(runs)
    for arm in members:
        if arm not in arms:
            raise UserError(f"ensemble {ensemble_name(members)}: no run of arm '{arm}'; {nearest(arm, arms)}")
    if len(set(members)) != len(members) or len(members) < 2:
        raise UserError(
            f"ensemble {ensemble_name(members) or 'of nothing'}: expected two or more different arms"
        )
    combine = _average if rule == "logits" else _sum
    found = []
    for first in arms[members[0]]:
        chosen = [run for arm in members for run in arms[arm] if run.seed == first.seed]
        if len(chosen) != len(members):
            missing = [arm for arm in members if arm not in {run.arm for run in chosen}]
            raise UserError(f"ensemble {ensemble_name(members)}: arm '{missing[0]}' has no seed {first.seed}")
        for run in chosen:
            if not np.array_equal(run.predictions.samples, chosen[0].predictions.samples):
                raise UserError(
                    f"ensemble {ensemble_name(members)}: arm '{run.arm}' predicts other samples than "
                    f"'{chosen[0].arm}': their validation leaves out different kinds"
                )
        predictions = combine([run.predictions for run in chosen])
        found.append(Run(ensemble_name(members), first.seed, first.config, predictions))
    return found


def _sum(members: Sequence[Predictions]) -> Predictions:
    """Sum probabilities, divided by their number, which changes no decision; logits are their logarithms."""
    clean = np.mean([softmax(member.logits) for member in members], axis=0)
    augmented = np.mean([np.asarray(member.probabilities, np.float64) for member in members], axis=0)
    return _like(members[0], np.log(np.maximum(clean, _LEAST)), augmented)


def _average(members: Sequence[Predictions]) -> Predictions:
    """Average logits; those of augmented copies are the logarithms of each network's mean probabilities."""
    logits = average_logits([torch.tensor(member.logits, dtype=torch.float64) for member in members]).numpy()
    logarithms = [np.log(np.maximum(member.probabilities, _LEAST)) for member in members]
    return _like(members[0], logits, softmax(np.mean(logarithms, axis=0)))


def _like(first: Predictions, logits: np.ndarray, probabilities: np.ndarray) -> Predictions:
    return Predictions(first.classes, first.samples, first.splits, first.targets, logits, probabilities)
