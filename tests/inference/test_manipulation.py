"""The ensemble averages logits over networks and frames, as its paper says."""

import math

import numpy as np
import pytest
from videos import write_video

import fer_repro
from fer_repro.datasets.faces import Box
from fer_repro.errors import UserError


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.fixture
def members(run_of):
    return [fer_repro.load(run_of("efficientnet", arm)) for arm in ("plain", "attention")]


class Detector:
    """Finds a face in every frame but the third, and counts the frames it saw."""

    name = "counting"

    def __init__(self):
        self.looked = 0

    def detect(self, image):
        self.looked += 1
        return [] if self.looked == 3 else [Box(8, 8, 88, 88)]


def test_the_score_is_the_sigmoid_of_the_mean_logit(members, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 96, 96, 3), np.uint8)
    path, detector = write_video(tmp_path / "video.avi", images), Detector()
    found = fer_repro.detect_manipulation(path, members, frames=5, detector=detector)
    assert detector.looked == 5  # the second network sees the boxes of the first
    assert found.frames["frame"].tolist() == [0, 2, 6, 8]
    per_network = []
    for model in members:
        logits = [
            model.predict(images[at], detector="8,8,88,88")["forgery_logit"].iloc[0] for at in (0, 2, 6, 8)
        ]
        per_network.append(logits)
        assert found.networks[model.spec.name] == pytest.approx(sigmoid(sum(logits) / 4), abs=1e-6)
    total = sum(sum(logits) for logits in per_network)
    assert found.score == pytest.approx(sigmoid(total / 8), abs=1e-6)
    assert found.manipulated == (found.score > 0.5)
    for n, score in enumerate(found.frames["forgery_score"]):
        assert score == pytest.approx(sigmoid((per_network[0][n] + per_network[1][n]) / 2), abs=1e-6)


def test_what_cannot_be_scored_is_told(members, rmn, tmp_path):
    class Nobody:
        name = "nobody"

        def detect(self, image):
            return []

    photo = np.zeros((96, 96, 3), np.uint8)
    with pytest.raises(UserError, match="no face found in array 0; detector none"):
        fer_repro.detect_manipulation(photo, members, detector=Nobody())
    with pytest.raises(UserError, match="rmn masked was trained for expression"):
        fer_repro.detect_manipulation(photo, [*members, rmn], detector="none")
    with pytest.raises(UserError, match="no network given"):
        fer_repro.detect_manipulation(photo, [])
    with pytest.raises(UserError, match="2 videos or images where one was expected"):
        fer_repro.detect_manipulation([photo, photo], members, detector="none")
    with pytest.raises(UserError, match="no such file"):
        fer_repro.detect_manipulation(tmp_path / "absent.mp4", members)
    twice = fer_repro.detect_manipulation(photo, [members[0], members[0]], detector="none")
    assert set(twice.networks) == {"efficientnet plain", "efficientnet plain 2"}
