import numpy as np
import pytest

from fer_repro.datasets.samples import check_samples
from fer_repro.errors import UserError
from fer_repro.synthetic.factors import ACTION_COLUMNS, DISTANCE
from fer_repro.synthetic.render import render
from fer_repro.synthetic.smiles import draw, sample_expressions
from fer_repro.synthetic.stills import sample_stills

SETTINGS = {
    "name": "few", "kind": "smiles", "seed": 0, "size": 32, "people": {"train": 3, "val": 2, "test": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def few():
    return draw(SETTINGS)


def test_each_clip_is_one_person_in_one_view_before_and_after(few):
    table = few.samples
    assert few.images.shape == (18, 32, 32)
    assert few.classes == DISTANCE
    check_samples(table, DISTANCE, 18, "few")
    before, after = table.iloc[::2].reset_index(drop=True), table.iloc[1::2].reset_index(drop=True)
    assert (set(before["expression"]), set(after["expression"])) == ({"neutral"}, {"happy"})
    changing = ["image", "intensity", "noise_seed", "expression", *ACTION_COLUMNS]
    assert before.drop(columns=changing).equals(after.drop(columns=changing))
    assert before["clip"].tolist() == before["subject"].tolist()
    assert before["subject"].nunique() == 9
    assert (after["corner_pull"] > before["corner_pull"] + 0.3).all()
    assert not before["intensity"].any()


def test_images_are_those_of_the_table_and_nothing_is_occluded(few):
    assert np.array_equal(render(few.samples, 32).images, few.images)
    assert set(few.samples["occluder"]) == {"none"}
    assert not few.samples[["jpeg", "occluder_size", "occluder_x"]].any().any()
    gap = np.abs(few.images[::2].astype(int) - few.images[1::2]).mean(axis=(1, 2))
    assert (gap > 0).all()


def test_people_are_not_those_of_the_stills():
    table = sample_expressions(0, SETTINGS["people"])
    assert table.groupby("split")["subject"].nunique().to_dict() == SETTINGS["people"]
    others = sample_stills(0, {"train": 9}, 1)
    assert table.merge(others, on=["head_width", "eye_spacing", "mouth_width"]).empty


def test_the_same_people_can_get_another_expression():
    happy, disgusted = (sample_expressions(0, {"train": 3}, name) for name in ("happy", "disgust"))
    assert happy[::2].equals(disgusted[::2])
    assert set(disgusted["expression"][1::2]) == {"disgust"}
    wrinkles = disgusted["nose_wrinkle"].to_numpy()
    assert (wrinkles[1::2] > wrinkles[::2] + 0.3).all()


def test_one_seed_gives_one_set(few):
    assert np.array_equal(draw(SETTINGS).images, few.images)
    assert not np.array_equal(draw({**SETTINGS, "seed": 1}).images, few.images)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"size": 8}, "size"), ({"people": {"train": 1}}, "val"), ({"pairs": 3}, "pairs")],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        draw({**SETTINGS, **changed})
