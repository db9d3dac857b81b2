import numpy as np
import pandas as pd

from fer_repro.report.verdicts import show_open_claims, show_verdicts

NAN = np.nan
COLUMNS = [
    "method", "statement", "dataset", "metric", "unit", "difference", "low", "high", "confidence", "seeds",
    "published", "published_source", "verdict", "reason", "condition", "access",
]  # fmt: skip
LEDGER = pd.DataFrame(
    [
        ["a", "It gains.", "drawn", "frame_auc", "points", -1.234, -3, 0.5, 0.95, 3, NAN, "", "inconclusive",
         "the sign is not certain", "small", ""],
        ["a", "It is sharper.", "drawn", "log_loss", "nats", 0.01, 0.002, 0.03, 0.95, 3, 0.0144, "table",
         "direction reproduced", "the sign is certain", "small", ""],
        ["a", "It reaches 94.", "ff", "frame_auc", "%", NAN, NAN, NAN, 0.95, NAN, 94.4356, "the table",
         "not attempted", "no run", NAN, "signed request"],
        ["b", "Another.", "drawn", "rank1", "%", NAN, NAN, NAN, 0.95, NAN, 97, "", "not attempted", "no run",
         NAN, ""],
    ],
    columns=COLUMNS,
)  # fmt: skip


def test_tested_claims_are_printed_in_their_units():
    shown = show_verdicts(LEDGER, "a", "drawn").markup
    for text in ("It gains.", ">frame auc<", ">−1.23<", ">−3.00 to +0.50<", "+0.0100 nats", "95 %"):
        assert text in shown
    assert "the sign is not certain; small" in shown
    assert "It reaches 94." not in shown
    assert "Published" in shown
    assert "Published" not in show_verdicts(LEDGER[:1], "a", "drawn").markup
    assert "No claim of b can be tested on drawn." in show_verdicts(LEDGER, "b", "drawn").markup


def test_open_claims_say_where_their_data_are():
    shown = show_open_claims(LEDGER, "a").markup
    for text in ("It reaches 94.", "94.4356 %", "the table", "signed request"):
        assert text in shown
    assert "It gains." not in shown
    nothing = show_open_claims(LEDGER[:2], "a").markup
    assert "Every claim of a was tested" in nothing
