import pandas as pd
import pytest

from fer_repro.figures.claim_figures import accuracy_by_protocol, show_subsets


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
    assert "no lists of occluded or turned faces" in shown.markup
