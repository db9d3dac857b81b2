"""Frame weights of FAN: for all test clips, beside the ground truth, and by both formulas.

Eq. 4 of arXiv:1907.00193 averages [f_i ; v] with the weights alpha beta. The authors' evaluation code weighs
the numerator by alpha alone and divides by the sum of alpha beta, so that its clip feature is s [v ; v] with
one number s = sum(alpha) / sum(alpha beta) > 1 per clip: relation attention no longer chooses frames.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.agreement import agreement_row, agreement_table, sample_groups
from fer_repro.loading.batches import Batch, BatchBuilder
from fer_repro.loading.split import Split, open_table
from fer_repro.loading.views import BatchIndex
from fer_repro.measures.classification import softmax
from fer_repro.measures.intervals import Interval, mean_interval, paired_difference
from fer_repro.measures.saliency import mean_of, rank_correlation, spearman
from fer_repro.methods.fan import FrameAttentionNetwork
from fer_repro.runs.loaded_run import LoadedRun, load_run
from fer_repro.training.loop import logits_of
from fer_repro.training.predict import item_batches

Looked = dict[str, np.ndarray]
ComputeClips = Callable[..., Mapping[str, Tensor] | None]
_PART = "shown"  # the split that chosen rows are given, whatever their own


def frame_weights_of_test(folders: Mapping[int, Path], store: Store, limit: int = 0) -> dict[int, Looked]:
    """Let the network of every seed weigh the frames of the test clips.

    Args:
        folders: seed -> run of an arm with attention.
        store: the data set.
        limit: at most so many clips, in the classes' proportions; 0 takes all.

    Returns:
        Seed -> what ``look_at_clips`` gives.
    """
    rows = protocol_rows(store.samples, "test", "official")
    return {seed: look_at_clips(load_run(folder, store), rows, limit) for seed, folder in folders.items()}


def look_at_clips(
    run: LoadedRun, rows: np.ndarray, limit: int = 0, compute: ComputeClips | None = None
) -> Looked:
    """Run a trained network on clips and keep the weights of their frames, as ``explained.npz`` has them.

    Args:
        run: from ``load_run``.
        rows: (M,) positions in the sample table, all frames of every clip.
        limit: at most so many clips, in the classes' proportions; 0 takes all.
        compute: network, frames (n, T, 3, H, W) and mask (n, T) -> tensors (n, T, ...) to keep instead; None
            takes the method's ``explain``.

    Returns:
        ``alpha``, with relation attention ``beta``, and ``weights``, all (n, T) and 0 at padding; ``rows``
        (n, T), -1 at padding; ``samples`` (n,), the row of each clip's first frame.

    Raises:
        UserError: the method does not take clips, or the arm has no attention.
    """
    parts: list[Looked] = []
    compute = compute or run.method.explain
    for split, items, shown in _shown(run, rows, limit):
        tensors = compute(run.network, *shown.inputs) if compute else None
        if tensors is None:
            raise UserError(f"method {run.method.name}, arm '{run.config['arm']}': it weighs no frames")
        part = {name: tensor.numpy() for name, tensor in tensors.items()}
        parts.append(part | {"rows": np.where(items.mask, split.samples[items.positions], -1)})
    longest = max(part["rows"].shape[1] for part in parts)
    joined = {
        name: np.concatenate(
            [_lengthened(part[name], longest, -1 if name == "rows" else 0) for part in parts]
        )
        for name in parts[0]
    }
    return joined | {"samples": joined["rows"][:, 0]}


def clip_logits(run: LoadedRun, rows: np.ndarray, limit: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classify clips with a trained network.

    Args:
        run: from ``load_run``.
        rows: see ``look_at_clips``.
        limit: see there.

    Returns:
        Logits (n, K) float32 and targets (n,).
    """
    logits: list[Tensor] = []
    targets: list[np.ndarray] = []
    for _, items, shown in _shown(run, rows, limit):
        with torch.no_grad():
            logits.append(logits_of(run.network(*shown.inputs)))
        targets.append(items.targets)
    return torch.cat(logits).numpy(), np.concatenate(targets)


def heaviest_frames(looked: Mapping[str, np.ndarray]) -> dict[int, int]:
    """Name the frame of each clip that weighs most: row of the first frame -> row of that one."""
    places = looked["weights"].argmax(axis=1)
    heaviest = np.take_along_axis(looked["rows"], places[:, None], axis=1)[:, 0]
    return dict(zip(looked["rows"][:, 0].tolist(), heaviest.tolist(), strict=True))


def alpha_alone(looked: Mapping[str, np.ndarray]) -> Looked:
    """Give the weights that frames have where relation attention does not choose: alpha, of sum 1."""
    alpha = looked["alpha"]
    return {**looked, "weights": alpha / alpha.sum(axis=1, keepdims=True)}


def intensity_agreement(
    looks: Mapping[str, Sequence[Mapping[str, np.ndarray]]], samples: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Correlate weights with true intensities inside clips (Spearman), over seeds and clips.

    Args:
        looks: name of a weighting -> one result of ``look_at_clips`` per seed, of the same clips.
        samples: sample table; without the column ``intensity`` nothing is known.
        confidence: such as 0.95.

    Returns:
        See ``agreement_table``; one row per weighting, none where nothing is known. Clips of constant
        intensity, such as neutral ones, are left out.
    """
    if "intensity" not in samples:
        return agreement_table([])
    truth = samples["intensity"].to_numpy(np.float64)
    found = []
    for name, seeds in looks.items():
        groups = sample_groups(samples, seeds[0]["samples"])
        values = [
            rank_correlation(look["weights"], truth[look["rows"]], look["rows"] >= 0).per_clip
            for look in seeds
        ]
        found.append(agreement_row(name, np.stack(values), groups, confidence))
    return agreement_table(found)


NOTHING = "none"  # the word for a frame without distractor


def frame_table(looks: Mapping[str, Mapping[str, np.ndarray]], samples: pd.DataFrame) -> pd.DataFrame:
    """Lay out every frame of the clips of all arms.

    Args:
        looks: arm -> ``rows`` (n, T), -1 at padding, and ``weights`` (n, T).
        samples: sample table; ``intensity`` and ``distractor`` may be missing.

    Returns:
        ``arm``, ``clip`` (its position), ``intensity`` (NaN where it is not known),
        ``distractor`` (``none`` likewise) and ``relative``, the weight times the number of frames.
    """
    columns = ["arm", "clip", "intensity", "distractor", "relative"]
    if not any(len(tensors["rows"]) for tensors in looks.values()):
        return pd.DataFrame(columns=columns)
    arms, clips, frames, relative = [], [], [], []
    for arm, tensors in looks.items():
        for position, (rows, weights) in enumerate(zip(tensors["rows"], tensors["weights"], strict=True)):
            kept = rows >= 0
            arms += [arm] * int(kept.sum())
            clips += [position] * int(kept.sum())
            frames.append(rows[kept])
            relative.append(weights[kept].astype(float) * kept.sum())
    places = np.concatenate(frames)
    known = pd.DataFrame({"intensity": np.nan, "distractor": NOTHING}, samples.index).assign(
        **{name: samples[name] for name in ("intensity", "distractor") if name in samples}
    )
    intensity = known["intensity"].to_numpy(dtype=float)[places]
    distractor = known["distractor"].astype(str).to_numpy()[places]
    return pd.DataFrame(
        dict(zip(columns, (arms, clips, intensity, distractor, np.concatenate(relative)), strict=True))
    )


def intensity_steps(frames: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """Take the quarters of relative weights of frames of like intensity, without those with a distractor.

    Args:
        frames: from ``frame_table``.
        bins: equal steps of intensity.

    Returns:
        ``arm``, ``intensity`` (the middle of a step), ``low``, ``middle`` and ``high``.
    """
    clean = frames[(frames["distractor"] == NOTHING) & frames["intensity"].notna()]
    steps = (clean["intensity"] * bins).astype(int).clip(upper=bins - 1).rename("step")
    quarters = clean.groupby(["arm", steps], sort=False)["relative"].quantile(np.array([0.25, 0.5, 0.75]))
    found = quarters.unstack().reindex(columns=[0.25, 0.5, 0.75]).sort_index(level="step").reset_index()
    found.columns = pd.Index(["arm", "intensity", "low", "middle", "high"])
    return found.assign(intensity=(found["intensity"] + 0.5) / bins)


def intensity_correlations(frames: pd.DataFrame) -> pd.DataFrame:
    """Correlate relative weights with true intensities (Spearman): of all frames, and inside single clips.

    Args:
        frames: from ``frame_table``.

    Returns:
        ``arm``, ``together``, ``inside``, the mean over clips, so that easy clips cannot make it, and
        ``clips``, how many have one.
    """
    found = []
    for arm, rows in frames.groupby("arm", sort=False):
        parts = [clip for _, clip in rows.groupby("clip")]
        together, *inside = (
            spearman(part["relative"].to_numpy(), part["intensity"].to_numpy()) for part in (rows, *parts)
        )
        rhos = np.array(inside)
        found.append((arm, together, mean_of(rhos), int(np.isfinite(rhos).sum())))
    return pd.DataFrame(found, columns=["arm", "together", "inside", "clips"])


def weights_by_distractor(
    looks: Mapping[str, Mapping[str, np.ndarray]], samples: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Average relative weights of frames by what distracts in them, over clips.

    Args:
        looks: see ``frame_table``.
        samples: sample table; without the column ``distractor`` nothing is known.
        confidence: of Student's interval over clips.

    Returns:
        ``arm``, ``distractor``, ``frames`` (how many), ``mean``, ``low`` and ``high``; empty where nothing is
        known.
    """
    found = []
    frames = (
        frame_table(looks, samples)
        if "distractor" in samples
        else pd.DataFrame(columns=["arm", "distractor"])
    )
    for (arm, kind), rows in frames.groupby(["arm", "distractor"], sort=False):
        mean = mean_interval(rows.groupby("clip")["relative"].mean().to_numpy(), confidence)
        found.append((arm, kind, len(rows), mean.value, mean.low, mean.high))
    return pd.DataFrame(found, columns=["arm", "distractor", "frames", "mean", "low", "high"])


def _shown(run: LoadedRun, rows: np.ndarray, limit: int) -> Iterator[tuple[Split, BatchIndex, Batch]]:
    view = run.method.view(run.options)
    if not view.in_clips:
        raise UserError(f"method {run.method.name}: expected one that takes clips")
    table = run.store.samples.iloc[np.sort(rows)].assign(split=_PART)
    split = open_table(run.store, table, _PART, limit, in_clips=True)
    screen = BatchBuilder(view, split, run.config["recipe"]["image_size"], lambda tensor: tensor)
    for items in item_batches(screen, run.config["evaluation"]["batch_size"]):
        yield split, items, screen.clean(items)


def _lengthened(values: np.ndarray, length: int, value: int) -> np.ndarray:
    """Pad (n, t, ...) to (n, length, ...)."""
    after = [(0, 0)] * (values.ndim - 2)
    return np.pad(values, [(0, 0), (0, length - values.shape[1]), *after], constant_values=value)


COLUMNS = (
    "seed", "eq4", "authors", "difference", "changed", "confidence_eq4", "confidence_authors", "scale",
)  # fmt: skip


@dataclass(frozen=True)
class FormulaComparison:
    """How the choice of the formula changes results on the test clips.

    Attributes:
        table: one row per seed, in ``COLUMNS``: accuracy with Eq. 4 and with the authors' formula (%), their
            difference (authors' minus Eq. 4, points), clips that get another class (%), mean probability of
            the class that is answered (%), and the median of s.
        difference: of the accuracies, authors' minus Eq. 4, in points, over seeds and clips; clips of one
            person are taken together.
        sureness: name of a formula -> probability of the class that is answered and whether it is right, both
            (seeds x clips,), as a reliability diagram takes them.
    """

    table: pd.DataFrame
    difference: Interval
    sureness: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Answers:
    paper: np.ndarray
    authors: np.ndarray
    targets: np.ndarray
    scale: np.ndarray
    samples: np.ndarray


def compare_formulas(
    folders: Mapping[int, Path],
    store: Store,
    confidence: float = 0.95,
    resamples: int = 2000,
    limit: int = 0,
) -> FormulaComparison:
    """Predict the test clips of every seed's network twice, once with each formula.

    Args:
        folders: seed -> run of an arm with relation attention.
        store: the data set.
        confidence: of the interval.
        resamples: of the bootstrap for one seed.
        limit: at most so many clips; 0 takes all.

    Raises:
        UserError: a run is missing, or its arm has no relation attention.
    """
    rows, answers, groups = [], [], None
    for seed, folder in folders.items():
        answers.append(_answer_twice(load_run(folder, store), limit))
        rows.append([seed, *_numbers(answers[-1])])
        groups = sample_groups(store.samples, answers[-1].samples)
    paper, authors = (
        np.stack([getattr(each, kind).argmax(1) == each.targets for each in answers])
        for kind in ("paper", "authors")
    )
    difference = paired_difference(authors, paper, confidence, resamples, clusters=groups)
    scaled = Interval(100 * difference.value, 100 * difference.low, 100 * difference.high, difference.kind)
    sureness = {
        "Eq. 4": (_sureness([each.paper for each in answers]), paper.ravel()),
        "authors' formula": (_sureness([each.authors for each in answers]), authors.ravel()),
    }
    return FormulaComparison(pd.DataFrame(rows, columns=list(COLUMNS)), scaled, sureness)


def _sureness(logits: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([softmax(each).max(1) for each in logits])


def _answer_twice(run: LoadedRun, limit: int) -> _Answers:
    network = run.network
    if not isinstance(network, FrameAttentionNetwork) or network.attention != "self_relation":
        raise UserError(f"arm '{run.config['arm']}' has no relation attention: both formulas need it")
    clips = protocol_rows(run.store.samples, "test", "official")
    before, answers = network.reference_evaluation, []
    for authors in (False, True):
        network.reference_evaluation = authors
        answers.append(clip_logits(run, clips, limit))
    network.reference_evaluation = before
    weights = look_at_clips(run, clips, limit)
    scale = weights["alpha"].sum(1) / (weights["alpha"] * weights["beta"]).sum(1)
    (paper, targets), (others, _) = answers
    return _Answers(paper, others, targets, scale, weights["samples"])


def _numbers(found: _Answers) -> list[float]:
    classes = [answer.argmax(1) for answer in (found.paper, found.authors)]
    paper, authors = (100 * float(np.mean(answer == found.targets)) for answer in classes)
    sure = [100 * float(softmax(answer).max(1).mean()) for answer in (found.paper, found.authors)]
    changed = 100 * float(np.mean(classes[0] != classes[1]))
    return [paper, authors, authors - paper, changed, *sure, float(np.median(found.scale))]
