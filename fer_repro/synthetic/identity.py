"""Who the people are: identities sampled so that the features of one person fit together."""

import numpy as np
import pandas as pd

from fer_repro.synthetic.factors import IDENTITY_COLUMNS

MALE_HAIR = {
    "bald": 0.10,
    "buzz": 0.16,
    "short": 0.38,
    "quiff": 0.20,
    "curly": 0.10,
    "long": 0.03,
    "wavy": 0.03,
}
FEMALE_HAIR = {
    "short": 0.07,
    "curly": 0.11,
    "fringe": 0.15,
    "bob": 0.17,
    "long": 0.20,
    "wavy": 0.17,
    "tied": 0.10,
    "scarf": 0.03,
}
SPREADS = {  # feature: mean of a man, mean of a woman, standard deviation, lowest, highest
    "head_width": (0.745, 0.715, 0.028, 0.66, 0.83),
    "head_top": (1.08, 1.08, 0.03, 1.0, 1.16),
    "head_depth": (0.78, 0.76, 0.03, 0.70, 0.85),
    "jaw_square": (0.62, 0.30, 0.20, 0.0, 1.0),
    "jaw_taper": (0.17, 0.24, 0.045, 0.06, 0.34),
    "chin": (1.02, 0.97, 0.035, 0.89, 1.10),
    "cheekbone": (0.40, 0.50, 0.25, 0.0, 1.0),
    "eye_spacing": (0.325, 0.325, 0.014, 0.29, 0.36),
    "eye_size": (0.146, 0.156, 0.009, 0.125, 0.18),
    "eye_open": (0.056, 0.066, 0.007, 0.042, 0.082),
    "eye_tilt": (0.004, 0.012, 0.009, -0.018, 0.035),
    "lid_fold": (0.036, 0.040, 0.014, 0.0, 0.065),
    "nose_length": (0.45, 0.41, 0.03, 0.34, 0.53),
    "nose_width": (0.172, 0.150, 0.016, 0.12, 0.22),
    "nose_height": (0.255, 0.225, 0.025, 0.17, 0.32),
    "nose_bridge": (0.064, 0.055, 0.007, 0.042, 0.085),
    "mouth_level": (-0.58, -0.565, 0.018, -0.63, -0.52),
    "mouth_width": (0.262, 0.245, 0.018, 0.20, 0.31),
    "lip_upper": (0.036, 0.047, 0.009, 0.018, 0.075),
    "lip_lower": (0.055, 0.064, 0.009, 0.032, 0.095),
    "brow_level": (0.275, 0.305, 0.018, 0.235, 0.35),
    "brow_thickness": (0.044, 0.028, 0.007, 0.016, 0.065),
    "brow_arch": (0.022, 0.036, 0.012, 0.0, 0.065),
    "brow_slant": (0.008, 0.018, 0.016, -0.03, 0.055),
    "brow_length": (0.41, 0.385, 0.018, 0.34, 0.46),
    "brow_density": (0.88, 0.82, 0.08, 0.55, 1.0),
    "ear_size": (1.06, 0.96, 0.08, 0.8, 1.25),
    "ear_out": (0.020, 0.012, 0.012, 0.0, 0.05),
    "hair_line": (0.74, 0.73, 0.04, 0.64, 0.84),
    "hair_volume": (1.0, 1.05, 0.18, 0.6, 1.5),
}
AGES = (18, 78)
BEARDED = 0.34  # share of men with a beard or stubble
MOUSTACHED = 0.10  # share of men with a moustache alone
LIPSTICK = 0.45  # share of women who wear some
FRECKLED = 0.3  # share of the fair-skinned with freckles


def sample_identities(generator: np.random.Generator, count: int) -> pd.DataFrame:
    """Sample people, women and men alternately, of all ages and skin tones.

    Args:
        generator: source of chance.
        count: how many.

    Returns:
        One row per person with the columns of ``Identity``.
    """
    rows = [_sample_one(generator, index % 2 == 1) for index in range(count)]
    return pd.DataFrame(rows, columns=list(IDENTITY_COLUMNS))


def _sample_one(generator: np.random.Generator, woman: bool) -> dict[str, float | str]:
    femininity = float(np.clip(generator.normal(0.85 if woman else 0.15, 0.10), 0.0, 1.0))
    row: dict[str, float | str] = {"femininity": femininity}
    age = float(np.clip(18 + 60 * generator.beta(1.3, 1.9), *AGES))
    row["age"] = age
    for name, (man, female, spread, low, high) in SPREADS.items():
        mean = man + (female - man) * femininity
        row[name] = float(np.clip(generator.normal(mean, spread), low, high))
    row |= _sample_colours(generator, age)
    row |= _sample_hair(generator, woman)
    stick = woman and generator.random() < LIPSTICK
    row["lip_colour"] = generator.uniform(0.35, 1.0) if stick else 0.0
    row["lashes"] = float(np.clip(generator.normal(0.15 + 0.6 * femininity, 0.15), 0.0, 1.0))
    row["asymmetry"] = float(np.clip(generator.normal(0.0, 0.012), -0.03, 0.03))
    row["texture"] = generator.random()
    return {name: row[name] for name in IDENTITY_COLUMNS}


def _sample_colours(generator: np.random.Generator, age: float) -> dict[str, float | str]:
    tone = float(generator.beta(1.0, 1.45))
    fair = tone < 0.30
    iris = ("dark", "brown", "hazel", "green", "blue", "grey")
    chances = (0.05, 0.27, 0.16, 0.14, 0.26, 0.12) if fair else (0.50, 0.40, 0.07, 0.02, 0.01, 0.0)
    blond = fair and generator.random() < 0.40
    grey = float(np.clip((age - 42) / 30 + generator.normal(0, 0.25), 0.0, 1.0)) if age > 36 else 0.0
    return {
        "skin_tone": tone,
        "skin_warmth": float(np.clip(generator.normal(0.1, 0.4), -1, 1)),
        "iris": str(generator.choice(iris, p=chances)),
        "hair_tone": generator.uniform(0.6, 1.0) if blond else generator.uniform(0.0, 0.55 if fair else 0.28),
        "hair_red": generator.uniform(0.4, 1.0) if fair and generator.random() < 0.14 else 0.0,
        "hair_grey": grey,
        "freckles": generator.uniform(0.3, 1.0) if tone < 0.22 and generator.random() < FRECKLED else 0.0,
    }


def _sample_hair(generator: np.random.Generator, woman: bool) -> dict[str, float | str]:
    styles = FEMALE_HAIR if woman else MALE_HAIR
    chances = np.array(list(styles.values()))
    style = str(generator.choice(list(styles), p=chances / chances.sum()))
    beard = moustache = 0.0
    if not woman:
        draw = generator.random()
        if draw < BEARDED:
            beard = generator.uniform(0.15, 1.0)
            moustache = min(1.0, beard * generator.uniform(0.8, 1.1))
        elif draw < BEARDED + MOUSTACHED:
            moustache = generator.uniform(0.7, 1.0)
    return {
        "hair_style": style,
        "hair_part": generator.uniform(-1.0, 1.0),
        "beard": beard,
        "moustache": moustache,
    }
