"""Small videos written byte by byte: what recorders, phones and editors write and OpenCV does not."""

import struct

import cv2
import numpy as np

FRAMES = 40
_NESTED = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")


def write_video(path, codec="mp4v", frames=FRAMES, size=(64, 48)):
    """Frames that grow brighter by five, the lower right quarter black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, size)
    for number in range(frames):
        image = np.full((size[1], size[0], 3), (5 * number + 20) % 256, np.uint8)
        image[size[1] // 2 :, size[0] // 2 :] = 0
        writer.write(image)
    writer.release()
    return path


def write_still_as_jpeg(number, side=64):
    return cv2.imencode(".jpg", np.full((side, side, 3), 5 * number % 256, np.uint8))[1].tobytes()


# Matroska


def _element(identifier, content, live=False):
    length = b"\x01" + b"\xff" * 7 if live else (len(content) | 1 << 56).to_bytes(8)
    return bytes.fromhex(identifier) + length + content


def _whole_number(identifier, value):
    return _element(identifier, value.to_bytes(4))


def write_matroska(path, times, live=False):
    """Frames at these milliseconds, 30 a second by the head; a live one knows no length and no duration."""
    head = _element("1a45dfa3", _element("4282", b"webm" if path.suffix == ".webm" else b"matroska"))
    info = _whole_number("2ad7b1", 1_000_000)
    if not live:
        info += _element("4489", struct.pack(">d", times[-1] + 33.0))
    photo = _element("e0", _whole_number("b0", 64) + _whole_number("ba", 64))
    track = b"".join(_whole_number(name, 1) for name in ("d7", "73c5", "83"))
    track += _element("86", b"V_MJPEG") + _whole_number("23e383", 33_333_333) + photo
    body = _element("1549a966", info) + _element("1654ae6b", _element("ae", track))
    for number, time in enumerate(times):
        block = _element("a3", b"\x81\0\0\x80" + write_still_as_jpeg(number))
        body += _element("1f43b675", _whole_number("e7", time) + block, live)
    path.write_bytes(head + _element("18538067", body, live))
    return path


# AVI


def with_header_count(path, count):
    """Let both headers of an AVI say another number of frames."""
    content = bytearray(path.read_bytes())
    for head, place in ((b"avih", 16), (b"strh", 32)):
        at = content.index(head) + 8 + place
        content[at : at + 4] = count.to_bytes(4, "little")
    path.write_bytes(bytes(content))
    return path


def without_index(path):
    """An AVI whose program was killed: it has no index, and its lengths are 0."""
    content = bytearray(path.read_bytes()[: path.read_bytes().rindex(b"idx1")])
    content[4:8] = bytes(4)
    at = content.index(b"movi") - 4
    content[at : at + 4] = bytes(4)
    path.write_bytes(bytes(content))
    return path


def into_a_pipe(path):
    """An AVI whose writer could not go back: its lengths are as large as can be."""
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff" * 4
    at = content.index(b"movi") - 4
    content[at : at + 4] = b"\xff" * 4
    path.write_bytes(bytes(content))
    return path


# MP4: a tree of boxes


def with_last_length(path, length):
    """Let the last box, the head, say its length otherwise: 0 is to the end, 1 puts it behind the kind."""
    content = path.read_bytes()
    at = content.rindex(b"moov") - 4
    size = len(content) - at
    head = length.to_bytes(4, "big") + b"moov" + ((size + 8).to_bytes(8, "big") if length else b"")
    path.write_bytes(content[:at] + head + content[at + 8 :])
    return path


def read_boxes(data):
    """Kind and content of each box; the content of nested ones is a list of the same."""
    found, at = [], 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        inner = data[at + 8 : at + length]
        found.append([kind, read_boxes(inner) if kind in _NESTED else inner])
        at += length
    return found


def as_bytes(boxes):
    return b"".join(_box(kind, content) for kind, content in boxes)


def _box(kind, content):
    inner = as_bytes(content) if isinstance(content, list) else content
    return struct.pack(">I4s", len(inner) + 8, kind) + inner


def find(boxes, *kinds):
    """The box that these kinds lead to, as a list that can be changed."""
    for kind in kinds:
        box = next(box for box in boxes if box[0] == kind)
        boxes = box[1]
    return box


def rewrite(path, change):
    """Change the tree of an MP4 and write it, with the sample table's offsets moved along."""
    boxes = read_boxes(path.read_bytes())
    before = path.read_bytes().index(b"mdat")
    change(boxes)
    table = find(boxes, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stco")
    for _ in range(2):  # the table has the same length whatever its offsets are
        after = as_bytes(boxes).index(b"mdat")
        count, *offsets = struct.unpack(f">4x{len(table[1]) // 4 - 1}I", table[1])
        moved = [offset + after - before for offset in offsets]
        table[1] = struct.pack(f">{count + 2}I", 0, count, *moved)
        before = after
    path.write_bytes(as_bytes(boxes))
    return path


def with_head_first(path):
    """As for the web: the tables come before the frames."""
    return rewrite(
        path,
        lambda boxes: boxes.sort(
            key=lambda box: (b"ftyp", b"moov").index(box[0]) if box[0] in (b"ftyp", b"moov") else 2
        ),
    )


def trimmed(path, begin, end):
    """As phones cut a video: all frames stay, an edit list shows those from begin to end (seconds)."""

    def change(boxes):
        scale = struct.unpack_from(">12xI", find(boxes, b"moov", b"mvhd")[1])[0]
        track = find(boxes, b"moov", b"trak")[1]
        ticks = struct.unpack_from(">12xI", find(track, b"mdia", b"mdhd")[1])[0]
        shown = struct.pack(">IIIiI", 0, 1, round((end - begin) * scale), round(begin * ticks), 1 << 16)
        track[:] = [box for box in track if box[0] != b"edts"]
        track.insert(1, [b"edts", [[b"elst", shown]]])

    return rewrite(path, change)


def turned(path):
    """As a phone held upright: the frames lie on their side, and the track says so."""

    def change(boxes):
        head = find(boxes, b"moov", b"trak", b"tkhd")
        matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
        head[1] = head[1][:40] + matrix + head[1][76:]

    return rewrite(path, change)


def in_fragments(path):
    """As recorders and streams write: an empty table, then a fragment for each ten frames."""
    data = path.read_bytes()
    boxes = read_boxes(data)
    tables = find(boxes, b"moov", b"trak", b"mdia", b"minf", b"stbl")[1]
    count, *sizes = struct.unpack(f">8x{len(find(tables, b'stsz')[1]) // 4 - 2}I", find(tables, b"stsz")[1])
    at = struct.unpack_from(">8xI", find(tables, b"stco")[1])[0]
    step = struct.unpack_from(">12xI", find(tables, b"stts")[1])[0]
    for box in tables:
        if box[0] in (b"stts", b"stsc", b"stco", b"stss"):
            box[1] = bytes(8)
        if box[0] == b"stsz":
            box[1] = bytes(12)
    extends = [b"trex", struct.pack(">6I", 0, 1, 1, step, 0, 0)]
    find(boxes, b"moov")[1].append([b"mvex", as_bytes([extends])])
    found = as_bytes([box for box in boxes if box[0] in (b"ftyp", b"moov")])
    for begin in range(0, count, 10):
        part = sizes[begin : begin + 10]
        content, at = data[at : at + sum(part)], at + sum(part)
        found += _fragment(begin // 10 + 1, begin * step, step, part) + _box(b"mdat", content)
    path.write_bytes(found)
    return path


def _fragment(number, begin, step, sizes):
    def boxes(offset):
        rows = b"".join(
            struct.pack(">III", step, size, 0 if n == 0 else 0x10000) for n, size in enumerate(sizes)
        )
        track = [
            [b"tfhd", struct.pack(">II", 0x020000, 1)],
            [b"tfdt", struct.pack(">II", 0, begin)],
            [b"trun", struct.pack(">IIi", 0x701, len(sizes), offset) + rows],
        ]
        return as_bytes([[b"moof", as_bytes([[b"mfhd", struct.pack(">II", 0, number)], [b"traf", track]])]])

    return boxes(len(boxes(0)) + 8)
