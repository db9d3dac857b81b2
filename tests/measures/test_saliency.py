import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, precision_recall_curve

from fer_repro.measures.saliency import (
    map_area_interval,
    map_precision_recall,
    rank_correlation,
    region_coverage,
    weight_on_covered,
)

NAN = float("nan")
CROPS = np.array([[0, 0, 0.75, 0.75], [0.25, 0, 1, 0.75], [0.075, 0.075, 0.925, 0.925], [0, 0, 1, 1]])


@pytest.fixture
def generator():
    return np.random.default_rng(0)


# Frames


def test_rank_correlation_is_scipys_over_the_frames_of_each_clip(generator):
    weights, intensity = generator.random((6, 9)), generator.integers(0, 4, (6, 9)) / 4  # with ties
    mask = np.arange(9) < generator.integers(4, 10, (6, 1))
    found = rank_correlation(weights, intensity, mask)
    expected = [spearmanr(w[m], i[m]).statistic for w, i, m in zip(weights, intensity, mask, strict=True)]
    np.testing.assert_allclose(found.per_clip, expected, atol=1e-12)
    assert found.mean == pytest.approx(np.mean(expected))


def test_rank_correlation_by_hand():
    mask = np.ones((3, 4), bool)
    intensity = np.array([[0.0, 0.3, 0.6, 0.9]] * 3)
    weights = [[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 4, 3]]  # one swap: 1 - 6 * 2 / (4 * 15)
    found = rank_correlation(np.array(weights), intensity, mask)
    assert found.per_clip.tolist() == pytest.approx([1, -1, 0.8])
    assert found.mean == pytest.approx(0.8 / 3)


def test_padding_may_hold_anything():
    weights, intensity = np.array([[1, 2, NAN, 9]]), np.array([[0.1, 0.2, 0.9, NAN]])
    assert rank_correlation(weights, intensity, np.array([[1, 1, 0, 0]])).mean == 1


def test_clips_without_an_order_are_left_out_and_weights_without_one_count_zero():
    intensity = np.array([[0, 0.5, 1], [0, 0, 0], [0.2, 0.9, 1], [0, 0.5, 1], [0, 0.5, 1]])
    weights = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 1, 1]])
    mask = np.array([[1, 1, 1], [1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
    found = rank_correlation(weights, intensity, mask)
    np.testing.assert_array_equal(np.isnan(found.per_clip), [False, True, True, True, False])
    assert found.per_clip[4] == 0
    assert found.mean == pytest.approx(0.5)
    alone = rank_correlation(np.ones((2, 1)), np.ones((2, 1)), np.ones((2, 1)))
    assert np.isnan(alone.per_clip).all()
    assert np.isnan(alone.mean)


def test_wrong_frames_are_named():
    good = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\), \(2, 4\), \(2, 3\): expected one shape"):
        rank_correlation(good, np.ones((2, 4)), good)
    bad = good.copy()
    bad[1, 2] = NAN
    with pytest.raises(ValueError, match="item 1, place 2: expected finite"):
        rank_correlation(bad, good, good)


# Regions


def test_coverage_on_whole_pixels_is_a_mean(generator):
    occluded = generator.random((3, 8, 8)) < 0.3
    boxes = np.array([[0, 0, 1, 1], [0.25, 0, 1, 0.75], [0, 0.5, 0.125, 1]])
    expected = np.stack(
        [
            occluded.mean((1, 2)),
            occluded[:, 0:6, 2:8].mean((1, 2)),
            occluded[:, 4:8, 0:1].mean((1, 2)),
        ],
        axis=1,
    )
    np.testing.assert_allclose(region_coverage(occluded, boxes), expected, atol=1e-11)


def test_coverage_of_any_box_is_that_of_a_fine_grid(generator):
    occluded = generator.random((2, 5, 7)) < 0.5
    boxes = np.array([[0.03, 0.11, 0.52, 0.97], [0.31, 0.4, 0.33, 0.41]])
    found = region_coverage(occluded, boxes)
    for row, (left, top, right, bottom) in enumerate(boxes):
        x = left + (right - left) * (np.arange(2000) + 0.5) / 2000
        y = top + (bottom - top) * (np.arange(2000) + 0.5) / 2000
        rows, columns = (y * 5).astype(int), (x * 7).astype(int)
        expected = occluded[:, rows][:, :, columns].mean((1, 2))
        np.testing.assert_allclose(found[:, row], expected, atol=1e-3)


def test_boxes_may_differ_between_faces(generator):
    occluded = generator.random((2, 6, 6)) < 0.5
    boxes = np.stack([CROPS, CROPS[::-1]])
    each = [region_coverage(occluded[i : i + 1], boxes[i])[0] for i in range(2)]
    np.testing.assert_allclose(region_coverage(occluded, boxes), each, atol=1e-11)


def test_full_and_empty_masks_cover_all_regions_alike():
    masks = np.stack([np.ones((48, 48), bool), np.zeros((48, 48), bool)])
    assert region_coverage(masks, CROPS).tolist() == [[1.0] * 4, [0.0] * 4]


@pytest.mark.parametrize("box", [[0.5, 0, 0.5, 1], [0, 0, 1.1, 1], [0, 0.8, 1, 0.2], [-0.1, 0, 1, 1]])
def test_wrong_boxes_are_named(box):
    with pytest.raises(ValueError, match="expected 0 <= left < right <= 1"):
        region_coverage(np.zeros((1, 4, 4), bool), np.array([box]))
    with pytest.raises(ValueError, match=r"expected \(n, H, W\)"):
        region_coverage(np.zeros((4, 4), bool), np.array([[0, 0, 1, 1]]))


def test_weight_on_covered_by_hand():
    coverage = np.array([[0.9, 0.5, 0.0, 0.1], [0.0, 0.0, 0.0, 0.4], [0.2] * 4, [0.3, 0.2, 0.1, 0.0]])
    weights = np.array([[0.1, 0.2, 0.4, 0.3], [0.2, 0.3, 0.3, 0.2], [0.7, 0.1, 0.1, 0.1], [0.25] * 4])
    found = weight_on_covered(weights, coverage)
    np.testing.assert_allclose(
        found.differences,
        [(0.1 + 0.2) / 2 - (0.4 + 0.3) / 2, 0.2 - 0.8 / 3, NAN, 0.0],  # means of coverage .375, .1, .2, .15
        atol=1e-12,
    )
    second = spearmanr(weights[1], coverage[1]).statistic
    np.testing.assert_allclose(found.correlations, [-1, second, NAN, 0], atol=1e-12)
    assert found.correlation == pytest.approx((-1 + second) / 3)
    assert found.difference == pytest.approx((-0.2 + 0.2 - 0.8 / 3) / 3)


def test_faces_that_nothing_covers_tell_nothing():
    found = weight_on_covered(np.full((2, 3), 1 / 3), np.zeros((2, 3)))
    assert np.isnan([*found.correlations, *found.differences, found.correlation, found.difference]).all()


# Maps


@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_and_its_area_are_scikit_learns(generator, ties):
    maps, masks = generator.random((4, 6, 6)).astype(np.float32), generator.random((4, 6, 6)) < 0.3
    maps += 0.3 * masks
    maps = np.round(maps, 1) if ties else maps
    found = map_precision_recall(maps, masks)
    precision, recall, _ = precision_recall_curve(masks.ravel(), maps.ravel(), drop_intermediate=False)
    np.testing.assert_allclose(found.precision[::-1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(found.recall[::-1], recall[:-1], atol=1e-12)
    assert found.area == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()))
    assert found.chance == masks.mean()


def test_small_maps_are_enlarged_as_torch_does(generator):
    maps, masks = generator.random((3, 4, 5)).astype(np.float32), generator.random((3, 16, 15)) < 0.4
    large = F.interpolate(torch.from_numpy(maps)[None], size=(16, 15), mode="bilinear")[0].numpy()
    expected = average_precision_score(masks.ravel(), large.ravel())
    assert map_precision_recall(maps, masks).area == pytest.approx(expected, abs=2e-3)  # ties of rounding


def test_perfect_constant_and_reversed_maps():
    masks = np.zeros((2, 8, 8), bool)
    masks[:, 2:4, 2:6] = True
    assert map_precision_recall(masks.astype(float), masks).area == 1
    constant = map_precision_recall(np.zeros((2, 3, 3)), masks)
    assert constant.area == constant.chance == 16 / 128
    assert (constant.precision.tolist(), constant.recall.tolist()) == ([0.125], [1.0])
    assert map_precision_recall(-masks.astype(float), masks).area == pytest.approx(0.125)


def test_masks_without_or_full_of_true_pixels():
    maps = np.arange(8.0).reshape(2, 2, 2)
    nothing = map_precision_recall(maps, np.zeros((2, 2, 2)))
    assert (nothing.precision == 0).all()
    assert np.isnan(nothing.recall).all()
    assert np.isnan(nothing.area)
    assert nothing.chance == 0
    assert np.isnan(map_area_interval(maps, np.zeros((2, 2, 2)), 0.9, 10).low)
    everything = map_precision_recall(maps, np.ones((2, 2, 2)))
    assert (everything.area, everything.chance) == (1, 1)


def test_wrong_maps_are_named():
    with pytest.raises(ValueError, match=r"\(2, 3, 3\), masks \(1, 3, 3\): expected one map per mask"):
        map_precision_recall(np.ones((2, 3, 3)), np.ones((1, 3, 3)))
    with pytest.raises(ValueError, match="expected one map per mask"):
        map_precision_recall(np.ones((0, 3, 3)), np.ones((0, 3, 3)))
    broken = np.ones((2, 3, 3))
    broken[1, 0, 0] = np.inf
    with pytest.raises(ValueError, match="map 1: expected finite"):
        map_precision_recall(broken, np.ones((2, 3, 3)))


# Intervals


def test_the_area_interval_resamples_images(generator):
    maps, masks = generator.random((12, 5, 5)), generator.random((12, 5, 5)) < 0.3
    maps += masks * generator.random((12, 1, 1))
    found = map_area_interval(maps, masks, 0.9, 200, seed=4)
    draws, chance = [], np.random.default_rng(4)
    for _ in range(200):
        chosen = chance.integers(0, 12, 12)
        draws.append(average_precision_score(masks[chosen].ravel(), maps[chosen].astype(np.float32).ravel()))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
    assert found.value == map_precision_recall(maps, masks).area
    assert found.low < found.value < found.high


def test_intervals_say_their_kind_and_take_the_first_seed_unless_told(generator):
    maps, masks = generator.random((6, 4, 4)), generator.random((6, 4, 4)) < 0.4
    found = map_area_interval(maps, masks, 0.9, 40)
    assert (
        found == map_area_interval(maps, masks, 0.9, 40, seed=0) != map_area_interval(maps, masks, 0.9, 40, 1)
    )
    assert found.kind == map_area_interval(maps, np.zeros((6, 4, 4)), 0.9, 5).kind == "bootstrap over images"


@pytest.mark.parametrize(
    ("maps", "masks"), [((2, 9), (2, 3, 3)), ((2, 3, 3), (2, 9)), ((3, 3, 3), (2, 3, 3))]
)
def test_maps_and_masks_are_both_images(maps, masks):
    with pytest.raises(ValueError, match="expected one map per mask"):
        map_precision_recall(np.ones(maps), np.ones(masks))


def test_masks_may_be_numbers():
    maps, masks = np.arange(8.0).reshape(2, 2, 2), np.array([[[0, 2], [0, 0]], [[0, 0], [0, 3]]])
    assert map_precision_recall(maps, masks).area == map_precision_recall(maps, masks > 0).area
