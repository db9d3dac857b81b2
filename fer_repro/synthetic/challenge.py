"""Hard faces, occluded and turned, and the apex frames of clips for methods that see one face.

The hard faces mirror the three lists of RAN, Occlusion-, Pose-30- and Pose-45-FERPlus (arXiv:1905.04075): the
split ``challenge`` with the columns ``LISTS``. The people are not the stills' of any seed; each shows every
expression twice, once occluded and once turned. Everything else is sampled as for the stills, so that a
lower accuracy than on their test split is due to the occluder or to the pose.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro.errors import UserError
from fer_repro.synthetic.clips import read_settings, sample_clips
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import CLASSES, IDENTITY_COLUMNS, Generated
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.render import Rendered, render
from fer_repro.synthetic.stills import (
    DECIMALS,
    INTENSITY,
    SIZE,
    STILLS_COLUMNS,
    sample_view,
)

SPLIT = "challenge"
LISTS = ("occlusion", "pose_30", "pose_45")
PEOPLE = 150
PER_TESTED = 5  # people for each one of the stills' test split: the hard lists must not be what limits a test
HARD_OCCLUDERS = ("hand", "mask", "block", "sunglasses", "hair")
TURN = (30.0, 55.0)  # degrees of |yaw|; the stills' are normal around 0 and end at 30
LARGE = (0.9, 1.3)  # occluder_size, which is at most 1 in the stills
HIGH = (0.0, 0.2)  # occluder_size of masks, by which their upper edge hangs down
NOTE = (
    "The split challenge holds other people: occlusion marks largely occluded faces, pose_30 and "
    "pose_45 faces turned by 30 and 45 degrees or more."
)
_STREAM = 0x6368616C6C  # "chall": with any seed, other people than the stills'


def sample_challenge(seed: int, people: int = PEOPLE) -> pd.DataFrame:
    """Sample the factor table of the hard faces.

    The kinds of occluders alternate, so that each occludes every expression equally often where the number of
    people is a multiple of five.

    Args:
        seed: from 0; the same seed gives the same table.
        people: how many; each has one occluded and one turned face per class.

    Returns:
        One row per face with ``STILLS_COLUMNS`` and ``LISTS`` (0 or 1), the numbers rounded as the stills'.
        ``pose_30`` marks the turned faces, |yaw| of 30 to 55 degrees, and ``pose_45`` those from 45 on.

    Raises:
        UserError: a negative seed or no people.
    """
    if seed < 0 or people < 1:
        raise UserError(
            f"challenge: seed {seed}, {people} people: expected a seed from 0 and one person or more"
        )
    generator = np.random.default_rng([_STREAM, seed])
    identities = sample_identities(generator, people).to_dict("records")
    rows: list[dict[str, Any]] = []
    for number, person in enumerate(identities):
        for label, name in enumerate(CLASSES):
            for turned in (False, True):
                intensity = 0.0 if name == "neutral" else float(generator.uniform(*INTENSITY))
                row = {"image": len(rows), "label": label, "subject": f"c{number:03d}"}
                row |= {"clip": "", "split": SPLIT, "occlusion": int(not turned)}
                row |= {"intensity": intensity} | {str(key): value for key, value in person.items()}
                row |= sample_actions(generator, label, intensity)
                row |= sample_view(generator, float(person["skin_tone"]))
                if turned:
                    row["yaw"] = float(generator.choice((-1.0, 1.0)) * generator.uniform(*TURN))
                else:
                    row |= sample_hard_occluder(
                        generator, HARD_OCCLUDERS[(number + label) % len(HARD_OCCLUDERS)]
                    )
                rows.append(row)
    table = pd.DataFrame(rows).round(
        {name: DECIMALS.get(name, 3 if name in IDENTITY_COLUMNS else 2) for name in STILLS_COLUMNS}
    )
    for angle in (30, 45):
        table[f"pose_{angle}"] = (table["yaw"].abs() >= angle).astype(np.int64)
    return table[[*STILLS_COLUMNS, *LISTS]]


def sample_hard_occluder(generator: np.random.Generator, kind: str) -> dict[str, Any]:
    """Sample a large occluder of a kind: the columns of ``View`` that name it and give its place."""
    uniform = generator.uniform
    x, y, angle = 0.0, 0.0, 0.0
    if kind == "hand":  # over the mouth or a cheek
        x, y, angle = uniform(-0.35, 0.35), uniform(-0.70, -0.40), uniform(-35.0, 35.0)
    elif kind == "hair":  # over one eye
        x = float(generator.choice((-1.0, 1.0))) * uniform(0.10, 0.25)
    elif kind == "block":  # over the mouth, the eyes or one side
        x, y, angle = uniform(-0.45, 0.45), uniform(-0.65, 0.25), uniform(-30.0, 30.0)
    return {
        "occluder": kind,
        "occluder_x": x,
        "occluder_y": y,
        "occluder_size": uniform(*(HIGH if kind == "mask" else LARGE)),
        "occluder_angle": angle,
        "occluder_tone": uniform(),
    }


def draw_challenge(seed: int, people: int = PEOPLE, size: int = SIZE) -> Generated:
    """Render the hard faces with their ground truth, about 14 ms each at 48 pixels.

    Args:
        seed: from 0.
        people: see ``sample_challenge``.
        size: side in pixels.

    Returns:
        Faces (N, size, size) of the split ``challenge``, and the ground truth of all of them.

    Raises:
        UserError: an argument is out of range.
    """
    table = sample_challenge(seed, people)
    drawn = render(table, size, regions=True)
    return Generated(drawn.images, table, CLASSES, NOTE, _truth(np.arange(len(table)), drawn))


def still_truth(table: pd.DataFrame, rows: NDArray[np.integer], size: int = SIZE) -> dict[str, NDArray]:
    """Render faces again to get the ground truth of their pixels, about 14 ms each at 48 pixels.

    Args:
        table: factor table of stills or hard faces.
        rows: (n,) positions in the table.
        size: side in pixels.

    Returns:
        ``samples`` (n,) int64, the rows; ``occluded`` (n, size, size) bool, occluded at least in part;
        ``expressive`` (n, size, size) bool, other than in the same image with all actions at rest. What
        the occluder hides is not expressive. A neutral face has a few expressive pixels where its actions
        stray.

    Raises:
        UserError: a factor is missing from the table, or the size is out of range.
    """
    return _truth(rows, render(table.iloc[rows], size, regions=True))


def extend_stills(images: NDArray[np.uint8], table: pd.DataFrame, seed: int) -> Generated:
    """Append the hard faces to the stills, of ``PER_TESTED`` times as many people as their test split has.

    Args:
        images: (N, H, H) uint8, the stills.
        table: their factor table.
        seed: of the hard faces, usually the stills' own.

    Returns:
        The stills, unchanged and 0 in all ``LISTS``, and then the hard faces; the ground truth of the stills'
        test split and of all hard faces.

    Raises:
        UserError: the test split shows nobody, or a factor is missing from the table.
    """
    tested = np.flatnonzero(table["split"] == "test")
    hard = draw_challenge(seed, PER_TESTED * table["subject"].iloc[tested].nunique(), images.shape[1])
    first = hard.samples.assign(image=hard.samples["image"] + len(images))
    samples = pd.concat([table.assign(**dict.fromkeys(LISTS, 0)), first], ignore_index=True)
    known = still_truth(table, tested, images.shape[1])
    further = hard.truth | {"samples": hard.truth["samples"] + len(table)}
    truth = {name: np.concatenate([known[name], further[name]]) for name in known}
    return Generated(np.concatenate([images, hard.images]), samples, CLASSES, NOTE, truth)


def _truth(rows: NDArray[np.integer], drawn: Rendered) -> dict[str, NDArray]:
    assert drawn.expressive is not None
    return {"samples": rows.astype(np.int64), "occluded": drawn.occluded, "expressive": drawn.expressive}


NOTE = (
    "The apex frames of the synthetic clips, one of each: the frame of the greatest intensity, the first "
    "among equals, whatever disturbs it. People, splits and labels are those of the clips."
)


def draw(settings: Mapping[str, Any]) -> Generated:
    """Render the apex frames of a set of clips; a pure function of its settings.

    Args:
        settings: as those of the clips, see ``fer_repro.synthetic.clips.ClipSettings``, with a name and
            the kind ``apex`` of their own.

    Returns:
        Grey faces and their table; ``clip`` is empty, as each face is its own sample, and ``of_clip`` names
        the clip.

    Raises:
        UserError: a setting is missing, unknown or out of range.
    """
    checked = read_settings({**settings, "kind": "clips"})
    frames = sample_clips(replace(checked, name="synthetic_clips"))
    order = frames.groupby("clip", sort=False)["intensity"].transform(lambda course: course.eq(course.max()))
    first = frames[order].drop_duplicates("clip")
    samples = first.assign(image=np.arange(len(first)), clip="", of_clip=first["clip"]).reset_index(drop=True)
    return Generated(render(samples, checked.size).images, samples, CLASSES, NOTE)
