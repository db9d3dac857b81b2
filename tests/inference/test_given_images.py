"""An image means the same by its path, as an array and as a Pillow image; what is unclear is refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import tiny_model

import fer_repro
from fer_repro.errors import UserError
from fer_repro.inference.sources import list_inputs, read_still

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (20, 30, 1), np.uint8)
ORIENTATION = 0x0112


def seen(given):
    """The pixels of all images."""
    return [read_still(each) for each in list_inputs(given)]


@pytest.fixture(scope="module")
def rmn(tmp_path_factory):
    return fer_repro.load(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_channels_are_no_frames(layers):
    full = {1: GREY[..., None], 2: np.dstack([GREY, ALPHA]), 3: COLOUR, 4: np.dstack([COLOUR, ALPHA])}[layers]
    expected = COLOUR if layers > 2 else np.repeat(GREY[..., None], 3, axis=2)
    (alone,), batch = seen(full), seen(np.stack([full, full]))
    assert np.array_equal(alone, expected)
    assert [np.array_equal(each, expected) for each in batch] == [True, True]
    (tensor,) = seen(torch.from_numpy(full))
    assert np.array_equal(tensor, expected)


def test_an_array_equals_the_file_it_is_saved_as(tmp_path):
    for number, array in enumerate(
        [
            GREY,
            COLOUR,
            np.dstack([GREY, ALPHA]),
            np.dstack([COLOUR, ALPHA]),
            COLOUR[:, ::-1],
            COLOUR[..., ::-1],
        ]
    ):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.ascontiguousarray(array)).save(path)
        (by_path,), (by_array,) = seen(path), seen(array)
        assert np.array_equal(by_path, by_array), number


@pytest.mark.parametrize("channels", [3, 4])
def test_channels_first_are_refused_with_both_ways_out(channels, rmn):
    image = torch.zeros((channels, 64, 48), dtype=torch.uint8)
    for given in (image, image.numpy(), [GREY, image.numpy()]):
        with pytest.raises(
            UserError, match=r"channels first, or . grey ones\? Give image.transpose\(1, 2, 0\)"
        ):
            rmn.predict(given)
    assert len(list_inputs(image.numpy()[..., None])) == channels
    assert len(list_inputs(image.numpy().transpose(1, 2, 0))) == 1
    with pytest.raises(UserError, match=r"Give images.transpose\(0, 2, 3, 1\)"):
        rmn.predict(image.numpy()[None])


NO_IMAGES = {
    "no rows": (np.zeros((0, 48, 3), np.uint8), r"array 0 is empty: its shape is \(0, 48, 3\)"),
    "no images": (np.zeros((0, 48, 48, 3), np.uint8), "array 0 is empty"),
    "nothing": (np.array([]), "array 0 is empty"),
    "shares": (
        np.ones((8, 8, 3), np.float32),
        r"array 0 is float32 \(8, 8, 3\): expected uint8.*255 \* image",
    ),
    "bool": (np.ones((8, 8), bool), "array 0 is bool .*255 \\* image"),
    "uint16": (np.ones((8, 8), np.uint16), "array 0 is uint16 .*scale it to 0 to 255"),
    "int64": (torch.ones((8, 8), dtype=torch.int64), "array 0 is int64"),
    "gradient": (torch.ones((8, 8), requires_grad=True), "array 0 is no array for NumPy"),
    "objects": (np.array([None, "a.png"], object), "array 0 is object .*paths or images as a list"),
    "one axis": (np.zeros(9, np.uint8), r"array 0 has the shape \(9,\)"),
    "five axes": (np.zeros((1, 2, 8, 8, 3), np.uint8), "array 0 has the shape"),
    "lists of numbers": ([[1, 2], [3, 4]], "array 0 is a list: expected a path"),
    "a list in a list": ([[COLOUR]], "array 0 is a list"),
    "a number": (7, "array 0 is a int"),
    "nobody": (None, "array 0 is a NoneType"),
    "bytes": (b"a.png", "array 0 is a bytes"),
    "no path": ("", "input 0 is an empty path"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_what_is_no_image_is_one_clear_error(case, rmn):
    given, message = NO_IMAGES[case]
    with pytest.raises(UserError, match=message):
        rmn.predict(given)


def turned(path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(COLOUR).save(path, exif=exif)


def with_palette(path, transparency=None):
    few = Image.fromarray(COLOUR // 86 * 86).quantize(27, dither=Image.Dither.NONE)
    few.save(path, **({} if transparency is None else {"transparency": transparency}))


def saved(pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    return lambda path: (image.convert(mode) if mode else image).save(path, **options)


FILES = {
    "turned PNG": ("a.png", turned),
    "turned TIFF": ("a.tif", turned),
    "turned JPEG": ("a.jpg", turned),
    "palette": ("a.png", with_palette),
    "palette that hides one colour": ("a.png", lambda path: with_palette(path, 3)),
    "palette that hides many": ("a.png", lambda path: with_palette(path, bytes(range(0, 260, 10)))),
    "grey with alpha": ("a.png", saved(np.dstack([GREY, ALPHA]))),
    "colour with alpha": ("a.png", saved(np.dstack([COLOUR, ALPHA]))),
    "CMYK": ("a.tif", saved(COLOUR, "CMYK")),
    "black and white": ("a.png", saved(GREY, "1")),
    "16 bits": ("a.png", saved(GREY.astype(np.uint16) * 257)),
    "32 bits": ("a.tif", saved(GREY.astype(np.int32) * 257)),
    "floats": ("a.tif", saved(GREY.astype(np.float32))),
    "animation": ("a.png", saved(COLOUR, save_all=True, append_images=[Image.fromarray(COLOUR[::-1])])),
}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("case", FILES)
def test_a_file_and_its_pillow_image_are_the_same(case, tmp_path, rmn):
    name, make = FILES[case]
    path = tmp_path / name
    make(path)
    by_path, by_image = rmn.predict(path, detector="none"), rmn.predict(Image.open(path), detector="none")
    reasons = [[*table.attrs["failed"].values()] for table in (by_path, by_image)]
    assert [text.split(": ", 1)[1] for text in reasons[0]] == [text.split(": ", 1)[1] for text in reasons[1]]
    assert len(by_path) == 1 - len(reasons[0])
    assert by_path.drop(columns="source").equals(by_image.drop(columns="source"))
    assert bool(reasons[0]) == (case in ("16 bits", "32 bits", "floats", "animation"))


def test_one_frame_of_an_animation_can_be_given(tmp_path):
    FILES["animation"][1](tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.seek(1)
    (second,) = seen(image.copy())
    assert np.array_equal(second, COLOUR[::-1])


def test_a_bad_pillow_image_costs_no_other(rmn):
    table = rmn.predict([COLOUR, Image.new("I;16", (9, 9)), Image.fromarray(GREY)], detector="none")
    assert table["source"].tolist() == ["array 0", "array 2"]
    assert table.attrs["failed"] == {"array 1": "array 1: pixel type 'I;16': expected 8-bit grey or colour"}
