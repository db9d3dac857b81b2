"""Miniatures of video sets: a few frames of drawn faces, in the publishers' layouts."""

from functools import cache

import cv2
import numpy as np

from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills

HEIGHT, WIDTH, SIDE = 120, 160, 96


@cache
def portraits():
    """Seven drawn faces, (7, SIDE, SIDE, 3) RGB."""
    return render(sample_stills(5, {"train": 1}, 1), SIDE, colour=True, supersample=1).images


def write_face_film(path, person=0, frames=6):
    """A face that moves to the right by two pixels per frame; person None: nobody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
    for number in range(frames):
        photo = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        if person is not None:
            left = 20 + 2 * number
            photo[12 : 12 + SIDE, left : left + SIDE] = portraits()[person % 7]
        writer.write(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
