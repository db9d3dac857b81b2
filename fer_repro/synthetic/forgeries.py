"""Manipulated videos of synthetic people beside the real ones they were made from.

Three manipulations replace the inner face of every frame: ``swap`` puts in another person's, ``transfer`` the
same person's with another expression, ``resample`` what a generator network leaves of it. Blur, noise and
JPEG come afterwards and are the original's own, so that nothing but the manipulation separates the two.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError
from fer_repro.sections import STRICT, Count, PositiveInt, read_section
from fer_repro.synthetic import blending, light, render
from fer_repro.synthetic.drawing import Array
from fer_repro.synthetic.expression import sample_actions
from fer_repro.synthetic.factors import (
    CLASSES,
    FACTOR_COLUMNS,
    IDENTITY_COLUMNS,
    Actions,
    Generated,
    Identity,
    Viewpoint,
    take_part,
)
from fer_repro.synthetic.identity import sample_identities
from fer_repro.synthetic.stills import DECIMALS, sample_view

LABELS = ("real", "manipulated")
TRACES: dict[str, dict[str, tuple[float, float]]] = {  # ranges of what each manipulation leaves behind
    "swap": {
        "edge": (0.10, 0.30),  # width of the mask's soft edge, share of its radius
        "matched": (0.55, 0.85),  # share of the colour statistics that is transferred
        "level": (0.015, 0.045),  # error of the brightness that remains, either way
        "warmth": (0.010, 0.035),  # error from blue to red, either way
        "resolution": (0.65, 0.90),  # of the forged face, share of the image's
        "misplaced": (0.0, 0.012),  # shift of the forged face, share of the side, anew in each frame
        "bent": (0.0, 0.0),  # displacement of its pixels, share of the side
    },
    "transfer": {
        "edge": (0.10, 0.30),
        "matched": (0.60, 0.90),
        "level": (0.010, 0.030),
        "warmth": (0.010, 0.025),
        "resolution": (0.65, 0.90),
        "misplaced": (0.0, 0.012),
        "bent": (0.0, 0.0),
    },
    "resample": {
        "edge": (0.15, 0.35),
        "matched": (0.0, 0.0),
        "level": (0.0, 0.020),
        "warmth": (0.0, 0.020),
        "resolution": (0.58, 0.80),
        "misplaced": (0.0, 0.0),
        "bent": (0.005, 0.012),
    },
}
KINDS = tuple(TRACES)
TRACE_COLUMNS = (*TRACES["swap"], "phase")  # phase: where shift and waves start, 0 to 1, in each frame
FORGERY_COLUMNS = ("forgery", "original", "source", *TRACE_COLUMNS)
KEPT = (  # what a swap leaves of the original person: outline, ears, hair and beard
    *("head_width", "head_top", "head_depth", "jaw_square", "jaw_taper", "chin", "ear_size", "ear_out"),
    *("hair_style", "hair_tone", "hair_red", "hair_grey", "hair_line", "hair_volume", "hair_part"),
    *("beard", "moustache"),
)
CANDIDATES = 6  # people among whom a swap's source is the nearest in sex and skin
MANIPULATED = 0.05  # share of the forged face from which on a pixel counts as manipulated
NOTE = (
    "Rendered by fer_repro.synthetic.forgeries; no real person is shown. The manipulations represent "
    "swapped, re-expressed and regenerated faces; where they lie is known to the pixel."
)
_STREAM = 0x666F726765  # "forge": with any seed, other people than those of the other generators


@dataclass(frozen=True, config=STRICT)
class Videos:
    """How many videos per split."""

    train: PositiveInt
    val: PositiveInt
    test: PositiveInt


@dataclass(frozen=True, config=STRICT)
class ForgerySettings:
    """What is in the manifest of a set of forgeries."""

    name: str
    kind: Literal["forgeries"]
    seed: Count
    size: Annotated[int, Field(ge=16, le=render.MAX_SIZE)]  # pixels
    frames: PositiveInt  # of each video
    real: Videos  # each of another person
    manipulated: Videos


def draw(settings: Mapping[str, Any]) -> Generated:
    """Render a set of forgeries: a pure function of its settings.

    Args:
        settings: the fields of ``ForgerySettings``.

    Returns:
        RGB images of the classes real and manipulated, the table of ``sample_forgeries``, and where the
        images of the test part are manipulated.

    Raises:
        UserError: a setting is unknown, missing or out of range.
    """
    config = read_section(ForgerySettings, settings, f"settings of '{settings.get('name', '')}'")
    table = sample_forgeries(config)
    images = np.empty((len(table), config.size, config.size, 3), np.uint8)
    masks = np.zeros(images.shape[:3], np.bool_)
    people = {row["subject"]: take_part(Identity, row) for row in table.to_dict("records")}
    clean: dict[tuple[str, int], tuple[Array, Actions]] = {}
    for index, row in enumerate(table.to_dict("records")):
        view = take_part(Viewpoint, row)
        if row["forgery"] == "none":
            image, actions = clean[row["clip"], row["frame"]] = _render_frame(row, view, config.size)
        else:
            original, actions = clean[row["original"], row["frame"]]
            mask = blending.inner_face(people[row["subject"]], actions, view, config.size, row["edge"])
            forged = _forge(row, original, mask, people)
            image = blending.blend_faces(original, forged, mask)
            masks[index] = mask > MANIPULATED
        images[index] = light.photograph(image, view, colour=True)
    tested = np.flatnonzero(table["split"] == "test")
    return Generated(images, table, LABELS, NOTE, {"samples": tested, "manipulated": masks[tested]})


def _render_frame(row: Mapping[Any, Any], view: Viewpoint, size: int) -> tuple[Array, Actions]:
    actions = take_part(Actions, row)
    image, _ = render.draw_face(take_part(Identity, row), actions, view, size, render.SUPERSAMPLE)
    return image, actions


def _forge(row: Mapping[Any, Any], original: Array, mask: Array, people: Mapping[str, Identity]) -> Array:
    """Render the whole forged face (H, W, 3) that the mask is cut from."""
    view, forged = take_part(Viewpoint, row), original
    if row["forgery"] != "resample":
        person = people[row["subject"]]
        if row["source"]:
            person = replace(people[row["source"]], **{name: getattr(person, name) for name in KEPT})
        angle, reach = 2.0 * np.pi * row["phase"], row["misplaced"]
        moved = replace(
            view,
            jitter_x=view.jitter_x + reach * float(np.cos(angle)),
            jitter_y=view.jitter_y + reach * float(np.sin(angle)),
        )
        actions, size = take_part(Actions, row), len(original)
        forged, _ = render.draw_face(person, actions, moved, size, render.SUPERSAMPLE)
    forged = blending.coarsen(blending.bend(forged, row["bent"], row["phase"]), row["resolution"])
    shift = (row["level"] + row["warmth"], row["level"], row["level"] - row["warmth"])
    return blending.match_colours(forged, original, mask, row["matched"], shift)


def sample_forgeries(settings: ForgerySettings) -> pd.DataFrame:
    """Sample the factors of real videos and of the manipulated ones made from them.

    A manipulated row has its original's person, pose, light and camera; ``expression``, ``intensity`` and the
    actions are what the forged inner face shows. No person is shown or is a source in two splits.

    Returns:
        One row per frame, the real videos first: ``videos.VIDEO_COLUMNS`` and ``FORGERY_COLUMNS``. Of a real
        video ``forgery`` is none, ``original`` and ``source`` are empty and the traces 0.

    Raises:
        UserError: a split has one person only, who cannot be swapped.
    """
    generator = np.random.default_rng([_STREAM, settings.seed])
    counts: dict[str, int] = asdict(settings.real)
    if min(counts.values()) < 2:
        raise UserError(
            f"settings of '{settings.name}': real is {counts}: a swap needs two people in a split"
        )
    real = sample_videos(generator, counts, settings.frames)
    real = real.assign(**dict.fromkeys(FORGERY_COLUMNS, 0.0))
    real = real.assign(forgery="none", original="", source="")
    rows: list[dict[str, Any]] = []
    for split, count in asdict(settings.manipulated).items():
        videos = [part for _, part in real[real["split"] == split].groupby("clip", sort=True)]
        order = generator.permutation(len(videos))
        for number in range(count):
            turn, place = divmod(number, len(videos))
            again = 0 if len(videos) % len(KINDS) else turn  # an original comes again as another kind
            kind = KINDS[(number + again) % len(KINDS)]
            original = videos[order[place]]
            rows += _manipulate(generator, original, kind, [video.iloc[0] for video in videos])
            for row in rows[-settings.frames :]:
                row["clip"] = f"fake{len(rows) // settings.frames - 1:03d}"
    table = pd.concat([real, pd.DataFrame(rows, columns=list(real.columns))], ignore_index=True)
    table["image"] = np.arange(len(table))
    return table.round(dict.fromkeys(TRACE_COLUMNS, 3))


def _manipulate(
    generator: np.random.Generator, original: pd.DataFrame, kind: str, people: list[pd.Series]
) -> list[dict[str, Any]]:
    """Sample the rows of one manipulated video from its original's."""
    frames = [{str(name): value for name, value in row.items()} for row in original.to_dict("records")]
    traces = {name: float(generator.uniform(*reach)) for name, reach in TRACES[kind].items()}
    for name in ("level", "warmth"):
        traces[name] *= float(generator.choice((-1.0, 1.0)))
    first = frames[0]
    common = traces | {"label": 1, "forgery": kind, "original": first["clip"]}
    common["source"] = _nearest(generator, first, people) if kind == "swap" else ""
    shown: list[dict[str, Any]] = [{} for _ in frames]
    if kind == "transfer":
        others = [name for name in CLASSES if name != first["expression"]]
        expression = others[int(generator.integers(len(others)))]
        strengths = sample_intensities(generator, expression, len(frames))
        actions = sample_expression(generator, expression, strengths)
        for frame, strength, action in zip(shown, strengths, actions, strict=True):
            frame |= {"expression": expression, "intensity": strength} | action
    return [
        frame | common | change | {"phase": float(generator.random())}
        for frame, change in zip(frames, shown, strict=True)
    ]


def _nearest(generator: np.random.Generator, person: Mapping[str, Any], people: list[pd.Series]) -> str:
    others = [other for other in people if other["subject"] != person["subject"]]
    chosen = generator.permutation(len(others))[:CANDIDATES]
    gaps = [
        abs(others[place]["femininity"] - person["femininity"])
        + abs(others[place]["skin_tone"] - person["skin_tone"])
        for place in chosen
    ]
    return str(others[chosen[int(np.argmin(gaps))]]["subject"])


VIDEO_COLUMNS = (
    "image",
    "label",
    "subject",
    "clip",
    "split",
    "frame",
    "expression",
    "intensity",
    *FACTOR_COLUMNS,
)

DRIFT = {  # how far pose and light may move within a video, in degrees
    "yaw": 5.0,
    "pitch": 2.5,
    "roll": 2.0,
    "light_azimuth": 4.0,
}
STEADY = 0.008  # shift of the crop from frame to frame, share of the side
WEAK, STRONG = (0.05, 0.4), (0.6, 1.0)  # intensity at one end of the video and at the other
BLUR = (0.15, 0.40)  # pixels of a 48-pixel image, as in ``Viewpoint``
NOISE = (0.3, 1.2)  # grey levels
JPEG = (80, 98)  # quality; every video is compressed
GLASSES = 0.10  # share of people who wear some


def sample_videos(generator: np.random.Generator, people: Mapping[str, int], frames: int) -> pd.DataFrame:
    """Sample the factors of videos, one of each person.

    Args:
        generator: source of chance.
        people: how many per split.
        frames: of each video.

    Returns:
        One row per frame with ``VIDEO_COLUMNS``: label 0, the frames of a video in their order.
    """
    splits = [split for split, count in people.items() for _ in range(count)]
    identities = sample_identities(generator, len(splits)).to_dict("records")
    rows: list[dict[str, Any]] = []
    for number, (split, person) in enumerate(zip(splits, identities, strict=True)):
        expression = CLASSES[int(generator.integers(len(CLASSES)))]
        strengths = sample_intensities(generator, expression, frames)
        actions = sample_expression(generator, expression, strengths)
        views = _sample_views(generator, float(person["skin_tone"]), frames)
        for frame in range(frames):
            row: dict[str, Any] = {"image": len(rows), "label": 0, "subject": f"m{number:03d}"}
            row |= {"clip": f"real{number:03d}", "split": split, "frame": frame}
            row |= {"expression": expression, "intensity": strengths[frame]}
            row |= {str(name): value for name, value in person.items()}
            rows.append(row | actions[frame] | views[frame])
    table = pd.DataFrame(rows, columns=list(VIDEO_COLUMNS))
    return table.round({name: _decimals(name) for name in VIDEO_COLUMNS})


def sample_intensities(generator: np.random.Generator, expression: str, frames: int) -> list[float]:
    """Sample how strong an expression is in each frame: it comes or goes evenly; 0 for neutral."""
    weak, strong = float(generator.uniform(*WEAK)), float(generator.uniform(*STRONG))
    start, end = (weak, strong) if generator.random() < 0.5 else (strong, weak)
    if expression == "neutral":
        start = end = 0.0
    return [round(value, 2) for value in np.linspace(start, end, frames).tolist()]


def sample_expression(
    generator: np.random.Generator, expression: str, intensities: list[float]
) -> list[dict[str, float]]:
    """Sample one way to show an expression and scale it: the columns of ``Actions`` of each frame."""
    full = sample_actions(generator, CLASSES.index(expression), 1.0)
    if expression == "neutral":  # what strays into a neutral face stays
        return [full] * len(intensities)
    return [{name: round(value * strength, 2) for name, value in full.items()} for strength in intensities]


def _sample_views(generator: np.random.Generator, skin_tone: float, frames: int) -> list[dict[str, Any]]:
    uniform = generator.uniform
    start = sample_view(generator, skin_tone)
    wears = generator.random() < GLASSES
    start |= {"occluder": "glasses" if wears else "none", "occluder_x": 0.0, "occluder_y": 0.0}
    start |= {"occluder_angle": 0.0, "occluder_size": uniform(), "occluder_tone": uniform()}
    start |= {"blur": uniform(*BLUR), "noise": uniform(*NOISE)}
    start |= {"jpeg": int(generator.integers(JPEG[0], JPEG[1] + 1))}
    moves = {name: uniform(-reach, reach) for name, reach in DRIFT.items()}
    views = []
    for share in np.linspace(-0.5, 0.5, frames).tolist():
        view = start | {name: start[name] + share * move for name, move in moves.items()}
        for name in ("jitter_x", "jitter_y"):
            view[name] = start[name] + uniform(-STEADY, STEADY)
        view["gaze_x"] = float(np.clip(start["gaze_x"] + uniform(-0.2, 0.2), -1, 1))
        view["noise_seed"] = int(generator.integers(2**16))
        views.append(view)
    return views


def _decimals(name: str) -> int:
    return DECIMALS.get(name, 3 if name in IDENTITY_COLUMNS else 2)
