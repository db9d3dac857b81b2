"""Groups of samples by any column of a sample table: thirds of people for numbers, values for texts."""

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest

THIRDS = ("lowest third", "middle third", "highest third")
MOST_GROUPS = 12  # values of a column whose values are groups


def groups_of(samples: pd.DataFrame, column: str, where: str = "samples.csv") -> np.ndarray:
    """Name the group of each sample.

    A column of measured numbers, which are not whole or more than ``MOST_GROUPS``, is cut into thirds of the
    people of the training part, each of whom counts once (where people are not known, each sample does); so a
    group means the same in all parts. Any other column has a group for each of its values.

    Args:
        samples: a sample table.
        column: one of its columns.
        where: the file for messages.

    Returns:
        (N,) texts; "" where the column is empty: such a sample is in no group.

    Raises:
        UserError: there is no such column, it has one value, or more texts than ``MOST_GROUPS``.
    """
    if column not in samples:
        raise UserError(f"{where}: there is no column '{column}'; {nearest(column, map(str, samples))}")
    values = samples[column]
    known = values.notna() & values.astype(str).ne("")
    count = values[known].nunique()
    if count < 2:
        raise UserError(f"{where}: column '{column}' has {count} value: expected two groups or more")
    numbers = pd.to_numeric(values.where(known), errors="coerce")
    are_numbers = bool(numbers.notna().eq(known).all())
    measured = are_numbers and count > 2 and bool((numbers[known] % 1 != 0).any())
    if measured or (are_numbers and count > MOST_GROUPS):
        names = _thirds(samples, numbers.astype(float))
    elif count <= MOST_GROUPS:
        names = values.astype(str).where(known, "")
    else:
        raise UserError(
            f"{where}: column '{column}' has {count} texts: expected numbers, or at most {MOST_GROUPS} values"
        )
    return names.to_numpy(dtype=str)


def _thirds(samples: pd.DataFrame, numbers: pd.Series) -> pd.Series:
    people = samples["subject"] if "subject" in samples else pd.Series("", index=samples.index)
    people = people.where(people.ne(""), samples.index.astype(str))
    train = samples["split"].eq("train") & numbers.notna()
    chosen = train if train.any() else numbers.notna()
    each = pd.DataFrame({"person": people[chosen], "value": numbers[chosen]}).drop_duplicates()
    cuts = each["value"].quantile([1 / 3, 2 / 3]).to_numpy()
    names = np.array(THIRDS)[np.searchsorted(cuts, numbers.fillna(0).to_numpy())]
    return pd.Series(names, index=samples.index).where(numbers.notna(), "")


def units_of(samples: pd.DataFrame, groups: np.ndarray) -> np.ndarray:
    """Number what belongs to a group as a whole: people, where none of them is in two groups, else samples.

    Args:
        samples: (N,) rows of a sample table.
        groups: (N,) from ``groups_of``.

    Returns:
        (N,) int64.
    """
    rows = np.arange(len(samples))
    if "subject" not in samples:
        return rows
    people = np.where(
        samples["subject"].ne(""), samples["subject"].astype(str), [f"row {row}" for row in rows]
    )
    if pd.Series(groups).groupby(people).nunique().max() > 1:
        return rows
    return np.unique(people.astype(str), return_inverse=True)[1].astype(np.int64)


def permuted_groups(groups: np.ndarray, units: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Deal the groups out among the units anew: what remains of a finding says nothing about the groups.

    Args:
        groups: (N,) names.
        units: (N,) from ``units_of``; each is in one group, before and after.
        generator: draws the order.
    """
    _, first, member = np.unique(units, return_index=True, return_inverse=True)
    dealt: np.ndarray = generator.permutation(groups[first])[member]
    return dealt
