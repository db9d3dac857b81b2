"""Which faces are taken, how they are cut, and in which colour."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import fer_repro
from fer_repro.cli import app
from fer_repro.datasets.faces import Box, CascadeDetector
from fer_repro.errors import UserError
from fer_repro.inference import journal
from fer_repro.inference.faces_in import FaceFinder, FixedBox, WholeImage, choose_detector, read_boxes
from fer_repro.inference.model import Looking
from fer_repro.inference.sources import list_inputs


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)


class Three:
    name = "three"

    def detect(self, image):
        return [
            Box(0, 0, 40, 40, 1.0),
            Box(100, 50, 200, 150, 2.0),
            Box(10, 10, 60, 60, 9.0),
            Box(0, 0, 5, 5, 99.0),
        ]


def pixels_of(spec, image, detector, which="all"):
    return [face.pixels for face in FaceFinder(spec, detector, which).find(image, "a", None)]


def test_rmn_cuts_a_square_of_eleven_tenths_of_the_mean_side_and_makes_it_grey(rmn, image):
    (found,) = pixels_of(rmn.spec, image, FixedBox(100, 50, 160, 130))
    # mean side (60 + 80) // 2 = 70, half 35, 1.1 of it 38.5 about the centre (130, 90)
    window = image[51 : 90 + 38, 91 : 130 + 38]
    cut = Image.fromarray(window).resize((48, 48), Image.Resampling.BILINEAR)
    grey = np.asarray(cut) @ np.array([0.299, 0.587, 0.114])  # BT.601
    assert found.shape == (1, 48, 48)
    assert np.abs(found[0] - grey).max() <= 1


def test_each_method_cuts_by_its_own_rule(rmn, image):
    colour = replace(rmn.spec, colour="rgb", face_size=64)
    box = FixedBox(100, 50, 160, 130)
    windows = {
        "padded": image[95 - 40 : 95 + 40, 130 - 40 : 130 + 40],  # dlib's square: 80, and 80 / 16 lower
        "scale": image[91 - 52 : 91 + 53, 130 - 52 : 130 + 53],  # 105: 80 * 1.4 * 16 / 17, a bit lower
    }
    for policy, window in windows.items():
        (found,) = pixels_of(replace(colour, crop=policy), image, box)
        cut = Image.fromarray(window).resize((64, 64), Image.Resampling.BILINEAR)
        assert np.array_equal(found, np.asarray(cut).transpose(2, 0, 1)), policy


def test_a_whole_image_of_the_datas_size_is_not_touched(rmn):
    grey = np.random.default_rng(1).integers(0, 256, (48, 48), np.uint8)
    (found,) = pixels_of(rmn.spec, np.stack([grey] * 3, axis=2), WholeImage())
    assert np.array_equal(found[0], grey)


def test_which_faces(rmn, image):
    def boxes(which):
        return [tuple(face.box[:4]) for face in FaceFinder(rmn.spec, Three(), which).find(image, "a", None)]

    assert boxes("all") == [(0, 0, 40, 40), (100, 50, 200, 150), (10, 10, 60, 60)]  # the smallest is none
    assert boxes("largest") == [(100, 50, 200, 150)]
    assert boxes("most_confident") == [(10, 10, 60, 60)]
    table = rmn.predict(image, detector=Three())
    assert table["face"].tolist() == [0, 1, 2]
    assert table["score"].tolist() == [1.0, 2.0, 9.0]


def test_boxes_of_an_earlier_prediction_are_taken_from_table_and_file(rmn, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image[::-1]).save(tmp_path / "b.png")
    first = rmn.predict(tmp_path, detector=Three())
    for kind in ("csv", "parquet", "json"):
        path = tmp_path / f"boxes.{kind}"
        if kind == "json":
            first.to_json(path, orient="records", double_precision=15)
        else:
            getattr(first, f"to_{kind}")(path, index=False)
        again = rmn.predict(tmp_path, detector="none", boxes=path)
        pd.testing.assert_frame_equal(again, first)
    with pytest.raises(UserError, match="column 'left' is missing"):
        read_boxes(first.drop(columns="left"))
    with pytest.raises(UserError, match=r"boxes.txt: expected boxes in a .csv"):
        read_boxes("boxes.txt")


def test_boxes_with_a_margin_are_refused(rmn, run_of, image, tmp_path):
    """A prediction of an earlier version would be widened twice by the networks for manipulation."""
    Image.fromarray(image).save(tmp_path / "a.png")
    first = rmn.predict(tmp_path / "a.png", detector=Three())
    assert first["box"].tolist() == ["tight"] * 3
    earlier = first.drop(columns="box")
    forgeries = fer_repro.load(run_of("efficientnet")).predict(tmp_path / "a.png", detector=Three())
    for table in (earlier, forgeries.drop(columns=["box", "face", "note"])):
        with pytest.raises(UserError, match="boxes: column 'box' is missing: a prediction of an earlier"):
            rmn.predict(tmp_path / "a.png", boxes=table)
    first["box"] = ["tight", "margin", "tight"]
    with pytest.raises(UserError, match="boxes: row 2: box is 'margin': expected 'tight'"):
        rmn.predict(tmp_path / "a.png", boxes=first)
    own = earlier[["source", "frame", "left", "top", "right", "bottom"]]  # made by hand: tight, as documented
    again = rmn.predict(tmp_path / "a.png", boxes=own)
    assert again["confidence"].tolist() == pytest.approx(earlier["confidence"].tolist())
    earlier.to_csv(tmp_path / "earlier.csv", index=False)
    command = ["predict", str(tmp_path / "a.png"), "-m", str(run_of("rmn")), "--boxes"]
    message = CliRunner().invoke(app, [*command, str(tmp_path / "earlier.csv")])
    assert message.exit_code != 0
    assert "earlier version, whose boxes had a margin" in f"{message.output}{message.exception}"


def test_a_journal_of_boxes_with_margin_is_not_continued(rmn, image, tmp_path, monkeypatch):
    inputs, now = list_inputs(image), Looking(detector=Three())
    stamp = journal.stamp_of(rmn, inputs, now)
    monkeypatch.setattr(journal, "TIGHT", "margin")
    assert journal.stamp_of(rmn, inputs, now) != stamp


def test_networks_for_manipulation_widen_each_box_once(run_of, image, monkeypatch):
    """Found, given and earlier boxes mean the same face, so they give the same score."""
    model = fer_repro.load(run_of("efficientnet"))
    monkeypatch.setattr(CascadeDetector, "detect", lambda self, image: [Box(100, 50, 161, 130, 20.0)])
    found = model.predict(image)
    given = model.predict(image, detector="100,50,161,130")
    earlier = model.predict(image, boxes=found)
    # the box with its margin is 90 x 105 about (130.5, 91.8): a window of 105 from (78, 39)
    by_hand = model.predict(image[39:144, 78:183], detector="none")
    scores = [table["forgery_logit"].iloc[0] for table in (found, given, earlier, by_hand)]
    assert scores == pytest.approx([scores[0]] * 4)


def test_an_image_without_a_face_has_a_row_of_its_own(rmn, image):
    class Nobody:
        name = "nobody"

        def detect(self, image):
            return [] if image[0, 0, 0] == 0 else [Box(10, 10, 90, 90)]

    blank = image.copy()
    blank[0, 0, 0], image[0, 0, 0] = 0, 1
    table = rmn.predict([image, blank, image], detector=Nobody())
    assert table["note"].tolist() == ["", "no face", ""]
    assert table["face"].tolist() == [0, -1, 0]
    assert table["prediction"].isna().tolist() == [False, True, False]
    assert np.isnan(table.loc[1, "confidence"])
    assert np.isnan(table.loc[1, "left"])
    assert table.loc[0, "confidence"] == pytest.approx(table.loc[2, "confidence"])


def test_further_faces_of_the_cascades_must_be_sure(rmn, image, monkeypatch):
    boxes = [Box(0, 0, 40, 40, 5.0), Box(50, 0, 90, 40, 4.0), Box(100, 0, 140, 40, 12.0)]
    detector = CascadeDetector()
    monkeypatch.setattr(detector, "detect", lambda image: boxes)
    assert rmn.predict(image, detector=detector)["score"].tolist() == [5.0, 12.0]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("cascad", "did you mean 'cascade'"),
        ("1,2,3", "left,top,right,bottom in pixels"),
        ("1,2,3,x", "left,top,right,bottom in pixels"),
        ("9,2,3,4", "expected 0 <= left < right"),
    ],
)
def test_unknown_detectors(choice, message):
    with pytest.raises(UserError, match=message):
        choose_detector(choice)


def test_wrong_numbers_are_told():
    for wrong in ({"every": 0}, {"window": 0}, {"batch_size": -1}, {"frames": 1.5}, {"faces": "al"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Looking(**wrong)


def test_the_cascade_finds_a_drawn_face(rmn):
    from fer_repro.synthetic.render import render
    from fer_repro.synthetic.stills import sample_stills

    face = render(sample_stills(5, {"train": 1}, 1), 96, colour=True, supersample=1).images[0]
    scene = np.full((200, 300, 3), 120, np.uint8)
    scene[50:146, 100:196] = face
    table = rmn.predict(scene)
    assert len(table) == 1
    middle = (
        (table.loc[0, "left"] + table.loc[0, "right"]) / 2,
        (table.loc[0, "top"] + table.loc[0, "bottom"]) / 2,
    )
    assert middle == pytest.approx((148, 98), abs=20)
