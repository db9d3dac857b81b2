"""Groups by any column: thirds mean the same in all parts, and chance deals out whole people."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.groups import THIRDS, groups_of, permuted_groups, units_of
from fer_repro.errors import UserError


def table(people=30, faces=2):
    rows = pd.DataFrame({"person": np.repeat(np.arange(people), faces)})
    return pd.DataFrame(
        {
            "subject": [f"s{n:02}" for n in rows["person"]],
            "split": np.where(rows["person"] < 20, "train", "test"),
            "tone": rows["person"] / people,
            "glasses": np.where(rows.index % 2, "yes", "no"),
            "words": [f"w{n}" for n in range(people * faces)],
            "same": 1,
            "few": rows["person"] % 3,
        }
    )


def test_thirds_are_those_of_the_people_of_train():
    samples = table()
    samples = pd.concat(
        [samples, samples[samples["subject"] == "s00"].sample(50, replace=True, random_state=0)]
    )
    samples = samples.reset_index(drop=True)
    groups = groups_of(samples, "tone")  # one of many faces counts once
    train = samples[samples["split"] == "train"].assign(group=groups[samples["split"] == "train"])
    counts = train.drop_duplicates("subject")["group"].value_counts()
    assert counts.reindex(THIRDS).tolist() == [7, 6, 7]
    assert set(groups[samples["split"] == "test"]) == {THIRDS[2]}


def test_values_name_groups_and_empty_cells_none():
    samples = table()
    samples.loc[0, "glasses"] = ""
    samples.loc[[4, 5], "tone"] = np.nan
    assert groups_of(samples, "glasses")[:3].tolist() == ["", "yes", "no"]
    assert set(groups_of(samples, "few")) == {"0", "1", "2"}
    assert set(groups_of(samples.assign(few=samples["few"] + 0.5), "few")) <= set(THIRDS)
    assert groups_of(samples, "tone")[4:7].tolist() == ["", "", THIRDS[0]]


def test_odd_columns_are_refused_with_a_reason():
    samples = table()
    with pytest.raises(UserError, match="there is no column 'tones'; did you mean 'tone'"):
        groups_of(samples, "tones")
    with pytest.raises(UserError, match="'words' has 60 texts: expected numbers"):
        groups_of(samples, "words")
    with pytest.raises(UserError, match="'same' has 1 value"):
        groups_of(samples, "same")


def test_people_are_dealt_out_whole():
    samples = table()
    groups = groups_of(samples, "few")
    units = units_of(samples, groups)
    dealt = permuted_groups(groups, units, np.random.default_rng(0))
    assert (dealt != groups).any()
    assert pd.Series(dealt).groupby(samples["subject"]).nunique().max() == 1
    assert sorted(dealt) == sorted(groups)
    single = units_of(samples, groups_of(samples, "glasses"))  # a person is with and without
    assert len(np.unique(single)) == len(samples)
