"""Runs that verify, as figures need them: scored pairs per arm, seed, fold and cause; angles; embeddings.

Angles are those between faces and the class vectors of a cosine head, beside how confident its softmax is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.pair_rows import score_pairs
from fer_repro.layers.embedding import EmbeddingClassifier, explain_angles
from fer_repro.measures.classification import softmax
from fer_repro.measures.verification import fold_accuracy, unit
from fer_repro.runs.folder import PairRun, by_arm
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.synthetic.pairs import LOOKS

BARS = ["arm", "class", "value", "low", "high"]
EMBEDDINGS = "embeddings.npz"
_TURNED = 20.0  # degrees between two heads; from here on a pair counts as rotated apart


def tested_pairs(run: PairRun) -> pd.DataFrame:
    """Choose the pairs of a run's test list, with rows from 0."""
    return run.pairs[run.pairs["list"] == "test"].reset_index(drop=True)


def scored_pairs(runs: Sequence[PairRun]) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Gather scores (P,) and ground truth (P,) of the test list: arm -> one pair of arrays per seed."""
    return {
        arm: [(part["score"].to_numpy(), part["same"].to_numpy()) for part in map(tested_pairs, members)]
        for arm, members in by_arm(runs).items()
    }


def usual_threshold(run: PairRun) -> float:
    """Give the score from which on a run calls a pair the same: the median of its folds' thresholds.

    A list without folds has one threshold, from the validation list.
    """
    test, fold = tested_pairs(run), 0
    if not test["fold"].any():
        val = run.pairs[run.pairs["list"] == "val"]
        test, fold = pd.concat([val.assign(fold=1), test.assign(fold=2)]), 2
    found = fold_accuracy(test["score"].to_numpy(), test["same"].to_numpy(), test["fold"].to_numpy())
    return float(found.thresholds[-1] if fold else np.median(found.thresholds))


def fold_bars(runs: Sequence[PairRun]) -> pd.DataFrame:
    """Compute the accuracy of each fold.

    Args:
        runs: from ``read_pair_runs``.

    Returns:
        ``arm``, ``class`` (the fold), ``value`` as the mean over seeds, ``low`` and ``high`` as the worst and
        the best seed, all in [0, 1].
    """
    folds = tested_pairs(runs[0])["fold"]
    return _bars(runs, {str(fold) if fold else "all": (folds == fold).to_numpy() for fold in folds.unique()})


def cause_bars(runs: Sequence[PairRun], samples: pd.DataFrame) -> pd.DataFrame:
    """Compute the accuracy of pairs that differ in what could make them hard.

    Args:
        runs: from ``read_pair_runs``.
        samples: the sample table; causes it does not know are left out.

    Returns:
        As ``fold_bars``, ``class`` being the kind of pair and their number.
    """
    pairs = tested_pairs(runs[0])
    one, two = (samples.iloc[pairs[name]].reset_index(drop=True) for name in ("first", "second"))
    same = pairs["same"].to_numpy(bool)
    groups: dict[str, np.ndarray] = {}
    if set(LOOKS) <= set(samples):
        alike = (one[list(LOOKS)] == two[list(LOOKS)]).all(axis=1).to_numpy()
        groups |= {"different,\nlookalikes": ~same & alike, "different,\nothers": ~same & ~alike}
    if samples["label"].nunique() > 1 and not _labels_are_people(samples):
        face = (one["label"] == two["label"]).to_numpy()
        groups |= {"same, one\nexpression": same & face, "same, two\nexpressions": same & ~face}
    if "yaw" in samples:
        near = ((one["yaw"] - two["yaw"]).abs() < _TURNED).to_numpy()
        groups |= {
            f"same,\nyaw < {_TURNED:g}°": same & near,
            f"same,\nyaw ≥ {_TURNED:g}°": same & ~near,
        }
    if "occluder" in samples:
        free = ((one["occluder"] == "none") & (two["occluder"] == "none")).to_numpy()
        groups |= {"same,\nfree": same & free, "same,\ncovered": same & ~free}
    return _bars(runs, {f"{name}\n({rows.sum()})": rows for name, rows in groups.items() if rows.any()})


def _bars(runs: Sequence[PairRun], groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Average which pairs are judged correctly over each group's rows, (P,) bool."""
    rows = []
    for arm, members in by_arm(runs).items():
        hits = np.stack([score_pairs(run.pairs).hits for run in members])
        for name, chosen in groups.items():
            shares = hits[:, chosen].mean(axis=1)
            rows.append([arm, name, shares.mean(), shares.min(), shares.max()])
    return pd.DataFrame(rows, columns=BARS)


def _labels_are_people(samples: pd.DataFrame) -> bool:
    """Return whether labels only name the person, as in sets of identities."""
    return "subject" in samples and bool(samples.groupby("subject")["label"].nunique().max() <= 1)


def embedded_groups(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, list[str]]:
    """Name what embeddings can be coloured by: the person, and the label where it is something else.

    Args:
        rows: of the sample table, from ``embedded_people``.
        classes: names in label order.
    """
    groups = {"person": rows["subject"].tolist()}
    if not _labels_are_people(rows):
        groups["label"] = [classes[label] for label in rows["label"]]
    return groups


def embedded_people(
    folder: Path | str, samples: pd.DataFrame, people: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Read the embeddings of the first few people of a run's test list, scaled to length one.

    Args:
        folder: of the run.
        samples: the sample table.
        people: how many at most.

    Returns:
        Embeddings (N, D), and their rows of the sample table. Faces of the validation list are left out.

    Raises:
        UserError: the run kept none.
    """
    path = Path(folder) / EMBEDDINGS
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the embeddings of a run that verifies pairs")
    with np.load(path, allow_pickle=False) as file:
        table, vectors = samples.iloc[file["samples"]], file["embeddings"].astype(np.float64)
    tested = (table["split"] == "test").to_numpy()
    tested = tested if tested.any() else np.ones(len(table), bool)
    chosen = table.loc[tested, "subject"].unique()[:people]
    kept = tested & table["subject"].isin(chosen).to_numpy()
    return unit(vectors[kept]), table[kept]


@dataclass(frozen=True)
class ClassAngles:
    """The outputs of one network for some faces.

    Attributes:
        cosines: (N, C) to every class vector.
        logits: (N, C), as at test time.
        targets: (N,) class indices.
        scale: the head's s.
        lengths: (C,) of the class vectors.
    """

    cosines: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    scale: float
    lengths: np.ndarray


def class_angles(folders: Mapping[str, Path], store: Store, split: str = "val") -> dict[str, ClassAngles]:
    """Measure the angles of one split's faces for the arms of one seed.

    Where pairs are verified, ``val`` is the held-out face of each person the network was trained on; people
    of the test list have no class vector.

    Args:
        folders: arm -> run whose network is an ``EmbeddingClassifier``.
        store: the data set.
        split: of the table that was trained on.
    """
    found = {}
    for arm, folder in folders.items():
        run = load_run(folder, store)
        rows = run.rows(split)
        seen = look(run, rows, _angles_and_logits)
        network: Any = run.network
        found[arm] = ClassAngles(
            seen["cosines"],
            seen["logits"],
            run.table["label"].loc[rows].to_numpy(np.int64),
            float(network.head.scale),
            np.linalg.norm(network.head.weight.detach().numpy(), axis=1),
        )
    return found


def _angles_and_logits(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    classifier: EmbeddingClassifier = network  # type: ignore[assignment]
    return {**explain_angles(classifier, images), "logits": classifier(images).logits}


def angle_table(angles: Mapping[str, ClassAngles]) -> pd.DataFrame:
    """Summarise angles and probabilities in numbers: one row per arm.

    Args:
        angles: arm -> from ``class_angles``.

    Returns:
        ``arm``; ``faces``; ``s``; medians over faces ``own angle`` to the true class and ``other angle``, in
        degrees, and ``P``, the softmax probability of the true class; ``right (%)``, whose true class is the
        likeliest; ``mean |W|``, the length of the class vectors.
    """
    rows = []
    for arm, found in angles.items():
        degrees = np.degrees(np.arccos(np.clip(found.cosines.astype(np.float64), -1, 1)))
        own = np.zeros(degrees.shape, bool)
        own[np.arange(len(own)), found.targets] = True
        likely = softmax(found.logits)[own]
        rows.append(
            {
                "arm": arm,
                "faces": len(own),
                "s": found.scale,
                "own angle": np.median(degrees[own]),
                "other angle": np.median(degrees[~own]),
                "P": np.median(likely),
                "right (%)": 100 * np.mean(found.logits.argmax(axis=1) == found.targets),
                "mean |W|": found.lengths.mean(),
            }
        )
    return pd.DataFrame(rows)
