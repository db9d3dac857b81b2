import numpy as np
import pytest

from fer_repro.figures.attention import (
    attention_table,
    show_attention_table,
    show_precision,
    with_mean,
)

TRUTHS = np.zeros((3, 4, 4), bool)
TRUTHS[0, :2, :2] = TRUTHS[1, 2:, 2:] = True  # a quarter each; the third face is real
MAPS = np.zeros((3, 2, 2))
MAPS[0, 0, 0] = MAPS[1, 0, 0] = 1  # right in the first face, wrong in the second
KINDS = ["swap", "transfer", "none"]
UNKNOWN = "Which pixels of these faces were manipulated is not known"


def test_the_mean_map_is_the_same_for_every_face():
    found = with_mean({"attention": MAPS[:, None]})
    assert list(found) == ["attention", "attention, mean"]
    assert found["attention, mean"].tolist() == [[[2 / 3, 0], [0, 0]]] * 3


def test_areas_by_kind_by_hand():
    table = attention_table({"attention": MAPS}, TRUTHS, KINDS).set_index("kind")
    assert table.index.tolist() == ["swap", "transfer"]
    assert table["chance"].tolist() == [0.25, 0.25]
    assert table.loc["swap", "attention"] == 1
    assert table.loc["transfer", "attention"] == pytest.approx(4 / 16)  # found last, with all others


def test_what_is_shown_with_and_without_the_truth():
    maps = with_mean({"attention": MAPS})
    assert "Precision over recall of attention, attention, mean" in show_precision(maps, TRUTHS).markup
    assert "<th" in show_attention_table(maps, TRUTHS, KINDS).markup
    assert UNKNOWN in show_precision(maps, None).markup
    assert UNKNOWN in show_attention_table(maps, None, KINDS).markup
