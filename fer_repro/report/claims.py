"""What a paper claims, as a paired difference of two arms over seeds, with its interval."""

import numpy as np
import pandas as pd

from fer_repro.report.display import Shown, say, show_table
from fer_repro.report.tables import (
    Column,
    in_percent,
    print_value,
    uses_tta,
    without_repeats,
)

CLAIM_COLUMNS = [
    "method", "dataset", "protocol", "metric", "tta", "headline", "control", "difference", "deviation", "low",
    "high", "runs", "confidence", "published", "published_dataset", "note",
]  # fmt: skip
SUBSETS = ("occlusion", "pose_30", "pose_45")
"""Protocols that are hard parts of a test set."""
CLAIMS = (
    Column("method", "Method"),
    Column("data", "Data"),
    Column("augmented", "TTA"),
    Column("arms", "Arms"),
    Column("difference", "Difference", "points"),
    Column("interval", "Interval", "range"),
    Column("runs", "Seeds", "count"),
    Column("published", "Published", "points"),
    Column("published_dataset", "on"),
    Column("note", "Budget", "note"),
)


def show_claims(claims: pd.DataFrame, caption: str) -> Shown:
    """Show claims as a table, with data, arms and interval in words."""
    ends = [[print_value(row[name], "points") for name in ("low", "high")] for _, row in claims.iterrows()]
    official = claims["protocol"].fillna("").isin(["", "official"])
    words = claims.assign(
        data=claims["dataset"].where(official, claims["dataset"] + ", " + claims["protocol"]),
        augmented=["yes" if uses_tta(value) else "no" for value in claims["tta"]],
        arms=claims["headline"] + " − " + claims["control"],
        interval=[f"{low} to {high}" for low, high in ends],
    )
    return show_table(words, caption, CLAIMS)


def claim_table(
    measured: pd.DataFrame,
    published: pd.DataFrame,
    method: str,
    headline: str,
    control: str,
    confidence: float,
    metric: str = "accuracy",
) -> pd.DataFrame:
    """Choose the difference of two arms of a method, as evaluation measured it, with the paper's beside it.

    Args:
        measured: result rows; those of ``headline - control`` count.
        published: rows of published/results.csv.
        method: whose arms.
        headline: the arm the paper is about.
        control: the arm it is compared with.
        confidence: of the rows' intervals.
        metric: compared quantity.

    Returns:
        One row per data set, protocol and use of test-time augmentation, in ``CLAIM_COLUMNS``; differences in
        percentage points, ``published`` being the paper's own difference and the data set it is for.
    """
    rows = without_repeats(in_percent(measured))
    same = (rows["method"] == method) & (rows["metric"] == metric) & (rows["unit"] == "points")
    claims = []
    for row in rows[same & (rows["arm"] == f"{headline} - {control}")].to_dict("records"):
        place = (str(row["dataset"]), str(row["protocol"]))
        known, where = _published_difference(published, method, headline, control, metric, place)
        numbers = [row[name] for name in ("value", "deviation", "low", "high", "runs")]
        note = str(row.get("note", "")).rpartition("; ")[2]
        claims.append(
            [method, *place, metric, row["tta"], headline, control, *numbers, confidence, known, where, note]
        )
    return pd.DataFrame(claims, columns=CLAIM_COLUMNS)


def _published_difference(
    published: pd.DataFrame, method: str, headline: str, control: str, metric: str, place: tuple[str, str]
) -> tuple[float, str]:
    """Find the paper's difference on the same data set, else on the first one it reports.

    Hard subsets of a test set are compared with the same subset alone, whole test sets with whole ones. Two
    numbers from other people's pages make a difference only if they stand on one and the same.
    """
    if not len(published):
        return float("nan"), ""
    dataset, protocol = place
    rows = in_percent(published)
    rows = rows[(rows["method"] == method) & (rows["metric"] == metric)]
    found: dict[str, float] = {}
    for (name, part), group in rows.groupby(["dataset", "protocol"], sort=False):
        if part != protocol and {part, protocol} & set(SUBSETS):
            continue
        arms = group.drop_duplicates("arm").set_index("arm")
        values, sources = arms["value"], arms["source"]
        if not {headline, control} <= set(arms.index):
            continue
        if sources[headline] == sources[control] or "paper" in (sources[headline], sources[control]):
            found.setdefault(str(name), float(values[headline] - values[control]))
    if not found:
        return float("nan"), ""
    name = dataset if dataset in found else next(iter(found))
    return found[name], name


def claim_sentences(claims: pd.DataFrame) -> Shown:
    """Show each method's and data set's claim as a sentence."""
    chosen = [headline_claim(rows) for _, rows in claims.groupby(["method", "dataset"], sort=False)]
    return Shown("".join(say(claim_sentence(claim)).markup for claim in chosen if claim is not None))


def claim_sentence(claim: pd.Series) -> str:
    """Say one claim in words: difference, interval, seeds, budget, and what may be concluded."""
    numbers = {
        name: print_value(claim[name], "points") for name in ("difference", "low", "high", "published")
    }
    tta = "with" if uses_tta(claim["tta"]) else "without"
    verdict = difference_sentence(
        float(claim["difference"]), float(claim["low"]), float(claim["high"]), str(claim["headline"]),
        str(claim["control"]),
    )  # fmt: skip
    paper = ""
    if claim["published_dataset"]:
        elsewhere = (
            ", by its own recipe"
            if claim["published_dataset"] == claim["dataset"]
            else ", on other data and budget"
        )
        paper = f" The paper has {numbers['published']} on {claim['published_dataset']}{elsewhere}."
    percent = f"{100 * float(claim['confidence']):g} %"
    metric = "" if claim["metric"] == "accuracy" else f" in {str(claim['metric']).replace('_', ' ')}"
    return (
        f"{claim['headline']} minus {claim['control']}{metric} on {claim['dataset']}, {tta} test-time "
        "augmentation: "
        f"{numbers['difference']} points ({percent} interval {numbers['low']} to {numbers['high']}, "
        f"{int(claim['runs'])} seeds; {claim['note']}). {verdict}{paper}"
    )


def difference_sentence(difference: float, low: float, high: float, headline: str, control: str) -> str:
    """Say in words what an interval of a difference allows to say, and no more."""
    if not np.isfinite(low) or not np.isfinite(high):
        return "One seed only: no interval, so no verdict."
    if low > 0:
        return f"{headline} is ahead of {control} here: the whole interval lies above 0."
    if high < 0:
        return f"{control} is ahead of {headline} here: the whole interval lies below 0."
    lean = {1.0: f" (the mean leans to {headline})", -1.0: f" (the mean leans to {control})"}
    return f"Direction uncertain: the interval spans 0{lean.get(float(np.sign(difference)), '')}."


def headline_claim(claims: pd.DataFrame) -> pd.Series | None:
    """Pick the row for a summary: the official protocol, with test-time augmentation where measured."""
    if claims.empty:
        return None
    order = claims.assign(
        other=[not uses_tta(value) for value in claims["tta"]],
        unofficial=~claims["protocol"].fillna("").isin(["", "official"]),
    )
    return claims.loc[order.sort_values(["unofficial", "other"], kind="stable").index[0]]
