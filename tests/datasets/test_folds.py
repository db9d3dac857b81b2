import hashlib

import pandas as pd
import pytest

from fer_repro.datasets.folds import (
    ckplus_folds,
    fold_split,
    held_out,
    kind_labels,
    read_fold_list,
    subject_folds,
    without_kind,
)
from fer_repro.errors import UserError


def table(folds, subjects):
    rows = len(folds)
    base = {"image": range(rows), "label": 0, "subject": subjects, "clip": "", "split": "train"}
    return pd.DataFrame({**base, "fold": folds})


def test_subjects_are_dealt_in_turn():
    assert subject_folds(["S3", "S1", "S2", "S1"], 2) == {"S1": 1, "S2": 2, "S3": 1}
    with pytest.raises(UserError, match="2 subjects: expected at least 3"):
        subject_folds(["a", "b"], 3)
    with pytest.raises(UserError, match="all with a name"):
        subject_folds(["a", "b", ""], 3)


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (1, ["test", "val", "train", "test"]),
        (2, ["train", "test", "val", "train"]),
        (3, ["val", "train", "test", "val"]),
    ],
)
def test_each_turn_by_hand(fold, expected):
    samples = table([1, 2, 3, 1], ["a", "b", "c", "a"])
    turned = fold_split(samples, fold)
    assert turned["split"].tolist() == expected
    assert samples["split"].tolist() == ["train"] * 4  # the table itself stays
    assert turned.drop(columns="split").equals(samples.drop(columns="split"))


def test_wrong_folds():
    samples = table([1, 2, 3, 1], ["a", "b", "c", "a"])
    with pytest.raises(UserError, match=r"fold is 4: expected one of 1, 2, 3"):
        fold_split(samples, 4)
    with pytest.raises(UserError, match="column 'fold' is missing"):
        fold_split(samples.drop(columns="fold"), 1)
    with pytest.raises(UserError, match="three or more"):
        fold_split(table([1, 2], ["a", "b"]), 1)
    with pytest.raises(UserError, match="subject 'a' is in"):
        fold_split(table([1, 2, 3, 2], ["a", "b", "c", "a"]), 1)


LIST = "1-fold 2 Angry 1 Sad 1\nS001/001 Angry\nS001/002 Sad\n\n2-fold 1 Angry 1\nS002/001 Angry\n"


def test_the_list_is_read(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(LIST)
    assert read_fold_list(path) == {
        "S001/001": (1, "Angry"),
        "S001/002": (1, "Sad"),
        "S002/001": (2, "Angry"),
    }


BAD_LISTS = {
    "a word": (LIST + "what\n", r"line 7: 'what': expected 'k-fold n"),
    "twice": (LIST + "S002/001 Angry\n", r"line 7: 'S002/001' is given twice"),
    "no head": ("S001/001 Angry\n", "line 1: 'S001/001' has no fold"),
    "count": (LIST.replace("1-fold 2", "1-fold 3"), "fold 1 has 2 sequences: its head line states 3"),
    "subject": (LIST + "S001/003 Sad\n", "line 7: subject 'S001' is in folds 1 and 2"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_bad_list_is_one_clear_error(tmp_path, case):
    path = tmp_path / "list.txt"
    path.write_text(BAD_LISTS[case][0])
    with pytest.raises(UserError, match=BAD_LISTS[case][1]) as caught:
        read_fold_list(path)
    assert str(caught.value).startswith(str(path))


def test_ckplus_folds_by_list_and_by_rule(tmp_path):
    labels = {f"S{number:03}/001": "anger" for number in range(12)}
    folds, note = ckplus_folds(labels, tmp_path)
    assert [folds[f"S{number:03}/001"] for number in (0, 1, 9, 10)] == [1, 2, 10, 1]
    assert "12 subjects, not 118" in note
    lines = "".join(f"{sequence} Angry\n" for sequence in labels)
    (tmp_path / "emotion_fan_10fold.txt").write_text(f"7-fold 12 Angry 12\n{lines}")
    folds, note = ckplus_folds(labels, tmp_path)
    assert set(folds.values()) == {7}
    assert "as published" in note
    with pytest.raises(UserError, match="'S011/002' is missing"):
        ckplus_folds({**labels, "S011/002": "anger"}, tmp_path)
    with pytest.raises(UserError, match=r"'S000/001' is 'Angry': .* has it as 'sadness'"):
        ckplus_folds({**labels, "S000/001": "sadness"}, tmp_path)


def test_one_in_eight_is_held_out():
    share = sum(held_out(str(number).encode()) for number in range(8000)) / 8000
    assert share == pytest.approx(1 / 8, abs=0.01)
    assert held_out(b"clip") == held_out(b"clip")


def test_held_out_is_the_first_byte_of_the_hash():
    keys = [f"clip {number}".encode() for number in range(60)]
    expected = [int(hashlib.sha256(key).hexdigest()[:2], 16) in range(0, 256, 8) for key in keys]
    assert any(expected)
    assert [held_out(key) for key in keys] == expected


def test_as_many_subjects_as_folds_are_enough():
    assert subject_folds(["b", "a"], 2) == {"a": 1, "b": 2}
    assert subject_folds([f"S{number:02}" for number in range(10)])["S09"] == 10
    with pytest.raises(UserError, match="9 subjects: expected at least 10"):
        subject_folds([f"S{number:02}" for number in range(9)])


@pytest.mark.parametrize("given", [(), ("a.csv",)])
def test_the_file_is_named_in_every_message(given):
    name = given[0] if given else "samples.csv"
    for samples, fold in (
        (table([1, 2, 3, 1], ["a", "b", "c", "a"]), 4),
        (table([1, 2, 3, 1], ["a", "b", "c", "a"]).drop(columns="fold"), 1),
        (table([1, 2, 3, 2], ["a", "b", "c", "a"]), 1),
    ):
        with pytest.raises(UserError, match=f"^{name}: "):
            fold_split(samples, fold, *given)


def test_a_list_may_hold_what_is_no_utf_8(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(LIST.encode() + b"caf\xe9 " + b"x" * 40 + b"\n")
    with pytest.raises(UserError, match=r"line 7: 'caf\ufffd x{35}': expected"):
        read_fold_list(path)


def test_the_rule_says_that_nothing_confirms_it(tmp_path):
    labels = {f"S{number:03}/{part}": "anger" for number in range(118) for part in ("001", "002")}
    folds, note = ckplus_folds(labels, tmp_path)
    assert note == (
        "Folds: subjects sorted and assigned to ten folds; emotion_fan_10fold.txt is not there to confirm it."
    )
    assert [folds[f"S011/{part}"] for part in ("001", "002")] == [2, 2]
    _, other = ckplus_folds({"S900/001": "anger", **labels}, tmp_path)
    assert other == f"{note} 119 subjects, not 118: they are not the published folds."


def forged():
    """Of each part a real face and one of each kind, row by row."""
    kinds = ["none", "swap", "transfer", "resample"]
    rows = [(kind, split) for split in ("train", "val", "test") for kind in kinds]
    labels = [int(kind != "none") for kind, _ in rows]
    table = pd.DataFrame(rows, columns=["forgery", "split"])
    return table.assign(image=range(12), label=labels, subject="", clip="")


def test_a_kind_is_left_out_of_what_is_learnt_alone():
    found = without_kind(forged(), "swap")
    assert found.index.tolist() == [0, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert found["forgery"][found["split"] == "test"].tolist() == ["none", "swap", "transfer", "resample"]
    assert found.equals(forged().loc[found.index])


def test_what_cannot_be_left_out_is_refused():
    with pytest.raises(UserError, match=r"'swop' is to be left out; did you mean 'swap'\?"):
        without_kind(forged(), "swop")
    one = forged().query("forgery in ('none', 'swap') or split != 'val'")
    with pytest.raises(UserError, match="without 'swap' the part val has no manipulated face left"):
        without_kind(one, "swap")
    with pytest.raises(UserError, match="column 'forgery' is missing"):
        without_kind(forged().drop(columns="forgery"), "swap")
    with pytest.raises(UserError, match="row 2 is manipulated, and forgery is empty"):
        without_kind(forged().replace({"forgery": {"swap": "none"}}), "resample")


def test_kinds_are_classes_of_the_training_part():
    found = kind_labels(without_kind(forged(), "swap"), 2)
    assert found["label"].tolist() == [0, 2, 1, 0, 1, 1, 0, 1, 1, 1]  # real, resample, transfer
    assert kind_labels(forged(), 3)["label"].tolist()[:4] == [0, 2, 3, 1]
    with pytest.raises(UserError, match=r"has 3 kinds of manipulation, resample, swap, transfer: .* for 2"):
        kind_labels(forged(), 2)
