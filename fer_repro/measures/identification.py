"""Many images per person: templates merged from images and frames, and rank-n among distractors.

The rules are those of the templates of IJB-B and IJB-C and of MegaFace's identification (arXiv:1512.00596).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_repro.errors import UserError
from fer_repro.measures.verification import unit

_BLOCK = 4096  # distractors compared at a time


def pool_templates(
    embeddings: np.ndarray,
    templates: np.ndarray,
    media: np.ndarray,
    quality: np.ndarray | None = None,
    normalise: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the images of each template as for IJB-B and IJB-C: mean within a medium, sum over media.

    Args:
        embeddings: (N, D) of the images.
        templates: (N,) template of each image.
        media: (N,) medium (still or video) of each image within its template.
        quality: (N,) weight of each image, the detector's score, or None.
        normalise: scale each image's embedding to length one first; code derived from insightface does not.

    Returns:
        Template numbers (T,), ascending, and their embeddings (T, D) of length one; the score of two
        templates is their dot product.

    Raises:
        UserError: an embedding or a whole template is zero or not finite, or lengths differ.
    """
    features = unit(embeddings) if normalise else np.asarray(embeddings, np.float64)
    weights = np.ones(len(features)) if quality is None else np.asarray(quality, np.float64)
    if not len(features) == len(templates) == len(media) == len(weights):
        raise UserError(
            f"{len(features)} embeddings, {len(templates)} templates, {len(media)} media, {len(weights)} "
            "weights: expected one of each per image"
        )
    features = features * weights[:, None]
    groups, member = np.unique(np.stack([templates, media], 1), axis=0, return_inverse=True)
    member = member.reshape(-1)
    means = np.zeros((len(groups), features.shape[1]))
    np.add.at(means, member, features)
    means /= np.bincount(member)[:, None]
    numbers, owner = np.unique(groups[:, 0], return_inverse=True)
    sums = np.zeros((len(numbers), features.shape[1]))
    np.add.at(sums, owner, means)
    return numbers, unit(sums)


def template_scores(
    embeddings: np.ndarray,
    samples: pd.DataFrame,
    pairs: np.ndarray,
    weighted: bool = True,
    normalise: bool = True,
) -> np.ndarray:
    """Score the pairs of templates of a set such as ``ijb``.

    Args:
        embeddings: (N, D) of the rows of ``samples``.
        samples: the sample table with ``template``, ``medium`` and, if ``weighted``, ``quality``.
        pairs: (P, 3) two templates, and 1 for the same person or 0; see ``open_template_pairs``.
        weighted: weight each image by its ``quality``.
        normalise: see ``pool_templates``.

    Returns:
        (P,) cosines; memory stays at one block of pairs.

    Raises:
        UserError: see ``pool_templates``; or a pair names a template without images.
    """
    quality = samples["quality"].to_numpy(float) if weighted else None
    templates, media = samples["template"].to_numpy(), samples["medium"].to_numpy()
    numbers, pooled = pool_templates(embeddings, templates, media, quality, normalise)
    scores = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        part = np.asarray(pairs[start : start + _BLOCK, :2])
        rows = np.searchsorted(numbers, part).clip(max=len(numbers) - 1)
        unknown = part[numbers[rows] != part]
        if unknown.size:
            raise UserError(f"template {unknown[0]} of a pair has no images among {len(numbers)} templates")
        scores[start : start + len(part)] = np.einsum("pd,pd->p", pooled[rows[:, 0]], pooled[rows[:, 1]])
    return scores


def distractor_rates(
    embeddings: np.ndarray,
    samples: pd.DataFrame,
    sizes: Sequence[int],
    ranks: Sequence[int] = (1, 10),
    seed: int = 0,
) -> dict[int, dict[int, float]]:
    """Find the probes of a set such as ``megaface`` among its distractors.

    Args:
        embeddings: (N, D) of the rows of ``samples``.
        samples: the sample table; probes have a ``subject``, distractors have none.
        sizes: gallery sizes; the smaller ones are parts of the larger ones.
        ranks: r.
        seed: of the order in which the distractors fill the galleries, because lists are sorted.

    Returns:
        size -> rank -> share of hits, see ``identification_rates``.

    Raises:
        UserError: a size is not available, or nobody has two probes.
    """
    people = samples["subject"].to_numpy(object)
    probes, others = np.flatnonzero(people != ""), np.flatnonzero(people == "")
    shuffled = np.random.default_rng(seed).permutation(others)
    return identification_rates(embeddings[probes], people[probes], embeddings[shuffled], sizes, ranks)


def identification_rates(
    probes: np.ndarray,
    subjects: np.ndarray,
    distractors: np.ndarray,
    sizes: Sequence[int],
    ranks: Sequence[int] = (1, 10),
) -> dict[int, dict[int, float]]:
    """Find each probe's mate among distractors, MegaFace's identification.

    For every ordered pair (i, j) of images of one person: probe i, gallery = image j and the distractors; a
    hit at rank r if fewer than r distractors score strictly above j. Memory stays at one block of scores.

    Args:
        probes: (N, D) embeddings.
        subjects: (N,) person of each probe.
        distractors: (M, D) embeddings of other people.
        sizes: gallery sizes; a gallery of n is the first n distractors.
        ranks: r.

    Returns:
        size -> rank -> share of hits over all ordered pairs.

    Raises:
        UserError: a size is not available, or nobody has two probes.
    """
    probe, others = unit(probes), unit(distractors)
    wanted = sorted(set(sizes))
    if not wanted or wanted[0] < 1 or wanted[-1] > len(others):
        raise UserError(
            f"gallery sizes are {list(sizes)}: expected 1 to {len(others)}, the distractors given"
        )
    people = np.asarray(subjects)
    left, right = np.nonzero((people[:, None] == people) & ~np.eye(len(people), dtype=bool))
    if len(left) == 0:
        raise UserError(f"none of {len(people)} probes shows a person a second time: expected mates")
    mates = np.einsum("pd,pd->p", probe[left], probe[right])
    starts = np.searchsorted(left, np.arange(len(probe) + 1))
    above = np.zeros(len(left), np.int64)
    rates, done = {}, 0
    for size in wanted:
        for start in range(done, size, _BLOCK):
            scores = np.sort(probe @ others[start : min(start + _BLOCK, size)].T, axis=1)
            for row in range(len(probe)):
                own = slice(starts[row], starts[row + 1])
                above[own] += scores.shape[1] - np.searchsorted(scores[row], mates[own], "right")
        done = size
        rates[size] = {rank: float(np.mean(above < rank)) for rank in ranks}
    return rates
