import pandas as pd
from finished_project import published_rows

from fer_repro.report.published import published_accuracies, show_published


def test_each_number_once_with_its_data(published):
    unusual = published_rows().head(1).assign(dataset="afew", protocol="ten_fold", split="val", value=0.5)
    rows = [published, published, unusual.assign(unit="fraction"), unusual.assign(metric="auc")]
    table = published_accuracies(pd.concat(rows, ignore_index=True), "rmn")
    assert table["data"].tolist() == ["fer2013", "fer2013", "afew, ten fold, val"]
    assert table["value"].tolist() == [74.14, 72.42, 50.0]
    assert published_accuracies(published, "fan").empty


def test_the_table_says_where_numbers_are_from(published):
    markup = show_published(published, "rmn", "Reported").markup
    assert "Table III" in markup
    assert ">74.14<" in markup
