import numpy as np
import pandas as pd
from finished_project import published_rows

from fer_repro.figures.result_tables import published_accuracies, show_published

ARMS = ["no_mask", "never", "masked"]


def test_one_row_for_each_place_and_one_column_for_each_arm(published):
    unusual = published_rows().head(1).assign(dataset="afew", protocol="ten_fold", split="val", value=0.5)
    again = published.assign(value=1.0)
    rows = [published, again, unusual.assign(unit="fraction"), unusual.assign(metric="auc", value=2.0)]
    table = published_accuracies(pd.concat(rows, ignore_index=True), "rmn", ARMS)
    assert table.columns.tolist() == ["data", "no_mask", "masked"]
    assert table["data"].tolist() == ["fer2013", "afew, ten fold, val"]
    assert table["masked"].tolist() == [74.14, 50.0]
    np.testing.assert_equal(table["no_mask"].tolist(), [72.42, np.nan])
    assert published_accuracies(published, "fan", ARMS).empty


def test_a_missing_number_is_a_dash(published):
    unusual = published_rows().head(1).assign(dataset="afew")
    markup = show_published(pd.concat([published, unusual]), "rmn", ARMS, "Reported").markup
    assert ">74.14<" in markup
    assert ">–<" in markup
