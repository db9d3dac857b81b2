import numpy as np
import pytest

from fer_repro.datasets.samples import check_samples
from fer_repro.errors import UserError
from fer_repro.synthetic.light import compress
from fer_repro.synthetic.render import render
from fer_repro.synthetic.resampled import LABELS, draw, halve, sample_faces
from fer_repro.synthetic.stills import sample_stills

SETTINGS = {
    "name": "few", "kind": "resampled", "seed": 0, "size": 48, "quality": 90,
    "people": {"train": 3, "val": 2, "test": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def few():
    return draw(SETTINGS)


def test_every_face_comes_twice_and_is_compressed_once(few):
    table = few.samples
    assert few.images.shape == (18, 48, 48)
    assert few.classes == LABELS
    check_samples(table, LABELS, 18, "few")
    taken = render(sample_faces(0, SETTINGS["people"]), 48).images
    for row in range(9):
        assert np.array_equal(few.images[row], compress(taken[row], 90))
        assert np.array_equal(few.images[9 + row], compress(halve(taken[row]), 90))
    real, forged = table.iloc[:9], table.iloc[9:]
    changing = ["image", "label", "forgery"]
    assert (
        real.drop(columns=changing)
        .reset_index(drop=True)
        .equals(forged.drop(columns=changing).reset_index(drop=True))
    )
    assert (set(real["label"]), set(forged["label"])) == ({0}, {1})
    assert (set(real["forgery"]), set(forged["forgery"])) == ({"none"}, {"halved"})


def test_people_differ_and_expressions_take_turns(few):
    table = few.samples.iloc[:9]
    assert table["subject"].nunique() == 9
    assert table["expression"].nunique() == 7
    assert table.groupby("split")["subject"].nunique().to_dict() == SETTINGS["people"]
    others = sample_stills(0, {"train": 9}, 1)
    looks = ["head_width", "eye_spacing", "mouth_width"]
    assert table.merge(others, on=looks).empty


def test_one_seed_gives_one_set(few):
    assert np.array_equal(draw(SETTINGS).images, few.images)
    assert not np.array_equal(draw({**SETTINGS, "seed": 1}).images, few.images)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"quality": 0}, "quality"), ({"size": 8}, "size"), ({"people": {"train": 1}}, "val")],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        draw({**SETTINGS, **changed})
