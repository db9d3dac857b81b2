from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from finished_project import NOTE, difference_rows, ledger_rows, result_rows

from fer_repro.figures.claim_figures import (
    CLAIM_COLUMNS,
    _apart,
    accuracy_by_protocol,
    claim_sentence,
    claim_table,
    difference_sentence,
    headline_claim,
    show_sizes,
    show_subsets,
    size_plot,
    sized_claims,
)
from fer_repro.figures.ledger_tables import read_ledger


@pytest.fixture
def measured():
    return pd.concat([result_rows(), difference_rows()], ignore_index=True)


def table(measured, published):
    return claim_table(measured, published, "rmn", "masked", "no_mask", 0.95)


def test_a_claim_is_the_evaluations_difference_beside_the_papers(measured, published):
    claim = table(measured, published).iloc[0]
    assert [claim[name] for name in ("difference", "deviation", "low", "high", "runs")] == [
        1.0, 1.5, -2.7262, 4.7262, 3,
    ]  # fmt: skip
    assert claim["note"] == NOTE
    assert round(claim["published"], 2) == 1.72
    assert claim["published_dataset"] == "fer2013"


def test_no_rows_no_claims(measured, published):
    assert table(measured[measured["arm"] == "masked"], published).empty
    assert list(table(measured.head(0), published).columns) == CLAIM_COLUMNS
    assert headline_claim(table(measured.head(0), published)) is None


def test_the_summary_prefers_test_time_augmentation_and_the_official_protocol(published):
    rows = pd.concat(
        [
            difference_rows(tta="random").assign(protocol="clean"),
            difference_rows(),
            difference_rows(tta="random"),
        ]
    )
    chosen = headline_claim(table(rows, published))
    assert (chosen["protocol"], chosen["tta"]) == ("official", "random")


def test_sentences_say_no_more_than_the_interval():
    assert "ahead" in difference_sentence(1, 0.5, 1.5, "masked", "no_mask")
    assert difference_sentence(-1, -1.5, -0.5, "masked", "no_mask").startswith("no_mask is ahead")
    assert "uncertain" in difference_sentence(1, -0.5, 2.5, "masked", "no_mask")
    assert difference_sentence(0, -1, 1, "a", "b") == "Direction uncertain: the interval spans 0."
    assert "no verdict" in difference_sentence(1, np.nan, np.nan, "masked", "no_mask")


def test_hard_subsets_are_compared_with_the_same_subset_alone(measured, published):
    whole = published.assign(value=[88.0, 87.0])
    hard = published.assign(dataset="ferplus", protocol="occlusion", value=[83.7, 74.4])
    single = published.head(1).assign(dataset="ferplus", value=88.55)
    rows = np.repeat(["official", "occlusion", "pose_45"], len(measured))
    both = pd.concat([measured] * 3, ignore_index=True).assign(protocol=rows)
    found = table(both, pd.concat([single, hard, whole], ignore_index=True)).set_index("protocol")
    assert found["published"].round(2).tolist()[:2] == [1.0, 9.3]  # not 88.55 - 74.4
    assert found["published_dataset"].tolist() == ["fer2013", "ferplus", ""]
    assert np.isnan(found["published"]["pose_45"])


def test_a_sentence_names_its_metric_unless_it_is_the_accuracy():
    claim = pd.Series(
        {
            "headline": "dynamic", "control": "softmax", "dataset": "pairs", "tta": "none",
            "confidence": 0.95, "difference": 1.0, "low": 0.5, "high": 1.5, "published": np.nan,
            "published_dataset": "", "runs": 3, "note": "small", "metric": "pair_accuracy",
        }
    )  # fmt: skip
    assert claim_sentence(claim).startswith("dynamic minus softmax in pair accuracy on pairs, without")
    plain = pd.Series({**claim, "metric": "accuracy"})
    assert claim_sentence(plain).startswith("dynamic minus softmax on pairs, without")


def test_two_strangers_numbers_make_no_published_difference(measured, published):
    for sources, known in ((["a README", "another"], False), (["paper", "a README"], True)):
        rows = published.assign(source=[sources[i % 2] for i in range(len(published))])
        rows = rows.drop_duplicates("arm")
        claim = table(measured, rows).iloc[0]
        assert np.isfinite(claim["published"]) == known


def interval(arm, protocol, value, kind="bootstrap over 30 groups", metric="accuracy", tta="none"):
    return {
        "arm": arm, "protocol": protocol, "metric": metric, "tta": tta, "value": value, "low": value - 10,
        "high": value + 5, "kind": kind,
    }  # fmt: skip


INTERVALS = pd.DataFrame(
    [
        interval("control", "official", 50.0),
        interval("control", "occlusion", 30.0),
        interval("headline", "official", 60.0),
        interval("headline", "official", 61.0, kind="t over seeds"),
        interval("headline", "official", 62.0, metric="mean_class_accuracy"),
        interval("headline", "official", 63.0, tta="8 random copies"),
        interval("headline", "clean", 64.0),
        interval("headline", "occlusion", 40.0),
        interval("headline - control", "occlusion", 10.0),
    ]
)


def test_one_number_for_each_arm_and_list():
    table = accuracy_by_protocol(INTERVALS, ["headline", "control"])
    assert table["arm"].tolist() == ["headline", "headline", "control", "control"]
    assert table["class"].tolist() == ["official", "occlusion"] * 2
    assert table["value"].tolist() == pytest.approx([0.6, 0.4, 0.5, 0.3])
    assert table["low"].tolist() == pytest.approx([0.5, 0.3, 0.4, 0.2])
    assert table["high"].tolist() == pytest.approx([0.65, 0.45, 0.55, 0.35])


def test_numbers_are_told_to_those_who_cannot_see_the_bars():
    shown = show_subsets(accuracy_by_protocol(INTERVALS, ["headline", "control"]), 0.95)
    assert "headline, occlusion: 40.0%; control, official: 50.0%" in shown.markup


def test_sets_without_lists_say_so():
    whole = INTERVALS[INTERVALS["protocol"] == "official"]
    shown = show_subsets(accuracy_by_protocol(whole, ["headline", "control"]), 0.95)
    assert "no lists of occluded or rotated faces" in shown.markup


def test_claims_are_placed_by_their_published_size():
    ledger = ledger_rows()
    synthetic = ledger[ledger["verdict"] == "inconclusive"]
    real = synthetic.assign(dataset="ferplus", data="FERPlus", published=9.3, verdict="not reproduced")
    losses, unknown = synthetic.assign(unit="nats"), synthetic.assign(claim="no-size")
    rows = sized_claims(pd.concat([ledger, real, losses, unknown], ignore_index=True))
    assert rows["name"].tolist() == ["rmn masks, synthetic faces", "rmn masks, FERPlus"]
    assert rows["size"].tolist() == [1.72, 9.3]  # of the paper's own data where the place has none
    (axes,) = size_plot(rows).axes
    points = [line for line in axes.lines if line.get_label()[:1] in "12"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in points] == [(1.72, 1.0), (9.3, 1.0)]
    open_one, filled = (line.get_markerfacecolor() == line.get_color() for line in points)
    assert (open_one, filled) == (False, True)
    shown = show_sizes(pd.concat([ledger, losses, unknown, unknown])).markup
    assert "published size (2), and log losses, which are in nats (1)" in shown
    assert "1 rmn masks, synthetic faces: published +1.72, measured +1.00 points (−2.73 to +4.73)" in shown
    assert show_sizes(unknown).markup == show_sizes(ledger.head(0)).markup == ""


def test_crowded_points_keep_their_order_and_mean():
    values = np.array([0.0, 0.61, 0.62, 4.28, 4.89, 4.89, 4.9, 9.3])
    found = _apart(values, 0.25)
    assert np.diff(found).min() >= 0.25 - 1e-12
    assert found[[0, 7]].tolist() == [0.0, 9.3]
    assert found[1:3].mean() == pytest.approx(0.615)
    assert found[3:7].mean() == pytest.approx(values[3:7].mean())


def test_numbers_of_the_kept_claims_do_not_overlap():
    figure = size_plot(sized_claims(read_ledger("results/comparison/ledger.csv")))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 5
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
