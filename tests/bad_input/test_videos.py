"""Videos: refused with one line, or read frame by frame whatever their clock says."""

import struct

import cv2
import numpy as np
import pytest

from fer_repro.data.video import frame_positions, map_frames
from fer_repro.errors import UserError
from fer_repro.inference.inputs import film, look_at

FRAMES = 20


@pytest.fixture
def video(tmp_path):
    """An MP4 of frames that grow brighter."""
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def cut_from(share):
    def spoil(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return spoil


def no_frames(path):
    path.unlink()
    cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (64, 48)).release()


def noise_inside(path):
    """The head stays whole, the pictures become noise."""
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[start:end] = np.random.default_rng(0).integers(0, 256, end - start, np.uint8).tobytes()
    path.write_bytes(bytes(content))


BAD = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_text("a film"),
    "a web page": lambda path: path.write_text("<html>404</html>"),
    "a picture's head": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "cut off in its pictures": cut_from(0.5),
    "cut off in its head": lambda path: path.write_bytes(path.read_bytes().partition(b"stsz")[0]),
    "no frames": no_frames,
    "pictures of noise": noise_inside,
}


@pytest.mark.parametrize("case", BAD)
def test_a_video_that_cannot_be_read_is_one_line(video, case):
    BAD[case](video)
    with pytest.raises(UserError) as caught:
        map_frames(video, 5, lambda at, image: at)
    assert str(caught.value).startswith(f"{video}: ")
    with pytest.raises(UserError) as caught:
        list(film(video))
    assert str(caught.value).startswith(f"{video}: ")
    *_, last = look_at([video], look=lambda *_: [])
    assert last.reason == str(caught.value)


def _boxes(content, start, end):
    while start < end:
        size, kind = struct.unpack_from(">I4s", content, start)
        yield start, size, kind
        start += size


def with_other_clock(path):
    """Let every second frame last three times as long: a new table of durations (ISO 14496-12, 8.6.1.2)."""
    content = path.read_bytes()
    parents, start, end = [], 0, len(content)
    for wanted in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        at, size = next((at, size) for at, size, kind in _boxes(content, start, end) if kind == wanted)
        parents.append(at)
        start, end = at + 8, at + size
    (delta,) = struct.unpack_from(">I", content, parents[-1] + 20)
    entries = [(1, delta // 2 * (3 if number % 2 else 1)) for number in range(FRAMES)]
    table = struct.pack(">4sII", b"stts", 0, FRAMES) + b"".join(
        struct.pack(">II", *entry) for entry in entries
    )
    grown = len(table) + 4 - size
    changed = bytearray(content[: parents[-1]] + struct.pack(">I", len(table) + 4) + table + content[end:])
    for at in parents[:-1]:
        struct.pack_into(">I", changed, at, struct.unpack_from(">I", content, at)[0] + grown)
    path.write_bytes(bytes(changed))


def test_frames_are_counted_not_timed(video):
    even = map_frames(video, 7, lambda at, image: (at, float(image.mean())))
    assert [at for at, _ in even] == frame_positions(FRAMES, 7).tolist()
    with_other_clock(video)
    assert map_frames(video, 7, lambda at, image: (at, float(image.mean()))) == even
    assert [at for at, _ in film(video, 3)] == list(range(0, FRAMES, 3))


def test_the_other_clock_is_another_one(video):
    """The test above would say nothing if the rewritten table were not read."""

    def times():
        capture = cv2.VideoCapture(str(video))
        found = []
        while capture.grab():
            found.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        capture.release()
        return np.diff(found)

    assert np.ptp(times()) < 1
    with_other_clock(video)
    assert len(times()) == FRAMES - 1
    assert np.ptp(times()) > 35
