import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.evaluation.pair_views import (
    cause_bars,
    embedded_people,
    fold_bars,
    scored_pairs,
    usual_threshold,
)
from fer_repro.runs.folder import PairRun
from fer_repro.synthetic.pairs import LOOKS


def pairs(scores, same, folds, names="test"):
    count = len(scores)
    return pd.DataFrame(
        {
            "list": names,
            "first": range(count),
            "second": range(count, 2 * count),
            "same": same,
            "fold": folds,
            "score": scores,
        }
    )


SAME = [1, 0, 1, 0, 1, 0]
FOLDS = [1, 1, 2, 2, 3, 3]
GOOD = PairRun("good", 0, {}, pairs([0.9, 0.1, 0.8, 0.2, 0.7, 0.3], SAME, FOLDS))
# thresholds 0.7, 0.7, 0.8 miss the last same pair; 0.8, 0.9, 0.8 miss the last two
MIXED = PairRun("good", 1, {}, pairs([0.9, 0.1, 0.8, 0.2, 0.05, 0.3], SAME, FOLDS))


def test_fold_bars_average_seeds_and_show_their_ends():
    table = fold_bars([GOOD, MIXED])
    assert table["class"].tolist() == ["1", "2", "3"]
    assert table[["value", "low", "high"]].to_numpy().tolist() == [[1, 1, 1], [0.75, 0.5, 1], [0.5] * 3]


def test_a_list_without_folds_is_one_bar():
    lists = pairs([0.6, 0.4], [1, 0], [0, 0], "val"), pairs([0.9, 0.7], [1, 0], [0, 0])
    whole = PairRun("good", 0, {}, pd.concat(lists, ignore_index=True))
    assert fold_bars([whole]).to_numpy().tolist() == [["good", "all", 0.5, 0.5, 0.5]]


def test_thresholds_come_from_the_other_folds_or_the_other_list():
    assert usual_threshold(GOOD) == pytest.approx(0.7)  # the middle of 0.7, 0.7 and 0.8
    both = pd.concat(
        [pairs([0.6, 0.4], [1, 0], [0, 0], "val"), pairs([0.9, 0.1], [1, 0], [0, 0])], ignore_index=True
    )
    assert usual_threshold(PairRun("good", 0, {}, both)) == pytest.approx(0.6)
    turned = both.iloc[::-1].reset_index(drop=True)  # the lists' order does not matter
    assert usual_threshold(PairRun("good", 0, {}, turned)) == pytest.approx(0.6)


def test_scores_are_those_of_the_test_list():
    listed = pd.concat([GOOD.pairs, pairs([0.5], [1], [0], "val")], ignore_index=True)
    scores, same = scored_pairs([PairRun("good", 0, {}, listed)])["good"][0]
    assert scores.tolist() == GOOD.pairs["score"].tolist()
    assert same.tolist() == SAME


def test_causes_are_told_apart_by_hand():
    samples = pd.DataFrame({"label": [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 0, 2], "yaw": 0.0, "occluder": "none"})
    samples = samples.assign(**{name: range(12) for name in LOOKS})
    samples.loc[[1, 7], list(LOOKS)] = -1  # the pair (1, 7), different, shows lookalikes
    samples.loc[0, "yaw"], samples.loc[8, "occluder"] = 20.0, "mask"
    table = cause_bars([MIXED], samples)
    assert table["class"].str.replace("\n", " ").tolist() == [
        "different, lookalikes (1)",
        "different, others (2)",
        "same, one expression (2)",
        "same, two expressions (1)",
        "same, yaw < 20° (2)",
        "same, yaw ≥ 20° (1)",
        "same, free (2)",
        "same, covered (1)",
    ]
    assert table["value"].tolist() == [1, 1, 0.5, 0, 0, 1, 0.5, 0]
    assert len(cause_bars([MIXED], samples[["label"]])) == 2


def test_few_causes_are_enough():
    samples = pd.DataFrame({"label": 0, "yaw": [-20.0] + [20.0] * 11, **dict.fromkeys(LOOKS, 0)})
    listed = pd.concat([pairs([0.5], [1], [0], "val"), MIXED.pairs]).set_index(np.arange(7) + 5)
    table = cause_bars([PairRun("good", 0, {}, listed)], samples[[*LOOKS]].assign(label=0))
    assert table["class"].tolist() == ["different,\nlookalikes\n(3)"]
    table = cause_bars([PairRun("good", 0, {}, listed)], samples.drop(columns=list(LOOKS)))
    assert table["class"].tolist() == ["same,\nyaw < 20°\n(2)", "same,\nyaw ≥ 20°\n(1)"]
    two = samples.drop(columns=["yaw", *LOOKS]).assign(label=[0] * 11 + [1])
    table = cause_bars([PairRun("good", 0, {}, listed)], two)
    assert table["class"].tolist() == ["same, one\nexpression\n(3)"]


def test_pickled_embeddings_are_refused(tmp_path):
    np.savez(tmp_path / "embeddings.npz", samples=[0], embeddings=np.array([[{}]], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        embedded_people(tmp_path, pd.DataFrame({"split": ["test"], "subject": ["a"]}), 1)


def test_embedded_people_are_the_first_of_the_test_split(tmp_path):
    samples = pd.DataFrame({"split": ["val", "test", "test", "test"], "subject": ["a", "b", "c", "b"]})
    vectors = np.array([[9, 9], [3, 4], [0, 2]], np.float16)
    np.savez(tmp_path / "embeddings.npz", samples=[0, 1, 2], embeddings=vectors)
    found, table = embedded_people(tmp_path, samples, people=1)
    assert found.tolist() == [[0.6, 0.8]]
    assert table["subject"].tolist() == ["b"]
    assert len(embedded_people(tmp_path, samples, people=5)[1]) == 2
    assert len(embedded_people(tmp_path, samples.assign(split="val"), people=5)[1]) == 3
    with pytest.raises(UserError, match="expected the embeddings"):
        embedded_people(tmp_path / "none", samples, 1)
