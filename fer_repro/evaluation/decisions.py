"""Verdicts for the rows of a ledger, with the correction for all tests of a method together."""

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.evaluation.verdicts import EQUAL, LEAST_SEEDS, PART, RULES, VERSION, WIDEST, Case, decide
from fer_repro.measures.intervals import holm
from fer_repro.measures.power import MANY_SEEDS, more_seeds
from fer_repro.measures.variance_components import Spread
from fer_repro.recipes import is_synthetic

_OPEN = (15, 19)  # rules that more seeds may change


def decide_rows(ledger: pd.DataFrame) -> pd.DataFrame:
    """Correct the p-values of each family, and give every row its verdict, reason and line.

    A family is all tests of a method on synthetic data, or on real data: of differences, and of half the
    published difference. Holm's correction is for all of them.

    Args:
        ledger: ``ledger.COLUMNS``, from runs, from records, or both.

    Returns:
        The same rows; what was decided before is replaced.
    """
    rows = ledger.copy()
    for name in ("p_holm", "tests", "p_half_holm", "equal_within"):
        rows[name] = np.nan
    kinds = rows["dataset"].map(is_synthetic)
    for _, family in rows.groupby([rows["method"], kinds], sort=False):
        _correct(rows, family.index)
    for claim, group in rows.groupby("claim", sort=False):
        rows.loc[group.index, "equal_within"] = _close(rows[rows["claim"] == claim])
    decided = [_decided(row) for row in rows.to_dict("records")]
    for name in decided[0] if decided else ():
        rows[name] = [row[name] for row in decided]
    return rows


def _correct(rows: pd.DataFrame, family: pd.Index) -> None:
    """Write the corrected p-values of one family, and their number."""
    differences = rows.loc[family, "p"].astype(float).dropna()
    halves = (2 * rows.loc[family, "p_half"].astype(float)).clip(upper=1.0).dropna()
    corrected = holm([*differences, *halves])
    rows.loc[differences.index, "p_holm"] = corrected[: len(differences)]
    rows.loc[halves.index, "p_half_holm"] = corrected[len(differences) :]
    rows.loc[family, "tests"] = len(corrected)


def _close(claim: pd.DataFrame) -> pd.Series:
    """How close to 0 no difference is, at each place of a claim; NaN on the paper's own data.

    Half of the first published difference of the claim, and at most ``EQUAL`` points; where none is
    published ``EQUAL`` points.
    """
    published = claim["published"].astype(float).dropna()
    half = PART * published[published > 0].iloc[0] if (published > 0).any() else math.inf
    points = claim["unit"] == "points"
    known = points | math.isfinite(half)
    other = (claim["published_source"] == "") & claim["kind"].isin(["difference", "ensemble"])
    limit = np.where(points, min(half, EQUAL), half)
    return pd.Series(np.where(other & known, limit, np.nan), index=claim.index)


def _decided(row: dict[Hashable, Any]) -> dict[str, Any]:
    case = _case(row)
    rule = decide(case)
    verdict, reason = RULES[rule]
    found: dict[str, Any] = {"verdict": verdict, "rule": rule, "rules_version": VERSION, "more_seeds": None}
    if case.seeds == 0:
        return {**found, "reason": reason, "line": f"{verdict} on {row['data']}: {row['access']}"}
    if rule == 3:
        found["more_seeds"] = LEAST_SEEDS - case.seeds
    elif rule in _OPEN:
        found["more_seeds"] = _more_seeds(row, case)
    said = _reason(row, case, rule, reason, found["more_seeds"])
    return {**found, "reason": said, "line": f"{verdict} on {row['condition']}: {said}"}


def _case(row: dict[Hashable, Any]) -> Case:
    numbers = {
        name: _number(row[name])
        for name in (
            "published", "tolerance", "difference", "low", "high", "reference", "equal_within",
            "shorter_difference", "moved", "rise",
        )
    }  # fmt: skip
    seeds = _number(row["seeds"])
    return Case(
        row["kind"],
        as_published=_is_true(row["as_published"]),
        seeds=0 if math.isnan(seeds) else int(seeds),
        p=_number(row["p_holm"]),
        p_half=_number(row["p_half_holm"]),
        at_chance=_is_true(row["at_chance"]),
        level=1 - _number(row["confidence"]),
        **numbers,
    )


def _number(value: Any) -> float:  # noqa: ANN401 - a cell
    return float("nan") if value is None or value is pd.NA else float(value)


def _is_true(value: Any) -> bool:  # noqa: ANN401 - a cell, of a table or of a CSV file
    return value is True or (isinstance(value, np.bool_) and bool(value)) or value == "True"


def _reason(row: dict[Hashable, Any], case: Case, rule: int, reason: str, missing: int | None) -> str:
    """Complete a rule's words with what was found."""
    unit, epochs = row["unit"], _number(row["epochs"])
    if rule == 6 and epochs >= 2:
        return f"{reason}: {epochs // 2:.0f} instead of {epochs:.0f}"
    if rule == 7:
        moved = f"{case.moved:+.4f}" if unit in ("MSE", "rho") else f"{case.moved:+.2f}"
        # of arms fitted at once it is the training of the network that they begin with
        lengths = "" if math.isnan(epochs) else f" from {epochs // 2:.0f} to {epochs:.0f}"
        return (
            f"{reason}:{lengths} the difference moved by {moved} {unit}, and "
            f"the validation of an arm by {case.rise:+.1f} points; more epochs are needed"
        )
    if rule == 11 and case.published > 0 and case.high < PART * case.published:
        return f"{reason}, but the difference is less than half of the published one"
    if rule == 14:
        return f"no difference beyond {case.equal_within:.3g} {unit} here; on other data than the paper's"
    if rule not in _OPEN:
        return reason
    if rule == 15 and _number(row["p"]) < case.level:
        tests = int(_number(row["tests"]))
        reason = f"the interval excludes {_zero(case)}, but not after Holm's correction for {tests} tests"
    return f"{reason}; {_say_missing(missing)}"


def _zero(case: Case) -> str:
    return "0" if case.reference == 0 else "the margin"


def _more_seeds(row: dict[Hashable, Any], case: Case) -> int | None:
    """Seeds that are missing at the level that Holm's correction leaves to this claim.

    Rows judged by version 1 do not keep their variances; what was counted then stays.
    """
    variances = _number(row["seed_variance"]), _number(row["sample_variance"])
    if math.isnan(variances[0]):
        known = _number(row["more_seeds"])
        return None if math.isnan(known) else int(known)
    found = Spread(case.difference, case.seeds, int(_number(row["groups"])), *variances, 0.0)
    if case.kind == "absolute":
        near = abs(case.difference) <= case.tolerance
        distance = WIDEST * case.tolerance if near else abs(case.difference)
        return more_seeds(found, distance, 1 - case.level)
    share = _number(row["p"]) / case.p if case.p > 0 else 1.0
    return more_seeds(found, abs(case.difference - case.reference), 1 - case.level * share)


def _say_missing(missing: int | None) -> str:
    if missing is None:
        return "no number of seeds is enough, more test samples are needed"
    if missing > MANY_SEEDS:
        return f"cannot be decided with these data, more than {MANY_SEEDS} more seeds would be needed"
    return f"{missing} more {'seed' if missing == 1 else 'seeds'} would decide if the mean does not change"
