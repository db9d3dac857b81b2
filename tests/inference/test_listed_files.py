"""Which files of folders and globs are looked at, in which order, and what is reported of the others."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import tiny_model
from typer.testing import CliRunner

import fer_repro
from fer_repro.cli import app
from fer_repro.inference.sources import list_inputs

FRAMES = [f"{number}.png" for number in range(1, 13)]


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path)


def names(given, home):
    return [Path(each.source).relative_to(home).as_posix() for each in list_inputs(given)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), "fan")


def test_frames_are_in_their_order_in_time(tmp_path):
    for name in FRAMES:
        image(tmp_path / "clip2" / name)
        image(tmp_path / "clip10" / name)
    expected = [f"{clip}/{name}" for clip in ("clip2", "clip10") for name in FRAMES]
    for given in (tmp_path, f"{tmp_path}/*/*.png", f"{tmp_path}/**/*.png", f"{tmp_path}/**"):
        assert names(given, tmp_path) == expected


def test_a_folder_within_does_not_cut_its_clip_in_two(tmp_path, model):
    for name in ("1.png", "5sub/1.png", "9.png"):
        image(tmp_path / name)
    table = fer_repro.load(model).predict(tmp_path, detector="none")
    assert table["clip"].tolist() == [f"{tmp_path} from 1.png"] * 2 + [f"{tmp_path}/5sub from 1.png"]


@pytest.fixture
def linked(tmp_path):
    """A folder of images that links to a drive, to a folder of its own, to itself, and upwards."""
    photos = tmp_path / "home" / "photos"
    image(tmp_path / "drive" / "day1" / "a.png")
    image(tmp_path / "home" / "elsewhere.png")
    image(photos / "b.png")
    image(photos / "own" / "c.png")
    links = {"day1": tmp_path / "drive" / "day1", "again": photos / "own", "loop": photos, "up": tmp_path}
    for name, target in links.items():
        (photos / name).symlink_to(target, target_is_directory=True)
    (tmp_path / "drive" / "day1" / "back").symlink_to(photos)
    return photos


@pytest.mark.parametrize("pattern", ["", "/**/*.png", "/**"])
def test_linked_folders_are_entered_once_and_loops_end(linked, pattern):
    assert sorted(names(f"{linked}{pattern}", linked)) == ["b.png", "day1/a.png", "own/c.png"]


def test_broken_links_and_locked_folders_are_reported(linked, model, monkeypatch):
    for name, target in {"gone.png": "nowhere.png", "round.png": "round.png", "day2": "/no/drive"}.items():
        (linked / name).symlink_to(target)
    image(linked / "locked" / "d.png")
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and may(path, mode))
    for given in (str(linked), f"{linked}/**"):
        done = CliRunner().invoke(
            app, ["predict", given, "-m", str(model), "--detector", "none", "--json", "-"]
        )
        assert done.exit_code == 3
        said = done.stderr
        assert f"failed: {linked}/gone.png: a link to nowhere.png, which does not exist" in said
        assert f"failed: {linked}/round.png: a link to round.png, which does not exist" in said
        assert f"failed: {linked}/day2: a link to /no/drive, which does not exist" in said
        assert f"failed: {linked}/locked: this folder may not be read" in said
        assert done.stdout.count('"source"') == 3


def test_what_the_system_cannot_look_up_costs_no_other(tmp_path, model):
    image(tmp_path / "a.png")
    given = [tmp_path / "a.png", "x" * 5000 + ".png", "a\0b.png", tmp_path / "a.png" / "b.png"]
    table = fer_repro.load(model).predict(given, detector="none")
    assert len(table) == 1
    assert len(table.attrs["failed"]) == 3
    assert np.isfinite(table["confidence"]).all()
