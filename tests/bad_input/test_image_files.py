"""Images of every kind that a folder may hold: refused with one line, or read to the right pixels."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset
from fer_repro.datasets.faces import CascadeDetector
from fer_repro.errors import UserError
from fer_repro.inference.sources import Still, look_at, read_still

SIDE = 12
GREY = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""EXIF orientation -> what Pillow calls the turn that sets the image upright (EXIF 2.3, table 6)."""


@pytest.fixture
def folder(tmp_path):
    """Two classes of six good images each; a test adds one more."""
    for label, name in enumerate(("happy", "sad")):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(10 * label + number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "raw" / name / f"{number}.png")
    return tmp_path / "raw"


def saved(pixels, **options):
    return lambda path: Image.fromarray(pixels).save(path, **options)


def converted(mode, pixels=COLOUR):
    return lambda path: Image.fromarray(pixels).convert(mode).save(path)


def animated(path):
    Image.fromarray(COLOUR).save(path, save_all=True, append_images=[Image.fromarray(COLOUR[::-1])])


def cut(path):
    saved(np.repeat(np.repeat(COLOUR, 20, 0), 20, 1))(path)
    path.write_bytes(path.read_bytes()[:-2000])


def huge(path):
    """A PNG of a few bytes whose head promises 60,000 x 60,000 pixels."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 99)),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def text_bomb(path):
    """A PNG whose compressed text unfolds to twenty megabytes."""
    saved(COLOUR)(path)
    content = path.read_bytes()
    data = b"Comment\0\0" + zlib.compress(b" " * 20_000_000, 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    path.write_bytes(content[:33] + chunk + content[33:])


BAD = {
    "cut off PNG": ("x.png", cut, "not readable as an image"),
    "cut off JPEG": ("x.jpg", cut, "not readable as an image"),
    "empty": ("x.png", lambda path: path.write_bytes(b""), "not readable as an image (unknown kind)"),
    "a text": ("x.png", lambda path: path.write_text("a face"), "(unknown kind): expected PNG or JPEG"),
    "a web page": ("x.jpg", lambda path: path.write_text("<html>404</html>"), "(unknown kind)"),
    "SVG": ("x.svg", lambda path: path.write_text("<svg><script>alert(1)</script></svg>"), "(unknown kind)"),
    "16 bits a pixel": (
        "x.png",
        saved(GREY.astype(np.uint16) * 257),
        "pixel type 'I;16': expected 8-bit grey or colour",
    ),
    "32 bits a pixel": ("x.tif", saved(GREY.astype(np.float32)), "pixel type 'F'"),
    "Lab": ("x.tif", converted("LAB"), "pixel type 'LAB'"),
    "an animated GIF": ("x.gif", animated, "shows 2 images one after the other: expected one"),
    "an animated PNG": ("x.png", animated, "shows 2 images one after the other"),
    "an animated WebP": ("x.webp", animated, "shows 2 images one after the other"),
    "a stack of scans": ("x.tif", animated, "shows 2 images one after the other"),
    "more pixels than memory": ("x.png", huge, "exceeds limit"),
    "a text that unfolds": ("x.png", text_bomb, "not readable as an image"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_image_that_cannot_become_a_sample(case, folder, tell, tmp_path):
    name, make, expected = BAD[case]
    make(folder / "happy" / name)
    said = tell("data", "add", "folder", folder, "--store", tmp_path / "stores", "--size", SIDE)
    assert f"{name}: " in said
    assert expected in said
    assert not any((tmp_path / "stores").rglob("*"))


@pytest.mark.parametrize("shape", [(1, 1), (2, 20_000), (20_000, 2)])
def test_images_of_other_shapes_need_a_size_and_are_cut_to_their_middle(shape, folder, tell, tmp_path):
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[(shape[0] - min(shape)) // 2 :, (shape[1] - min(shape)) // 2 :] = 200
    Image.fromarray(pixels).save(folder / "happy" / "x.png")
    said = tell("data", "add", "folder", folder, "--store", tmp_path / "stores")
    assert f"x.png: {shape[1]} x {shape[0]} pixels: 0.png has 12 x 12; add the set with --size N" in said
    store = add_dataset("folder", folder, tmp_path / "stores", size=SIDE)
    (row,) = store.samples.index[store.samples["file"] == "happy/x.png"]
    assert store.images[row].min() == 200


def alpha(pixels):
    return np.concatenate([pixels, np.full((SIDE, SIDE, 1), 255, np.uint8)], axis=2)


def palette(path):
    few = (COLOUR // 86) * 86
    Image.fromarray(few).quantize(27, dither=Image.Dither.NONE).save(path)
    return few


GOOD = {
    "grey": ("x.png", GREY, np.repeat(GREY[..., None], 3, 2)),
    "grey with alpha": (
        "x.png",
        np.stack([GREY, np.full_like(GREY, 255)], 2),
        np.repeat(GREY[..., None], 3, 2),
    ),
    "colour": ("x.png", COLOUR, COLOUR),
    "colour with alpha": ("x.png", alpha(COLOUR), COLOUR),
    "lossless WebP": ("x.webp", COLOUR, COLOUR),
    "BMP": ("x.bmp", COLOUR, COLOUR),
    "TIFF": ("x.tif", COLOUR, COLOUR),
    "PPM": ("x.ppm", COLOUR, COLOUR),
    "a capital suffix": ("X.PNG", COLOUR, COLOUR),
    "a wrong suffix": ("x.jpg", COLOUR, COLOUR),
}


@pytest.mark.parametrize("case", GOOD)
def test_every_other_kind_gives_its_pixels(case, folder, tmp_path):
    name, stored, expected = GOOD[case]
    options = (
        {"lossless": True, "exact": True}
        if name.endswith("webp")
        else {"format": "PNG"}
        if name == "x.jpg"
        else {}
    )
    Image.fromarray(stored).save(folder / "happy" / name, **options)
    store = add_dataset("folder", folder, tmp_path / "stores")
    (row,) = store.samples.index[store.samples["file"] == f"happy/{name}"]
    assert np.array_equal(store.images[row], expected)
    assert np.array_equal(read_still(Still(str(folder / "happy" / name))), expected)


def test_a_palette_gives_its_colours(folder, tmp_path):
    few = palette(folder / "happy" / "x.png")
    store = add_dataset("folder", folder, tmp_path / "stores")
    (row,) = store.samples.index[store.samples["file"] == "happy/x.png"]
    assert np.array_equal(store.images[row], few)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_images_stand_upright_as_the_camera_was_held(orientation, kind, folder, tmp_path):
    wide = np.kron(np.arange(0, 240, 10, np.uint8).reshape(4, 6), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(wide).save(folder / "happy" / f"x.{kind}", exif=exif, quality=100)
    upright = np.asarray(Image.fromarray(wide).transpose(Image.Transpose[TURNS[orientation]]))
    store = add_dataset("folder", folder, tmp_path / "stores", size=4)
    (row,) = store.samples.index[store.samples["file"] == f"happy/x.{kind}"]
    side = min(upright.shape)
    top, left = (upright.shape[0] - side) // 2, (upright.shape[1] - side) // 2
    middle = Image.fromarray(upright[top : top + side, left : left + side])
    expected = np.asarray(middle.resize((4, 4), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(store.images[row].astype(int) - expected[..., None]).max() <= (0 if kind == "png" else 3)
    seen = read_still(Still(str(folder / "happy" / f"x.{kind}")))
    assert seen.shape[:2] == upright.shape
    assert np.abs(seen.astype(int) - upright[..., None]).max() <= (0 if kind == "png" else 3)


TOLD = {
    "cut off": ("x.png", cut, "not readable as an image"),
    "empty": ("x.png", lambda path: path.write_bytes(b""), "not readable as an image (unknown kind)"),
    "16 bits a pixel": ("x.png", saved(GREY.astype(np.uint16) * 257), "pixel type 'I;16'"),
    "an animation": ("x.gif", animated, "shows 2 images one after the other"),
    "more pixels than memory": ("x.png", huge, "exceeds limit"),
    "missing": ("x.png", lambda path: None, "no such file"),
}


@pytest.mark.parametrize("case", TOLD)
def test_an_image_that_cannot_be_predicted_is_told_of(case, tmp_path):
    name, make, expected = TOLD[case]
    make(tmp_path / name)
    with pytest.raises(UserError) as caught:
        read_still(Still(str(tmp_path / name)))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert expected in str(caught.value)
    (event,) = look_at([Still(str(tmp_path / name))], look=None)
    assert event.reason == str(caught.value)


@pytest.mark.parametrize("mode", ["CMYK", "1"])
def test_cmyk_and_black_and_white_are_added_as_they_are_predicted(mode, folder, tmp_path):
    flat = np.full((SIDE, SIDE, 3), (200, 40, 90) if mode == "CMYK" else 255, np.uint8)
    Image.fromarray(flat).convert(mode).save(folder / "happy" / "x.tif")
    seen = read_still(Still(str(folder / "happy" / "x.tif")))
    assert np.abs(seen.astype(int) - flat).max() <= 1
    store = add_dataset("folder", folder, tmp_path / "stores")
    (row,) = store.samples.index[store.samples["file"] == "happy/x.tif"]
    assert np.array_equal(store.images[row], seen)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1), (3, 3), (100, 20_000)])
def test_images_of_any_shape_are_searched_for_faces(shape):
    assert CascadeDetector().detect(np.full((*shape, 3), 128, np.uint8)) == []
