"""What a model can be given: paths, folders, globs, videos, arrays, batches; one picture at a time."""

import glob
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_repro.data.pictures import COLOUR, GREY, listed, still_count
from fer_repro.data.video import FILMS, check_whole, grabbed, map_frames, opened, retrieved
from fer_repro.errors import UserError
from fer_repro.inference.faces_in import Face

STILLS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
READ_AS = (*GREY, *COLOUR, "1", "CMYK", "YCbCr")
Look = Callable[[np.ndarray, str, int | None], list[Face]]


@dataclass(frozen=True)
class Seen:
    """A picture that was looked at.

    Attributes:
        source: its path, or ``array N``.
        frame: its number in a video or clip, from 0; None for a still.
        clip: what it is a part of, for networks of clips: the video, the folder, the array.
        faces: in the detector's order.
    """

    source: str
    frame: int | None
    clip: str
    faces: list[Face]


@dataclass(frozen=True)
class Failed:
    """An input that cannot be read, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Done:
    """An input that was read to its end."""

    source: str


@dataclass(frozen=True)
class Still:
    """A picture to read: its path or its pixels, and the clip it is a frame of."""

    source: str
    pixels: np.ndarray | None = None
    frame: int | None = None
    clip: str = ""


Input = Still | Path
"""A still, or the path of a video."""
Event = Seen | Failed | Done


def list_inputs(given: Any) -> list[Input]:  # noqa: ANN401 - whatever a user has
    """Resolve what a user gave, in order; files of a folder sorted by path.

    Args:
        given: a path of a picture or video, a folder (searched to its depths), a glob, an array (H, W) or
            (H, W, 3), a batch (N, H, W) or (N, H, W, 3), all uint8 and RGB, a Pillow image, or a list.

    Raises:
        UserError: a folder or glob holds nothing, or an array is of another kind.
    """
    inputs: list[Input] = []
    seen: set[str] = set()
    for number, item in enumerate(given if isinstance(given, list | tuple) else [given]):
        for found in _resolve(item, number):
            name = found.as_posix() if isinstance(found, Path) else f"{found.source} {found.frame}"
            if name not in seen:
                seen.add(name)
                inputs.append(found)
    if not inputs:
        raise UserError("nothing to look at; expected a picture, a video, a folder, a glob or an array")
    return inputs


def look_at(
    inputs: list[Input],
    look: Look,
    every: int = 1,
    frames: int = 0,
    finished: Container[str] = frozenset(),
    begin: Mapping[str, int] | None = None,
) -> Iterator[Event]:
    """Look at inputs one picture at a time; one that cannot be read is told of and passed over.

    Args:
        inputs: from ``list_inputs``.
        look: finds the faces of a picture.
        every: of a video every so many frames, from the first.
        frames: of a video so many equally spaced ones instead; 0: by ``every``.
        finished: sources that need not be looked at.
        begin: first frame of a video that was begun before.
    """
    for item in inputs:
        source = item.as_posix() if isinstance(item, Path) else item.source
        key = source if isinstance(item, Path) or item.frame is None else f"{source} {item.frame}"
        if key in finished:
            continue
        try:
            if isinstance(item, Still):
                yield Seen(
                    source, item.frame, item.clip or source, look(read_still(item), source, item.frame)
                )
            elif frames:
                yield from map_frames(item, frames, lambda at, image: _seen(source, at, image, look))  # noqa: B023
            else:
                start = (begin or {}).get(source, 0)
                for at, image in film(item, every, start):
                    yield _seen(source, at, image, look)
        except UserError as error:
            yield Failed(source, str(error))
        else:
            yield Done(key)


def read_still(still: Still) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB, turned as its camera says.

    Raises:
        UserError: the file is missing, damaged, or of another kind.
    """
    if still.pixels is not None:
        return still.pixels
    path = Path(still.source)
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a picture, a video or a folder")
    try:
        with Image.open(path) as image:
            if image.mode not in READ_AS:
                raise UserError(f"{path}: pixel type {image.mode!r}: expected 8-bit grey or colour")
            if still_count(image) > 1:
                raise UserError(
                    f"{path}: shows {still_count(image)} pictures in turn: expected one; make a video of it"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        reason = "unknown kind" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UserError(f"{path}: not readable as an image ({' '.join(reason.split())})") from None


def film(path: Path, every: int = 1, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Decode a video, one frame in memory at a time.

    Args:
        path: the video.
        every: of so many frames the first, counted from the video's first.
        start: frames before this one are passed over.

    Yields:
        The frame's number from 0, and its pixels (H, W, 3) uint8 RGB.

    Raises:
        UserError: it is no video, is cut off, or some frames cannot be given; all others were given before.
    """
    lost, decoded = [], 0
    with opened(path) as capture:
        for at in grabbed(capture):
            decoded = at + 1
            if at < start or at % every:
                continue
            frame = retrieved(capture)
            if frame is None:
                lost.append(str(at))
            else:
                yield at, frame
    check_whole(path, decoded)
    if lost:
        raise UserError(f"{path}: damaged, these frames cannot be given: {listed(lost)}")


def _seen(source: str, at: int, image: np.ndarray, look: Look) -> Seen:
    return Seen(source, at, source, look(image, source, at))


def _resolve(item: Any, number: int) -> list[Input]:  # noqa: ANN401 - whatever a user has
    if isinstance(item, str | Path):
        return _files(Path(item))
    if isinstance(item, Image.Image):
        return [Still(f"array {number}", np.asarray(item.convert("RGB")))]
    pixels = np.asarray(item)
    if pixels.dtype != np.uint8:
        raise UserError(f"array {number} is {pixels.dtype} {pixels.shape}: expected uint8, RGB, 0 to 255")
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3):
        return [Still(f"array {number}", _rgb(pixels))]
    if pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] in (1, 3)):
        name = f"array {number}"
        return [Still(name, _rgb(one), at, name) for at, one in enumerate(pixels)]
    raise UserError(
        f"array {number} has the shape {pixels.shape}: expected (H, W), (H, W, 3), (N, H, W) or (N, H, W, 3)"
    )


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3))


def _files(path: Path) -> list[Input]:
    if path.is_dir():
        found = [_file(file, file.parent.as_posix()) for file in sorted(path.rglob("*")) if _is_shown(file)]
    elif path.exists() or not glob.has_magic(str(path)):
        return [_file(path)]
    else:
        matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - patterns may be absolute
        found = [_file(file, file.parent.as_posix()) for file in matches if _is_shown(file)]
    if not found:
        raise UserError(f"{path}: no picture or video there; known kinds: {', '.join((*STILLS, *FILMS))}")
    return found


def _is_shown(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and file.suffix.lower() in (*STILLS, *FILMS)


def _file(path: Path, clip: str = "") -> Input:
    return path if path.suffix.lower() in FILMS else Still(path.as_posix(), clip=clip)
