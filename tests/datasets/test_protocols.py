import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_repro.datasets.draws import Stream, hashes
from fer_repro.datasets.protocols import check_subjects, protocol_rows, protocols_of, stratified
from fer_repro.errors import UserError


def table(**columns):
    base = {
        "image": range(6),
        "label": 0,
        "subject": "",
        "clip": "",
        "split": ["train", "val"] + ["test"] * 4,
    }
    return pd.DataFrame({**base, **columns})


def test_official_and_clean():
    samples = table(
        in_training=[False, True, True, False, True, False],
        in_public=[False, False, False, True, True, False],
    )
    assert protocol_rows(samples, "test", "official").tolist() == [2, 3, 4, 5]
    assert protocol_rows(samples, "test", "clean").tolist() == [5]
    assert protocol_rows(samples, "val", "clean").tolist() == []


def test_unknown_names_and_missing_columns():
    with pytest.raises(UserError, match="protocol is 'offical'; did you mean 'official'"):
        protocol_rows(table(), "test", "offical")
    with pytest.raises(UserError, match="split is 'tset'; did you mean 'test'"):
        protocol_rows(table(), "tset", "official")
    with pytest.raises(UserError, match="'clean' needs the column 'in_training'"):
        protocol_rows(table(), "test", "clean")


def test_subjects():
    check_subjects(table(subject=["a", "b", "c", "c", "", "d"]), "set")
    check_subjects(table(), "set")
    with pytest.raises(
        UserError, match="set: subject 'a' is in train and test: expected every person in one"
    ):
        check_subjects(table(subject=["a", "b", "c", "c", "", "a"]), "set")


def test_lists_choose_test_samples_and_those_beside_them():
    split = ["train", "val", "test", "test", "challenge", "challenge"]
    samples = table(split=split, occlusion=[1, 1, 1, 0, 1, 0], pose_30=[0, 0, 0, 1, 0, 1])
    assert protocol_rows(samples, "test", "occlusion").tolist() == [2, 4]
    assert protocol_rows(samples, "test", "pose_30").tolist() == [3, 5]
    assert protocol_rows(samples, "val", "occlusion").tolist() == [1]
    assert protocol_rows(samples, "test", "official").tolist() == [2, 3]
    assert protocols_of(samples) == ("official", "occlusion", "pose_30")
    with pytest.raises(UserError, match="'pose_45' needs the column 'pose_45'"):
        protocol_rows(samples, "test", "pose_45")


def test_stratified_by_hand():
    labels = np.array([0] * 80 + [1] * 20)
    kept = stratified(labels, np.arange(100), 10)
    assert np.bincount(labels[kept]).tolist() == [8, 2]
    assert (stratified(labels, np.arange(100), 10) == kept).all()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=120), st.integers(0, 130))
def test_stratified_properties(labels, maximum):
    labels = np.array(labels)
    rows = np.flatnonzero(labels >= 0)
    chosen = stratified(labels, rows, maximum)
    assert len(chosen) == (min(maximum, len(rows)) if maximum else len(rows))
    assert np.array_equal(chosen, np.unique(chosen))
    classes = np.unique(labels)
    if maximum >= len(classes):
        assert np.array_equal(np.unique(labels[chosen]), classes)
    for number in classes:
        share = (labels == number).mean() * len(chosen)
        found = (labels[chosen] == number).sum()
        assert found <= max(np.ceil(share), 1)
        assert found >= min(np.floor(share) - len(classes), share)


@pytest.mark.parametrize(
    ("sizes", "maximum", "places"),
    [
        ([60, 30, 5, 5], 6, [3, 1, 1, 1]),
        ([60, 30, 5, 5], 5, [2, 1, 1, 1]),  # 3 + 1 and one of each rare class were one too many
        ([46, 46, 2, 2, 2, 2], 8, [2, 2, 1, 1, 1, 1]),
        ([60, 32, 2, 2, 2, 2], 8, [3, 1, 1, 1, 1, 1]),
        ([97, 1, 1, 1], 4, [1, 1, 1, 1]),
        ([50, 30, 20], 2, [1, 1, 0]),  # no room for every class
        ([1, 1, 8], 9, [1, 1, 7]),
    ],
)
def test_places_by_hand_and_within_a_class_by_the_hash(sizes, maximum, places):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.arange(len(labels))
    chosen = stratified(labels, rows, maximum)
    assert np.bincount(labels[chosen], minlength=len(sizes)).tolist() == places
    order = hashes(0, Stream.SUBSET, 0, rows)
    for number, count in enumerate(places):
        own = rows[labels == number]
        assert set(chosen[labels[chosen] == number]) == set(own[np.argsort(order[own])][:count])
