from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import laplace, maximum_filter

from fer_repro.datasets.samples import check_samples
from fer_repro.errors import UserError
from fer_repro.sections import read_section
from fer_repro.synthetic import forgeries
from fer_repro.synthetic import forgeries as videos
from fer_repro.synthetic import light as camera
from fer_repro.synthetic.factors import IDENTITY_COLUMNS, VIEW_COLUMNS, check_factors
from fer_repro.synthetic.forgeries import KINDS, LABELS, ForgerySettings, draw, sample_forgeries
from fer_repro.synthetic.pairs import sample_pairs
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import sample_stills

WHOLE = {
    "name": "synthetic_forgeries",
    "kind": "forgeries",
    "seed": 0,
    "size": 64,
    "frames": 4,
    "real": {"train": 60, "val": 20, "test": 30},
    "manipulated": {"train": 90, "val": 30, "test": 45},
}
FEW = WHOLE | {
    "frames": 2,
    "real": {"train": 2, "val": 2, "test": 3},
    "manipulated": {"train": 1, "val": 1, "test": 6},
}
UNTOUCHED = {
    "edge": (0.2, 0.2),
    "matched": (0.0, 0.0),
    "level": (0.0, 0.0),
    "warmth": (0.0, 0.0),
    "resolution": (1.0, 1.0),
    "misplaced": (0.0, 0.0),
    "bent": (0.0, 0.0),
}


def table_of(settings):
    return sample_forgeries(read_section(ForgerySettings, settings, "settings"))


def couples(drawn):
    """Yield the row of each forged frame, its image and its original's."""
    rows = drawn.samples.to_dict("records")
    real = {(row["clip"], row["frame"]): row["image"] for row in rows}
    for row in rows:
        if row["label"]:
            original = real[row["original"], row["frame"]]
            yield row, drawn.images[row["image"]].astype(int), drawn.images[original].astype(int)


@pytest.fixture(scope="module")
def whole():
    return table_of(WHOLE)


@pytest.fixture(scope="module")
def few():
    return draw(FEW)


@pytest.fixture(scope="module")
def without_jpeg():
    take = camera.photograph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            camera, "photograph", lambda image, view, colour: take(image, replace(view, jpeg=0), colour)
        )
        return draw(FEW)


def test_the_table_has_the_form_of_every_set(few):
    checked = check_samples(few.samples, LABELS, len(few.images), "forgeries")
    check_factors(few.samples)
    assert len(checked) == len(few.images) == 2 * (7 + 8)
    assert few.images.shape[1:] == (64, 64, 3)
    assert few.samples["image"].tolist() == list(range(len(few.images)))
    assert few.samples["label"].tolist() == (few.samples["forgery"] != "none").astype(int).tolist()


def test_a_table_read_back_from_csv_is_the_same(few, tmp_path):
    few.samples.to_csv(tmp_path / "samples.csv", index=False)
    again = pd.read_csv(tmp_path / "samples.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(again, few.samples, check_dtype=False)
    real = again[again["label"] == 0]
    assert np.array_equal(render(real, 64, colour=True).images, few.images[real["image"]])


def test_counts_are_those_of_the_settings(whole):
    counts = whole[whole["frame"] == 0].groupby(["label", "split"]).size().to_dict()
    assert counts == {
        **{(0, split): count for split, count in WHOLE["real"].items()},
        **{(1, split): count for split, count in WHOLE["manipulated"].items()},
    }
    assert whole.groupby("clip")["frame"].apply(list).map(lambda frames: frames == [0, 1, 2, 3]).all()
    kinds = whole[whole["label"] == 1].groupby(["split", "forgery"])["clip"].nunique().unstack()
    assert kinds.to_dict("index") == {
        split: dict.fromkeys(sorted(KINDS), count // 3) for split, count in WHOLE["manipulated"].items()
    }


def test_nobody_is_shown_or_is_a_source_in_two_splits(whole):
    shown = whole[["subject", "split"]]
    sources = whole.loc[whole["source"] != "", ["source", "split"]].rename(columns={"source": "subject"})
    assert len(sources) == 4 * 55
    assert pd.concat([shown, sources]).groupby("subject")["split"].nunique().max() == 1
    people = whole[["split", *IDENTITY_COLUMNS]].drop_duplicates()
    assert len(people) == people[list(IDENTITY_COLUMNS)].drop_duplicates().shape[0] == 110


def test_nobody_is_a_person_of_another_set(whole):
    columns = list(IDENTITY_COLUMNS)
    people = whole[columns].drop_duplicates()
    for other in (sample_stills(0), sample_pairs(0).samples):
        assert people.merge(other[columns].drop_duplicates(), on=columns).empty


def test_a_manipulated_frame_has_its_originals_person_pose_light_and_camera(whole):
    real = whole[whole["label"] == 0].set_index(["clip", "frame"])
    forged = whole[whole["label"] == 1]
    originals = real.loc[list(zip(forged["original"], forged["frame"], strict=True))].reset_index()
    for column in ("split", "subject", *IDENTITY_COLUMNS, *VIEW_COLUMNS):
        assert (forged[column].to_numpy() == originals[column].to_numpy()).all(), column
    swap, transfer = (forged["forgery"] == kind for kind in ("swap", "transfer"))
    assert ((forged["source"] != "") == swap).all()
    assert (forged["source"] != forged["subject"]).all()
    same_expression = forged["expression"].to_numpy() == originals["expression"].to_numpy()
    assert (same_expression != transfer.to_numpy()).all()


def test_an_original_is_manipulated_in_different_ways(whole):
    forged = whole[(whole["label"] == 1) & (whole["frame"] == 0)]
    assert not forged.duplicated(["original", "forgery"]).any()
    assert forged["original"].value_counts().max() == 2


def test_videos_move_a_little(whole):
    spans = whole[whole["label"] == 0].groupby("clip")[["yaw", "light_azimuth", "jitter_x"]].agg(np.ptp)
    assert (spans["yaw"] <= 5.1).all()
    assert spans["yaw"].mean() > 1.0
    assert (spans["light_azimuth"] <= 4.1).all()
    assert (spans["jitter_x"] <= 2 * videos.STEADY + 1e-9).all()


def test_the_settings_alone_decide(few):
    again = draw(dict(reversed(FEW.items())))
    assert np.array_equal(again.images, few.images)
    pd.testing.assert_frame_equal(again.samples, few.samples)
    other = draw(FEW | {"seed": 1})
    assert not np.array_equal(other.images, few.images)


def test_truth_is_of_the_test_part(few):
    tested = few.samples[few.samples["split"] == "test"]
    assert few.truth["samples"].tolist() == tested.index.tolist()
    masks = few.truth["manipulated"]
    assert masks.dtype == np.bool_
    assert masks.shape == (18, 64, 64)
    share = masks.mean(axis=(1, 2))
    forged = tested["label"].to_numpy() == 1
    assert (share[~forged] == 0).all()
    assert (share[forged] > 0.2).all()
    assert (share[forged] < 0.6).all()


def test_images_differ_from_their_originals_inside_the_mask_only(without_jpeg):
    truth = dict(zip(without_jpeg.truth["samples"], without_jpeg.truth["manipulated"], strict=True))
    seen = set()
    for row, forged, original in couples(without_jpeg):
        if row["split"] != "test":
            continue
        changed = np.abs(forged - original).max(axis=2)
        inside = truth[row["image"]]
        beyond = ~maximum_filter(inside, 7)  # the mask's faint rim, and the blur of the camera
        assert beyond.mean() > 0.3
        assert (changed[beyond] == 0).all()
        assert changed[inside].mean() > 2
        seen.add(row["forgery"])
    assert seen == set(KINDS)


def test_jpeg_comes_after_the_manipulation(few, without_jpeg):
    pairs = list(zip(couples(few), couples(without_jpeg), strict=True))
    assert len(pairs) == 16
    for (row, packed, _), (_, plain, _) in pairs:
        assert row["jpeg"] > 0
        assert 0 < np.abs(packed - plain).mean() < 8


def test_without_traces_only_swap_and_transfer_change_the_face(monkeypatch):
    monkeypatch.setattr(forgeries, "TRACES", dict.fromkeys(KINDS, UNTOUCHED))
    change = {kind: [] for kind in KINDS}
    for row, forged, original in couples(draw(FEW)):
        change[row["forgery"]].append(np.abs(forged - original).max())
    assert max(change["resample"]) <= 1
    assert min(change["swap"]) > 20
    assert min(change["transfer"]) > 20


def test_a_resampled_face_has_less_detail(without_jpeg):
    ratios = [
        np.abs(laplace(forged[20:44, 20:44, 1])).mean() / np.abs(laplace(original[20:44, 20:44, 1])).mean()
        for row, forged, original in couples(without_jpeg)
        if row["forgery"] == "resample"
    ]
    assert len(ratios) == 4
    assert max(ratios) < 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": 4}, "unknown key 'frame'.*frames"),
        ({"size": 8}, "size is 8"),
        ({"kind": "pairs"}, "kind is 'pairs'"),
        ({"real": {"train": 2, "val": 1, "test": 2}}, "'val': 1.*two people"),
        ({"real": {"train": 2, "val": 2}}, "real.test.* missing"),
    ],
)
def test_wrong_settings_are_told(change, message):
    with pytest.raises(UserError, match=f"(?s)synthetic_forgeries.*{message}"):
        draw(FEW | change)
