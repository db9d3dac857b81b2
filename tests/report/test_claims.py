import numpy as np
from finished_project import result_rows

from fer_repro.report.claims import CLAIM_COLUMNS, claim_table, gauge, headline_claim


def table(measured, published):
    return claim_table(measured, published, "rmn", "masked", "no_mask", 0.95)


def test_the_paired_difference_by_hand(measured, published):
    claim = table(measured, published).iloc[0]
    differences = np.array([1.0, -0.5, 2.5])
    assert claim["difference"] == 1.0
    np.testing.assert_allclose(claim["deviation"], 1.5)
    np.testing.assert_allclose(claim["high"], 1 + 4.302652729911275 * differences.std(ddof=1) / np.sqrt(3))
    assert claim["runs"] == 3
    assert round(claim["published"], 2) == 1.72
    assert claim["published_dataset"] == "fer2013"


def test_only_seeds_of_both_arms_count(measured, published):
    lonely = (measured["arm"] == "no_mask") & (measured["seed"] == "2")
    claim = table(measured[~lonely], published).iloc[0]
    assert (claim["runs"], claim["difference"]) == (2, 0.25)


def test_no_rows_no_claims(measured, published):
    assert table(measured[measured["arm"] == "masked"], published).empty
    assert list(table(measured.head(0), published).columns) == CLAIM_COLUMNS
    assert headline_claim(table(measured.head(0), published)) is None


def test_the_summary_prefers_test_time_augmentation_and_the_official_protocol(published):
    import pandas as pd

    rows = pd.concat(
        [
            result_rows(tta="random").assign(protocol="clean"),
            result_rows(),
            result_rows(tta="random"),
        ]
    )
    chosen = headline_claim(table(rows, published))
    assert (chosen["protocol"], chosen["tta"]) == ("official", "random")


def test_the_drawing_keeps_everything_on_the_line(measured, published):
    places = gauge(table(measured, published).iloc[0])
    assert 0 < places["low"] < 50 < places["difference"] < places["high"] < 100
    assert places["published"] > places["difference"]
