from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from fer_repro.config import DistortionConfig
from fer_repro.errors import UserError
from fer_repro.loading import distortions
from fer_repro.loading.distortions import (
    change_contrast,
    compress,
    distort,
    gaussian_noise,
    iso_noise,
    shift_hsv,
    shrink,
)
from fer_repro.sections import read_section

SETTINGS = {
    "nearest": 0.5,
    "nearest_scale": 0.5,
    "colour": 0.5,
    "brightness": 0.2,
    "contrast": 0.2,
    "hue": 20.0,
    "saturation": 0.1176,
    "value": 0.0784,
    "noise": 0.5,
    "iso_colour": [0.01, 0.05],
    "iso_intensity": [0.1, 0.5],
    "gaussian": [0.01, 0.03],
    "linear": 0.5,
    "linear_scale": [0.7, 0.9],
    "jpeg": 0.5,
    "quality": [50, 99],
}
PAPER = read_section(DistortionConfig, SETTINGS, "test")
NEVER = replace(PAPER, nearest=0.0, colour=0.0, noise=0.0, linear=0.0, jpeg=0.0)


@pytest.fixture
def images():
    image = np.random.default_rng(0).random((6, 9, 9, 3)).astype(np.float32)
    smooth = [cv2.resize(face, (40, 40), interpolation=cv2.INTER_CUBIC) for face in image]
    return torch.from_numpy(np.stack(smooth)).clamp(0, 1).permute(0, 3, 1, 2).contiguous()


def as_array(image):
    return image.permute(1, 2, 0).contiguous().numpy()


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32)


def many(count, height=8):
    """One face many times: what is drawn alone makes the results differ."""
    face = torch.linspace(0.2, 0.8, 3 * height * height).reshape(1, 3, height, height)
    return face.expand(count, -1, -1, -1), np.arange(count)


def changed(strength, count=3000):
    faces, samples = many(count)
    return (distort(faces, samples, 0, 0, strength) - faces).abs().amax((1, 2, 3)) > 1e-4


@pytest.mark.parametrize("scale", [0.5, 0.7, 0.83])
@pytest.mark.parametrize(("mode", "flag"), [("nearest", cv2.INTER_NEAREST), ("bilinear", cv2.INTER_LINEAR)])
def test_shrinking_is_opencvs(images, scale, mode, flag):
    side = round(40 * scale)
    for image, found in zip(images, shrink(images, scale, mode), strict=True):
        small = cv2.resize(as_array(image), (side, side), interpolation=flag)
        expected = cv2.resize(small, (40, 40), interpolation=flag)
        assert np.allclose(as_array(found), expected, atol=1e-5)


def test_contrast_and_brightness_by_hand():
    images = torch.tensor([0.1, 0.5, 0.9]).reshape(1, 3, 1, 1).expand(2, -1, -1, -1)
    found = change_contrast(images, numbers(1.2, 0.8), numbers(0.1, -0.2)).flatten(1)
    assert torch.allclose(found, torch.tensor([[0.22, 0.70, 1.0], [0.0, 0.20, 0.52]]), atol=1e-6)


@pytest.mark.parametrize("shifts", [(20.0, 0.1, -0.05), (-15.0, -0.12, 0.08)])
def test_hsv_shifts_are_opencvs(images, shifts):
    hue, saturation, value = shifts
    found = shift_hsv(images, *(numbers(*[shift] * 6) for shift in (hue / 360, saturation, value)))
    for image, shifted in zip(images, found, strict=True):
        pixels = cv2.cvtColor(as_array(image), cv2.COLOR_RGB2HSV)
        pixels[..., 0] = (pixels[..., 0] + hue) % 360
        pixels[..., 1:] = np.clip(pixels[..., 1:] + (saturation, value), 0, 1)
        expected = cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB)
        assert np.allclose(as_array(shifted), expected, atol=1e-4)


def test_iso_noise_is_what_its_documents_say(images):
    colour, intensity = np.full(6, 0.03), np.linspace(0.1, 0.5, 6)
    seeds = np.arange(6).astype(np.uint64)
    found = iso_noise(images, colour, intensity, seeds)
    for n, image in enumerate(images):
        generator = np.random.default_rng(n)
        pixels = cv2.cvtColor(as_array(image), cv2.COLOR_RGB2HLS)
        deviation = pixels[..., 1].astype(float).std()
        pixels[..., 0] += 360 * generator.normal(0.0, 0.03 * intensity[n], (40, 40))
        pixels[..., 0] %= 360
        counts = generator.poisson(deviation * intensity[n] * 255, (40, 40))
        pixels[..., 1] += counts / 255 * (1 - pixels[..., 1])
        expected = cv2.cvtColor(pixels, cv2.COLOR_HLS2RGB)
        assert np.allclose(as_array(found[n]), expected, atol=5 / 255)
        assert np.abs(as_array(found[n]) - expected).mean() < 0.01 / 255


def test_gaussian_noise_has_its_deviation_and_is_alike_in_all_channels():
    images = torch.full((2, 3, 128, 128), 0.5)
    noise = gaussian_noise(images, np.array([0.01, 0.03]), np.array([5, 9], np.uint64)) - images
    assert torch.equal(noise[:, 0], noise[:, 1])
    assert torch.equal(noise[:, 0], noise[:, 2])
    for field, deviation in zip(noise[:, 0], (0.01, 0.03), strict=True):
        assert field.std().item() == pytest.approx(deviation, rel=0.03)
        assert abs(field.mean().item()) < 4 * deviation / 128
    correlation = np.corrcoef(noise[0, 0].flatten(), noise[1, 0].flatten())[0, 1]
    assert abs(correlation) < 0.04


@pytest.mark.parametrize("quality", [50, 75, 99])
def test_compression_is_opencvs(images, quality):
    for image in images[:2]:
        pixels = np.rint(as_array(image) * 255).astype(np.uint8)
        _, packed = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        expected = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
        assert np.abs(as_array(compress(image, quality)) * 255 - expected).max() <= 2


def test_a_face_does_not_depend_on_its_batch(images):
    faces = images.repeat(10, 1, 1, 1)
    samples = np.arange(1000, 1060)
    whole = distort(faces, samples, seed=3, epoch=5, strength=PAPER)
    order = np.random.default_rng(0).permutation(60)
    for part in np.array_split(order, 9):
        found = distort(faces[part], samples[part], seed=3, epoch=5, strength=PAPER)
        assert torch.equal(found, whole[part])


def test_every_seed_and_epoch_draws_anew(images):
    samples = np.arange(6)
    first = distort(images, samples, 0, 0, PAPER)
    assert torch.equal(first, distort(images, samples, 0, 0, PAPER))
    assert not torch.equal(first, distort(images, samples, 0, 1, PAPER))
    assert not torch.equal(first, distort(images, samples, 1, 0, PAPER))


def test_images_stay_in_range_and_the_given_ones_as_they_were(images):
    before = images.clone()
    harsh = replace(PAPER, colour=1.0, noise=1.0, brightness=1.0, contrast=1.0, gaussian=(1.0, 1.0))
    found = distort(images, np.arange(6), 0, 0, harsh)
    assert torch.equal(images, before)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(distort(images, np.arange(6), 0, 0, NEVER), images)


@pytest.mark.parametrize("share", ["nearest", "colour", "noise", "linear", "jpeg"])
def test_shares_are_those_of_the_settings(share):
    assert not changed(NEVER).any()
    found = changed(replace(NEVER, **{share: 0.3})).double().mean().item()
    assert found == pytest.approx(0.3, abs=0.03)  # 3.6 deviations of 3000 draws


@pytest.mark.parametrize(
    ("one", "alone"),
    [("colour", {"hue": 0.0, "saturation": 0.0, "value": 0.0}), ("noise", {"gaussian": (0.0, 0.0)})],
)
def test_both_kinds_of_a_step_are_as_frequent(one, alone):
    found = changed(replace(NEVER, **{one: 1.0}, **alone)).double().mean().item()
    assert found == pytest.approx(0.5, abs=0.034)


def test_steps_come_in_the_papers_order_with_its_ranges(monkeypatch):
    calls, drawn = [], {}

    def spy(name, ranged):
        original = getattr(distortions, name)

        def note(images, *arguments):
            tag = f"{name} {arguments[-1]}" if name == "shrink" else name
            calls.append(tag)
            for key, place in ranged.items():
                drawn.setdefault(f"{tag} {key}", []).append(np.ravel(arguments[place]))
            return original(images, *arguments)

        monkeypatch.setattr(distortions, name, note)

    spy("shrink", {"scale": 0})
    spy("change_contrast", {"gain": 0, "offset": 1})
    spy("shift_hsv", {"hue": 0, "saturation": 1, "value": 2})
    spy("iso_noise", {"colour": 0, "intensity": 1})
    spy("gaussian_noise", {"deviation": 0})
    spy("compress", {"quality": 0})
    always = replace(PAPER, nearest=1.0, colour=1.0, noise=1.0, linear=1.0, jpeg=1.0)
    distort(*many(2000, height=10), 0, 0, always)
    assert list(dict.fromkeys(calls)) == [
        "shrink nearest",
        "change_contrast",
        "shift_hsv",
        "iso_noise",
        "gaussian_noise",
        "shrink bilinear",
        "compress",
    ]
    expected = {
        "shrink nearest scale": (0.5, 0.5),
        "change_contrast gain": (0.8, 1.2),
        "change_contrast offset": (-0.2, 0.2),
        "shift_hsv hue": (-20 / 360, 20 / 360),
        "shift_hsv saturation": (-0.1176, 0.1176),
        "shift_hsv value": (-0.0784, 0.0784),
        "iso_noise colour": (0.01, 0.05),
        "iso_noise intensity": (0.1, 0.5),
        "gaussian_noise deviation": (0.01, 0.03),
        "shrink bilinear scale": (0.7, 0.9),
        "compress quality": (50, 99),
    }
    assert set(drawn) == set(expected)
    for name, (low, high) in expected.items():
        values, reach = np.concatenate(drawn[name]), high - low
        assert values.min() == pytest.approx(low, abs=0.01 * reach + 1e-6), name
        assert values.max() == pytest.approx(high, abs=0.01 * reach + 1e-6), name
        assert values.mean() == pytest.approx(0.5 * (low + high), abs=0.04 * reach + 1e-6), name


@pytest.mark.parametrize(
    ("change", "message"),
    [({"jpegs": 0.5}, "unknown key 'jpegs'.*jpeg"), ({"linear_scale": [0.0, 0.9]}, "linear_scale")],
)
def test_wrong_settings_are_told(change, message):
    with pytest.raises(UserError, match=message):
        read_section(DistortionConfig, SETTINGS | change, "params.yaml")
