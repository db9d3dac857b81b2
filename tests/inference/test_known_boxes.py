"""Boxes of an earlier prediction: the same faces are chosen, by file and frame, and nothing is guessed."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_models import tiny_model
from typer.testing import CliRunner
from videos import write_video

import fer_repro
from fer_repro.cli import app
from fer_repro.datasets.faces import Box
from fer_repro.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), np.uint8)


class Two:
    name = "two"

    def detect(self, image):
        return [Box(60, 0, 90, 30, 9.0), Box(0, 0, 60, 60, 5.0)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models by method, of single faces, of clips, of manipulation and of people."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name: fer_repro.load(tiny_model(folder, name)) for name in ("rmn", "fan", "efficientnet", "adacos")
    }


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    for number, pixels in enumerate(IMAGES[:2]):
        Image.fromarray(pixels).save(tmp_path / "album" / f"{number}.png")
    write_video(tmp_path / "album" / "video.avi", IMAGES)
    return tmp_path / "album"


def same(one, other):
    pd.testing.assert_frame_equal(one, other, atol=1e-5)


@pytest.mark.parametrize("method", ["rmn", "fan", "efficientnet", "adacos"])
@pytest.mark.parametrize("faces", ["", "all", "largest", "most_confident"])
def test_known_faces_are_chosen_as_found_ones(models, album, method, faces):
    every = models["rmn"].predict(album, detector=Two())
    found = models[method].predict(album, detector=Two(), faces=faces)
    known = models[method].predict(album, boxes=every, faces=faces)
    same(known, found)
    assert len(found) == 6 * (2 if faces == "all" or (not faces and method in ("rmn", "adacos")) else 1)


def test_every_spelling_of_a_file_is_the_same_file(models, album):
    first = models["rmn"].predict("album/0.png", detector=Two())
    (album.parent / "link").symlink_to(album)
    for spelling in (album / "0.png", "./album/0.png", "album/../album/0.png", "link/0.png"):
        again = models["rmn"].predict(spelling, boxes=first)
        same(again.drop(columns="source"), first.drop(columns="source"))
    absolute = first.assign(source=str(album / "0.png"))
    same(models["rmn"].predict("album/0.png", boxes=absolute), first)


def test_repeated_rows_and_inputs_keep_one_row_per_face(models, album):
    twice = models["rmn"].predict([album / "0.png", "album/0.png"], detector=Two())
    assert len(twice) == 4
    assert len(models["rmn"].predict(album / "0.png", boxes=twice)) == 2
    same(models["rmn"].predict([album / "0.png", "album/0.png"], boxes=twice), twice)


def test_arrays_are_joined_by_number_and_frame(models):
    table = models["rmn"].predict([IMAGES, IMAGES[0]], detector=Two())
    same(models["rmn"].predict([IMAGES, IMAGES[0]], boxes=table), table)
    with pytest.raises(
        UserError, match=r"boxes: 1 sources, such as .*array 7: expected some of the inputs, array 0"
    ):
        models["rmn"].predict(IMAGES, boxes=table.assign(source="array 7"))


def test_whole_images_stay_whole(models, album):
    """An earlier prediction of cut-out faces knows them by boxes as large as the image."""
    first = models["rmn"].predict(album, detector="none")
    same(models["rmn"].predict(album, boxes=first), first)


def test_an_input_without_a_row_fails_and_costs_no_other(models, album):
    table = models["rmn"].predict(album, detector=Two())
    part = table[(table["source"] != str(album / "1.png")) & (table["frame"].fillna(0) < 2)]
    found = models["rmn"].predict(album, boxes=part)
    assert found["source"].tolist() == part["source"].tolist()
    assert found.attrs["failed"] == {
        str(
            album / "1.png"
        ): f"{album}/1.png: the boxes have no row for it; leave it out, or search without boxes",
        str(
            album / "video.avi"
        ): f"{album}/video.avi, frame 2: the boxes have no row for it; leave it out, or search without boxes",
    }


def test_an_image_without_a_face_stays_without_one(models, album):
    table = models["rmn"].predict(album / "0.png", detector=Two())
    empty = table.iloc[:1].assign(left=np.nan, top=np.nan, right=np.nan, bottom=np.nan, face=-1)
    assert models["rmn"].predict(album / "0.png", boxes=empty)["note"].tolist() == ["no face"]


def test_a_replaced_image_is_refused_by_name_and_row(models, album, tmp_path):
    boxes = tmp_path / "boxes.csv"
    models["rmn"].predict(album, detector=Two()).to_csv(boxes, index=False)
    Image.fromarray(IMAGES[0, :40, :50]).save(album / "1.png")
    model = tiny_model(tmp_path)
    done = CliRunner().invoke(
        app,
        ["predict", str(album), "-m", str(model), "--boxes", str(boxes), "--csv", str(tmp_path / "out.csv")],
    )
    assert done.exit_code == 3
    assert done.stderr.splitlines() == [
        "warning: rmn masked was trained on unknown data",
        f"failed: {album}/1.png: row 3 of the boxes: 60,0,90,30 lies outside 50 x 40 pixels, "
        "half of it or more",
    ]
    assert len(pd.read_csv(tmp_path / "out.csv")) == 10


def test_a_fixed_box_outside_an_image_is_refused(models):
    table = models["rmn"].predict([IMAGES[0], IMAGES[0, :20, :20]], detector="10,10,60,60")
    assert len(table) == 1
    assert table.attrs["failed"] == {
        "array 1": "array 1: box 10,10,60,60 lies outside 20 x 20 pixels, half of it or more"
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"right": np.nan}, r"boxes: row 1: box .*expected left < right"),
        ({"left": 99.0}, r"boxes: row 1: box .*expected left < right"),
        ({"source": ""}, "boxes: row 1: source is empty"),
        ({"source": None}, "boxes: row 1: source is empty"),
    ],
)
def test_half_a_box_is_refused(models, album, change, message):
    table = models["rmn"].predict(album / "0.png", detector=Two())
    with pytest.raises(UserError, match=message):
        models["rmn"].predict(album / "0.png", boxes=table.assign(**change))


def test_the_surest_needs_scores(models, album):
    table = models["rmn"].predict(album / "0.png", detector=Two()).drop(columns="score")
    assert len(models["rmn"].predict(album / "0.png", boxes=table, faces="largest")) == 1
    failed = models["rmn"].predict(album / "0.png", boxes=table, faces="most_confident").attrs["failed"]
    assert "row 1 of the boxes has no score" in failed[str(album / "0.png")]


def test_boxes_from_files_give_the_very_same_windows(models, tmp_path, monkeypatch):
    """Cascades divide by the shrink factor: a side of 12.999999999999998 is 13 in every file."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGES[0]).save("007.png")
    (tmp_path / "007.png").rename("007")  # a number that is a name

    class Divided:
        name = "divided"

        def detect(self, image):
            return [Box(12.999999999999998, 3.9999999999999996, 60.00000000000001, 51.999999999999993, 9.0)]

    found = models["efficientnet"].predict("007", detector=Divided())
    whole = models["efficientnet"].predict("007", detector="13,4,60,52")
    assert found["forgery_logit"].tolist() == whole["forgery_logit"].tolist()
    for kind in ("csv", "json", "parquet"):
        write = getattr(found, f"to_{kind}")
        write(f"boxes.{kind}", **({"orient": "records"} if kind == "json" else {"index": False}))
        again = models["efficientnet"].predict("007", boxes=f"boxes.{kind}")
        assert again["forgery_logit"].tolist() == found["forgery_logit"].tolist()
        assert again["source"].tolist() == ["007"]


def test_what_a_detector_finds_at_an_edge_is_taken_again(models):
    class AtTheEdge:
        name = "edge"

        def detect(self, image):
            return [Box(-20, 0, 50, 60, 9.0)]

    found = models["rmn"].predict(IMAGES, detector=AtTheEdge())
    same(models["rmn"].predict(IMAGES, boxes=found), found)


def test_a_detector_that_gives_no_numbers_is_reported(models):
    class Lost:
        name = "lost"

        def detect(self, image):
            return [Box(float("nan"), 0, 50, 60, 9.0)]

    table = models["rmn"].predict(IMAGES[0], detector=Lost())
    assert len(table) == 0
    assert "detector lost gives the box (nan, 0, 50, 60)" in table.attrs["failed"]["array 0"]


def test_a_damaged_video_is_drawn_as_far_as_it_goes(models, tmp_path):
    folder, model = tmp_path / "in", tmp_path / "models"
    folder.mkdir()
    model.mkdir()
    write_video(folder / "a.avi", np.concatenate([IMAGES] * 5))
    content = (folder / "a.avi").read_bytes()
    (folder / "a.avi").write_bytes(content[: len(content) // 2])
    Image.fromarray(IMAGES[0]).save(folder / "z.png")
    command = ["predict", str(folder), "-m", str(tiny_model(model)), "--detector", "none"]
    done = CliRunner().invoke(app, [*command, "--annotate", str(tmp_path / "seen")])
    assert done.exit_code == 3, done.output
    assert "the file is cut off" in done.stderr
    assert len(list((tmp_path / "seen").iterdir())) == 2
