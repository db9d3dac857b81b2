"""What a model can be given: paths, folders, globs, videos, arrays, batches; one image at a time."""
# ruff: noqa: PTH110, PTH112, PTH113, PTH114 - pathlib raises where os.path returns False: locked folders, endless names

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fer_repro.datasets.image_files import check_still, listed, opaque
from fer_repro.datasets.samples import has_controls
from fer_repro.datasets.video import VIDEO_SUFFIXES, check_whole, grabbed, map_frames, opened, retrieved
from fer_repro.errors import UserError, one_line
from fer_repro.files import natural_order
from fer_repro.inference.faces_in import Face

STILLS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHANNELS = (1, 2, 3, 4)  # of an array's last axis: grey, grey and alpha, RGB, RGB and alpha
TO_BYTES = {
    "f": "; of values in [0, 1] (255 * image).round().astype('uint8')",
    "b": "; 255 * image.astype('uint8')",
    "u": "; scale it to 0 to 255 first",
    "i": "; scale it to 0 to 255 first",
}
"""By the kind of a NumPy type: how to get there."""
Look = Callable[[np.ndarray, str, int | None], list[Face]]


@dataclass(frozen=True)
class Seen:
    """An image that was analysed.

    Attributes:
        source: its path, or ``array N``.
        frame: its number in a video or clip, from 0; None for a still.
        clip: what it is a part of, for networks of clips: the video, the folder, the array.
        faces: in the detector's order.
        entry: the place of its input in the list, from 0.
    """

    source: str
    frame: int | None
    clip: str
    faces: list[Face]
    entry: int = 0


@dataclass(frozen=True)
class Failed:
    """An input that cannot be read, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Done:
    """An input that was read to its end, and its place in the list."""

    source: str
    entry: int = 0


@dataclass(frozen=True)
class Still:
    """An image to read: its path, its pixels or a Pillow image, and the clip it is a frame of."""

    source: str
    pixels: np.ndarray | Image.Image | None = None
    frame: int | None = None
    clip: str = ""


Input = Still | Path
"""A still, or the path of a video."""
Event = Seen | Failed | Done


def list_inputs(given: Any) -> list[Input]:  # noqa: ANN401 - whatever a user has
    """Resolve what a user gave, in order: each entry of a list gives all its images, also those named before.

    Files of a folder or glob are sorted folder by folder with the numbers in their names by value, so that
    frames 1, 2, 10 are in their order in time. Linked folders are entered, each real folder once.

    Args:
        given: a path of an image or video, a folder (with its subfolders), a glob; an array (H, W) or
            (H, W, C), a batch (N, H, W) or (N, H, W, C), uint8, where C is 1 or 2 (grey, grey and alpha), 3
            or 4 (RGB, RGB and alpha; alpha is dropped, as of files); a Pillow image; or a list of these.

    Raises:
        UserError: a folder or glob holds nothing, or an array is empty, of another kind, or may have its
            channels first.
    """
    inputs: list[Input] = []
    times: Counter[str] = Counter()
    for number, item in enumerate(given if isinstance(given, list | tuple) else [given]):
        found = _resolve(item, number)
        times.update({each.clip for each in found if isinstance(each, Still) and each.clip})
        inputs += [_in_own_clip(each, times) for each in found]
    if not inputs:
        raise UserError("no input; expected an image, a video, a folder, a glob or an array")
    return inputs


def _in_own_clip(item: Input, times: Mapping[str, int]) -> Input:
    """Give the frames of a folder that is named again their own clip."""
    return replace(item, clip=_nth(item.clip, times)) if isinstance(item, Still) and item.clip else item


def _nth(name: str, times: Mapping[str, int]) -> str:
    return name if times[name] == 1 else f"{name} ({times[name]})"


def look_at(
    inputs: list[Input],
    look: Look,
    every: int = 1,
    frames: int = 0,
    finished: Container[int] = frozenset(),
    begin: Mapping[int, int] | None = None,
) -> Iterator[Event]:
    """Analyse inputs one image at a time; one that cannot be read is reported and skipped.

    Args:
        inputs: from ``list_inputs``.
        look: finds the faces of an image.
        every: of a video every so many frames, from the first.
        frames: of a video so many equally spaced ones instead; 0: by ``every``.
        finished: places in ``inputs`` that are skipped.
        begin: place of a video that was begun before -> its first frame that is still missing.
    """
    times: Counter[str] = Counter()
    for number, item in enumerate(inputs):
        source = item.as_posix() if isinstance(item, Path) else item.source
        clip = "" if isinstance(item, Path) else item.clip
        if not clip:
            times[source] += 1
            clip = _nth(source, times)
        start = (begin or {}).get(number, 0)
        if number in finished or (start and isinstance(item, Still)):
            continue
        try:
            _check_name(source)
            yield from _look_into(item, partial(_seen, source, clip, number, look), every, frames, start)
        except UserError as error:
            name, reason = one_line(source), str(error)
            yield Failed(name, reason if name in reason else f"{name}: {reason}")
        else:
            yield Done(source, number)


def _seen(source: str, clip: str, entry: int, look: Look, frame: int | None, image: np.ndarray) -> Seen:
    return Seen(source, frame, clip, look(image, source, frame), entry)


def _look_into(
    item: Input, seen: Callable[[int | None, np.ndarray], Seen], every: int, frames: int, start: int
) -> Iterator[Seen]:
    if isinstance(item, Still):
        yield seen(item.frame, read_still(item))
    elif frames:
        later = map_frames(item, frames, lambda at, image: seen(at, image) if at >= start else None)
        yield from filter(None, later)
    else:
        for at, image in video_frames(item, every, start):
            yield seen(at, image)


def _check_name(source: str) -> None:
    """Refuse a name that cannot be written in a table or on a terminal, as ``data add`` does."""
    if not has_controls(source):
        return
    if any("\ud800" <= letter <= "\udfff" for letter in source):
        kind = sys.getfilesystemencoding()
        hint = "" if kind == "utf-8" else ", or set PYTHONUTF8=1"
        raise UserError(f"{source}: its name is not readable as {kind}; rename it{hint}")
    raise UserError(f"{source}: its name holds line ends or control characters; rename it")


def read_still(still: Still) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, rotated by its EXIF orientation; alpha is dropped.

    Raises:
        UserError: the file is missing, damaged, or of another kind.
    """
    if isinstance(still.pixels, np.ndarray):
        return _rgb(still.pixels)
    where = still.source
    if still.pixels is None and not os.path.isfile(where):
        raise UserError(f"{where}: {_what_is_there(where)}")
    try:
        if still.pixels is not None:
            return _upright(still.pixels, where)
        with Image.open(where) as image:
            return _upright(image, where)
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        reason = "unknown kind" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UserError(f"{where}: not readable as an image ({' '.join(reason.split())})") from None


def _upright(image: Image.Image, where: str) -> np.ndarray:
    check_still(image, where)
    return np.asarray(opaque(ImageOps.exif_transpose(image), "RGB"))


def _what_is_there(path: str) -> str:
    if os.path.islink(path):
        return f"a link to {Path(path).readlink()}, which does not exist"
    if os.path.isdir(path):
        return "this folder may not be read: no permission"
    return "no such file; expected an image, a video or a folder"


def video_frames(path: Path, every: int = 1, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Decode a video, one frame in memory at a time.

    Args:
        path: the video.
        every: of so many frames the first, counted from the video's first.
        start: frames before this one are skipped.

    Yields:
        The frame's number from 0, and its pixels (H, W, 3) uint8 RGB.

    Raises:
        UserError: it is no video, is cut off, or some frames cannot be decoded; the others come first.
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
        raise UserError(f"{path}: damaged, these frames cannot be decoded: {listed(lost)}")


def _resolve(item: Any, number: int) -> list[Input]:  # noqa: ANN401 - whatever a user has
    if isinstance(item, str | os.PathLike):
        if not str(item):
            raise UserError(f"input {number} is an empty path; expected an image, a video or a folder")
        return _files(Path(item))
    name = f"array {number}"
    if isinstance(item, Image.Image):
        return [Still(name, item)]
    pixels = _as_pixels(item, name)
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in CHANNELS):
        return [Still(name, pixels)]
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4):
        raise UserError(
            f"{name} has the shape {pixels.shape}: one image with its channels first, or {len(pixels)} grey "
            "ones? Give image.transpose(1, 2, 0) for the one, or images[..., None] for the others"
        )
    if pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] in CHANNELS):
        return [Still(name, one, at, name) for at, one in enumerate(pixels)]
    first = pixels.ndim == 4 and pixels.shape[1] in CHANNELS
    raise UserError(
        f"{name} has the shape {pixels.shape}: expected (H, W), (H, W, 3), (N, H, W) or (N, H, W, 3)"
        + ("; are channels first? Give images.transpose(0, 2, 3, 1)" if first else "")
    )


def _as_pixels(item: Any, name: str) -> np.ndarray:  # noqa: ANN401 - whatever a user has
    if not hasattr(item, "__array__"):
        raise UserError(
            f"{name} is a {type(item).__name__}: expected a path, a Pillow image or an array in its place"
        )
    try:
        pixels = np.asarray(item)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on another device or with a gradient
        raise UserError(f"{name} is no array for NumPy: {error}") from None
    if 0 in pixels.shape:
        raise UserError(f"{name} is empty: its shape is {pixels.shape}")
    if pixels.dtype != np.uint8:
        hint = TO_BYTES.get(pixels.dtype.kind, "; give several paths or images as a list")
        raise UserError(f"{name} is {pixels.dtype} {pixels.shape}: expected uint8, RGB, 0 to 255{hint}")
    return pixels


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """Repeat grey, drop alpha: (H, W) or (H, W, 1 to 4) -> (H, W, 3)."""
    layered = pixels.reshape(*pixels.shape[:2], -1)
    shown = layered[:, :, :3] if layered.shape[2] > 2 else layered[:, :, :1]
    return np.ascontiguousarray(np.broadcast_to(shown, (*pixels.shape[:2], 3)))


def _files(path: Path) -> list[Input]:
    if os.path.isdir(path):
        found = _shown(file for files in _walk(path).values() for file in files)
    elif os.path.exists(path) or not glob.has_magic(str(path)):
        return [_file(path)]
    else:
        found = _shown(_matches(path))
    if not found:
        raise UserError(
            f"{path}: no image or video there; known kinds: {', '.join((*STILLS, *VIDEO_SUFFIXES))}"
        )
    return [_file(file, file.parent.as_posix()) for file in found]


def _shown(files: Iterable[Path]) -> list[Path]:
    """Keep images and videos, each once, and what will be reported: folder by folder, in order of time."""
    kept = {file for file in files if _is_locked(file) or _is_shown(file)}
    return sorted(kept, key=lambda file: (natural_order(file.parent), natural_order(Path(file.name))))


def _is_shown(file: Path) -> bool:
    kinds: tuple[str, ...] = (*STILLS, *VIDEO_SUFFIXES)
    if os.path.islink(file) and not os.path.exists(file):
        kinds = (*kinds, "")  # may have been a folder
    return not file.name.startswith(".") and file.suffix.lower() in kinds and not os.path.isdir(file)


def _walk(root: Path) -> dict[Path, list[Path]]:
    """List the files of all folders below one; links are followed last, and never to a folder seen before."""
    found: dict[Path, list[Path]] = {}
    waiting, links, home = [root], list[Path](), os.path.realpath(root)
    seen: set[str] = set()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(folder)
        above = folder != root and os.path.commonpath((home, real)) == real
        if real in seen or above:
            continue
        seen.add(real)
        entries = [folder] if _is_locked(folder) else sorted(folder.iterdir(), key=natural_order)
        found[folder] = [entry for entry in entries if entry == folder or not os.path.isdir(entry)]
        for entry in entries:
            if entry != folder and os.path.isdir(entry):
                (links if entry.is_symlink() else waiting).append(entry)
    return found


def _is_locked(path: Path) -> bool:
    return os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK)


def _matches(pattern: Path) -> Iterator[Path]:
    """Find what fits a glob; ``**`` is any number of folders that are not hidden."""
    parts = pattern.parts
    if "**" not in parts:
        yield from map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - patterns may be absolute
        return
    at = parts.index("**")
    for base in _matches(Path(*parts[:at])) if at else [Path()]:
        for folder, files in _walk(base).items() if os.path.isdir(base) else ():
            if any(part.startswith(".") for part in folder.relative_to(base).parts):
                continue
            if parts[at + 1 :]:
                yield from _matches(Path(glob.escape(str(folder)), *parts[at + 1 :]))
            else:
                yield from files


def _file(path: Path, clip: str = "") -> Input:
    return path if path.suffix.lower() in VIDEO_SUFFIXES else Still(path.as_posix(), clip=clip)
