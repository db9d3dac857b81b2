"""Lengths, confidences and answers without the most active features, against loops over faces."""

import numpy as np
import pandas as pd
import pytest
import torch
from untrained_runs import write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.evaluation.feature_strength import (
    WITHOUT,
    accuracy_without,
    confidences_and_hits,
    look_at_features,
    shares_that_would_be_kept,
    strength_table,
)
from fer_repro.loading.augmentation import clean_images
from fer_repro.measures.intervals import wilson_interval

FACES = pd.DataFrame({"label": [0, 1, 0, 1], "subject": list("abcd"), "clip": "", "split": "test"})
TARGETS = np.array([0, 1, 1])


def seed(probabilities, norms, *answers):
    kept = dict(zip(WITHOUT, map(np.array, answers), strict=True))
    return {"probabilities": np.array(probabilities), "norms": np.array(norms), **kept}


SEEN = {
    "pgm": [
        seed([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [3.0, 4.0, 5.0], [0, 1, 0], [0, 1, 1], [1, 1, 1]),
        seed([[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]], [5.0, 6.0, 7.0], [0, 0, 1], [0, 1, 1], [0, 1, 1]),
    ],
    "none": [seed([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]], [1.0, 1.0, 4.0], [0, 1, 1], [0, 0, 0], [1, 0, 0])],
}


@pytest.mark.parametrize("arm", ["pgm", "none", "dropout"])
def test_what_is_seen_is_computed_by_the_network(tmp_path, arm):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    network = write_untrained(tmp_path / "runs", "maxout", "synthetic", arm, 0, 2)
    folder = run_folder(tmp_path / "runs", "synthetic", "maxout", 0, arm)
    (found,) = look_at_features({arm: {0: folder}}, store, np.array([3, 0]))[arm]
    images = clean_images(torch.from_numpy(np.array(store.images[[3, 0]]))[:, None], 32)
    with torch.no_grad():
        features = network.eval().embed_images(images)
        for words, share in WITHOUT.items():
            for face, answer in zip(features, found[words], strict=True):
                left = face.clone()
                for _ in range(round(len(face) * share)):
                    left[left.argmax()] = -1  # 0 once all are found
                left[left == -1] = 0
                scaled = left / (1 - share)
                assert answer == network.fc(scaled).argmax()
        expected = network.fc(features).softmax(1)
    np.testing.assert_allclose(found["probabilities"], expected.numpy(), atol=1e-6)
    lengths = [sum(float(value) ** 2 for value in face) ** 0.5 for face in features]
    np.testing.assert_allclose(found["norms"], lengths, rtol=1e-5)


def test_lengths_and_confidences_are_means_over_seeds():
    table = strength_table(SEEN, TARGETS, 0.95)
    assert table.iloc[0].tolist() == ["pgm", "5.00", "-7.71 to 17.71", "73.3", "66.7"]  # 12.71 times 2 / 2
    assert table.iloc[1].tolist() == ["none", "2.00", "", "90.0", "100.0"]  # one seed has no interval


def test_accuracy_without_features_is_counted_over_seeds():
    table = accuracy_without(SEEN, TARGETS, 0.95).set_index(["arm", "class"])
    assert table["value"].tolist() == pytest.approx([4 / 6, 1, 5 / 6, 1, 1 / 3, 0])
    low, high = wilson_interval(2.5, 3, 0.95)
    assert table.loc[("pgm", "without half"), ["low", "high"]].tolist() == pytest.approx([low, high])


def test_kept_shares_are_told_apart_by_the_answer():
    table = shares_that_would_be_kept(SEEN, TARGETS)
    assert table[["arm", "class"]].to_numpy().tolist() == [
        ["pgm", "right answers"], ["pgm", "wrong answers"], ["none", "right answers"],
    ]  # fmt: skip
    first = [(1 - 0.9 / 2 + 1 - 0.8 / 2) / 2, 1 - 0.4 / 2]
    second = [(1 - 0.7 / 2 + 1 - 0.9 / 2) / 2, 1 - 0.5 / 2]
    assert table["value"].tolist() == pytest.approx(
        [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2, 1 - 0.9 / 2]
    )
    assert table["low"].tolist() == pytest.approx([first[0], second[1], 0.55])


def test_confidences_and_hits_are_of_all_seeds():
    confidences, hits = confidences_and_hits(SEEN, TARGETS)["pgm"]
    assert confidences.tolist() == [0.9, 0.8, 0.6, 0.7, 0.5, 0.9]
    assert hits.tolist() == [True, True, False, True, False, True]
