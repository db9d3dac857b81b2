"""Are two frames of one clip put in the right order of intensity, and does comparing them help?

Inspired by Kondo and others (ICPR 2020), see ``fer_repro.measures.pairwise_order``. Only one direction v of a
trained network's features is fitted: to pairs of frames of people it was trained on, and tested on others'.
Two frames have an order where their true intensities differ by ``GAPS[0]`` or more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fer_repro.datasets.protocols import protocol_rows
from fer_repro.datasets.store import Store
from fer_repro.errors import UserError
from fer_repro.evaluation.agreement import agreement_row, sample_groups
from fer_repro.evaluation.class_activation import untrained_network
from fer_repro.evaluation.frame_weights import look_at_clips
from fer_repro.layers.image_sets import SharedTrunk
from fer_repro.loading.frames import find_clips
from fer_repro.measures.intervals import Scale
from fer_repro.measures.pairwise_order import fit_direction, kendall, order_probability, strengths
from fer_repro.methods.fan import FrameAttentionNetwork
from fer_repro.runs.loaded_run import LoadedRun, load_run

GAPS = (0.05, 0.15, 0.3, 0.5, 1.0)  # bounds of the bins
LEARNT = 200  # training clips at most, drawn
SHUFFLES = 4  # random answers for each seed
RIDGE = 1.0  # of features of deviation 1, for comparisons and single estimates alike
JUDGE_RIDGE = 0.1  # of the strengths of a clip's frames
COMPARED, SEPARATE, ALPHA = "compared", "each estimated by itself", "α, not fitted"
UNTRAINED, SHUFFLED, GREY = "untrained network, compared", "random answers, compared", "mean grey, compared"
JUDGES, BEST = "all seeds, Bradley-Terry", "true order, ties in time"
GAIN = "compared minus estimated"
Array = np.ndarray


class FrameOrder(NamedTuple):
    """How often frames are put in the right order.

    Attributes:
        gaps: a row for each order of single networks and bin of ``GAPS`` that has pairs: ``order``,
            ``low_gap``, ``high_gap``, ``pairs``, ``people`` (or clips, where people are not known), ``mean``
            (the share that is right, a tie counts half) with ``low`` and ``high``.
        whole: a row for each order, over all pairs: ``order``, ``mean``, ``low``, ``high``, ``tau`` (mean
            over clips) with ``tau_low`` and ``tau_high``, ``pairs``, ``clips`` (whose intensity varies) and
            ``of`` how many. The last one, ``GAIN``, is the paired difference. ``SHUFFLED`` has ``SHUFFLES``
            draws of every seed as its seeds.

    In both the first order is ``COMPARED``; both are empty where nothing is known.
    """

    gaps: pd.DataFrame
    whole: pd.DataFrame


class _Pairs(NamedTuple):
    rows: Array  # (P, 2): the lower and the higher frame, rows of the sample table
    gaps: Array  # (P,) of their intensities, above 0


def frame_order(folders: Mapping[int, Path], store: Store, confidence: float) -> FrameOrder:
    """Order the frames of test clips by the features of every seed's network, and by rivals and controls.

    Args:
        folders: seed -> run of an arm of a method on clips.
        store: the data set; without the column ``intensity`` nothing is known.
        confidence: of the intervals over seeds and people, such as 0.95.

    Raises:
        UserError: a network has no trunk that all frames share, or see ``load_run``.
    """
    samples = store.samples
    if "intensity" not in samples:
        return FrameOrder(pd.DataFrame(), pd.DataFrame())
    truth = samples["intensity"].to_numpy(np.float64)
    learnt = _drawn(_clips(store, np.flatnonzero(samples["split"].eq("train"))), truth)
    clips = _clips(store, protocol_rows(samples, "test", "official"))
    learning, testing = ordered_pairs(learnt, truth), ordered_pairs(clips, truth)
    if not len(learning.rows) or not len(testing.rows):
        return FrameOrder(pd.DataFrame(), pd.DataFrame())
    grey = store.images[samples["image"].to_numpy()].reshape(len(samples), -1).mean(axis=1, keepdims=True)
    scores = {
        **_scores(folders, store, learnt, clips, learning),
        GREY: fitted_scores(grey, learning)[None],
        BEST: _ranks(clips, truth)[None],
    }
    return _tables(scores, testing, clips, samples, truth, confidence)


def ordered_pairs(clips: Sequence[Array], truth: Array) -> _Pairs:
    """Pair the frames of each clip whose true intensities differ by ``GAPS[0]`` or more.

    Args:
        clips: the rows of each clip; one of constant intensity has no pair.
        truth: (N,) intensity of every row of the sample table.
    """
    found = [np.empty((0, 2), np.int64)]
    for rows in clips:
        first, second = rows[np.stack(np.triu_indices(len(rows), 1))]
        rises = truth[second] > truth[first]
        found.append(np.stack([np.where(rises, first, second), np.where(rises, second, first)], axis=1))
    pairs = np.concatenate(found)
    gaps = (truth[pairs[:, 1]] - truth[pairs[:, 0]]).round(9)  # 0.82 - 0.67 is 0.15
    return _Pairs(pairs[gaps >= GAPS[0]], gaps[gaps >= GAPS[0]])


def fitted_scores(features: Array, pairs: _Pairs, swapped: Array | None = None) -> Array:
    """Fit a direction to pairs and score every frame by it.

    Args:
        features: (N, D) of every row of the sample table; those that do not vary in the pairs say nothing.
        pairs: to learn from.
        swapped: (P,) bool, pairs whose order is told wrong; None for none.

    Returns:
        (N,), higher where v expects more intensity.
    """
    used = _scaled(features, pairs)
    differences = used[pairs.rows[:, 1]] - used[pairs.rows[:, 0]]
    if swapped is not None:
        differences = np.where(swapped[:, None], -differences, differences)
    return used @ fit_direction(differences, RIDGE)


def _scaled(features: Array, pairs: _Pairs) -> Array:
    width = features[np.unique(pairs.rows)].std(axis=0)
    return features / np.where(width > 1e-9 * width.max(initial=1e-30), width, np.inf)


def _scores(
    folders: Mapping[int, Path],
    store: Store,
    learnt: Sequence[Array],
    clips: Sequence[Array],
    learning: _Pairs,
) -> dict[str, Array]:
    """Score every frame with every seed: name -> (S, N) numbers of the rows of the sample table."""
    from sklearn.linear_model import Ridge  # takes a second, and few stages need it

    truth, used = store.samples["intensity"].to_numpy(np.float64), np.unique(learning.rows)
    found: dict[str, list[Array]] = {
        name: [] for name in (COMPARED, SEPARATE, ALPHA, JUDGES, UNTRAINED, SHUFFLED)
    }
    generator = np.random.default_rng(0)
    for seed, folder in folders.items():
        run = load_run(folder, store)
        rows = np.concatenate([*learnt, *clips])
        trained = _embedded(run, rows)
        untrained = _embedded(replace(run, network=untrained_network(run, run.config["arm"], seed)), rows)
        features = _scaled(trained["features"], learning)
        found[COMPARED].append(fitted_scores(features, learning))
        found[SEPARATE].append(features @ Ridge(alpha=RIDGE).fit(features[used], truth[used]).coef_)
        found[UNTRAINED].append(fitted_scores(untrained["features"], learning))
        for _ in range(SHUFFLES):
            swapped = generator.random(len(learning.gaps)) < 0.5
            found[SHUFFLED].append(fitted_scores(features, learning, swapped))
        if "alpha" in trained:
            found[ALPHA].append(trained["alpha"])
    if len(folders) > 1:
        found[JUDGES] = [_judged(np.stack(found[COMPARED]), clips)]
    return {name: np.stack(values) for name, values in found.items() if values}


def _judged(scores: Array, clips: Sequence[Array]) -> Array:
    """Score the frames of each clip by what all seeds (S, N) say of its pairs: their summed probabilities."""
    found = np.full(scores.shape[1], np.nan)
    for rows in clips:
        wins = np.sum([order_probability(each[rows, None], np.ones(1)) for each in scores], axis=0)
        np.fill_diagonal(wins, 0)
        found[rows] = strengths(wins, JUDGE_RIDGE) if len(rows) > 1 else 0.0
    return found


def _tables(
    scores: Mapping[str, Array],
    pairs: _Pairs,
    clips: Sequence[Array],
    samples: pd.DataFrame,
    truth: Array,
    confidence: float,
) -> FrameOrder:
    right = {name: _right(values, pairs) for name, values in scores.items()}
    taus = {
        name: np.array([[kendall(each[rows], truth[rows]) for rows in clips] for each in values])
        for name, values in scores.items()
    }
    people, owners = (_people(samples, rows) for rows in (pairs.rows[:, 0], np.array([c[0] for c in clips])))
    bins = np.clip(np.searchsorted(GAPS, pairs.gaps, side="right") - 1, 0, len(GAPS) - 2)
    gaps = []
    for name in [one for one in right if one not in (JUDGES, BEST)]:
        for number in np.unique(bins):
            chosen = bins == number
            found = agreement_row(name, right[name][:, chosen], people[chosen], confidence, "logit")
            size = {"pairs": int(chosen.sum()), "people": len(np.unique(people[chosen]))}
            place = {"order": name, "low_gap": GAPS[number], "high_gap": GAPS[number + 1]}
            gaps.append(place | size | {key: found[key] for key in ("mean", "low", "high")})
    right[GAIN], taus[GAIN] = right[COMPARED] - right[SEPARATE], taus[COMPARED] - taus[SEPARATE]
    whole = []
    for name, hits in right.items():
        scales: tuple[Scale, Scale] = ("linear", "linear") if name == GAIN else ("logit", "artanh")
        share = agreement_row(name, hits, people, confidence, scales[0])
        tau = agreement_row(name, taus[name], owners, confidence, scales[1])
        cells = {"order": name, **{key: share[key] for key in ("mean", "low", "high")}}
        cells |= {"tau": tau["mean"], "tau_low": tau["low"], "tau_high": tau["high"]}
        whole.append(cells | {"pairs": len(pairs.gaps), "clips": tau["items"], "of": tau["of"]})
    return FrameOrder(pd.DataFrame(gaps), pd.DataFrame(whole))


def _right(scores: Array, pairs: _Pairs) -> Array:
    """1 where the higher frame has the higher score, half where both have the same: (S, P)."""
    steps = scores[:, pairs.rows[:, 1]] - scores[:, pairs.rows[:, 0]]
    return (steps > 0) + 0.5 * (steps == 0)


def _ranks(clips: Sequence[Array], truth: Array) -> Array:
    """Rank the frames of each clip by intensity, equal ones in their order in time: (N,), the best order."""
    found = np.full(len(truth), np.nan)
    for rows in clips:
        found[rows[np.argsort(truth[rows], kind="stable")]] = np.arange(len(rows))
    return found


def _people(samples: pd.DataFrame, rows: Array) -> Array:
    """Number the people, or clips, of rows (n,) of which all may be of one: (n,)."""
    groups = sample_groups(samples, np.repeat(rows, 2))  # no row is alone, so None means one group
    return np.zeros(len(rows), np.int64) if groups is None else groups[::2]


def _clips(store: Store, rows: Array) -> list[Array]:
    if not len(rows):
        return []
    found = find_clips(store.samples.iloc[np.sort(rows)], str(store.folder / "samples.csv"))
    return np.split(found.rows, found.starts[1:])


def _drawn(clips: Sequence[Array], truth: Array) -> list[Array]:
    """Draw at most ``LEARNT`` clips whose frames have an order."""
    varying = [rows for rows in clips if len(ordered_pairs([rows], truth).gaps)]
    chosen = np.random.default_rng(0).permutation(len(varying))[:LEARNT]
    return [varying[place] for place in np.sort(chosen)]


def _embedded(run: LoadedRun, rows: Array) -> dict[str, Array]:
    """Compute ``features`` (N, D) and, where frames are weighed, ``alpha`` (N,) of rows; NaN at others."""
    looked = look_at_clips(run, rows, compute=_features)
    there = looked["rows"] >= 0
    found = {}
    for name in looked.keys() - {"rows", "samples"}:
        values = looked[name][there]
        found[name] = np.full((len(run.store.samples), *values.shape[1:]), np.nan)
        found[name][looked["rows"][there]] = values
    return found


def _features(network: nn.Module, frames: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    if not isinstance(network, SharedTrunk):
        raise UserError(f"{type(network).__name__}: expected a network whose frames share one trunk")
    with torch.no_grad():
        features = network.embed(frames, mask)
        if isinstance(network, FrameAttentionNetwork) and network.attention != "none":
            return {"features": features, "alpha": network.self_attention(features).squeeze(2)}
    return {"features": features}
