import numpy as np
from evaluated_project import sample_table

from fer_repro.evaluation.agreement import sample_groups


def groups(rows=None, **columns):
    count = len(next(iter(columns.values())))
    table = sample_table([0] * count, ["test"] * count).assign(**columns)
    return sample_groups(table, np.arange(count) if rows is None else np.array(rows))


def same(numbers):
    """Which pairs of samples are of one group."""
    return [(i, j) for i in range(len(numbers)) for j in range(i) if numbers[i] == numbers[j]]


def test_people_before_clips():
    numbers = groups(subject=["p", "q", "p", "q"], clip=["a", "a", "b", "c"])
    assert same(numbers) == [(2, 0), (3, 1)]


def test_clips_where_people_are_unknown():
    numbers = groups(subject=["", "", "p", "p"], clip=["a", "a", "a", ""])
    assert same(numbers) == [(1, 0), (3, 2)]


def test_a_manipulation_stands_with_its_original():
    numbers = groups(clip=["r1", "r1", "f1", "f2", "r2"], original=["", "", "r1", "r2", ""])
    assert same(numbers) == [(1, 0), (2, 0), (2, 1), (4, 3)]


def test_only_the_named_rows_count():
    assert same(groups(rows=[1, 2, 3], subject=["p", "p", "q", "q"])) == [(2, 1)]


def test_groups_that_say_nothing():
    assert groups(subject=["", "", ""]) is None
    assert groups(subject=["p", "q", "r"]) is None
    assert groups(subject=["p", "p", "p"]) is None


def test_samples_of_nobody_are_their_own_groups_beside_those_of_people():
    people = ["p", "", "p", "", "q"]
    assert same(groups(subject=people)) == [(2, 0)]
    assert same(groups(rows=[1, 0, 2, 3], subject=people)) == [(2, 1)]
