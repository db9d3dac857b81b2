import cv2
import numpy as np
import pytest
from scipy.spatial import procrustes

from fer_repro.datasets.templates import PLACES, align_face, similarity
from fer_repro.errors import UserError


def turned(points, degrees, scale, shift):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


def test_a_turned_face_is_turned_back():
    points = turned(PLACES, 25, 1.7, (40, -12))
    matrix = similarity(points, PLACES)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], PLACES, atol=1e-9)


def test_points_that_do_not_fit_come_as_near_as_they_can():
    """scipy's Procrustes gives the residual of the best turn and scale."""
    rng = np.random.default_rng(3)
    points = turned(PLACES, -40, 0.6, (5, 9)) + rng.normal(0, 3, PLACES.shape)
    matrix = similarity(points, PLACES)
    residual = ((points @ matrix[:, :2].T + matrix[:, 2] - PLACES) ** 2).sum()
    centred = PLACES - PLACES.mean(axis=0)
    _, _, disparity = procrustes(PLACES, points)
    assert residual == pytest.approx(disparity * (centred**2).sum(), rel=1e-9)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("size", [112, 56])
def test_an_image_is_cut_at_the_points(size):
    photo = np.zeros((200, 240, 3), np.uint8)
    points = turned(PLACES, 15, 1.3, (60, 20))
    for number, (x, y) in enumerate(points):
        cv2.circle(photo, (round(x), round(y)), 4, (50 + 40 * number, 0, 0), -1)
    aligned = align_face(photo, points, size)
    assert aligned.shape == (size, size, 3)
    for number, (x, y) in enumerate(PLACES * size / 112):
        assert abs(int(aligned[round(y), round(x), 0]) - (50 + 40 * number)) < 15


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), PLACES[:4], PLACES * np.nan])
def test_other_points_are_refused(bad):
    with pytest.raises(UserError, match="expected five places"):
        align_face(np.zeros((9, 9, 3), np.uint8), bad)
