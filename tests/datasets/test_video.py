import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_repro.datasets import video
from fer_repro.datasets.containers import read_promise
from fer_repro.datasets.video import frame_positions, map_frames
from fer_repro.errors import UserError


def write_video(path, frames=40, codec="MJPG"):
    """Frames of 48 x 32 whose upper half tells their number in six binary stripes; the lower half is red."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (48, 32))
    for number in range(frames):
        photo = np.zeros((32, 48, 3), np.uint8)
        for bit in range(6):
            photo[:16, 8 * bit : 8 * bit + 8] = 255 * (number >> bit & 1)
        photo[16:, :, 2] = 200  # OpenCV writes BGR
        writer.write(photo)
    writer.release()
    return path


def number_of(at, frame):
    red, green, blue = frame[20:28].reshape(-1, 3).mean(axis=0)
    assert red > 170 > 40 > max(green, blue)
    stripes = frame[4:12].mean(axis=(0, 2)).reshape(6, 8).mean(axis=1) > 128
    return at, int((stripes * 2 ** np.arange(6)).sum())


@pytest.mark.parametrize(
    ("count", "wanted"), [(300, 32), (10, 32), (1, 5), (32, 32), (33, 32), (7, 1), (751, 5)]
)
def test_positions_are_equally_spaced(count, wanted):
    naive = sorted({int(k * (count - 1) / max(wanted - 1, 1)) for k in range(wanted)})
    found = frame_positions(count, wanted).tolist()
    assert found == naive
    assert found[0] == 0
    assert wanted == 1 or found[-1] == count - 1


@pytest.mark.parametrize(("count", "wanted"), [(0, 5), (5, 0)])
def test_no_positions_is_an_error(count, wanted):
    with pytest.raises(UserError, match=f"{wanted} of {count} frames: expected"):
        frame_positions(count, wanted)


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_the_right_frames_come_in_rgb(tmp_path, suffix, codec):
    path = write_video(tmp_path / f"video{suffix}", codec=codec)
    assert read_promise(path) == (40, 1.0)
    assert map_frames(path, 4, number_of) == [(0, 0), (13, 13), (26, 26), (39, 39)]
    assert len(map_frames(path, 64, number_of)) == 40


def test_only_one_frame_is_in_memory(tmp_path):
    path = write_video(tmp_path / "video.avi")
    kept = []

    def watch(at, frame):
        assert all(reference() is None for reference in kept)
        kept.append(weakref.ref(frame))
        return at

    assert len(map_frames(path, 8, watch)) == 8


@pytest.mark.parametrize("promised", [44, 0, 37])
def test_a_wrong_header_is_found_out(tmp_path, monkeypatch, promised):
    path = write_video(tmp_path / "video.avi")
    monkeypatch.setattr(video, "_promised", lambda capture: promised)
    assert map_frames(path, 4, number_of) == [(0, 0), (13, 13), (26, 26), (39, 39)]


class Faulty:
    """Cannot grab the frames of ``lost`` and cannot give those of ``kept_back``.

    It holds a capture: OpenCV's types crash when they are derived from.
    """

    make = cv2.VideoCapture

    lost: tuple[int, ...] = ()
    kept_back: tuple[int, ...] = ()

    def __init__(self, path):
        self.capture = Faulty.make(path)
        self.at = -1

    def __getattr__(self, name):
        return getattr(self.capture, name)

    def grab(self):
        self.at += 1
        return self.capture.grab() and self.at not in self.lost

    def retrieve(self):
        return (False, None) if self.at in self.kept_back else self.capture.retrieve()


def test_a_damaged_frame_does_not_end_a_video(tmp_path, monkeypatch):
    path = write_video(tmp_path / "video.avi")
    monkeypatch.setattr(video.cv2, "VideoCapture", Faulty)
    monkeypatch.setattr(Faulty, "lost", (10, 11))
    assert map_frames(path, 4, number_of) == [(0, 0), (12, 14), (24, 26), (37, 39)]


def test_a_frame_that_is_not_given_is_replaced_by_the_next(tmp_path, monkeypatch):
    path = write_video(tmp_path / "video.avi")
    monkeypatch.setattr(video.cv2, "VideoCapture", Faulty)
    monkeypatch.setattr(Faulty, "kept_back", (13, 14, 39))
    assert map_frames(path, 4, number_of) == [(0, 0), (15, 15), (26, 26)]
    monkeypatch.setattr(Faulty, "kept_back", tuple(range(40)))
    with pytest.raises(UserError, match=r"video\.avi: none of 40 frames can be given"):
        map_frames(path, 4, number_of)


def test_a_video_that_is_cut_off(tmp_path):
    path = write_video(tmp_path / "video.avi")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"video\.avi: ends after \d+ of \d+ frames: the file is cut off"):
        map_frames(path, 4, number_of)


def test_a_video_without_frames(tmp_path, monkeypatch):
    path = write_video(tmp_path / "video.avi")
    monkeypatch.setattr(video.cv2, "VideoCapture", Empty)
    with pytest.raises(UserError, match=r"video\.avi: no frame can be decoded"):
        map_frames(path, 4, number_of)


class Empty:
    """A capture that opens and promises, and then gives nothing."""

    def __init__(self, path):
        pass

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return True

    def get(self, number):
        return 40.0

    def grab(self):
        return False

    def release(self):
        pass


@pytest.mark.parametrize("content", [b"", b"no video at all", None])
def test_what_is_no_video(tmp_path, content):
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"video\.mp4: (no such file|not readable as a video)") as caught:
        map_frames(path, 4, number_of)
    assert "\n" not in str(caught.value)


def test_real_clips_decode():
    folder = Path(os.environ.get("FER_REPRO_REAL_DATA", "") or "/nowhere") / "deepfake"
    if not folder.is_dir():
        pytest.skip("FER_REPRO_REAL_DATA names no folder with deepfake/")
    videos = sorted(folder.rglob("*.mp4"))
    shapes = {video.stem: map_frames(video, 3, lambda at, frame: (at, frame.shape)) for video in videos}
    assert len(shapes) == 10
    assert shapes["004"] == [(0, (720, 1280, 3)), (154, (720, 1280, 3)), (308, (720, 1280, 3))]
    assert shapes["brtujopkby"][-1] == (299, (1920, 1080, 3))  # upright
    assert shapes["519_515"][-1] == (750, (480, 640, 3))


def test_only_this_project_speaks_of_a_damaged_video(tmp_path, capfd):
    path = tmp_path / "broken.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(2000))
    with pytest.raises(UserError, match="not readable as a video"):
        map_frames(path, 2, lambda at, frame: at)
    assert capfd.readouterr().err == ""
