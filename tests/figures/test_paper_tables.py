import numpy as np
import pandas as pd
import pytest
from finished_project import published_rows, result_rows

from fer_repro.figures.paper_tables import (
    COLUMNS,
    paper_parts,
    paper_table,
    show_paper_tables,
    write_paper_tables,
)


def published():
    own = published_rows()
    others = own.head(1).assign(
        method=["dl_svm"], arm="reported", paper="1306.0239", table="Table III of 2603.05937", value=71.16
    )
    foreign = own.head(1).assign(method="fan", arm="self_relation", paper="1907.00193", table="Table 1")
    return pd.concat([own, others, foreign], ignore_index=True)


@pytest.fixture
def table():
    rows = pd.concat(
        [result_rows("fer2013", tta="random, 8 copies"), result_rows(), result_rows(metric="ece")]
    )
    return paper_table(rows, published(), "rmn")


def test_published_and_measured_are_joined_where_the_data_are_the_same(table):
    assert list(table) == list(COLUMNS)
    assert table["table"].tolist()[:3] == ["Table III", "README", "Table III"]
    first = table.iloc[0]
    assert (first["published"], first["measured"], first["seeds"]) == (74.14, 81.0, 3)
    assert first["gap"] == pytest.approx(81 - 74.14)
    assert first["low"] == pytest.approx(81 - 4.302652729911275 / np.sqrt(3))
    quoted = table.iloc[2]
    assert (quoted["network"], np.isnan(quoted["measured"])) == ("dl svm", True)
    rest = table[table["table"] == ""]
    assert set(rest["dataset"]) == {"synthetic"}
    assert set(rest["metric"]) == {"accuracy", "ece"}
    assert rest["published"].isna().all()
    assert "self_relation" not in set(table["network"])


def test_the_layout_has_a_row_per_network_and_hides_what_was_not_measured(table):
    first, readme, here = paper_parts(table, 0.95)
    assert [column.heading for column in first.columns] == [
        "Network", "fer2013, published", "measured", "interval", "seeds", "gap", "Note",
    ]  # fmt: skip
    assert first.frame["network"].tolist() == ["masked", "dl svm"]
    assert first.frame.iloc[0].tolist()[1:3] == ["74.14", "81.00"]
    assert first.frame.iloc[1].tolist()[1:3] == ["71.16", "–"]
    assert readme.frame["gap0"].tolist() == ["+7.58"]
    assert [column.heading for column in here.columns] == ["Network", "synthetic, accuracy", "seeds"]
    assert here.frame["value0"].tolist()[0] == "81.00 (78.52 to 83.48)"
    nothing = paper_table(result_rows().head(0), published(), "rmn")
    assert [len(part.columns) for part in paper_parts(nothing, 0.95)] == [3, 3]


def test_a_paper_without_rows_has_no_tables():
    assert paper_parts(paper_table(result_rows().head(0), published(), "ran"), 0.95) == []


def test_a_paper_without_numbers_is_measured_by_its_task():
    rows = pd.concat([result_rows(), result_rows(metric="video_auc"), result_rows(metric="ece")])
    (here,) = paper_parts(paper_table(rows, published().head(0), "rmn"), 0.95)
    headings = [column.heading for column in here.columns]
    assert headings == ["Network", "synthetic, accuracy", "synthetic, video AUC", "seeds"]


def test_tables_are_written_and_shown(tmp_path, table):
    write_paper_tables({"rmn": table}, tmp_path, 0.95)
    assert {path.suffix for path in tmp_path.glob("rmn.*")} == {".csv", ".md"}
    markup = show_paper_tables({"rmn": table}, {"rmn": "A <title>"}, 0.95).markup
    assert "A &lt;title&gt;: 2 published numbers measured, 4 further results" in markup
    assert markup.count("<table") == 3
