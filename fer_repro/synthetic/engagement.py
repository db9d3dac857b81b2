"""Sequences of 14 measurements of people who watch a lesson: engaged in some segments, distracted in others.

The published input is 1200 rows of 14 columns that OpenPose gives; which, is not known. Here they are the
horizontal and vertical positions of seven points of an upper body. Who is distracted moves more and looks
away more often. People differ in where they sit, how restless they are and how far they turn, so the same
movement can be the attention of one person and the distraction of another.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fer_repro.sections import STRICT, Count, PositiveInt, read_section
from fer_repro.synthetic.factors import Generated

LEVELS = ("0", "0.33", "0.66", "1")
"""Engagement of a video, in label order."""
SHARES = (9, 19, 36, 3)
"""Videos of each level in every unit of 67, as the official test part has them (derived, see the method)."""
COLUMNS = 14  # seven points, x and y
SEGMENTS = 10
NOTE = (
    "Drawn by fer_repro.synthetic.engagement; nobody was filmed. Labels are levels of engagement; columns "
    "segment_01 to segment_10 hold the level of each tenth of a sequence, which no network is told."
)
_STREAM = 0x656E67616765  # "engage"
_HEAD = 3  # points that turn away: nose and both ears
_WANDER = 0.3  # deviation of a segment's level around the video's
_MEMORY = 0.8  # of a position, from row to row


@dataclass(frozen=True, config=STRICT)
class Units:
    """How many times ``SHARES`` each split shows; a unit has 67 videos."""

    train: Count
    val: Count
    test: Count


@dataclass(frozen=True, config=STRICT)
class EngagementSettings:
    """What is in ``manifest.json`` of a drawn set of sequences."""

    name: str
    kind: Literal["engagement"]
    seed: Count
    units: Units
    rows: PositiveInt  # of a segment; a sequence has ten times as many
    videos_per_person: PositiveInt


def draw(settings: Mapping[str, Any]) -> Generated:
    """Draw the sequences that a manifest sets.

    Args:
        settings: what ``EngagementSettings`` names.

    Returns:
        float16 sequences (N, 10 rows, 14), labelled by ``LEVELS``, with the true level of every segment in
        the sample table. No person is in two splits.

    Raises:
        UserError: a key is unknown, missing or wrong.
    """
    name = settings.get("name", "engagement")
    given = read_section(EngagementSettings, settings, f"settings of data set '{name}'")
    generator = np.random.default_rng([_STREAM, given.seed])
    samples: list[dict[str, Any]] = []
    sequences: list[NDArray[np.float64]] = []
    people = 0
    for split, units in asdict(given.units).items():
        labels = generator.permutation(np.repeat(np.arange(len(LEVELS)), np.multiply(SHARES, units)))
        for first in range(0, len(labels), given.videos_per_person):
            person = _Person(generator)
            for label in labels[first : first + given.videos_per_person]:
                levels = segment_levels(generator, float(LEVELS[label]))
                sequences.append(person.watch(generator, levels, given.rows))
                row = {"image": len(samples), "label": int(label), "subject": f"e{people:03d}", "clip": ""}
                parts = {f"segment_{number:02d}": level for number, level in enumerate(levels, 1)}
                samples.append(
                    {**row, "split": split, "restlessness": round(person.restlessness, 3), **parts}
                )
            people += 1
    table = pd.DataFrame(samples)
    return Generated(np.stack(sequences).astype(np.float16), table, LEVELS, NOTE)


def segment_levels(generator: np.random.Generator, level: float) -> NDArray[np.float64]:
    """Draw the level of each segment around that of the video: (10,) in [0, 1], with two decimals."""
    return np.clip(generator.normal(level, _WANDER, SEGMENTS), 0, 1).round(2)


class _Person:
    """Where somebody sits, how much they move and how they turn away; the same in all their videos."""

    def __init__(self, generator: np.random.Generator) -> None:
        body = np.array([[0, 0], [-1, 0.1], [1, 0.1], [-2, -2], [2, -2], [-2.5, -4], [2.5, -4]])
        seat = generator.normal(0, 0.2, 2)
        self.pose = (0.2 * generator.lognormal(0, 0.15) * body + seat).ravel()  # (14,)
        self.restlessness = float(generator.lognormal(0, 0.4))
        self.turn = np.array(
            [generator.normal(0, 0.7), -generator.lognormal(0, 0.4)]
        )  # mostly down, to a desk
        self.glances = float(generator.beta(3, 2))  # how often a distraction makes this person look away

    def watch(
        self, generator: np.random.Generator, levels: NDArray[np.float64], rows: int
    ) -> NDArray[np.float64]:
        """Draw one sequence (10 rows, 14) from the levels of its segments."""
        wanted = np.repeat(levels, rows)[:, None]  # (T, 1)
        steps = generator.normal(0, 1, (len(wanted), COLUMNS))
        steps *= self.restlessness * (0.1 + 0.5 * (1 - wanted))
        moved = np.zeros(COLUMNS)
        path = np.empty_like(steps)
        for number, step in enumerate(steps):
            moved = _MEMORY * moved + step
            path[number] = moved
        away = generator.random(-(-len(wanted) // 4)) < self.glances * (1 - wanted[::4, 0])
        away = np.repeat(away, 4)[: len(wanted)]  # a glance lasts four rows
        path[away, : 2 * _HEAD] += np.tile(self.turn, _HEAD)
        return self.pose + path + generator.normal(0, 0.05, path.shape)
