"""What can be given, what is refused, and what is passed over and told."""

import numpy as np
import pytest
from PIL import Image
from videos import write_video

from fer_repro.errors import UserError
from fer_repro.inference.sources import (
    Done,
    Failed,
    Seen,
    Still,
    list_inputs,
    look_at,
    read_still,
    video_frames,
)


def events(given, **options):
    return list(look_at(list_inputs(given), lambda image, source, frame: [], **options))


def names(given):
    return [str(each) if not isinstance(each, Still) else each.source for each in list_inputs(given)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "deep/c.PNG", "deep/er/d.webp", ".hidden.png"):
        Image.new("RGB", (8, 6), (1, 2, 3)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_folders_and_globs_are_sorted_and_keep_to_images(folder):
    found = [f"{folder}/{name}" for name in ("a.jpg", "b.png", "deep/c.PNG", "deep/er/d.webp")]
    assert names(folder) == found
    assert names(f"{folder}/*.[jp][pn]g") == [found[0], found[1]]
    assert names(f"{folder}/**/*.webp") == [found[3]]
    assert names([folder / "b.png", folder]) == [found[1], *found]  # each entry gives all its images


def test_arrays_of_all_shapes():
    grey, colour = np.zeros((6, 8), np.uint8), np.ones((6, 8, 3), np.uint8)
    assert names([grey, colour]) == ["array 0", "array 1"]
    assert names(np.zeros((5, 6, 8), np.uint8)) == ["array 0"] * 5
    assert names(np.zeros((4, 6, 8, 1), np.uint8)) == ["array 0"] * 4
    shown = [read_still(each) for each in list_inputs([grey, colour, np.zeros((2, 6, 8, 3), np.uint8)])]
    assert {each.shape for each in shown} == {(6, 8, 3)}
    assert [each.frame for each in list_inputs(np.zeros((2, 6, 8, 3), np.uint8))] == [0, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((6, 8)), r"array 0 is float64 \(6, 8\): expected uint8, RGB, 0 to 255"),
        (np.zeros((2, 6, 8, 5), np.uint8), r"array 0 has the shape \(2, 6, 8, 5\)"),
        ([], "no input"),
        ("/nowhere/*.png", "no image or video there"),
    ],
)
def test_what_is_nothing_to_look_at(given, message):
    with pytest.raises(UserError, match=message):
        list_inputs(given)


def test_a_damaged_image_among_good_ones_is_told_and_passed_over(folder):
    whole = (folder / "a.jpg").read_bytes()
    (folder / "a1.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "a2.png").write_bytes(b"no image at all")
    Image.new("I;16", (4, 4)).save(folder / "a3.png")
    found = events([folder, folder / "gone.png"])
    failed = {each.source.rpartition("/")[2]: each.reason for each in found if isinstance(each, Failed)}
    assert set(failed) == {"a1.jpg", "a2.png", "a3.png", "gone.png"}
    assert "a1.jpg: not readable as an image" in failed["a1.jpg"]
    assert "unknown kind" in failed["a2.png"]
    assert "pixel type 'I;16': expected 8-bit" in failed["a3.png"]
    assert "no such file" in failed["gone.png"]
    good = [f"{folder}/{name}" for name in ("a.jpg", "b.png", "deep/c.PNG", "deep/er/d.webp")]
    assert [each.source for each in found if isinstance(each, Seen)] == good
    assert [each.source for each in found if isinstance(each, Done)] == good


def test_an_image_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees to the right
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    seen = read_still(Still(str(tmp_path / "a.png")))
    assert seen.shape == (6, 4, 3)
    assert seen[0, 3].tolist() == [255, 255, 255]


def test_videos_are_given_frame_by_frame(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 24, 32, 3), np.uint8)
    path = write_video(tmp_path / "a.avi", images)
    assert [at for at, _ in video_frames(path, every=3)] == [0, 3, 6]
    assert [at for at, _ in video_frames(path, every=2, start=3)] == [4, 6]
    for at, frame in video_frames(path, start=5):
        assert np.array_equal(frame, images[at])
    assert [each.frame for each in events(path, begin={0: 5}) if isinstance(each, Seen)] == [5, 6]
    assert events(path, finished={0}) == []


def test_a_cut_off_video_gives_its_frames_and_is_told(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    path = write_video(tmp_path / "a.avi", images, "MJPG")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found = events(path)
    seen = [each for each in found if isinstance(each, Seen)]
    assert 10 < len(seen) < 30
    assert isinstance(found[-1], Failed)
    assert "a.avi" in found[-1].reason
    (tmp_path / "b.mp4").write_bytes(b"no video")
    (failed,) = events(tmp_path / "b.mp4")
    assert "not readable as a video" in failed.reason
