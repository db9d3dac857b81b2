"""Names that break lines: refused before they stand in a table, each with its place."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.samples import check_samples
from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError

LINE_ENDS = ("a\nb", "a\rb", "a\tb", "a\x1b[2Jb", "a\x00b", "a\u2028b", "a\x85b")
FINE = (
    "Zoë",
    'O\'Neil "Bo"',
    "=1+1",
    "<b>",
    "a, b",
    "名前",
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}",
    "$x$",
    "a\xa0b",
)


def table(**columns):
    values = {"image": [0, 1], "label": [0, 1], "subject": "", "clip": "", "split": "test"}
    return pd.DataFrame({**values, **columns})


@pytest.mark.parametrize("name", LINE_ENDS)
@pytest.mark.parametrize("column", ["subject", "clip", "file"])
def test_a_name_with_line_ends_is_refused_in_every_column_of_text(name, column):
    with pytest.raises(UserError, match=rf"s\.csv: row 1 \(line 3\): {column} is .*line ends") as caught:
        check_samples(table(**{column: ["good", name]}), ("x", "y"), 2, "s.csv")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [*LINE_ENDS, "a\udcffb", " a", "a ", ""])
def test_a_class_with_such_a_name_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(UserError, match=r"class .* of toy: expected a name without line ends") as caught:
        write_store(tmp_path / "toy", "toy", ("x", name), np.zeros((2, 4, 4), np.uint8), table(), {})
    assert str(caught.value).isprintable()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", FINE)
def test_every_other_name_comes_back_as_it_was(tmp_path, name):
    samples = table(subject=[name, "x"], clip=["x", name], file=[f"{name}/1.png", name])
    store = write_store(tmp_path / "toy", "toy", (name, "other"), np.zeros((2, 4, 4), np.uint8), samples, {})
    assert store.classes == (name, "other")
    assert store.samples["subject"].tolist() == [name, "x"]
    assert store.samples["clip"].tolist() == ["x", name]
    assert store.samples["file"].tolist() == [f"{name}/1.png", name]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_factor_that_is_no_number_is_refused(value):
    with pytest.raises(UserError, match=r"s\.csv: row 1 \(line 3\): valence is (inf|-inf|nan): expected"):
        check_samples(table(valence=[0.5, value]), ("x", "y"), 2, "s.csv")
