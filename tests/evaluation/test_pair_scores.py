import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.evaluation.pair_scores import COLUMNS, read_pair_scores, write_pair_scores

HEADER = "list,first,second,same,fold,score\n"


def table():
    return pd.DataFrame(
        {
            "list": ["val", "test", "test"], "first": [0, 2, 4], "second": [1, 3, 5], "same": [1, 0, 1],
            "fold": [0, 1, 2], "score": np.array([0.1, -1 / 3, 0.9999999], np.float32),
        }
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path):
    written = table().assign(yaw_gap=3.0)
    write_pair_scores(tmp_path / "pairs.csv", written)
    found = read_pair_scores(tmp_path / "pairs.csv")
    assert list(found) == list(COLUMNS)
    assert found.drop(columns="score").equals(table().drop(columns="score"))
    np.testing.assert_array_equal(found["score"].to_numpy(np.float32), table()["score"].to_numpy())
    before = (tmp_path / "pairs.csv").read_bytes()
    write_pair_scores(tmp_path / "pairs.csv", found)
    assert (tmp_path / "pairs.csv").read_bytes() == before


def test_the_file_has_nine_digits_and_ends_lines_alike_everywhere(tmp_path):
    write_pair_scores(tmp_path / "pairs.csv", table().assign(score=[0.1234567891, 1e-12, -1.0]))
    assert (tmp_path / "pairs.csv").read_bytes() == (
        b"list,first,second,same,fold,score\nval,0,1,1,0,0.123456789\ntest,2,3,0,1,1e-12\ntest,4,5,1,2,-1\n"
    )


def test_what_may_not_be_written_names_the_file_and_leaves_none(tmp_path):
    path = tmp_path / "pairs.csv"
    for wrong, message in (
        (table().drop(columns="fold"), "column 'fold' is missing"),
        (table().assign(same=2), "row 1 .*: expected same 0 or 1"),
        (table().iloc[:0], "no pairs; expected at least one row"),
    ):
        with pytest.raises(UserError, match=f"^{path}: {message}"):
            write_pair_scores(path, wrong)
    assert not path.exists()
    path.write_text("list,first\n")
    with pytest.raises(UserError, match=f"^{path}: column 'second' is missing"):
        read_pair_scores(path)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("train,0,1,1,0,0.5", r"row 2 \(train,0,1,1,0,0.5\): expected list one of val, test"),
        ("test,-1,1,1,0,0.5", "row 2 .*: expected first a row of the sample table"),
        ("test,0,1.5,1,0,0.5", "row 2 .*: expected second a row of the sample table"),
        ("test,3,3,1,0,0.5", "row 2 .*: expected two different samples"),
        ("test,0,1,2,0,0.5", "row 2 .*: expected same 0 or 1"),
        ("test,0,1,,0,0.5", "row 2 .*: expected same 0 or 1"),
        ("test,0,1,1,x,0.5", "row 2 .*: expected fold a whole number"),
        ("test,0,1,1,0,nan", "row 2 .*: expected score a finite number"),
        ("test,0,1,1,0,inf", "row 2 .*: expected score a finite number"),
        ("test,0,1,1,3,0.5", "row 1 of list 'test' has no fold, others have"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, expected):
    (tmp_path / "pairs.csv").write_text(HEADER + "test,0,1,1,0,0.25\n" + row + "\n")
    with pytest.raises(UserError, match=expected):
        read_pair_scores(tmp_path / "pairs.csv")


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(UserError, match=r"pairs.csv: no such file; expected the scored pairs"):
        read_pair_scores(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("")
    with pytest.raises(UserError, match="not readable as CSV"):
        read_pair_scores(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("list,first,second,same,fold\n")
    with pytest.raises(UserError, match="column 'score' is missing; expected list, first"):
        read_pair_scores(tmp_path / "pairs.csv")


def test_a_bad_table_is_not_written(tmp_path):
    with pytest.raises(UserError, match=r"row 3 .*: expected score a finite number"):
        write_pair_scores(tmp_path / "pairs.csv", table().assign(score=[0.1, 0.2, np.nan]))
    assert not list(tmp_path.iterdir())
