"""InsideBias: who is learnt from, and that permuting deals out whole people."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.groups import THIRDS, groups_of
from fer_repro.errors import UserError
from fer_repro.methods.inside_bias import METHOD, learnt_rows

MODEL = {"width": 4, "column": "tone", "stem": "table"}


def table(people=60, faces=14):
    person = np.repeat(np.arange(people), faces)
    return pd.DataFrame(
        {
            "image": np.arange(people * faces),
            "label": np.arange(people * faces) % 7,
            "subject": [f"s{n}" for n in person],
            "split": np.where(person < 48, "train", np.where(person < 54, "val", "test")),
            "tone": (person * 37 % people) / people,
        }
    )


@pytest.fixture(scope="module")
def samples():
    return table()


def counts(samples, arm, seed=0):
    chosen = learnt_rows(arm, MODEL, samples, seed)
    assert not chosen[samples["split"] != "train"].any()
    return pd.Series(groups_of(samples, "tone")[chosen]).value_counts().reindex(THIRDS, fill_value=0)


def test_all_arms_learn_from_equally_many_faces(samples):
    sizes = {arm: counts(samples, arm) for arm in METHOD.arms}
    totals = [size.sum() for size in sizes.values()]
    assert max(totals) - min(totals) <= 2  # of rounding
    assert sizes["balanced"].max() - sizes["balanced"].min() <= 1
    for arm, third in (("light", 0), ("middle", 1), ("dark", 2)):
        for ratio in (4, 16):
            size = sizes[f"{arm}_{ratio}"].to_numpy()
            others = np.delete(size, third)
            assert others[0] == others[1]
            assert size[third] * ratio == pytest.approx(others[0], abs=ratio / 2)


def test_chance_takes_people_of_all_thirds(samples):
    dealt = counts(samples, "permuted_16").to_numpy()
    assert dealt.min() > 3 * counts(samples, "dark_16").min()
    chosen = learnt_rows("permuted_16", MODEL, samples, 0)
    each = samples[chosen].groupby("subject").size()
    assert (each <= 3).sum() >= 5  # the few faces are spread over the people of one dealt third
    assert not (chosen == learnt_rows("permuted_16", MODEL, samples, 1)).all()


def test_every_class_is_as_frequent_in_a_third(samples):
    chosen = learnt_rows("dark_16", MODEL, samples, 0)
    groups = groups_of(samples, "tone")
    for third in THIRDS:
        labels = samples.loc[chosen & (groups == third), "label"].value_counts()
        assert labels.max() - labels.reindex(range(7), fill_value=0).min() <= 1


def test_results_are_given_for_test_people_of_both_ends(samples):
    found = METHOD.subsets(MODEL, samples)
    assert list(found) == ["light", "dark"]
    for chosen in found.values():
        assert set(samples.loc[chosen, "split"]) == {"test"}
    assert samples.loc[found["dark"], "tone"].min() > samples.loc[found["light"], "tone"].max()


def test_a_column_without_thirds_is_refused(samples):
    with pytest.raises(UserError, match="no column 'tones'; did you mean 'tone'"):
        learnt_rows("dark_16", MODEL | {"column": "tones"}, samples, 0)
    with pytest.raises(UserError, match="expected numbers, to be cut into thirds"):
        learnt_rows("dark_16", MODEL | {"column": "label"}, samples, 0)
