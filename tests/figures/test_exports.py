import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.figures.exports import (
    TablePart,
    as_csv,
    as_json,
    as_kept,
    export_results,
    read_kept_table,
    write_formats,
)
from fer_repro.figures.tables import Column, beside_published

FRAME = pd.DataFrame(
    {"arm": ["a|b", "c"], "value": [0.123456789012, np.nan], "runs": pd.array([3, None], "Int64"), "ok": True}
)
KINDS = ("csv", "json", "md", "tex", "html")


def test_json_holds_numbers_and_nulls():
    rows = json.loads(as_json(FRAME))
    assert rows == [
        {"arm": "a|b", "ok": True, "runs": 3, "value": 0.123456789},
        {"arm": "c", "ok": True, "runs": None, "value": None},
    ]


def test_five_files_say_the_same(tmp_path):
    parts = [TablePart("First.", FRAME, (Column("arm", "Arm"), Column("value", "Value", "percent")))]
    parts.append(TablePart("Second.", FRAME.head(1), (Column("arm", "Arm"),)))
    files = write_formats(tmp_path / "deep.er/table", FRAME, parts, KINDS)
    assert [file.name for file in files] == [f"table.{kind}" for kind in KINDS]
    texts = {file.suffix: file.read_text(encoding="utf-8") for file in files}
    for kind in (".md", ".tex", ".html"):
        assert texts[kind].index("First.") < texts[kind].index("0.12") < texts[kind].index("Second.")
    assert float(next(csv.DictReader(io.StringIO(texts[".csv"])))["value"]) == 0.123457
    before = {file: file.read_bytes() for file in files}
    write_formats(tmp_path / "deep.er/table", FRAME, parts, KINDS)
    assert before == {file: file.read_bytes() for file in files}


def test_git_keeps_csv_and_markdown(tmp_path):
    files = write_formats(tmp_path / "table", FRAME, [])
    assert [file.name for file in files] == ["table.csv", "table.md"]


def test_a_table_is_read_as_it_was_written(tmp_path):
    frame = pd.DataFrame({"arm": ["NA", ""], "value": [0.5, np.nan], "runs": [3, 4]})
    file, *_ = write_formats(tmp_path / "table", frame, [])
    pd.testing.assert_frame_equal(read_kept_table(file), frame, check_dtype=False)
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"table\.csv: not readable as CSV"):
        read_kept_table(file)


def test_a_number_between_two_is_printed_as_the_kept_one_is(tmp_path):
    table = pd.DataFrame({"name": ["a", "b"], "value": [5.9750000001, float("nan")], "runs": [5, 3]})
    kept = as_kept(table)
    path = tmp_path / "table.csv"
    path.write_text(as_csv(table))
    assert (
        f"{kept['value'][0]:.2f}" == f"{read_kept_table(path)['value'][0]:.2f}" != f"{table['value'][0]:.2f}"
    )
    assert kept["runs"].tolist() == [5, 3]
    assert kept["value"].isna().tolist() == [False, True]


def test_results_have_their_gap_in_both_files(tmp_path, published):
    single = {"seed": "", "deviation": np.nan, "runs": 1, "low": np.nan, "high": np.nan}
    rows = published.assign(tta="random", value=published["value"] - 2, **single)
    export_results(beside_published(rows, published), tmp_path / "table")
    assert read_kept_table(tmp_path / "table.csv")["gap"].tolist()[0] == -2
    assert "−2.00" in (tmp_path / "table.md").read_text(encoding="utf-8")
