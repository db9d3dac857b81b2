import numpy as np
import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.runs.predictions import (
    PAIR_COLUMNS,
    Predictions,
    read_pair_scores,
    read_predictions,
    write_pair_scores,
    write_predictions,
)

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
    assert list(found) == list(PAIR_COLUMNS)
    assert found.drop(columns="score").equals(table().drop(columns="score"))
    np.testing.assert_array_equal(found["score"].to_numpy(np.float32), table()["score"].to_numpy())
    before = (tmp_path / "pairs.csv").read_bytes()
    write_pair_scores(tmp_path / "pairs.csv", found)
    assert (tmp_path / "pairs.csv").read_bytes() == before


def test_pairs_have_nine_digits_and_end_lines_alike(tmp_path):
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


def some_predictions():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 5, (6, 2)).astype(np.float32).astype(np.float64)
    splits = np.array(["val"] * 2 + ["test"] * 4)
    return Predictions(
        ("sad", "a b"), np.arange(3, 9), splits, np.array([0, 1] * 3), logits, rng.dirichlet([1, 1], 6)
    )


def test_files_come_back_and_are_byte_stable(tmp_path):
    written = some_predictions()
    write_predictions(tmp_path / "p.csv", written)
    read = read_predictions(tmp_path / "p.csv")
    assert read.classes == written.classes
    assert (read.logits.astype(np.float32) == written.logits).all()
    assert np.allclose(read.probabilities, written.probabilities, atol=1e-9)
    assert (read.splits == written.splits).all()
    assert len(read.of_split("test").samples) == 4
    write_predictions(tmp_path / "q.csv", read)
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "q.csv").read_bytes()


def test_without_copies_probabilities_are_those_of_the_logits(tmp_path):
    written = some_predictions()
    write_predictions(tmp_path / "p.csv", written, augmented=False)
    assert "tta_" not in (tmp_path / "p.csv").read_text()
    read = read_predictions(tmp_path / "p.csv")
    odds = np.exp(written.logits)
    assert np.allclose(read.probabilities, odds / odds.sum(1, keepdims=True))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n4,val,1", "\n4,val,2", r"p.csv: row 2 .*expected target a class index from 0 to 1"),
        ("\n5,test", "\n5,tset", r"row 3 .*expected split one of val, test, challenge"),
        ("\n6,test", "\n5,test", r"row 4 .*expected every sample once"),
        ("\n6,test", "\n6.5,test", r"row 4 .*expected sample a whole number"),
        ("\n7,test,0,", "\n7,test,0,nan", r"row 5 .*expected a number"),
        ("tta_sad", "tta_mad", r"the columns are sample, .*with the same classes"),
        ("sample,", "image,", r"expected sample, split"),
    ],
)
def test_a_damaged_file_names_file_and_row(tmp_path, old, new, message):
    path = tmp_path / "p.csv"
    write_predictions(path, some_predictions())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        read_predictions(path)


def test_a_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text("")
    with pytest.raises(UserError, match="not readable as CSV"):
        read_predictions(tmp_path / "p.csv")


def test_the_file_has_nine_digits_and_ends_lines_alike_everywhere(tmp_path):
    logits, shares = np.array([[1e-12, -0.1234567891]]), np.array([[0.25, 0.75]])
    one = Predictions(("x", "y"), np.array([7]), np.array(["test"]), np.array([1]), logits, shares)
    write_predictions(tmp_path / "p.csv", one)
    assert (tmp_path / "p.csv").read_bytes() == (
        b"sample,split,target,logit_x,logit_y,tta_x,tta_y\n7,test,1,1e-12,-0.123456789,0.25,0.75\n"
    )
