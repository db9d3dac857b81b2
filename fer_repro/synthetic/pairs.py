"""Pairs of synthetic faces to verify: separate people, in every expression, pose and light."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError
from fer_repro.sections import STRICT, Count, PositiveInt, read_section
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, IDENTITY_COLUMNS, Generated
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import (
    DECIMALS,
    INTENSITY,
    LIGHT_AZIMUTH,
    SIZE,
    STILLS_COLUMNS,
    YAW,
    sample_view,
)

PEOPLE = {"train": 100, "val": 20, "test": 40}
IMAGES = 14  # of each person: two of each expression
FOLDS = 10
PER_FOLD = 60  # same pairs, and as many different ones
NOTE = (
    "Rendered by fer_repro.synthetic.pairs; no real person is shown. Labels are expressions; the people of "
    "train are there to learn identities, those of val and test to be verified in pairs."
)
GAPS = ("same_expression", "lookalike", "yaw_gap", "light_gap")
LOOKS = (  # what lookalikes share; the shape of head, eyes, nose, mouth and brows is each one's own
    "femininity",
    "age",
    "iris",
    "lashes",
    "lip_colour",
    "skin_tone",
    "skin_warmth",
    "freckles",
    "hair_style",
    "hair_tone",
    "hair_red",
    "hair_grey",
    "hair_part",
    "beard",
    "moustache",
)
LOOKALIKES = 0.3  # share of the different pairs that show lookalikes
_STREAM = 0x7061697273  # "pairs": with any seed, other people than the stills'


class SyntheticPairs(NamedTuple):
    """Faces and pairs of them.

    Attributes:
        samples: one row per face with the columns of the stills; ``label`` is the expression, ``subject`` the
            person. No person is in two splits.
        pairs: the lists ``val`` (without folds) and ``test`` (in folds without shared people), with the
            columns of ``pairs.csv`` and ``GAPS``: whether both show one expression, whether they are two
            lookalikes, and how many degrees lie between their yaws and the azimuths of their lights.
    """

    samples: pd.DataFrame
    pairs: pd.DataFrame


@dataclass(frozen=True, config=STRICT)
class People:
    """How many people each split shows."""

    train: Count
    val: Count
    test: Count


@dataclass(frozen=True, config=STRICT)
class PairsSettings:
    """What is in ``manifest.json`` of a synthetic set of pairs; see ``sample_pairs``."""

    name: str
    kind: Literal["pairs"]
    seed: Count
    people: People
    pictures: PositiveInt  # images of each person; the manifest below data/ has this key
    folds: PositiveInt
    per_fold: PositiveInt


def draw(settings: Mapping[str, Any]) -> Generated:
    """Render the faces and sample the pairs that a manifest sets, about 7 ms a face.

    Args:
        settings: what ``PairsSettings`` names.

    Returns:
        Grey faces (N, 48, 48), labelled by expression, and the lists ``val`` and ``test`` with ``GAPS``.

    Raises:
        UserError: a key is unknown, missing or wrong, or there are too few people for so many pairs.
    """
    name = settings.get("name", "pairs")
    given = read_section(PairsSettings, settings, f"settings of data set '{name}'")
    samples, pairs = sample_pairs(
        given.seed, asdict(given.people), given.pictures, given.folds, given.per_fold
    )
    return Generated(render(samples, SIZE).images, samples, CLASSES, NOTE, pairs=pairs)


def sample_pairs(
    seed: int,
    people: Mapping[str, int] | None = None,
    images: int = IMAGES,
    folds: int = FOLDS,
    per_fold: int = PER_FOLD,
) -> SyntheticPairs:
    """Sample the factors of people to train on and to verify, and the pairs.

    Heads rotate and lights move as far as they do in the stills, but evenly rather than mostly mildly, so
    that two images of a person may differ more than those of two people. People come in couples of
    lookalikes, of one sex, age, skin and hair, because these alone would distinguish nearly all people.
    Otherwise both kinds of pairs are sampled alike: a pair's expressions, poses and lights do not reveal its
    kind. The people are not the stills' of any seed: their numbers come from another stream.

    Args:
        seed: from 0; the same seed gives the same tables.
        people: how many per split; ``PEOPLE`` if left out. Those of train come with no pairs.
        images: of each person, the expressions one after the other.
        folds: of the test pairs; each has its own people.
        per_fold: same pairs of a fold, and of val; and as many different ones.

    Returns:
        Tables whose numbers are rounded, so that one read back from CSV gives the same images.

    Raises:
        UserError: an argument is out of range, or there are too few people or images for so many pairs.
    """
    people = PEOPLE if people is None else people
    if seed < 0 or images < 2 or folds < 2 or per_fold < 1 or set(people) - set(PEOPLE):
        raise UserError(
            f"pairs: seed {seed}, people {dict(people)}, {images} images, {folds} folds of {per_fold}: "
            "expected a seed from 0, splits train, val, test, two images or more, two folds or more"
        )
    generator = np.random.default_rng([_STREAM, seed])
    samples = _sample_faces(generator, people, images)
    lists = []
    for split, parts in (("val", 1), ("test", folds)):
        names = samples.loc[samples["split"] == split, "subject"].unique()
        if len(names):
            lists += _sample_list(generator, samples, split, np.array_split(names, parts), per_fold)
    table = pd.DataFrame(lists, columns=["list", "first", "second", "same", "fold"])
    return SyntheticPairs(samples, table.assign(**_gaps(samples, table)))


def _sample_faces(generator: np.random.Generator, people: Mapping[str, int], images: int) -> pd.DataFrame:
    whole = [
        (split, person) for split in PEOPLE for person in _sample_couples(generator, people.get(split, 0))
    ]
    rows: list[dict[str, Any]] = []
    for number, (split, person) in enumerate(whole):
        for image in range(images):
            label = image % len(CLASSES)
            intensity = 0.0 if CLASSES[label] == "neutral" else float(generator.uniform(*INTENSITY))
            row = {
                "image": len(rows),
                "label": label,
                "subject": f"v{number:03d}",
                "clip": "",
                "split": split,
            }
            row |= {"intensity": intensity} | person
            row |= sample_actions(generator, label, intensity)
            row |= sample_view(generator, float(person["skin_tone"]))
            row["yaw"] = float(generator.uniform(-YAW[1], YAW[1]))
            row["light_azimuth"] = float(generator.uniform(-LIGHT_AZIMUTH[1], LIGHT_AZIMUTH[1]))
            rows.append(row)
    table = pd.DataFrame(rows, columns=list(STILLS_COLUMNS))
    return table.round(
        {name: DECIMALS.get(name, 3 if name in IDENTITY_COLUMNS else 2) for name in STILLS_COLUMNS}
    )


def _sample_couples(generator: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Sample people of one split; each second one shares the looks of the one before."""
    drawn = sample_identities(generator, -(-count // 4) * 4).to_dict("records")  # woman and man alternately
    people = [{str(name): value for name, value in person.items()} for person in drawn]
    people = [people[first + place] for first in range(0, len(people), 4) for place in (0, 2, 1, 3)]
    for first, second in zip(people[::2], people[1::2], strict=True):
        second.update({name: first[name] for name in LOOKS})
    return people[:count]


def _sample_list(
    generator: np.random.Generator,
    samples: pd.DataFrame,
    name: str,
    parts: list[np.ndarray],
    per_fold: int,
) -> list[tuple[str, int, int, int, int]]:
    """Sample the pairs of each part of the people: two images of one, or one of each of two."""
    rows: list[tuple[str, int, int, int, int]] = []
    before = 0  # people of the folds before
    for fold, names in enumerate(parts, 1):
        own = [np.flatnonzero(samples["subject"] == person) for person in names]
        images, people = len(own[0]) if own else 0, len(own)
        same = people * images * (images - 1) // 2
        different = same * (people - 1)  # never two images of one round, as in no same pair
        if min(same, different) < per_fold:
            raise UserError(
                f"pairs: {people} people with {images} images in a fold of '{name}' make {same} same and "
                f"{different} different pairs: expected {per_fold} of each"
            )
        for kind in (1, 0):
            found: dict[tuple[int, int], None] = {}
            while len(found) < per_fold:
                one = int(generator.integers(people))
                two = _another(generator, one, people, before)
                first, second = generator.choice(images, 2, replace=False)
                pair = own[one][first], own[one if kind else two][second]
                found[(int(min(pair)), int(max(pair)))] = None
            rows += [(name, *pair, kind, fold if len(parts) > 1 else 0) for pair in found]
        before += people
    return rows


def _another(generator: np.random.Generator, one: int, people: int, before: int) -> int:
    """Choose whom to pair person ``one`` of a fold with; ``before`` people are in the folds before."""
    lookalike = ((before + one) ^ 1) - before
    others = [person for person in range(people) if person not in (one, lookalike)]
    there = 0 <= lookalike < people
    if there and (not others or generator.random() < LOOKALIKES):
        return lookalike
    return int(generator.choice(others))


def _gaps(samples: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, np.ndarray]:
    first, second = pairs["first"].to_numpy(np.int64), pairs["second"].to_numpy(np.int64)
    label, yaw, light = (samples[name].to_numpy() for name in ("label", "yaw", "light_azimuth"))
    looks = samples[list(LOOKS)].to_numpy(object)
    alike = (looks[first] == looks[second]).all(axis=1) & (pairs["same"].to_numpy() == 0)
    return {
        "same_expression": (label[first] == label[second]).astype(np.int64),
        "lookalike": alike.astype(np.int64),
        "yaw_gap": np.abs(yaw[first] - yaw[second]).round(1),
        "light_gap": np.abs(light[first] - light[second]).round(1),
    }
