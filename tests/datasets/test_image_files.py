import hashlib

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.folds import held_out
from fer_repro.datasets.image_files import ImageFile, convert_images, visible
from fer_repro.errors import UserError


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 256, (24, 10, 10), dtype=np.uint8)


@pytest.fixture
def files(tmp_path, pixels):
    paths = [tmp_path / f"{number:02}.png" for number in range(len(pixels))]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return paths


def convert(root, photos, **options):
    images, totals = [], []
    converted = convert_images(root, photos, lambda some: images.extend(some), totals.append, **options)
    assert totals == [len(images)]
    return np.stack(images), converted


def test_images_are_read_as_they_are(tmp_path, files, pixels):
    photos = [ImageFile(file, 1, "test", "p", "c", {"fold": 3}) for file in files]
    images, converted = convert(tmp_path, photos)
    assert np.array_equal(images, pixels)
    first = converted.samples.iloc[0].to_dict()
    assert first == {
        "image": 0, "label": 1, "subject": "p", "clip": "c", "split": "test", "file": "00.png", "fold": 3
    }  # fmt: skip
    lines = "".join(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in files)
    assert converted.source == {"24 image files": hashlib.sha256(lines.encode()).hexdigest()}


def test_one_colour_image_makes_all_rgb(tmp_path, files, pixels):
    Image.fromarray(np.full((10, 10, 3), (1, 2, 3), np.uint8)).save(files[-1])
    photos = [ImageFile(file, 0, "train") for file in files]
    images, _ = convert(tmp_path, photos)
    assert images.shape == (24, 10, 10, 3)
    assert np.array_equal(images[0], np.repeat(pixels[0][..., None], 3, axis=-1))
    assert images[-1, 0, 0].tolist() == [1, 2, 3]
    assert convert(tmp_path, photos, colour=False)[0].shape == (24, 10, 10)


def test_held_out_by_pixels_before_scaling(tmp_path, files, pixels):
    photos = [ImageFile(file, 0, "train" if number < 20 else "test") for number, file in enumerate(files)]
    expected = ["val" if held_out(image.tobytes()) else "train" for image in pixels[:20]] + ["test"] * 4
    assert "val" in expected
    for size in (0, 4):
        _, converted = convert(tmp_path, photos, size=size, hold_out=True)
        assert converted.samples["split"].tolist() == expected


def test_size_cuts_the_middle_square(tmp_path):
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(np.full((6, 6), 200, np.uint8)).save(tmp_path / "square.png")
    photos = [ImageFile(tmp_path / name, 0, "train") for name in ("wide.png", "square.png")]
    images, _ = convert(tmp_path, photos, size=2)
    assert images.tolist() == [[[200, 200], [200, 200]]] * 2
    with pytest.raises(UserError, match=r"square.png: 6 x 6 pixels: wide.png has 8 x 4; .*--size N"):
        convert(tmp_path, photos)


def test_a_box_cuts_the_face_out(tmp_path, files, pixels):
    images, _ = convert(tmp_path, [ImageFile(files[0], 0, "train", box=(1, 2, 4, 6))])
    assert np.array_equal(images[0], pixels[0][2:6, 1:4])
    for box in ((0, 0, 11, 4), (4, 0, 4, 4), (-1, 0, 4, 4)):
        with pytest.raises(UserError, match=r"00.png: face box .* inside 10 x 10 pixels"):
            convert(tmp_path, [ImageFile(files[0], 0, "train", box=box)])


BAD = {
    "text": (
        lambda file: file.write_text("no image"),
        r"00.png: not readable as an image \(unknown kind\)",
    ),
    "empty": (lambda file: file.write_bytes(b""), "00.png: not readable as an image"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:90]), "00.png: not readable as an image"),
    "deep": (
        lambda file: Image.fromarray(np.zeros((9, 9), np.uint16)).save(file),
        "00.png: pixel type 'I;16'",
    ),
    "folder": (lambda file: (file.unlink(), file.mkdir()), "00.png: not readable as an image"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_image_is_one_clear_error(tmp_path, files, case):
    BAD[case][0](files[0])
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        convert(tmp_path, [ImageFile(file, 0, "train") for file in files])
    assert "\n" not in str(caught.value)


def test_no_images(tmp_path):
    with pytest.raises(UserError, match="no images; expected at least one"):
        convert(tmp_path, [])


def test_what_systems_leave_behind_is_not_seen(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "__MACOSX", "b.png", "a"):
        (tmp_path / name).mkdir()
    assert [entry.name for entry in visible(tmp_path)] == ["a", "b.png"]


def test_one_image_is_passed_on_at_a_time(tmp_path, files):
    """Memory stays flat however many there are."""
    shapes = []
    convert_images(
        tmp_path,
        [ImageFile(file, 0, "train") for file in files],
        lambda images: shapes.append(images.shape),
        lambda total: None,
    )
    assert shapes == [(1, 10, 10)] * 24
