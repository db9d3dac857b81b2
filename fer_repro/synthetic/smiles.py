"""Pairs of synthetic faces for methods that change an expression: neutral, and happy in the same view.

Every person has a pose, a light and a camera of their own, the same in both images; only the expression and
the camera's noise differ. Nothing is occluded or compressed.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.sections import STRICT, Count, PositiveInt, read_section
from fer_repro.synthetic import render
from fer_repro.synthetic.factors import ACTION_COLUMNS, CLASSES, DISTANCE, Generated
from fer_repro.synthetic.stills import sample_stills

NEUTRAL, WANTED = "neutral", "happy"
NOTE = (
    "Rendered by fer_repro.synthetic.smiles; no real person is shown. Each clip has two images of one person "
    "in one view: neutral, and happy, which is what the first is to become. The label is the distance that "
    "a synthesised face is to have from the second, 0."
)
_STREAM = 0x736D696C65  # "smile": with any seed, other people than those of the other generators


@dataclass(frozen=True, config=STRICT)
class SmilingPeople:
    """How many people each split shows; each is one pair of images."""

    train: PositiveInt
    val: PositiveInt
    test: PositiveInt


@dataclass(frozen=True, config=STRICT)
class SmilesSettings:
    """What is in the manifest of a set of pairs of expressions."""

    name: str
    kind: Literal["smiles"]
    seed: Count
    size: Annotated[int, Field(ge=16, le=render.MAX_SIZE)]  # pixels
    people: SmilingPeople


def draw(settings: Mapping[str, Any]) -> Generated:
    """Render a set of pairs: a pure function of its settings.

    Args:
        settings: the fields of ``SmilesSettings``.

    Returns:
        Grey images, neutral and happy in turn; ``clip`` names the pair, ``expression`` the image.

    Raises:
        UserError: a setting is unknown, missing or out of range.
    """
    given = read_section(SmilesSettings, settings, f"settings of '{settings.get('name', '')}'")
    table = sample_expressions(given.seed, asdict(given.people))
    return Generated(render.render(table, given.size).images, table, DISTANCE, NOTE)


def sample_expressions(seed: int, people: Mapping[str, int], wanted: str = WANTED) -> pd.DataFrame:
    """Sample both images of each person.

    Args:
        seed: from 0.
        people: how many per split.
        wanted: the expression that the neutral face is to get.

    Returns:
        Two rows per person, the neutral one first: the columns of the stills and ``expression``; ``label`` 0.
    """
    every = sample_stills((_STREAM << 32) + seed, people, faces_per_class=1)
    clear = every.assign(
        occluder="none", occluder_x=0.0, occluder_y=0.0, occluder_size=0.0, occluder_angle=0.0,
        occluder_tone=0.0, jpeg=0,
    )  # fmt: skip
    before, shown = (
        clear[clear["label"] == CLASSES.index(name)].reset_index(drop=True) for name in (NEUTRAL, wanted)
    )
    changed = ["intensity", "noise_seed", *ACTION_COLUMNS]
    after = before.assign(**{name: shown[name] for name in changed})
    pairs = pd.concat([before.assign(expression=NEUTRAL), after.assign(expression=wanted)])
    pairs = pairs.sort_index(kind="stable").reset_index(drop=True)
    return pairs.assign(image=np.arange(len(pairs)), clip=pairs["subject"], label=0)
