"""Answers by what is visible, against the network run on faces that were covered before."""

import numpy as np
import pandas as pd
import pytest
import torch
from untrained_runs import write_images, write_untrained

from fer_repro.config import run_folder
from fer_repro.evaluation.visible_halves import (
    accuracy_by_view,
    agreement_with_teacher,
    answers_by_view,
    covered_faces,
    softened_answers,
)
from fer_repro.loading.augmentation import clean_images
from fer_repro.measures.intervals import wilson_interval

FACES = pd.DataFrame({"label": [0, 1, 0, 1], "subject": list("abcd"), "clip": "", "split": "test"})


def one_hot(*seeds):
    """For each seed the probabilities of faces whose answers are given."""
    return [{view: np.eye(3)[list(found)] for view, found in seed.items()} for seed in seeds]


def test_faces_are_covered_as_for_the_network():
    images = np.arange(1, 16, dtype=np.uint8).reshape(1, 5, 3)
    found = covered_faces(images)
    assert list(found) == ["lower half", "upper half", "whole face"]
    assert found["lower half"][0, :, 0].tolist() == [0, 0, 0, 10, 13]
    assert found["upper half"][0, :, 0].tolist() == [1, 4, 7, 0, 0]
    assert (found["whole face"] == images).all()


def test_answers_are_those_of_covered_faces(tmp_path):
    store = write_images(tmp_path / "small", FACES, ("a", "b"))
    network = write_untrained(tmp_path / "runs", "distillation", "synthetic", "kl_upper", 0, 2)
    folder = run_folder(tmp_path / "runs", "synthetic", "distillation", 0, "kl_upper")
    rows = np.array([3, 0])
    (found,) = answers_by_view({"kl_upper": {0: folder}}, store, rows)["kl_upper"]
    images = clean_images(torch.from_numpy(np.array(store.images[rows]))[:, None], 32)
    for view, kept in (("lower", slice(16, None)), ("upper", slice(None, 16)), ("whole", slice(None))):
        shown = torch.zeros_like(images)
        shown[..., kept, :] = images[..., kept, :]
        with torch.no_grad():
            expected = network.fc(network.embed_images(shown)).softmax(1)
        np.testing.assert_allclose(found[view], expected.numpy(), atol=1e-6)


def test_accuracy_is_the_mean_over_seeds():
    seeds = one_hot(
        {"lower": (0, 1, 2, 0), "upper": (0, 0, 0, 0), "whole": (0, 1, 2, 1)},
        {"lower": (0, 1, 2, 1), "upper": (1, 1, 1, 1), "whole": (0, 1, 2, 1)},
    )
    table = accuracy_by_view({"kl": seeds}, np.array([0, 1, 2, 1]), 0.95)
    assert table["class"].tolist() == ["lower half", "upper half", "whole face"]
    assert table["value"].tolist() == pytest.approx([7 / 8, 3 / 8, 1])
    assert table[["low", "high"]].iloc[0].tolist() == pytest.approx(wilson_interval(3.5, 4, 0.95))


def test_agreement_is_counted_by_whether_the_teacher_is_right():
    same = (0, 0, 0, 0)
    teacher = one_hot({"lower": (1, 1, 1, 1), "upper": same, "whole": (0, 1, 0, 2)})
    student = one_hot({"lower": (0, 0, 0, 2), "upper": same, "whole": same})
    answers = {"untouched": teacher, "kl": student}
    table = agreement_with_teacher(answers, "untouched", np.array([0, 1, 2, 0]), 0.95)
    assert table["arm"].tolist() == ["untouched", "untouched", "kl", "kl"]
    assert table["class"].tolist() == ["teacher is right", "teacher is wrong"] * 2
    assert table["value"].tolist() == pytest.approx([1 / 2, 0, 1 / 2, 1])
    perfect = agreement_with_teacher(answers, "untouched", np.array([0, 1, 0, 2]), 0.95)
    assert np.isnan(perfect["value"].iloc[1])


def test_softened_answers_come_closer_together():
    logits = np.array([2.0, 0.0, -1.0])
    table = softened_answers(np.exp(logits) / np.exp(logits).sum(), (1, 4), ("a", "b", "c"))
    assert table["arm"].tolist() == ["T = 1"] * 3 + ["T = 4"] * 3
    expected = np.exp(logits / 4) / np.exp(logits / 4).sum()
    assert table["value"].tolist()[3:] == pytest.approx(expected.tolist())
    assert (table["low"] == table["value"]).all()
