"""FER2013's csv: one row per image, its 48 x 48 pixels as text; read row by row, flawless rows fast.

The files are the contest's ``fer2013.csv`` and ``icml_face_data.csv`` (Goodfellow et al., arXiv:1307.0414).
"""

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fer_repro.datasets.samples import place
from fer_repro.errors import UserError, nearest

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # the csv's own numbers
SIDE = 48
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}


def scan(path: Path) -> tuple[str, int]:
    """Sha256 of a file and how many lines it has below its first.

    Raises:
        UserError: the file is empty.
    """
    hasher, lines, last = hashlib.sha256(), 0, b"\n"
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
            lines += piece.count(b"\n")
            last = piece[-1:]
    if last == b"\n" and lines == 0:
        raise UserError(f"{path}: the file is empty; expected the columns emotion, pixels, Usage")
    return hasher.hexdigest(), lines - (last == b"\n")


def read_pixel_rows(path: Path) -> Iterator[tuple[int, str, np.ndarray]]:
    """Read the rows in order: the emotion's number, the split, and the image, (2304,) uint8.

    Raises:
        UserError: naming the row and what was expected there.
    """
    row = -1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = [name.strip() for name in next(lines)]
            columns = _columns(path, header)
            for row, fields in enumerate(lines):
                if fields:
                    yield _read_row(path, row, fields, columns, len(header))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path}: {place(row + 1)} or soon after is no UTF-8 text ({error}); "
            "expected the csv itself, unpacked and unchanged"
        ) from None


def _columns(path: Path, header: list[str]) -> tuple[int, int, int]:
    names = [name.lower() for name in header]
    for name in ("emotion", "pixels", "Usage"):
        if name.lower() not in names:
            shown = ", ".join(repr(found[:30]) for found in header[:6])
            raise UserError(
                f"{path}: line 1: column '{name}' is missing; expected emotion, pixels, Usage in any order, "
                f"found {shown}"
            )
    return names.index("emotion"), names.index("pixels"), names.index("usage")


def _read_row(
    path: Path, row: int, fields: list[str], columns: tuple[int, int, int], width: int
) -> tuple[int, str, np.ndarray]:
    where = f"{path}: {place(row)}"
    if len(fields) != width:
        raise UserError(f"{where}: {len(fields)} columns: expected {width}; is the file cut off here?")
    emotion, pixels, usage = (fields[column].strip() for column in columns)
    if not (len(emotion) == 1 and emotion in "0123456"):
        meaning = ", ".join(f"{number} {name}" for number, name in enumerate(EMOTIONS))
        raise UserError(f"{where}: emotion is {emotion[:30]!r}: expected 0 to 6 ({meaning})")
    image = fast_pixels(pixels)
    if image is None:
        image = careful_pixels(pixels, where)
    if usage not in USAGES:
        raise UserError(f"{where}: Usage is {usage[:30]!r}; {nearest(usage, USAGES)}")
    return int(emotion), USAGES[usage], image


def fast_pixels(text: str) -> np.ndarray | None:
    """The pixels of a flawless row, (2304,) uint8; None sends the row to the careful reader.

    Digits are weighed by their distance to the end of their number, for all numbers at once.
    """
    if not text.isascii():
        return None
    characters = np.frombuffer(text.encode(), np.uint8)
    spaces = np.flatnonzero(characters == 32)
    if len(spaces) != SIDE * SIDE - 1:
        return None
    ends = np.append(spaces, len(characters))
    lengths = np.diff(ends, prepend=-1) - 1
    digits = characters - np.uint8(48)  # anything but a digit becomes 10 or more, a space 240
    if lengths.min() < 1 or lengths.max() > 3 or np.count_nonzero(digits > 9) != len(spaces):
        return None
    values = digits[ends - 1].astype(np.int16)
    for place_value, length in ((10, 2), (100, 3)):
        long = lengths >= length
        values[long] += place_value * digits[ends[long] - length].astype(np.int16)
    return values.astype(np.uint8) if values.max() < 256 else None


def careful_pixels(text: str, where: str) -> np.ndarray:
    """The pixels of any row, (2304,) uint8, token by token.

    Raises:
        UserError: naming the token that is no pixel, or their number.
    """
    tokens = text.split()
    for number, token in enumerate(tokens):
        if not (token.isascii() and token.isdigit() and int(token[:9]) < 256):
            raise UserError(
                f"{where}: pixel {number} is {token[:30]!r}: expected a whole number from 0 to 255"
            )
    if len(tokens) != SIDE * SIDE:
        raise UserError(f"{where}: {len(tokens)} pixels: expected {SIDE * SIDE}; is the file cut off here?")
    return np.array(tokens, np.int64).astype(np.uint8)
