"""Maps of pixels against loops, and what surprises in the authors' code."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fer_repro.errors import UserError
from fer_repro.methods.method import method_names
from fer_repro.methods.pixel_synthesis import (
    GlobalMap,
    MeanDifference,
    PixelMap,
    choose_pixels,
    ridge,
    scaled,
    solve_windows,
    stretched,
    window_places,
)
from fer_repro.training.checkpoint import copy_weights, save_weights


def pairs(count=12, channels=2, size=5, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((count, channels, size, size)), generator.random((count, channels, size, size))


def one_pixel(x, t, strength):
    """A weight and a bias by the normal equations, written out; both are shrunk."""
    a, b, d = sum(v * v for v in x) + strength, sum(x), len(x) + strength
    p, q = sum(v * w for v, w in zip(x, t, strict=True)), sum(t)
    return (p * d - b * q) / (a * d - b * b), (a * q - b * p) / (a * d - b * b)


@pytest.mark.parametrize(
    ("strength", "expected"), [(0.0, (0.72900763, 0.14122137)), (0.4, (0.39893318, 0.27091522))]
)
def test_the_worked_example_shrinks_the_bias_too(strength, expected):
    x, t = (0.1, 0.4, 0.5, 0.9), (0.2, 0.5, 0.45, 0.8)
    assert one_pixel(x, t, strength) == pytest.approx(expected, abs=1e-8)
    found = ridge(np.array(x)[:, None], np.array(t)[:, None], strength)[:, 0]
    assert found == pytest.approx(expected, abs=1e-8)


def test_a_window_is_cut_off_at_the_border_and_even_ones_act_odd():
    places = window_places(4, 3)
    assert places[0].tolist() == [0, 1, 4, 5]  # the corner
    assert places[5].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert places[7].tolist() == [2, 3, 6, 7, 10, 11]  # the right border: nothing from the next row
    assert all(np.array_equal(*two) for two in zip(places, window_places(4, 2), strict=True))
    assert [len(each) for each in window_places(4, 1)] == [1] * 16


def test_every_pixel_is_a_ridge_of_its_window():
    x, t = pairs(channels=1)
    kept, weights, biases = solve_windows(x.reshape(12, -1), t.reshape(12, -1), window_places(5, 3), 0.4)
    for row in range(5):
        for column in range(5):
            near = [
                (i, j)
                for i in range(max(0, row - 1), min(5, row + 2))
                for j in range(max(0, column - 1), min(5, column + 2))
            ]
            design = np.array([[*(x[n, 0, i, j] for i, j in near), 1.0] for n in range(12)])
            whole = (
                np.linalg.inv(design.T @ design + 0.4 * np.eye(len(near) + 1))
                @ design.T
                @ t[:, 0, row, column]
            )
            place = 5 * row + column
            assert kept[place, : len(near)].tolist() == [5 * i + j for i, j in near]
            np.testing.assert_allclose(weights[place, : len(near)], whole[:-1], rtol=1e-9)
            assert not weights[place, len(near) :].any()
            assert biases[place] == pytest.approx(whole[-1], rel=1e-9)


@pytest.mark.parametrize("pairs_", [3, 30])
def test_the_dual_form_has_the_same_weights(pairs_):
    generator = np.random.default_rng(1)
    x, t = generator.random((pairs_, 9)), generator.random((pairs_, 2))
    design = np.concatenate([x, np.ones((pairs_, 1))], axis=1)
    expected = np.linalg.solve(design.T @ design + 0.3 * np.eye(10), design.T @ t)
    np.testing.assert_allclose(ridge(x, t, 0.3), expected, rtol=1e-8)


def test_too_few_pairs_without_lambda_are_refused():
    with pytest.raises(UserError, match="lambda is 0: 2 pairs do not determine 3 weights"):
        ridge(np.array([[1.0, 1.0], [1.0, 1.0]]), np.ones((2, 1)), 0.0)


def test_channels_have_weights_of_their_own_in_windows_and_share_chosen_ones():
    x, t = pairs()
    windows, chosen = PixelMap(), PixelMap()
    windows.solve(x, t, 1, 0.4)
    chosen.choose(x, t, 2, 0.4)
    assert windows.weights.shape == (2, 25, 1)
    assert chosen.weights.shape == (1, 25, 2)
    for channel in range(2):
        for place in (0, 13):
            expected = one_pixel(
                x[:, channel].reshape(12, -1)[:, place], t[:, channel].reshape(12, -1)[:, place], 0.4
            )
            found = windows.weights[channel, place, 0], windows.biases[channel, place]
            assert [float(value) for value in found] == pytest.approx(expected)


def test_pixels_are_chosen_one_after_the_other():
    """The pixels that a target was made of are found, and none is chosen twice."""
    generator = np.random.default_rng(2)
    x = generator.random((40, 1, 9))
    t = np.zeros_like(x)
    t[:, 0, 4] = 3 * x[:, 0, 1] - 2 * x[:, 0, 8]
    places, _, _ = choose_pixels(x, t, 2, 1e-9)
    assert places[4].tolist() == [1, 8]
    assert all(len(set(row)) == 2 for row in places.tolist())


def test_chosen_pixels_are_the_nearest_by_correlation_first():
    x, t = (each.reshape(12, 2, -1) for each in pairs(seed=5))
    places, _, _ = choose_pixels(x, t, 1, 0.4)
    for output in (0, 7, 24):
        sums = []
        for place in range(25):
            total = 0.0
            for channel in range(2):
                column = x[:, channel, place] - x[:, channel, place].mean()
                total += column @ t[:, channel, output] / np.sqrt(column @ column)
            sums.append(abs(total))
        assert places[output, 0] == int(np.argmax(sums))


def test_a_constant_pixel_is_not_chosen():
    x, t = (each.reshape(12, 2, -1) for each in pairs())
    x[:, :, 3] = 0.5
    assert 3 not in choose_pixels(x, t, 1, 0.4)[0]


def test_images_are_scaled_one_by_one_over_all_channels():
    images = np.array([[[[2.0, 4.0]], [[6.0, 10.0]]], [[[5.0, 5.0]], [[5.0, 5.0]]]])
    assert scaled(images)[0].ravel().tolist() == [0, 0.25, 0.5, 1]
    assert not scaled(images)[1].any()
    assert stretched(images)[0].ravel().tolist() == [0, 64, 128, 255]


def test_the_control_adds_the_mean_difference():
    x, t = pairs()
    module = MeanDifference()
    module.solve(x, t)
    expected = x[0] + sum(t[n] - x[n] for n in range(12)) / 12
    np.testing.assert_allclose(module(torch.from_numpy(x[:1])).numpy()[0], expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [PixelMap, GlobalMap, MeanDifference])
def test_maps_are_saved_as_plain_tensors(tmp_path, kind):
    x, t = pairs()
    module, read = kind(), kind()
    module.solve(x, t, *{PixelMap: (3, 0.4), GlobalMap: (0.4,), MeanDifference: ()}[kind])
    images = torch.from_numpy(x).float()
    with pytest.raises(UserError, match="has not been fitted"):
        read(images)
    save_weights(tmp_path / "weights.safetensors", copy_weights(module))
    read.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    assert torch.equal(read(images), module(images))
    alone = module(images[3:4])
    torch.testing.assert_close(alone[0], module(images)[3])
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_images_that_are_no_squares_are_refused():
    with pytest.raises(UserError, match=r"\(2, 1, 4, 5\): expected \(N, C, H, H\), squares"):
        PixelMap().solve(np.zeros((2, 1, 4, 5)), np.zeros((2, 1, 4, 5)), 1, 0.4)


def test_it_is_no_method_until_images_can_be_targets():
    assert "pixel_synthesis" not in method_names()
