"""How many frames a video file is certain to hold, by its own tables; headers only estimate.

The count in a header is duration times nominal rate for Matroska, WebM and fragmented recordings, and a
number that is often not updated in AVI. MP4's sample table and AVI's index list frames, and containers state
how many bytes belong to them: only these show whether a file is cut off or its frames come unevenly.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

MOST = 1 << 28  # bytes of a table that is read at once
UNKNOWN = 0xFFFFFFFF  # length of a RIFF chunk whose writer could not seek back, as in a pipe
TINY = 8  # bytes of a frame that repeats the one before: decoders may skip it
TRIMMED = 0.98  # a track that shows a smaller share of its time is trimmed by an edit list

_Box = tuple[bytes, int, int]  # kind, begin and end of what it holds


class Promise(NamedTuple):
    """What a file is certain to hold.

    Attributes:
        frames: that its tables list and every player shows; 0 where they list none.
        share: of the bytes that belong to it, those that are there, in (0, 1]; 1 where it is unknown.
    """

    frames: int
    share: float


def read_promise(path: Path) -> Promise:
    """Read the tables of an MP4, MOV, AVI, MKV or WebM; of other or damaged ones nothing is certain."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        try:
            if head[:4] == b"RIFF" and head[8:] == b"AVI ":
                return _avi(file, size)
            if head[:4] == b"\x1aE\xdf\xa3":
                return Promise(0, _matroska_share(file, size))
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
                return _mp4(file, size)
        except (struct.error, ValueError, IndexError, ZeroDivisionError):
            pass  # from inconsistent tables nothing is certain
    return Promise(0, 1.0)


# MP4 and MOV: boxes of a length, a kind and what they hold (ISO 14496-12)


def _mp4(file: BinaryIO, size: int) -> Promise:
    at, share, table = 0, 1.0, b""
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:])
        elif length == 0:
            length = size - at
        if length < 8:
            break
        if at + length > size and kind in (b"mdat", b"moof"):
            share = size / (at + length)
        if kind == b"moov" and length <= MOST:
            header = 16 if int.from_bytes(head[:4]) == 1 else 8
            file.seek(at + header)
            table = file.read(length - header)
        at += length
    return Promise(_listed_frames(table) if table else 0, share)


def _boxes(data: bytes, begin: int, end: int) -> Iterator[_Box]:
    while begin + 8 <= end:
        length = int.from_bytes(data[begin : begin + 4])
        if length < 8:
            return
        yield data[begin + 4 : begin + 8], begin + 8, min(begin + length, end)
        begin += length


def _inside(data: bytes, box: _Box, *kinds: bytes) -> _Box | None:
    """Find a box by the kinds of the boxes around it and its own."""
    for kind in kinds:
        found = next((inner for inner in _boxes(data, box[1], box[2]) if inner[0] == kind), None)
        if found is None:
            return None
        box = found
    return box


def _listed_frames(data: bytes) -> int:
    movie = (b"moov", 0, len(data))
    tracks = [box for box in _boxes(data, movie[1], movie[2]) if box[0] == b"trak"]
    videos = [track for track in tracks if _handler(data, track) == b"vide"]
    if len(videos) != 1 or _is_trimmed(data, movie, videos[0]):
        return 0
    sizes = _inside(data, videos[0], b"mdia", b"minf", b"stbl", b"stsz")
    if sizes is None:
        return 0
    each, count = struct.unpack_from(">4xII", data, sizes[1])
    if each:
        coded = count
    else:
        lengths = struct.unpack_from(f">{count}I", data, sizes[1] + 12)
        coded = sum(length > TINY for length in lengths)
    return max(0, coded - _before_first_key(data, videos[0]))


def _handler(data: bytes, track: _Box) -> bytes:
    box = _inside(data, track, b"mdia", b"hdlr")
    return data[box[1] + 8 : box[1] + 12] if box else b""


def _before_first_key(data: bytes, track: _Box) -> int:
    """Count the frames that cannot be decoded because the one that they build on was cut away."""
    keys = _inside(data, track, b"mdia", b"minf", b"stbl", b"stss")
    if keys is None or not struct.unpack_from(">4xI", data, keys[1])[0]:
        return 0
    return int(struct.unpack_from(">I", data, keys[1] + 8)[0]) - 1


def _is_trimmed(data: bytes, movie: _Box, track: _Box) -> bool:
    """Return whether an edit list hides a part of the track."""
    edits = _inside(data, track, b"edts", b"elst")
    movie_head, media_head = _inside(data, movie, b"mvhd"), _inside(data, track, b"mdia", b"mdhd")
    if edits is None or movie_head is None or media_head is None:
        return False
    (movie_scale, _), (scale, duration) = _clock(data, movie_head), _clock(data, media_head)
    version, count = data[edits[1]], struct.unpack_from(">4xI", data, edits[1])[0]
    form = ">Qq4x" if version else ">Ii4x"
    rows = [struct.unpack_from(form, data, edits[1] + 8 + n * struct.calcsize(form)) for n in range(count)]
    shown = [length for length, begin in rows if begin >= 0]
    if not shown or 0 in shown or not duration:  # 0: to the end
        return False
    return len(shown) > 1 or shown[0] / movie_scale < TRIMMED * duration / scale


def _clock(data: bytes, head: _Box) -> tuple[int, int]:
    """Ticks per second and duration in ticks of a ``mvhd`` or ``mdhd``."""
    form = ">20xIQ" if data[head[1]] else ">12xII"
    scale, duration = struct.unpack_from(form, data, head[1])
    return scale, duration


# AVI: chunks of a kind, a length and what they hold; the index comes last


def _avi(file: BinaryIO, size: int) -> Promise:
    share, at = 1.0, 0
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or length < 4 or length == UNKNOWN:
            break
        if at + 8 + length > size:
            share = size / (at + 8 + length)
        at += 8 + length + length % 2
    frames = _indexed_frames(file, size)
    return Promise(frames, 1.0 if frames else share)


def _indexed_frames(file: BinaryIO, size: int) -> int:
    at, number = 12, -1
    while at + 8 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind == b"LIST" and file.read(4) == b"hdrl":
            number = _video_stream(file.read(min(length, MOST)))
        if kind == b"idx1" and number >= 0 and length <= MOST:
            file.seek(at + 8)
            index, wanted = file.read(length // 16 * 16), f"{number:02}".encode()
            rows = struct.iter_unpack("<4s8xI", index[: len(index) // 16 * 16])
            return sum(name[:2] == wanted and name[2:] != b"pc" and stored > TINY for name, stored in rows)
        at += 8 + length + length % 2
    return 0


def _video_stream(headers: bytes) -> int:
    """Number the only video stream, -1 if there is none or more than one."""
    kinds, at = [], headers.find(b"strh")
    while at >= 0:
        kinds.append(headers[at + 8 : at + 12])
        at = headers.find(b"strh", at + 1)
    return kinds.index(b"vids") if kinds.count(b"vids") == 1 else -1


# Matroska and WebM: elements of an identifier, a length and what they hold (RFC 8794)


def _matroska_share(file: BinaryIO, size: int) -> float:
    file.seek(4)
    file.seek(_length(file) or 0, 1)
    if file.read(4) != b"\x18S\x80g":
        return 1.0
    segment = _length(file)
    if segment is None:  # a live recording
        return 1.0
    return min(1.0, size / (file.tell() + segment))


def _length(file: BinaryIO) -> int | None:
    """Read a length of one to eight bytes; None: it was not known."""
    first = file.read(1)[0]
    extra = 8 - first.bit_length()
    value = int.from_bytes(bytes([first & (0x7F >> extra)]) + file.read(extra))
    return None if value == (1 << 7 * (extra + 1)) - 1 else value
