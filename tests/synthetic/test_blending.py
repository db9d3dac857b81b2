from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import center_of_mass, map_coordinates

from fer_repro.synthetic.blending import bend, blend_faces, coarsen, inner_face, match_colours
from fer_repro.synthetic.factors import Actions, Identity, Viewpoint, take_part
from fer_repro.synthetic.stills import sample_stills

ROW = sample_stills(0, {"train": 1}).iloc[0].to_dict()
PERSON, ACTIONS = take_part(Identity, ROW), take_part(Actions, ROW)
ACTIONS = replace(ACTIONS, jaw_drop=0.0)
STRAIGHT = replace(
    take_part(Viewpoint, ROW), yaw=0.0, pitch=0.0, roll=0.0, jitter_x=0.0, jitter_y=0.0, zoom=1.25
)
SIZE = 96


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return generator.random((2, 24, 24, 3), np.float32), generator.random((24, 24), np.float32)


def mask_of(**change):
    return inner_face(PERSON, ACTIONS, replace(STRAIGHT, **change), SIZE, edge=0.1)


def test_the_mask_reaches_from_the_brows_to_the_chin():
    mask = mask_of()
    side = 2 * 1.16 / 1.25  # face units that the image shows, y = -0.06 in its middle
    column = mask[:, SIZE // 2]
    inside = np.flatnonzero(column > 0.5)
    top = (0.5 - (0.44 + 0.06) / side) * SIZE
    bottom = (0.5 + (PERSON.chin - 0.13 - 0.06) / side) * SIZE
    assert inside[0] == pytest.approx(top, abs=1.5)
    assert inside[-1] + 1 == pytest.approx(bottom, abs=1.5)
    middle = mask[round(0.5 * (top + bottom))]
    assert (middle > 0.5).sum() == pytest.approx(2 * 0.76 * PERSON.head_width / side * SIZE, abs=2)
    assert mask.min() == 0
    assert mask.max() == 1


def test_the_mask_follows_the_pose():
    row, column = center_of_mass(mask_of())
    assert column == pytest.approx(SIZE / 2 - 0.5, abs=0.1)
    assert center_of_mass(mask_of(yaw=20.0))[1] > column + 1
    assert center_of_mass(mask_of(pitch=12.0))[0] < row - 1
    assert center_of_mass(mask_of(jitter_x=0.1))[1] == pytest.approx(column + 0.1 * SIZE, abs=0.1)
    assert center_of_mass(mask_of(jitter_y=-0.05))[0] == pytest.approx(row - 0.05 * SIZE, abs=0.1)


def test_a_wider_edge_is_softer():
    shares = [
        ((mask > 0.05) & (mask < 0.95)).mean()
        for mask in (inner_face(PERSON, ACTIONS, STRAIGHT, SIZE, edge) for edge in (0.1, 0.3))
    ]
    assert shares[1] > 2 * shares[0]


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_colours_move_part_of_the_way(images, share):
    (forged, original), weights = images
    original = 0.3 + 0.2 * original
    shift = (0.02, 0.0, -0.03)
    found = match_colours(forged, original, weights, share, shift)
    for channel in range(3):
        means, deviations = [], []
        for image in (forged, original, found):
            mean = np.average(image[..., channel], weights=weights)
            means.append(mean)
            deviations.append(np.sqrt(np.average((image[..., channel] - mean) ** 2, weights=weights)))
        expected = (1 - share) * means[0] + share * means[1] + shift[channel]
        assert means[2] == pytest.approx(expected, abs=1e-4)
        geometric = deviations[0] ** (1 - share) * deviations[1] ** share
        assert deviations[2] == pytest.approx(geometric, rel=0.02)


@pytest.mark.parametrize("scale", [0.4, 0.75, 1.0])
def test_coarsening_is_torchs(images, scale):
    image = images[0][0]
    small = round(24 * scale)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    reduced = F.interpolate(tensor, size=(small, small), mode="bilinear", antialias=True)
    expected = F.interpolate(reduced, size=(24, 24), mode="bicubic", antialias=True)
    assert np.allclose(coarsen(image, scale), expected[0].permute(1, 2, 0).numpy(), atol=1e-5)


def test_bending_is_scipys(images):
    image, amount, phase = images[0][0], 0.06, 0.3
    y, x = np.mgrid[0:24, 0:24].astype(float)
    right = amount * 24 * np.sin(2 * np.pi * (2.3 * y / 24 + phase))
    down = amount * 24 * np.sin(2 * np.pi * (1.9 * x / 24 + 1.7 * phase))
    found = bend(image, amount, phase)
    for channel in range(3):
        expected = map_coordinates(image[..., channel], [y + down, x + right], order=1, mode="nearest")
        assert np.allclose(found[..., channel], expected, atol=1e-5)
    assert np.array_equal(bend(image, 0.0, phase), image)


def test_blending_mixes_by_the_mask():
    original, forged = np.full((1, 3, 3), 0.2, np.float32), np.full((1, 3, 3), 1.4, np.float32)
    found = blend_faces(original, forged, np.array([[0.0, 0.25, 1.0]], np.float32))
    assert np.allclose(found[0, :, 0], [0.2, 0.5, 1.0])
