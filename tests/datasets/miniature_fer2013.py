"""A miniature FER2013: made-up grey patterns in the publisher's layouts."""

import csv

import numpy as np

USAGES = ("Training", "PublicTest", "PrivateTest")
NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def make_rows():
    """(labels, usages, images) of 21 + 7 + 7 rows; one image stands in all three splits, one is black."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (35, 48, 48), dtype=np.uint8)
    images[21] = images[0]
    images[28] = images[0]
    images[5] = 0
    labels = [row % 7 for row in range(35)]
    usages = [USAGES[0]] * 21 + [USAGES[1]] * 7 + [USAGES[2]] * 7
    return labels, usages, images


def write_csv(path, miniature, header=("emotion", "pixels", "Usage")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for label, usage, image in zip(*miniature, strict=True):
            cells = {"emotion": label, "usage": usage, "pixels": " ".join(map(str, image.ravel()))}
            writer.writerow([cells[name.strip().lower()] for name in header])
    return path
