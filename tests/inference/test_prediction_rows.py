"""Rows come in the order of the images, from batches of the right size."""

from dataclasses import replace

import numpy as np
import pytest

from fer_repro.datasets.faces import Box
from fer_repro.inference.faces_in import Face
from fer_repro.inference.prediction_rows import PATIENCE, predict_rows
from fer_repro.inference.sources import Done, Failed, Seen


class Counting:
    """Answers with the first pixel, and remembers how many faces it was shown."""

    runtime = "none"

    def __init__(self, batch):
        self.batch, self.sizes = batch, []

    def run(self, faces):
        self.sizes.append(len(faces))
        values = faces[:, 0, 0, 0].astype(np.float32)
        return {"logits": np.stack([values, 0 * values], axis=1)}


class Mean(Counting):
    def run(self, faces):
        self.sizes.append(len(faces))
        values = faces[:, 0, 0, 0].astype(np.float32)
        return {"logits": np.array([[values.mean(), 0]]), "frame_weights": (values / values.sum())[None]}


@pytest.fixture
def spec(rmn):
    return replace(rmn.spec, classes=("yes", "no"), outputs=2)


def seen(source, values, frame=None, clip=None):
    faces = [Face(Box(0, 0, 4, 4), np.full((1, 4, 4), value, np.uint8)) for value in values]
    return Seen(source, frame, clip or source, faces, "abcde".find(source))


def test_rows_keep_the_order_whatever_the_batch(spec):
    images = [seen("a", [1, 2]), seen("b", []), seen("c", [3]), seen("d", [4, 5, 6, 7, 8]), seen("e", [])]
    events = [each for image in images for each in (image, Done(image.source, image.entry))]
    events.insert(4, Failed("broken", "why"))
    for batch in (1, 2, 3, 100):
        backend = Counting(batch)
        chunks = list(predict_rows(events, spec, backend))
        rows = [row for chunk in chunks for row in chunk.rows]
        assert [(row["source"], row["face"]) for row in rows] == [
            ("a", 0), ("a", 1), ("b", -1), ("c", 0),
            ("d", 0), ("d", 1), ("d", 2), ("d", 3), ("d", 4), ("e", -1),
        ]  # fmt: skip
        values = [row["p_yes"] for row in rows if row["face"] >= 0]
        assert values == pytest.approx([1 / (1 + np.exp(-n)) for n in range(1, 9)])
        assert max(backend.sizes) <= batch
        assert [entry for chunk in chunks for entry in chunk.done] == [0, 1, 2, 3, 4]
        assert [each.source for chunk in chunks for each in chunk.failed] == ["broken"]


def test_an_input_is_done_no_sooner_than_its_rows(spec):
    events = [seen("a", [1]), Done("a", 0), seen("b", [2]), Done("b", 1)]
    rows = set()
    for chunk in predict_rows(events, spec, Counting(1)):
        rows |= {row["source"] for row in chunk.rows}
        assert {"ab"[entry] for entry in chunk.done} <= rows


def test_images_without_faces_do_not_pile_up(spec):
    chunks = list(predict_rows((seen("video", [], at) for at in range(2 * PATIENCE + 1)), spec, Counting(64)))
    assert [len(chunk.rows) for chunk in chunks] == [PATIENCE, PATIENCE, 1]


def test_clips_are_never_mixed(spec):
    clips = replace(spec, shows="frames")
    events = [seen("a", [n + 1], n) for n in range(5)]
    events += [Done("a"), seen("b", [9], 0), seen("b", [], 1), seen("b", [11], 2), Done("b")]
    backend = Mean(2)
    rows = [row for chunk in predict_rows(events, clips, backend, window=3) for row in chunk.rows]
    assert backend.sizes == [3, 2, 2]
    expected = {"a from 0": 2.0, "a from 3": 4.5, "b from 0": 10.0}
    for row in rows:
        if row["face"] >= 0:
            assert row["p_yes"] == pytest.approx(1 / (1 + np.exp(-expected[row["clip"]])))
    assert [row["frame_weight"] for row in rows[:3]] == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert rows[6]["note"] == "no face"
