import pandas as pd

from fer_repro.figures.answer_figures import show_bars

COLUMNS = ["arm", "class", "value", "low", "high"]


def test_bars_or_words():
    table = pd.DataFrame([["plain", "swap\n(3)", 0.5, 0.4, 0.6]], columns=COLUMNS)
    shown = show_bars(table, "AUC", "What to see.", "Unknown.").markup
    assert "plain, swap (3): 50.0%" in shown
    assert "What to see." in shown
    assert show_bars(table[:0], "AUC", "What to see.", "Unknown.").markup == '<p class="said">Unknown.</p>\n'
