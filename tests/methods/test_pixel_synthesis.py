"""Maps of pixels against loops, and what surprises in the authors' code."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.errors import UserError
from fer_repro.loading.batches import Batch
from fer_repro.methods.pixel_synthesis import (
    METHOD,
    GlobalMap,
    MeanDifference,
    PixelMap,
    SynthesisOptions,
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


def fitted(arm, frames, seed=0, **changes):
    options = SynthesisOptions(**{"pairs": 100, "strength": 0.4, "weak": 0.01, "chosen": 1, **changes})
    network = METHOD.build_model(arm, options, 1)
    METHOD.solver.fit(network, [Batch((torch.from_numpy(frames).float(),), torch.zeros(len(frames)))], seed)
    return network


def clips(count=12, channels=3, size=5):
    return np.stack(pairs(count, channels, size), axis=1)  # (N, 2, C, H, W)


def test_the_distance_is_the_root_of_the_error_in_grey_levels():
    frames = clips(3)
    found = fitted("copy", frames)(torch.from_numpy(frames)).values
    for number in range(3):
        before, wanted = frames[number]
        total = sum((255 * b - 255 * w) ** 2 for b, w in zip(before.ravel(), wanted.ravel(), strict=True))
        assert float(found[number]) ** 2 == pytest.approx(total / before.size, rel=1e-9)


def test_the_first_frame_is_mapped_and_the_last_never_seen():
    frames = torch.from_numpy(clips())
    network = fitted("window_3", frames.numpy())
    other = frames.clone()
    other[:, 1] = 0.5
    assert torch.equal(network(frames).images, network(other).images)
    assert not torch.equal(network(frames).values, network(other).values)


def test_a_seed_draws_its_pairs_and_all_arms_get_the_same():
    frames = clips(40)
    first, again, other = (fitted("mean_difference", frames, seed, pairs=20) for seed in (0, 0, 1))
    assert torch.equal(first.map.difference, again.map.difference)
    assert not torch.equal(first.map.difference, other.map.difference)
    differences = (frames[:, 1] - frames[:, 0]).astype(np.float32).reshape(40, 3, 25)
    drawn = np.argsort(hashes(0, Stream.PAIRS, 0, np.arange(40)), kind="stable")[:20]
    mean = np.mean([differences[number] for number in drawn], axis=0)
    np.testing.assert_allclose(first.map.difference.numpy(), mean, atol=1e-6)
    assert sorted(first.map.difference.shape) == [3, 25]
    seen = fitted("global", frames, 0, pairs=20).map.learnt.numpy()
    expected = frames[np.sort(drawn), 0].astype(np.float32).reshape(20, 3, 25)
    np.testing.assert_allclose(seen, expected.swapaxes(0, 1), atol=1e-6)


@pytest.mark.parametrize("arm", METHOD.arms)
def test_grey_images_are_fitted_once_for_all_channels(arm):
    grey = np.repeat(clips(channels=1), 3, axis=2)
    network = fitted(arm, grey)
    assert all(len(tensor) == 1 for name, tensor in network.state_dict().items() if "places" not in name)
    images = network(torch.from_numpy(grey)).images
    assert images.shape == (12, 3, 5, 5)
    assert torch.equal(images[:, 0], images[:, 2])


def test_another_size_than_the_fitted_one_is_refused():
    network = fitted("window_1", clips())
    with pytest.raises(UserError, match="images of 36 pixels: expected 25"):
        network(torch.rand(1, 2, 3, 6, 6))


def test_clips_of_other_lengths_are_refused():
    mask = torch.tensor([[True, True], [True, False]])
    with pytest.raises(UserError, match="differ in their number of frames"):
        fitted("copy", clips())(torch.rand(2, 2, 3, 5, 5), mask)


def test_weak_arms_are_windows_with_their_own_lambda():
    frames = clips()
    weak, same = fitted("window_3_weak", frames).map, fitted("window_3", frames, strength=0.01).map
    assert torch.equal(weak.weights, same.weights)
    assert not torch.equal(weak.weights, fitted("window_3", frames).map.weights)
