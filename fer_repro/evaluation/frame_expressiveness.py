"""TED-inspired scores of frames beside a network's frame weights: which follow the true intensity?

The scores need no training, see ``fer_repro.measures.expressiveness``. The first frame of every clip, from
which they measure, counts for none of them, weights included.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fer_repro.evaluation.agreement import agreement_row, agreement_table, sample_groups
from fer_repro.measures.expressiveness import FrameScores, frame_scores, shuffled_scores
from fer_repro.measures.saliency import rank_correlation

Looked = Mapping[str, np.ndarray]
SHUFFLES = 10
STATIC, DYNAMIC, SUM, WEIGHTS = "static", "dynamic", "sum", "α β, the weights of Eq. 4"
SHUFFLED = ", frames shuffled"
SUM_GAIN, WEIGHTS_GAIN = "sum minus static", "α β minus static"
CLEAN, DISTRACTED, ALL = "without a distractor", "with distractors", "all"


def expressiveness_agreement(
    looks: Sequence[Looked], images: np.ndarray, samples: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Correlate scores and weights of frames with their true intensities inside clips (Spearman).

    Args:
        looks: one result of ``look_at_clips`` per seed, of the same clips, whose frames are in their order.
        images: all images of the data set.
        samples: sample table; without the column ``intensity`` nothing is known.
        confidence: such as 0.95.

    Returns:
        See ``agreement_table``, with ``clips``: which of them, those in which something distracts apart. The
        last two rows of each are paired differences; shuffled scores have ``SHUFFLES`` orders as their seeds.
        Empty where nothing is known.
    """
    if "intensity" not in samples:
        return agreement_table([]).assign(clips=[])
    rows = looks[0]["rows"]
    later, truth = rows[:, 1:], samples["intensity"].to_numpy(np.float64)[rows[:, 1:]]
    stacks = _scores(rows, images, samples) | {WEIGHTS: np.stack([look["weights"][:, 1:] for look in looks])}
    rhos = {
        name: np.stack([rank_correlation(values, truth, later >= 0).per_clip for values in stack])
        for name, stack in stacks.items()
    }
    rhos |= {SUM_GAIN: rhos[SUM] - rhos[STATIC], WEIGHTS_GAIN: rhos[WEIGHTS] - rhos[STATIC]}
    groups, tables = sample_groups(samples, looks[0]["samples"]), []
    for part, chosen in _parts(rows, samples).items():
        inside = None if groups is None else groups[chosen]
        found = [agreement_row(name, values[:, chosen], inside, confidence) for name, values in rhos.items()]
        tables.append(agreement_table(found).assign(clips=part))
    return pd.concat(tables, ignore_index=True)


def _scores(rows: np.ndarray, images: np.ndarray, samples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Score the frames of clips, (n, T) rows: name -> (1 or ``SHUFFLES``, n, T - 1), 0 at padding."""
    places, generator = samples["image"].to_numpy(), np.random.default_rng(0)
    clips = [np.asarray(images[places[clip[clip >= 0]]]) for clip in rows]
    plain = [frame_scores(clip) for clip in clips]
    shuffled = [[shuffled_scores(clip, generator) for clip in clips] for _ in range(SHUFFLES)]
    length = rows.shape[1] - 1
    found = {
        STATIC: [_padded(plain, "static", length)],
        DYNAMIC: [_padded(plain, "dynamic", length)],
        DYNAMIC + SHUFFLED: [_padded(each, "dynamic", length) for each in shuffled],
        SUM: [_padded(plain, "total", length)],
        SUM + SHUFFLED: [_padded(each, "total", length) for each in shuffled],
    }
    return {name: np.stack(values) for name, values in found.items()}


def _padded(scores: Sequence[FrameScores], name: str, length: int) -> np.ndarray:
    values = [getattr(score, name) for score in scores]
    return np.stack([np.pad(value, (0, length - len(value))) for value in values])


def _parts(rows: np.ndarray, samples: pd.DataFrame) -> dict[str, np.ndarray]:
    """Tell clips in which a frame has a distractor from the others; all clips where that is not known."""
    if "distractor" not in samples:
        return {ALL: np.ones(len(rows), bool)}
    distracted = ((samples["distractor"].to_numpy(str)[rows] != "none") & (rows >= 0)).any(axis=1)
    parts = {CLEAN: ~distracted, DISTRACTED: distracted}
    return {part: chosen for part, chosen in parts.items() if chosen.any()}
