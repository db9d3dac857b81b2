import numpy as np
import pytest
from evaluated_project import sample_table
from scipy import stats
from sklearn.metrics import average_precision_score, precision_recall_curve

from fer_repro.datasets.store import open_store, write_store
from fer_repro.evaluation.agreement import (
    COLUMNS,
    agreement_row,
    agreement_table,
    areas_by_kind,
    mask_agreement,
    mask_table,
    moving_areas,
    precision_by_recall,
    sample_groups,
    with_mean,
)
from fer_repro.synthetic.factors import CLASSES, write_truth
from fer_repro.synthetic.stills import sample_stills


def test_one_seed_by_hand():
    values = np.array([[0.5, -0.1, np.nan, 0.2, 0.2]])
    row = agreement_row("w", values, None, 0.95)
    used = [0.5, -0.1, 0.2, 0.2]
    assert row["mean"] == pytest.approx(0.2)
    assert (row["low"], row["high"]) == pytest.approx(
        stats.t.interval(0.95, 3, loc=np.mean(used), scale=stats.sem(used))
    )
    assert (row["items"], row["of"], row["above_zero"]) == (4, 5, 75)
    assert row["by_seed"] == pytest.approx((0.2,))


def test_seeds_are_told_and_an_item_counts_with_all_seeds_or_none():
    values = np.array([[0.4, np.nan, 0.2], [-0.2, 0.9, -0.6]])
    row = agreement_row("w", values, None, 0.95)
    assert row["mean"] == pytest.approx((0.4 + 0.2 - 0.2 - 0.6) / 4)
    assert row["by_seed"] == pytest.approx((0.3, -0.4))
    assert row["above_zero"] == 50  # 0.1 and -0.2
    assert row["low"] < row["mean"] < row["high"]


def test_items_of_one_person_make_a_wider_interval():
    values = np.tile([0.0, 0.1, 0.4, 0.5], (1, 6))
    people = np.tile([0, 0, 1, 1], 6) + 2 * np.repeat(np.arange(6), 4)
    alone = agreement_row("w", values, None, 0.95)
    grouped = agreement_row("w", values, people, 0.95)
    assert grouped["high"] - grouped["low"] > alone["high"] - alone["low"]


def test_nothing_known():
    row = agreement_row("w", np.full((2, 3), np.nan), None, 0.95)
    assert np.isnan([row["mean"], row["low"], row["high"]]).all()
    assert (row["items"], row["of"], row["by_seed"]) == (0, 3, ())
    assert tuple(agreement_table([row]).columns) == COLUMNS
    assert agreement_table([]).empty


def test_a_mean_of_zero_is_not_above_it_and_no_rows_have_columns():
    row = agreement_row("w", np.array([[0.5, 1.0, -1.0], [-0.5, 0.0, 0.0]]), None, 0.95)
    assert row["above_zero"] == pytest.approx(100 / 3)
    assert tuple(agreement_table([]).columns) == COLUMNS
    turned = dict(reversed(row.items()))
    assert tuple(agreement_table([turned]).columns) == COLUMNS


def test_two_items_have_bounds_and_one_has_none():
    pair, one = np.array([[0.1, 0.4], [0.3, 0.2]]), np.array([[0.1], [0.3]])
    assert np.isfinite(agreement_row("w", pair, None, 0.95)["low"])
    for values, groups in ((one, None), (pair, np.zeros(2))):
        row = agreement_row("w", values, groups, 0.95)
        assert row["mean"] == pytest.approx(values.mean())
        assert np.isnan([row["low"], row["high"]]).all()
        assert row["by_seed"] == pytest.approx(tuple(values.mean(1)))


def groups(rows=None, **columns):
    count = len(next(iter(columns.values())))
    table = sample_table([0] * count, ["test"] * count).assign(**columns)
    return sample_groups(table, np.arange(count) if rows is None else np.array(rows))


def same(numbers):
    """Which pairs of samples are of one group."""
    return [(i, j) for i in range(len(numbers)) for j in range(i) if numbers[i] == numbers[j]]


def test_people_before_clips():
    numbers = groups(subject=["p", "q", "p", "q"], clip=["a", "a", "b", "c"])
    assert same(numbers) == [(2, 0), (3, 1)]


def test_clips_where_people_are_unknown():
    numbers = groups(subject=["", "", "p", "p"], clip=["a", "a", "a", ""])
    assert same(numbers) == [(1, 0), (3, 2)]


def test_a_manipulation_stands_with_its_original():
    numbers = groups(clip=["r1", "r1", "f1", "f2", "r2"], original=["", "", "r1", "r2", ""])
    assert same(numbers) == [(1, 0), (2, 0), (2, 1), (4, 3)]


def test_only_the_named_rows_count():
    assert same(groups(rows=[1, 2, 3], subject=["p", "p", "q", "q"])) == [(2, 1)]


def test_groups_that_say_nothing():
    assert groups(subject=["", "", ""]) is None
    assert groups(subject=["p", "q", "r"]) is None
    assert groups(subject=["p", "p", "p"]) is None


def test_samples_of_nobody_are_their_own_groups_beside_those_of_people():
    people = ["p", "", "p", "", "q"]
    assert same(groups(subject=people)) == [(2, 0)]
    assert same(groups(rows=[1, 0, 2, 3], subject=people)) == [(2, 1)]


@pytest.fixture
def areas():
    found = np.zeros((3, 8, 8), bool)
    found[0, 2:5, 2:6], found[1, 4:, :3] = True, True  # nothing moves in the third
    return found


def test_maps_are_scored_as_scikit_learn_scores_their_pixels(areas):
    maps = np.random.default_rng(0).random((3, 8, 8))
    table = mask_agreement({"M": maps}, areas, 0.95, 50).set_index("map")
    truth = areas[:2].ravel()
    assert table.loc["M", "area"] == pytest.approx(average_precision_score(truth, maps[:2].ravel()), abs=5e-3)
    assert table.loc["M", "chance"] == truth.mean()
    assert table.loc["M", "faces"] == 2
    assert table.loc["M", "low"] <= table.loc["M", "area"] <= table.loc["M", "high"]
    mean = np.broadcast_to(maps[:2].mean(axis=0), (2, 8, 8)).ravel()
    assert table.loc["M, mean", "area"] == pytest.approx(average_precision_score(truth, mean), abs=5e-3)


def test_a_map_that_looks_at_each_face_beats_its_mean(areas):
    table = mask_agreement({"M": areas.astype(float)}, areas, 0.95, 20).set_index("map")
    assert table.loc["M", "area"] == 1
    assert table.loc["M, mean", "area"] < 1


def test_nothing_known_or_nothing_moving_gives_no_rows(areas):
    assert mask_agreement({"M": areas.astype(float)}, None, 0.95, 5).empty
    assert mask_agreement({"M": np.ones((1, 8, 8))}, areas[2:], 0.95, 5).empty


def test_areas_are_read_for_the_rows_asked_for(tmp_path):
    table = sample_stills(0, {"train": 1, "val": 0, "test": 1}, 1)
    images = np.zeros((len(table), 16, 16), np.uint8)
    rows = np.flatnonzero(table["split"] == "test")
    expressive = np.random.default_rng(0).random((len(rows), 16, 16)) < 0.2

    def store(name, **truth):
        write_store(tmp_path / name, "s", CLASSES, images, table, {})
        if truth:
            write_truth(tmp_path / name, truth)
        return open_store(tmp_path / name)

    known = store("known", samples=rows, expressive=expressive)
    np.testing.assert_array_equal(moving_areas(known, rows[[3, 0]]), expressive[[3, 0]])
    assert moving_areas(known, np.array([0, rows[0]])) is None  # of the training part nothing is known
    assert moving_areas(store("covered", samples=rows, occluded=expressive), rows) is None
    assert moving_areas(store("bare"), rows) is None


TRUTHS = np.zeros((3, 4, 4), bool)
TRUTHS[0, :2, :2] = TRUTHS[1, 2:, 2:] = True  # a quarter each; the third face is real
MAPS = np.zeros((3, 2, 2))
MAPS[0, 0, 0] = MAPS[1, 0, 0] = 1  # right in the first face, wrong in the second
KINDS = ["swap", "transfer", "none"]


def test_the_mean_map_is_the_same_for_every_face():
    found = with_mean({"attention": MAPS[:, None]})
    assert list(found) == ["attention", "attention, mean"]
    assert found["attention, mean"].tolist() == [[[2 / 3, 0], [0, 0]]] * 3


def test_areas_by_kind_by_hand():
    table = areas_by_kind({"attention": MAPS}, TRUTHS, KINDS).set_index("kind")
    assert table.index.tolist() == ["swap", "transfer"]
    assert table["chance"].tolist() == [0.25, 0.25]
    assert table.loc["swap", "attention"] == 1
    assert table.loc["transfer", "attention"] == pytest.approx(4 / 16)  # found last, with all others
    assert areas_by_kind({"attention": MAPS}, None, KINDS).empty


def test_precision_by_recall_is_that_of_scikit_learn():
    truth = np.zeros((12, 12), bool)
    truth[3:9, 3:9] = True
    heat = np.random.default_rng(1).random((12, 12))
    table = precision_by_recall({"a": np.stack([heat, heat])}, np.stack([truth, np.zeros_like(truth)]))
    precision, recall, _ = precision_recall_curve(truth.ravel(), heat.ravel())
    for place in (0.25, 0.5, 1.0):
        first = min(r for r in recall if r >= place - 1e-9)
        expected = max(precision[:-1][np.isclose(recall[:-1], first)])
        assert np.interp(place, table["recall"], table["precision"]) == pytest.approx(expected)
    assert table["area"].unique() == pytest.approx([average_precision_score(truth.ravel(), heat.ravel())])
    assert table[["faces", "chance"]].drop_duplicates().to_numpy().tolist() == [[1, 0.25]]
    assert precision_by_recall({"a": MAPS}, None).empty


def test_mask_values_by_hand():
    table = mask_table([np.array([[[[0.0, 0.2]], [[0.4, 1.0]]]])])
    assert table.loc[0, ["channels", "1/C", "mean of M", "median of M"]].tolist() == pytest.approx(
        [2, 0.5, 0.4, 0.3]
    )
    assert table.loc[0, ["largest M", "above 0.1 (%)"]].tolist() == pytest.approx([1, 75])
