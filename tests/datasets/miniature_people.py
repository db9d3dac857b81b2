"""A miniature of LFW: made-up patterns in the publisher's layout."""

import numpy as np
from PIL import Image

IMAGES = {"Ann_A": 4, "Bob_B": 3, "Cy_C": 2, "Di_D": 3, "Eve_E": 2, "Flo_F": 2, "Gus_G": 1, "Hal_H": 2}
VIEW2 = """\
2\t2
Ann_A\t1\t2
Bob_B\t1\t3
Ann_A\t3\tBob_B\t1
Ann_A\t4\tBob_B\t2
Di_D\t1\t2
Eve_E\t1\t2
Di_D\t1\tEve_E\t1
Di_D\t2\tEve_E\t2
"""
DEV_TRAIN = "Ann_A\t1\t2\nCy_C\t1\t2\nAnn_A\t1\tCy_C\t1\n"
DEV_TEST = "2\nFlo_F\t1\t2\nHal_H\t1\t2\nFlo_F\t1\tHal_H\t1\nFlo_F\t2\tGus_G\t1\n"


def make_lfw(folder, colour=True):
    """Write people and lists; returns the folder."""
    rng = np.random.default_rng(1)
    for person, images in IMAGES.items():
        (folder / person).mkdir(parents=True)
        for number in range(1, images + 1):
            pixels = rng.integers(0, 256, (8, 6, 3) if colour else (8, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / person / f"{person}_{number:04d}.png")
    (folder / "pairs.txt").write_text(VIEW2)
    (folder / "pairsDevTrain.txt").write_text(DEV_TRAIN)
    (folder / "pairsDevTest.txt").write_text(DEV_TEST)
    return folder
