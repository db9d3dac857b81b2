"""Simulated arms whose true difference is known: hits from a probit model, crossed by seed and sample."""

import numpy as np
from scipy import stats

SKILL = (0.9, 0.7)  # of the arm and its control, in standard deviations of a face's difficulty


def true_accuracies(seed_spread, sample_spread, noise, skill=SKILL, cluster_spread=0.0):
    total = np.sqrt(1 + seed_spread**2 + sample_spread**2 + noise**2 + cluster_spread**2)
    return tuple(float(stats.norm.cdf(value / total)) for value in skill)


def draw_hits(
    generator,
    seeds,
    samples,
    seed_spread,
    sample_spread,
    noise,
    skill=SKILL,
    clusters=None,
    cluster_spread=0.0,
):
    """Hits (2, S, N) of two arms: faces are hard or not, arms favour some, seeds differ, all is noisy."""
    difficulty = generator.normal(size=(1, 1, samples))
    taste = generator.normal(size=(2, 1, samples)) * sample_spread
    if clusters is not None:
        taste = taste + (generator.normal(size=(2, 1, clusters.max() + 1)) * cluster_spread)[..., clusters]
    luck = generator.normal(size=(2, seeds, 1)) * seed_spread
    rest = generator.normal(size=(2, seeds, samples)) * noise
    return difficulty + taste + luck + rest + np.array(skill)[:, None, None] > 0
