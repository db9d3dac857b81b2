"""Predicted numbers in files: exact round trips, packed ones, and what is refused."""

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.runs.numbers import PredictedNumbers, pack_numbers, read_numbers, write_numbers
from fer_repro.runs.predictions import read_predictions


def predicted(count=5):
    values = np.random.default_rng(0).random(count).astype(np.float32).astype(np.float64)
    splits = np.array(["val", "val", "test", "test", "test"][:count])
    return PredictedNumbers(np.arange(count) * 2, splits, np.array([0, 0.33, 0.66, 1, 0.33][:count]), values)


def test_numbers_come_back_exactly(tmp_path):
    path = tmp_path / "predictions.csv"
    write_numbers(path, predicted())
    assert path.read_text().splitlines()[0] == "sample,split,target,prediction"
    found = read_numbers(path)
    for name in ("samples", "splits", "targets"):
        assert np.array_equal(getattr(found, name), getattr(predicted(), name))
    assert np.array_equal(found.values.astype(np.float32), predicted().values.astype(np.float32))
    assert found.of_split("test").targets.tolist() == [0.66, 1, 0.33]


def test_packed_numbers_are_read_where_the_table_is_gone(tmp_path):
    write_numbers(tmp_path / "predictions.csv", predicted())
    (tmp_path / "kept").mkdir()
    pack_numbers(tmp_path, tmp_path / "kept")
    found = read_numbers(tmp_path / "kept/predictions.csv")
    assert found.values == pytest.approx(predicted().values, rel=1e-6)
    assert found.splits.tolist() == predicted().splits.tolist()
    assert found.targets.tolist() == [0, 0.33, 0.66, 1, 0.33]  # exactly: they are looked up in the set
    pack_numbers(tmp_path / "kept", tmp_path)  # packing again changes nothing
    assert (tmp_path / "predictions.npz").read_bytes() == (tmp_path / "kept/predictions.npz").read_bytes()
    (tmp_path / "kept/predictions.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="not readable as packed predictions"):
        read_numbers(tmp_path / "kept/predictions.csv")


HEAD = "sample,split,target,prediction\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "0,test,0.33,nan\n", "row 1 .* a number in every column"),
        (HEAD + "0,test,0.33,0.1\n0,test,0.33,0.2\n", "row 2 .* every sample once"),
        (HEAD + "0,train,0.33,0.1\n", "split one of val, test, challenge"),
        (HEAD + "0.5,test,0.33,0.1\n", "sample a whole number"),
        (HEAD, "no predictions"),
        ("sample,split,target,logit_a\n0,test,0,1\n", "expected those of a regression"),
    ],
)
def test_odd_rows_are_refused(tmp_path, text, words):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_numbers(tmp_path / "predictions.csv")


def test_numbers_are_not_read_as_classes(tmp_path):
    write_numbers(tmp_path / "predictions.csv", predicted())
    with pytest.raises(UserError, match="expected sample, split, target, logit_"):
        read_predictions(tmp_path / "predictions.csv")


def test_a_number_that_is_not_finite_is_refused():
    good = predicted()
    with pytest.raises(UserError, match="predictions of row 2"):
        PredictedNumbers(good.samples, good.splits, good.targets, np.array([0, 0, np.nan, 0, 0]))
