import math

import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.spreadsheets import as_numbers, read_csv


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (7, 7.0),
        ("7.5", 7.5),
        (10**19, 1e19),
        (2**64 + 1, 2.0**64),
        (int("9" * 400), math.inf),
        (-int("9" * 400), -math.inf),
        ("happy", math.nan),
        ("", math.nan),
        (None, math.nan),
        (True, math.nan),
    ],
)
def test_cells_become_floats_without_an_error(cell, expected):
    read = as_numbers(pd.Series([cell, 2], dtype=object))
    assert read.dtype == np.float64
    assert read[0] == pytest.approx(expected, nan_ok=True)
    assert read[1] == 2


def test_columns_of_numbers_stay_what_they_are():
    for column in (pd.Series([1, 2]), pd.Series([0.1, np.nan]), pd.Series([1, 2], dtype="uint8")):
        pd.testing.assert_series_equal(as_numbers(column), column.astype(np.float64))


def test_empty_cells_are_texts_but_where_numbers_are(tmp_path):
    (tmp_path / "a.csv").write_text("name,value\nNA,\n,2\n")
    table = read_csv(tmp_path / "a.csv", ["value", "other"])
    assert table["name"].tolist() == ["NA", ""]
    assert np.isnan(table["value"][0])
    assert read_csv(tmp_path / "a.csv")["name"].isna().all()
    (tmp_path / "b.csv").write_bytes(b"a\n\xff")
    with pytest.raises(UserError, match=r"b\.csv: not readable as CSV"):
        read_csv(tmp_path / "b.csv")
