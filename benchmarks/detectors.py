"""How many faces do the detectors find on images of people, and how long does an image take?

``python benchmarks/detectors.py YUNET PATH...`` prints a Markdown table with a row per PATH: a folder of
images or videos, or ``fer2013.csv``. Of more than 300 images so many equally spaced ones are taken, of each
video nine frames. Every image shows a person, so an image without a face is a miss. Milliseconds are medians
of processor time, one thread.
"""

import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fer_repro.datasets.video import map_frames
from fer_repro.datasets.yunet import named_detector
from fer_repro.inference.sources import list_inputs, read_still

MOST, FRAMES = 300, 9


def images(path):
    """The images of a PATH, (H, W, 3) uint8 RGB, one in memory at a time."""
    if path.suffix == ".csv":
        rows = _spread(pd.read_csv(path, usecols=["pixels"])["pixels"].tolist())
        for pixels in rows:
            yield np.array(pixels.split(), np.uint8).reshape(48, 48, 1).repeat(3, axis=2)
        return
    inputs = list_inputs(path)
    for each in _spread([item for item in inputs if not isinstance(item, Path)]):
        yield read_still(each)
    for video in (item for item in inputs if isinstance(item, Path)):
        yield from map_frames(video, FRAMES, lambda at, frame: frame)


def _spread(items):
    """At most ``MOST`` of them, equally spaced."""
    if len(items) <= MOST:
        return items
    return [items[at] for at in np.linspace(0, len(items) - 1, MOST).round().astype(int)]


def measure(detectors, path):
    """How many images there are, and per detector: images with a face, median milliseconds."""
    found, spent = [0] * len(detectors), [[] for _ in detectors]
    for image in images(path):
        for n, detector in enumerate(detectors):
            begin = time.process_time()
            found[n] += bool(detector.detect(image))
            spent[n].append(1e3 * (time.process_time() - begin))
    return len(spent[0]), [
        (count, statistics.median(times)) for count, times in zip(found, spent, strict=True)
    ]


def main(yunet, *paths):
    cv2.setNumThreads(1)
    detectors = [named_detector("cascade"), named_detector(f"yunet:{yunet}")]
    print("| set | images | cascades | ms | YuNet | ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path in map(Path, paths):
        count, results = measure(detectors, path)
        cells = [f"{number} ({number / count:.1%}) | {ms:.1f}" for number, ms in results]
        print(f"| {path.stem} | {count} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
