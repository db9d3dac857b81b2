import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fer_repro.datasets.store import open_store, write_store
from fer_repro.evaluation.agreement import mask_agreement, moving_areas
from fer_repro.synthetic.factors import CLASSES, write_truth
from fer_repro.synthetic.stills import sample_stills


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
