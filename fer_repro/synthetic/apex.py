"""The apex frame of each drawn clip: a still of the same person and moment, for methods that see one face."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fer_repro.synthetic.clips import read_settings, sample_clips
from fer_repro.synthetic.drawn import Drawn
from fer_repro.synthetic.factors import CLASSES
from fer_repro.synthetic.render import render

NOTE = (
    "The apex frames of the drawn clips, one of each: the frame of the greatest intensity, the first among "
    "equals, whatever disturbs it. People, splits and labels are those of the clips."
)


def draw(settings: Mapping[str, Any]) -> Drawn:
    """Draw the apex frames of a set of clips; a pure function of its settings.

    Args:
        settings: as those of the clips, see ``fer_repro.synthetic.clips.ClipSettings``, with a name and
            the kind ``apex`` of their own.

    Returns:
        Grey faces and their table; ``clip`` is empty, as each face stands for itself, and ``of_clip`` names
        the clip.

    Raises:
        UserError: a setting is missing, unknown or out of range.
    """
    checked = read_settings({**settings, "kind": "clips"})
    frames = sample_clips(replace(checked, name="synthetic_clips"))
    order = frames.groupby("clip", sort=False)["intensity"].transform(lambda course: course.eq(course.max()))
    first = frames[order].drop_duplicates("clip")
    samples = first.assign(image=np.arange(len(first)), clip="", of_clip=first["clip"]).reset_index(drop=True)
    return Drawn(render(samples, checked.size).images, samples, CLASSES, NOTE)
