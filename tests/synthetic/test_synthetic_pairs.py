import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.folds import identification_table
from fer_repro.datasets.pairs import COLUMNS, crossing_folds, people_in
from fer_repro.datasets.samples import check_samples, samples_csv
from fer_repro.errors import UserError
from fer_repro.synthetic.factors import CLASSES, IDENTITY_COLUMNS, check_factors
from fer_repro.synthetic.pairs import GAPS, LOOKS, PEOPLE, draw, sample_pairs
from fer_repro.synthetic.render import render
from fer_repro.synthetic.stills import STILLS_COLUMNS, sample_stills

FEW = {"train": 3, "val": 3, "test": 6}
MANIFEST = {
    "name": "few", "kind": "pairs", "seed": 3, "people": FEW, "pictures": 4, "folds": 2, "per_fold": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    return sample_pairs(0)


def test_tables_have_the_form_of_every_set(whole):
    samples, pairs = whole
    assert tuple(samples.columns) == STILLS_COLUMNS
    assert tuple(pairs.columns) == (*COLUMNS, *GAPS)
    check_samples(samples, CLASSES, len(samples), "pairs")
    check_factors(samples)
    assert samples.groupby("split")["subject"].nunique().to_dict() == PEOPLE


def test_people_stay_in_one_split_and_their_features_stay_theirs(whole):
    samples, _ = whole
    assert samples.groupby("subject")["split"].nunique().max() == 1
    assert samples.groupby("subject")[list(IDENTITY_COLUMNS)].nunique().max().max() == 1
    assert len(samples[list(IDENTITY_COLUMNS)].drop_duplicates()) == sum(PEOPLE.values())


@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_is_a_person_of_the_stills(whole, seed):
    columns = list(IDENTITY_COLUMNS)
    stills = sample_stills(seed)[columns].drop_duplicates()
    assert whole.samples[columns].drop_duplicates().merge(stills, on=columns).empty


def test_pairs_are_what_they_say(whole):
    samples, pairs = whole
    factors = samples[list(IDENTITY_COLUMNS)].to_numpy(object)
    alike = (factors[pairs["first"]] == factors[pairs["second"]]).all(axis=1)
    assert alike.tolist() == pairs["same"].astype(bool).tolist()
    assert (pairs["first"] != pairs["second"]).all()
    assert not pairs.duplicated(["first", "second"]).any()
    for name in ("val", "test"):
        part = pairs[pairs["list"] == name].reset_index(drop=True)
        assert set(samples.set_index("subject").loc[list(people_in(part, samples)), "split"]) == {name}
        assert part.groupby(["fold", "same"]).size().unique().tolist() == [60]
    assert set(pairs.loc[pairs["list"] == "test", "fold"]) == set(range(1, 11))
    assert crossing_folds(pairs[pairs["list"] == "test"], samples) == ()


def test_expression_pose_and_light_tell_nothing_about_the_kind(whole):
    same, different = (whole.pairs[whole.pairs["same"] == kind] for kind in (1, 0))
    assert same["yaw_gap"].mean() > 15
    assert same["light_gap"].mean() > 30
    assert same["same_expression"].mean() < 0.15
    for column, tolerance in (("yaw_gap", 3), ("light_gap", 6), ("same_expression", 0.06)):
        assert same[column].mean() == pytest.approx(different[column].mean(), abs=tolerance)


def test_a_third_of_the_different_pairs_shows_lookalikes(whole):
    samples, pairs = whole
    looks = samples.drop_duplicates("subject").set_index("subject")
    number = {person: place for place, person in enumerate(looks.index)}
    couples = looks[list(LOOKS)].to_numpy(object).reshape(-1, 2, len(LOOKS))
    assert (couples[:, 0] == couples[:, 1]).all()
    assert len({tuple(couple[0]) for couple in couples}) == len(couples)
    assert (looks["chin"].to_numpy()[::2] != looks["chin"].to_numpy()[1::2]).mean() > 0.9
    people = samples["subject"].to_numpy()
    ends = [(number[people[pair["first"]]], number[people[pair["second"]]]) for _, pair in pairs.iterrows()]
    coupled = [a // 2 == b // 2 and a != b for a, b in ends]
    assert pairs["lookalike"].tolist() == [int(alike) for alike in coupled]
    for name, tolerance in (("val", 0.13), ("test", 0.05)):  # about three standard deviations
        different = pairs[(pairs["list"] == name) & (pairs["same"] == 0)]
        assert different["lookalike"].mean() == pytest.approx(0.3, abs=tolerance)


def test_a_manifest_is_drawn_whole():
    drawn = draw(MANIFEST)
    samples, pairs = sample_pairs(3, FEW, 4, 2, 10)
    pd.testing.assert_frame_equal(drawn.samples, samples)
    pd.testing.assert_frame_equal(drawn.pairs, pairs)
    assert drawn.classes == CLASSES
    assert drawn.images.shape == (48, 48, 48)
    assert np.array_equal(drawn.images[[0, 20]], render(samples.iloc[[0, 20]], 48).images)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictrues": 4}, "settings of data set 'few': unknown key 'pictrues'; .*'pictures'"),
        ({"people": {"train": 3, "val": 3}}, "key 'people.test' is missing"),
        ({"folds": 2.5}, "settings of data set 'few': folds is 2.5"),
        ({"kind": "clips"}, "kind is 'clips'"),
        ({"per_fold": 1000}, "make .* expected 1000 of each"),
    ],
)
def test_wrong_manifests_are_named(change, message):
    with pytest.raises(UserError, match=message):
        draw({**MANIFEST, **change})


def test_seeds_decide_and_a_table_read_back_draws_the_same(tmp_path):
    first, again, other = (sample_pairs(seed, FEW, 4, 2, 10) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.samples, again.samples)
    pd.testing.assert_frame_equal(first.pairs, again.pairs)
    assert not first.samples.equals(other.samples)
    (tmp_path / "samples.csv").write_bytes(samples_csv(first.samples))
    back = pd.read_csv(tmp_path / "samples.csv", keep_default_na=False)
    assert np.array_equal(render(back.head(3), 24).images, render(first.samples.head(3), 24).images)


def test_training_people_can_be_learnt(whole):
    table, people = identification_table(whole.samples)
    assert len(people) == PEOPLE["train"]
    assert np.bincount(table["label"]).tolist() == [14] * len(people)
    assert (table["split"] == "val").sum() == len(people)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "expected a seed from 0"),
        ((0, {"tset": 3}), "expected a seed from 0, splits train, val, test"),
        ((0, FEW, 1), "two images or more"),
        ((0, FEW, 4, 2, 100), "3 people with 4 images in a fold of 'val' make 18 same and 36 different"),
        ((0, {"test": 1}, 4, 2, 1), "1 people with 4 images in a fold of 'test' make 6 same and 0"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        sample_pairs(*arguments)
