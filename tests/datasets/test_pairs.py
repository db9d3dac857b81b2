import pandas as pd
import pytest
from miniature_people import DEV_TEST, IMAGES, VIEW2

from fer_repro.datasets.pairs import (
    COLUMNS,
    choose_list,
    crossing_folds,
    draw_pairs,
    pair_facts,
    pairs_csv,
    people_in,
    read_pairs,
)
from fer_repro.errors import UserError


@pytest.fixture
def samples():
    rows = [(person, number) for person, images in IMAGES.items() for number in range(1, images + 1)]
    table = pd.DataFrame(rows, columns=["subject", "number"])
    return table.assign(file=[f"{person}/{person}_{number:04d}.png" for person, number in rows])


@pytest.fixture
def read(tmp_path, samples):
    def call(text, name="view2"):
        path = tmp_path / "pairs.txt"
        path.write_text(text)
        return read_pairs(path, name, samples)

    return call


def named(samples, row):
    return samples["subject"][row], samples["number"][row]


def test_folds_are_read_from_the_heading(read, samples):
    pairs = read(VIEW2)
    assert tuple(pairs.columns) == COLUMNS
    assert pairs["fold"].tolist() == [1] * 4 + [2] * 4
    assert pairs["same"].tolist() == [1, 1, 0, 0] * 2
    assert named(samples, pairs["first"][1]) == ("Bob_B", 1)
    assert named(samples, pairs["second"][1]) == ("Bob_B", 3)
    assert named(samples, pairs["second"][7]) == ("Eve_E", 2)
    for text in (VIEW2.replace("\t", " "), VIEW2.replace("\n", "\r\n"), "\ufeff" + VIEW2 + "\n\n"):
        pd.testing.assert_frame_equal(read(text), pairs)


def test_lists_without_folds_with_and_without_a_heading(read):
    pairs = read(DEV_TEST, "dev_test")
    assert set(pairs["fold"]) == {0}
    pd.testing.assert_frame_equal(read(DEV_TEST.partition("\n")[2], "dev_test"), pairs)


def test_names_with_blanks_need_tabs(tmp_path):
    samples = pd.DataFrame({"subject": ["An A", "An A", "B"], "number": [1, 2, 1], "file": ["a", "b", "c"]})
    path = tmp_path / "pairs.txt"
    path.write_text("An A\t1\t2\nAn A\t1\tB\t1\n")
    assert read_pairs(path, "x", samples)["second"].tolist() == [1, 2]


def test_a_plain_table_names_files(read):
    text = "first,second,same,fold\nAnn_A/Ann_A_0001.png,Ann_A/Ann_A_0002.png,1,3\n"
    pairs = read(text + "Ann_A/Ann_A_0001.png, Bob_B/Bob_B_0001.png,0,1\n")
    assert pairs["second"].tolist() == [1, 4]
    assert pairs["fold"].tolist() == [3, 1]


TABLE = "first,second,same\nAnn_A/Ann_A_0001.png,Ann_A/Ann_A_0002.png,1\n"
BAD = {
    "unknown person": (
        VIEW2.replace("Eve_E\t1\t2", "Eva_E\t1\t2"),
        "line 7: person 'Eva_E' is unknown; did you mean 'Eve_E'",
    ),
    "nobody comes near": ("X\t1\t2\n", "line 1: person 'X' is unknown; none of the 8 people is similar"),
    "no such image": (
        VIEW2.replace("Bob_B\t1\t3", "Bob_B\t1\t4"),
        "line 3: Bob_B has no image 4: expected one of 1, 2, 3$",
    ),
    "no number": (
        VIEW2.replace("Ann_A\t1\t2", "Ann_A\t1\tx"),
        "line 2: image 'x' of Ann_A: expected its num",
    ),
    "cut off": (VIEW2[: VIEW2.rindex("Di_D")], "line 8: ends after 7 pairs: line 1 states 8"),
    "too many": (VIEW2 + "Di_D\t1\t3\n", "line 10: ends after 9 pairs: line 1 states 8"),
    "wrong kind": (
        VIEW2.replace("Bob_B\t1\t3", "Bob_B\t1\tCy_C\t1"),
        "line 3: a different pair: expected 2 same, then 2 different pairs in each fold",
    ),
    "fields": (VIEW2.replace("Bob_B\t1\t3", "Bob_B\t1\t3\t4\t5"), "line 3: .*: expected 'name i j'"),
    "itself": (VIEW2.replace("Bob_B\t1\t3", "Bob_B\t3\t3"), "line 3: .* names one twice: expected two diff"),
    "one person twice": (
        VIEW2.replace("Ann_A\t3\tBob_B\t1", "Ann_A\t3\tAnn_A\t1"),
        "line 4: .* names one twice: expected two people",
    ),
    "heading": ("ten 300\nAnn_A\t1\t2\n", "line 1: 'ten 300': expected 'folds pairs'"),
    "empty": ("\n", "the file is empty"),
    "one kind": ("Ann_A\t1\t2\n", "all 1 pairs are of one kind"),
    "columns": ("first,second,label\na,b,1\n", "line 1: columns are first,second,label: expected first,sec"),
    "unknown file": (
        TABLE + "Ann_A/Ann_A_0001.png,Bob_B/Bob_B_001.png,0\n",
        r"line 3: image 'Bob_B/Bob_B_001.png' is unknown; did you mean 'Bob_B/Bob_B_0001.png'",
    ),
    "not what the folders say": (
        TABLE + "Ann_A/Ann_A_0001.png,Bob_B/Bob_B_0001.png,1\n",
        "line 3: same is '1' for images of Ann_A and Bob_B: expected 0, by their folders",
    ),
    "short row": (TABLE + "Ann_A/Ann_A_0001.png\n", "line 3: 1 columns: expected 3"),
    "fold 0": (
        TABLE.replace("same\n", "same,fold\n").replace(",1\n", ",1,0\n"),
        "line 2: fold is '0': expected a whole number from 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_list_is_one_clear_error(read, case):
    text, message = BAD[case]
    with pytest.raises(UserError, match=rf"pairs\.txt: {message}") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_images_that_share_a_number_are_refused(tmp_path):
    samples = pd.DataFrame({"subject": ["A", "A", "B"], "number": [1, 1, 1], "file": ["a1", "b1", "c1"]})
    (tmp_path / "pairs.txt").write_text("A 1 B 1\n")
    with pytest.raises(UserError, match="A has 2 images 1: name them in a table"):
        read_pairs(tmp_path / "pairs.txt", "x", samples)


def test_who_stands_where(read, samples):
    pairs = pd.concat([read(VIEW2), read("Ann_A\t1\t2\nAnn_A\t2\t1\nAnn_A\t1\tCy_C\t1\n", "dev")])
    view2 = choose_list(pairs, "view2")
    assert people_in(view2, samples) == ("Ann_A", "Bob_B", "Di_D", "Eve_E")
    assert crossing_folds(view2, samples) == ()
    assert crossing_folds(view2.assign(fold=[1, 2] * 4), samples) == ("Ann_A", "Bob_B", "Di_D", "Eve_E")
    facts = pair_facts(pairs, samples)
    assert facts["people"] == 8
    assert facts["people_with_several_images"] == 7
    assert facts["people_in_view2_and_dev"] == 1
    assert facts["view2_repeated_pairs"] == 0
    assert facts["dev_repeated_pairs"] == 1
    assert facts["dev_folds"] == 0
    with pytest.raises(UserError, match="list of pairs is 'view1'; did you mean 'view2'"):
        choose_list(pairs, "view1")


def test_drawn_folds_share_nobody_and_repeat_nothing():
    subjects = [f"p{person:02}" for person in range(23) for _ in range(2 + person % 4)]
    samples = pd.DataFrame({"subject": [*subjects, "", "alone"]})
    pairs = draw_pairs(samples, folds=4, per_fold=7)
    counts = pairs.groupby(["fold", "same"]).size()
    assert counts.nunique() == 1
    assert 2 <= counts.iloc[0] <= 7
    assert crossing_folds(pairs, samples) == ()
    assert "" not in people_in(pairs, samples)
    same = samples["subject"].to_numpy()[pairs["first"]] == samples["subject"].to_numpy()[pairs["second"]]
    assert same.tolist() == pairs["same"].astype(bool).tolist()
    assert (pairs["first"] < pairs["second"]).all()
    assert not pairs.duplicated(["first", "second"]).any()
    assert pairs_csv(draw_pairs(samples, 4, 7)) == pairs_csv(pairs)
    assert pairs_csv(draw_pairs(samples, 4, 7, seed=1)) != pairs_csv(pairs)
    with pytest.raises(UserError, match="12 folds of 300 pairs from 23 people"):
        draw_pairs(samples, folds=12)


def test_drawn_pairs_shrink_to_the_scarcer_kind():
    samples = pd.DataFrame({"subject": ["a"] * 10 + ["b"] * 2 + ["c"] * 10 + ["d"] * 2})
    assert len(draw_pairs(samples, 2, 300)) in (2 * 2 * 2, 2 * 2 * 20)  # depends on who meets whom
