import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.folds import hidden_labels, identification_table
from fer_repro.errors import UserError


@pytest.fixture
def samples():
    subjects = ["d"] * 5 + ["a"] * 2 + ["c"] + ["b"] * 3 + [""] * 4
    return pd.DataFrame({"image": range(15), "label": 0, "subject": subjects, "clip": "", "split": "train"})


def test_one_image_of_who_has_three_is_held_out(samples):
    table, people = identification_table(samples)
    assert people == ("a", "b", "d")
    assert table["subject"].tolist() == [people[label] for label in table["label"]]
    assert table.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    held_out = table[table["split"] == "val"]
    assert sorted(held_out["subject"]) == ["b", "d"]
    assert set(table["split"]) == {"train", "val"}
    again, _ = identification_table(samples)
    pd.testing.assert_frame_equal(again, table)


def test_the_people_may_be_chosen(samples):
    table, people = identification_table(samples.assign(split="test"), ["c", "d"], least=1)
    assert people == ("c", "d")
    assert np.bincount(table["label"]).tolist() == [1, 5]
    _, people = identification_table(samples, least=3)
    assert people == ("b", "d")
    with pytest.raises(UserError, match="1 people have 4 images or more among 15 samples"):
        identification_table(samples, least=4)


def test_what_is_to_be_hidden_is_learnt_beside_the_person():
    subjects = np.repeat(["a", "b", "c"], 6)
    samples = pd.DataFrame(
        {"image": range(18), "label": np.arange(18) % 2, "subject": subjects, "split": "train"}
    )
    table, people = identification_table(samples)
    joint = hidden_labels(table, samples, 2, "here")
    train, val = (joint[joint["split"] == name] for name in ("train", "val"))
    assert (train["label"] % len(people)).tolist() == table.loc[train.index, "label"].tolist()
    assert (train["label"] // len(people)).tolist() == samples.loc[train.index, "label"].tolist()
    assert val["label"].tolist() == table.loc[val.index, "label"].tolist()
    with pytest.raises(
        UserError, match="here: the training faces have the label 1: the network hides 1, from 0"
    ):
        hidden_labels(table, samples, 1, "here")
    named = samples.assign(label=np.repeat([0, 1, 2], 6))
    with pytest.raises(UserError, match="what names the person cannot be hidden"):
        hidden_labels(table, named, 3, "here")
