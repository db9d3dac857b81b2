"""What expressions do: facial actions per class, with the variation that real faces have."""

import numpy as np

from fer_repro.errors import UserError, nearest
from fer_repro.synthetic.factors import ACTION_COLUMNS, CLASSES

# Each class is one or more ways to show it; a way gives every action's strength at intensity 1. They are in
# the spirit of the prototypes in Ekman, Friesen and Hager, FACS Investigator's Guide, 2002.
WAYS: dict[str, tuple[dict[str, float], ...]] = {
    "angry": (
        {
            "brow_lower": 1.0,
            "lid_raise": 0.35,
            "lid_tight": 0.65,
            "press": 0.95,
            "chin_raise": 0.35,
            "nose_wrinkle": 0.15,
            "corner_drop": 0.15,
        },
        {
            "brow_lower": 1.0,
            "lid_raise": 0.45,
            "lid_tight": 0.55,
            "part": 0.9,
            "jaw_drop": 0.3,
            "lip_raise": 0.35,
            "lip_drop": 0.8,
            "stretch": 0.15,
            "nose_wrinkle": 0.3,
        },
    ),
    "disgust": (
        {
            "nose_wrinkle": 1.0,
            "lip_raise": 0.85,
            "brow_lower": 0.45,
            "lid_tight": 0.55,
            "cheek_raise": 0.35,
            "chin_raise": 0.45,
            "corner_drop": 0.45,
        },
        {
            "nose_wrinkle": 1.0,
            "lip_raise": 1.0,
            "brow_lower": 0.5,
            "lid_tight": 0.6,
            "cheek_raise": 0.4,
            "part": 0.75,
            "jaw_drop": 0.2,
            "corner_drop": 0.4,
        },
    ),
    "fear": (
        {
            "inner_raise": 1.0,
            "outer_raise": 0.45,
            "brow_lower": 0.4,
            "lid_raise": 0.95,
            "stretch": 0.95,
            "part": 0.9,
            "jaw_drop": 0.22,
        },
        {
            "inner_raise": 1.0,
            "outer_raise": 0.4,
            "brow_lower": 0.45,
            "lid_raise": 0.9,
            "stretch": 0.8,
            "part": 0.7,
            "jaw_drop": 0.4,
            "corner_drop": 0.25,
        },
    ),
    "happy": (
        {"cheek_raise": 0.8, "corner_pull": 1.0, "part": 0.95, "lip_raise": 0.1},
        {"cheek_raise": 0.9, "corner_pull": 1.0, "part": 1.0, "jaw_drop": 0.32},
        {"cheek_raise": 0.6, "corner_pull": 0.9, "part": 0.0},
    ),
    "sad": (
        {"inner_raise": 1.0, "brow_lower": 0.35, "corner_drop": 1.0, "chin_raise": 0.65, "lid_droop": 0.45},
        {"inner_raise": 0.9, "brow_lower": 0.3, "corner_drop": 0.85, "chin_raise": 0.25, "lid_droop": 0.6},
    ),
    "surprise": (
        {"inner_raise": 0.95, "outer_raise": 1.0, "lid_raise": 0.85, "part": 0.6, "jaw_drop": 0.95},
        {"inner_raise": 1.0, "outer_raise": 1.0, "lid_raise": 1.0, "part": 0.4, "jaw_drop": 0.65},
    ),
    "neutral": ({},),
}

REACH = (0.85, 1.0)  # each action of a way is scaled by a factor drawn from here
STRAY = 0.08  # every action may show this much without being part of the class, even in a neutral face
STRAY_SHARE = 0.25  # share of actions that stray


def sample_actions(generator: np.random.Generator, label: int, intensity: float) -> dict[str, float]:
    """Sample the actions of one face.

    Args:
        generator: source of chance.
        label: index in ``CLASSES``.
        intensity: 0 to 1; scales the actions of the class, not the stray actions.

    Returns:
        Strength in [0, 1] per column of ``Actions``.
    """
    ways = WAYS[CLASSES[label]]
    way = ways[int(generator.integers(len(ways)))]
    reach = generator.uniform(*REACH, size=len(ACTION_COLUMNS))
    stray = generator.uniform(0.0, STRAY, size=len(ACTION_COLUMNS))
    stray *= generator.random(len(ACTION_COLUMNS)) < STRAY_SHARE
    return {
        name: float(min(1.0, way.get(name, 0.0) * intensity * reach[index] + stray[index]))
        for index, name in enumerate(ACTION_COLUMNS)
    }


def prototype(name: str, intensity: float = 1.0, way: int = 0) -> dict[str, float]:
    """The actions of a class without chance, e.g. for clips that move from neutral to an expression and back.

    Args:
        name: a class.
        intensity: 0 to 1.
        way: which of the class's ways, counted from 0, modulo their number.

    Raises:
        UserError: no such class.
    """
    if name not in WAYS:
        raise UserError(f"no expression '{name}'; {nearest(name, CLASSES)}")
    strengths = WAYS[name][way % len(WAYS[name])]
    return {action: strengths.get(action, 0.0) * intensity for action in ACTION_COLUMNS}
