"""Videos: refused with one line, or read frame by frame whatever their clock says."""

import json
import struct
from pathlib import Path

import cv2
import miniature_containers as containers
import numpy as np
import pytest
from miniature_videos import write_face_film
from typer.testing import CliRunner

from fer_repro.cli import app
from fer_repro.datasets.video import frame_positions, map_frames
from fer_repro.errors import UserError
from fer_repro.inference.sources import look_at, video_frames

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
    """The head stays whole, the images become noise."""
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[start:end] = np.random.default_rng(0).integers(0, 256, end - start, np.uint8).tobytes()
    path.write_bytes(bytes(content))


BAD = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_text("a video"),
    "a web page": lambda path: path.write_text("<html>404</html>"),
    "an image's head": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "cut off in its images": cut_from(0.5),
    "cut off in its head": lambda path: path.write_bytes(path.read_bytes().partition(b"stsz")[0]),
    "no frames": no_frames,
    "images of noise": noise_inside,
}


@pytest.mark.parametrize("case", BAD)
def test_a_video_that_cannot_be_read_is_one_line(video, case):
    BAD[case](video)
    with pytest.raises(UserError) as caught:
        map_frames(video, 5, lambda at, image: at)
    assert str(caught.value).startswith(f"{video}: ")
    with pytest.raises(UserError) as caught:
        list(video_frames(video))
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
    assert [at for at, _ in video_frames(video, 3)] == list(range(0, FRAMES, 3))


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


UNEVEN = [33 * n for n in range(30)] + [9900]  # a screen that stands still for nine seconds
EVEN = [33 * n for n in range(40)]
WHOLE = {  # what plays from begin to end -> frames
    "uneven.mkv": (31, lambda path: containers.write_matroska(path, UNEVEN)),
    "uneven.webm": (31, lambda path: containers.write_matroska(path, UNEVEN)),
    "live.mkv": (40, lambda path: containers.write_matroska(path, EVEN, live=True)),
    "live.webm": (31, lambda path: containers.write_matroska(path, UNEVEN, live=True)),
    "plain.webm": (40, lambda path: containers.write_video(path, "VP80")),
    "one.webm": (1, lambda path: containers.write_video(path, "VP80", 1)),
    "one.mkv": (1, lambda path: containers.write_matroska(path, [0])),
    "one.mp4": (1, lambda path: containers.write_video(path, frames=1)),
    "one.avi": (1, lambda path: containers.write_video(path, "MJPG", 1)),
    "trimmed.mp4": (15, lambda path: containers.trimmed(containers.write_video(path), 0.4, 1.0)),
    "trimmed.mov": (15, lambda path: containers.trimmed(containers.write_video(path), 0.4, 1.0)),
    "head first.mp4": (40, lambda path: containers.with_head_first(containers.write_video(path))),
    "fragments.mp4": (40, lambda path: containers.in_fragments(containers.write_video(path))),
    "to the end.mp4": (40, lambda path: containers.with_last_length(containers.write_video(path), 0)),
    "long length.mp4": (40, lambda path: containers.with_last_length(containers.write_video(path), 1)),
    "into a pipe.avi": (40, lambda path: containers.into_a_pipe(containers.write_video(path, "MJPG"))),
    "no index.avi": (40, lambda path: containers.without_index(containers.write_video(path, "MJPG"))),
    "other codec.avi": (40, lambda path: containers.write_video(path, "XVID")),
    **{
        f"head says {count}.avi": (
            40,
            lambda path, count=count: containers.with_header_count(
                containers.write_video(path, "MJPG"), count
            ),
        )
        for count in (0, 1, 3, 60, 1000, 2**31, 2**32 - 1)
    },
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_video_is_judged_by_what_decodes(tmp_path, name):
    frames, write = WHOLE[name]
    path = write(tmp_path / name)
    assert [at for at, _ in video_frames(path)] == list(range(frames))
    assert map_frames(path, 7, lambda at, image: at) == frame_positions(frames, 7).tolist()
    assert map_frames(path, 99, lambda at, image: at) == list(range(frames))
    *seen, last = look_at([path], look=lambda *_: [], every=4)
    assert [each.frame for each in seen] == list(range(0, frames, 4))
    assert last.source == path.as_posix()


def test_no_whole_video_of_a_set_is_left_out_as_damaged(tmp_path):
    part = tmp_path / "set" / "dfdc_train_part_0"
    write_face_film(part / "face.mp4", 1)
    names = ["face.mp4", *(f"video{number}{Path(name).suffix}" for number, name in enumerate(WHOLE))]
    for name, (_, write) in zip(names[1:], WHOLE.values(), strict=True):
        write(part / name)
    (part / "metadata.json").write_text(json.dumps({name: {"label": "REAL"} for name in names}))
    stores = tmp_path / "stores"
    done = CliRunner().invoke(app, ["data", "add", "dfdc-5fpv", str(part.parent), "--store", str(stores)])
    assert done.exit_code == 0, done.output
    note = json.loads((stores / "dfdc-5fpv" / "manifest.json").read_text())["note"]
    assert "damaged" not in note
    assert f"{len(WHOLE)} videos without a face are left out" in note


CUT = {  # of what is certain to be cut off, the share that is left
    "plain.webm": 0.5,
    "uneven.mkv": 0.6,
    "head first.mp4": 0.8,
    "head says 0.avi": 0.5,
    "head says 1000.avi": 0.7,
}


@pytest.mark.parametrize("name", CUT)
def test_a_video_that_is_cut_off_is_told_after_its_frames(tmp_path, name):
    frames, write = WHOLE[name]
    path = write(tmp_path / name)
    cut_from(CUT[name])(path)
    with pytest.raises(UserError, match=r"ends after \d+( of \d+)? frames: the file is cut off"):
        map_frames(path, 5, lambda at, image: at)
    seen = []
    with pytest.raises(UserError, match=r"ends after \d+( of \d+)? frames: the file is cut off"):
        seen.extend(at for at, _ in video_frames(path))
    assert 0 < len(seen) < frames


def test_a_video_whose_end_is_zeros_is_cut_off(tmp_path):
    """As a download that was stopped, where the room was reserved before."""
    path = containers.with_head_first(containers.write_video(tmp_path / "clip.mp4"))
    content = path.read_bytes()
    kept = len(content) * 7 // 10
    path.write_bytes(content[:kept] + bytes(len(content) - kept))
    with pytest.raises(UserError, match="of 40 frames: the file is cut off"):
        map_frames(path, 5, lambda at, image: at)


def test_one_damaged_frame_costs_one_frame(tmp_path):
    path = containers.write_video(tmp_path / "clip.avi", "MJPG", 60)
    content = bytearray(path.read_bytes())
    at = content.index(b"movi") + 4
    for number in range(31):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        if number == 30:
            content[at + 8 : at + 8 + length] = bytes(length)
        at += 8 + length + length % 2
    path.write_bytes(bytes(content))
    assert [at for at, _ in video_frames(path)] == list(range(59))
    assert map_frames(path, 5, lambda at, image: at) == frame_positions(59, 5).tolist()


def test_frames_come_upright(tmp_path):
    path = containers.turned(containers.write_video(tmp_path / "clip.mp4"))
    shapes = {image.shape for _, image in video_frames(path)} | set(
        map_frames(path, 9, lambda at, image: image.shape)
    )
    assert shapes == {(64, 48, 3)}
    first = next(image for _, image in video_frames(path))
    corners = [first[y, x].mean() for y in (8, -8) for x in (8, -8)]
    assert sum(corner < 15 for corner in corners) == 1
    assert corners[2] < 15  # the dark corner has gone from lower right to lower left


class KeepingBack:
    """Grabs every frame and cannot give the fourth and fifth; OpenCV's types crash when derived from."""

    make = cv2.VideoCapture

    def __init__(self, path):
        self.capture, self.at = KeepingBack.make(path), -1

    def __getattr__(self, name):
        return getattr(self.capture, name)

    def grab(self):
        self.at += 1
        return self.capture.grab()

    def retrieve(self):
        return (False, None) if self.at in (3, 4) else self.capture.retrieve()


def test_frames_that_cannot_be_given_are_named_and_cost_no_other(video, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", KeepingBack)
    *seen, last = look_at([video], look=lambda *_: [])
    assert [each.frame for each in seen] == [n for n in range(FRAMES) if n not in (3, 4)]
    assert "these frames cannot be decoded: 3, 4" in last.reason
