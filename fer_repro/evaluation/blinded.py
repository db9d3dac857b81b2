"""What embeddings show and for whom they work, while more and more is removed from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.pair_rows import score_pairs
from fer_repro.evaluation.probe_rows import probe_hits
from fer_repro.measures.intervals import wilson_interval
from fer_repro.measures.probes import PROBES, read_by_probe
from fer_repro.measures.verification import cosine_scores
from fer_repro.methods.blinding import null_projection, probed_rows, row_basis
from fer_repro.runs.folder import PairRun, by_arm
from fer_repro.runs.loaded_run import load_run, look

PROBE_WORDS = {"linear": "linear probe", "mlp": "small network"}


def probe_bars(runs: Sequence[PairRun], confidence: float) -> pd.DataFrame:
    """Share of test faces whose label each probe reads, over seeds, with Wilson's interval for the faces.

    Args:
        runs: from ``read_pair_runs``, with probes.
        confidence: such as 0.95.

    Returns:
        ``arm``, ``class`` (the probe), ``value``, ``low``, ``high`` in [0, 1].
    """
    rows = []
    for kind in PROBES:
        for arm, hits in probe_hits(runs, kind).items():
            share, total = float(hits.mean()), hits.shape[1]
            rows.append((arm, PROBE_WORDS[kind], share, *wilson_interval(share * total, total, confidence)))
    return pd.DataFrame(rows, columns=["arm", "class", "value", "low", "high"])


def read_and_verified(runs: Sequence[PairRun]) -> pd.DataFrame:
    """Put what is read beside what is verified: ``arm``, ``seed``, ``read`` (best probe), ``pairs``."""
    rows = [
        (
            arm,
            run.seed,
            max(float((run.probes[kind] == run.probes["target"]).mean()) for kind in PROBES),
            score_pairs(run.pairs).values["pair_accuracy"],
        )
        for arm, members in by_arm(runs).items()
        for run in members
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "read", "pairs"])


def _embeddings(network: nn.Module, images: Tensor) -> Mapping[str, Tensor]:
    return {"embeddings": network(images).embeddings}


def removal_by_rounds(run: PairRun, folder: Path, store: Store, rounds: Sequence[int]) -> pd.DataFrame:
    """Remove more and more of an embedding, and as many random directions, and look what is left.

    Args:
        run: of a network whose output has ``embeddings``.
        folder: its folder.
        store: the data set.
        rounds: of probes whose rows are removed; 0 removes nothing.

    Returns:
        ``removed`` (null space or random subspace), ``rounds``, ``rank``, ``linear`` and ``mlp`` (shares of
        test faces whose label is read), ``pairs`` (pair accuracy).

    Raises:
        UserError: a number of rounds is below 0.
    """
    if min(rounds) < 0:
        raise UserError(f"rounds are {list(rounds)}: expected numbers from 0")
    samples = store.samples
    rows = np.arange(len(samples))
    vectors = look(load_run(folder, store), rows, _embeddings)["embeddings"].astype(np.float64)
    labels = samples["label"].to_numpy(np.int64)
    train, test = (samples["split"].eq(name).to_numpy() for name in ("train", "test"))
    removed = probed_rows(vectors[train], labels[train], max(rounds)) if max(rounds) else np.zeros((0, 0))
    each = len(removed) // max(max(rounds), 1)
    generator, found = np.random.default_rng(run.seed), []
    for count in rounds:
        directions = removed[: each * count]
        rank = len(row_basis(directions)) if count else 0
        drawn = generator.normal(size=(rank, vectors.shape[1]))
        for words, chosen in (("null space", directions), ("random subspace", drawn)):
            left = vectors @ null_projection(chosen) if count else vectors
            read = [
                (read_by_probe(kind, left[train], labels[train], left[test], run.seed) == labels[test]).mean()
                for kind in PROBES
            ]
            first, second = (run.pairs[name].to_numpy() for name in ("first", "second"))
            scored = run.pairs.assign(score=cosine_scores(left, first, second))
            found.append((words, count, rank, *read, score_pairs(scored).values["pair_accuracy"]))
    return pd.DataFrame(found, columns=["removed", "rounds", "rank", *PROBES, "pairs"])
