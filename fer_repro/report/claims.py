"""What a paper claims, as a paired difference of two arms over seeds, with its interval."""

import numpy as np
import pandas as pd

from fer_repro.report.tables import Column, in_percent, mean_interval, uses_tta

CLAIM_COLUMNS = [
    "method", "dataset", "protocol", "metric", "tta", "headline", "control", "difference", "deviation", "low",
    "high", "runs", "confidence", "published", "published_dataset", "note",
]  # fmt: skip
CLAIMS = (
    Column("method", "Method"),
    Column("dataset", "Data set"),
    Column("protocol", "Protocol"),
    Column("tta", "Test-time aug."),
    Column("headline", "Headline"),
    Column("control", "Control"),
    Column("difference", "Difference (points)", "points"),
    Column("low", "from", "points"),
    Column("high", "to", "points"),
    Column("runs", "Seeds", "count"),
    Column("published", "Published (points)", "points"),
    Column("published_dataset", "Published on"),
    Column("note", "Budget and data"),
)


def claim_table(
    measured: pd.DataFrame,
    published: pd.DataFrame,
    method: str,
    headline: str,
    control: str,
    confidence: float,
    metric: str = "accuracy",
) -> pd.DataFrame:
    """Compare two arms of a method seed by seed: same seed, same data, same recipe.

    Args:
        measured: result rows with one row per seed.
        published: rows of published/results.csv.
        method: whose arms.
        headline: the arm the paper is about.
        control: the arm it is compared with.
        confidence: of Student's t interval over the seeds' differences.
        metric: compared quantity.

    Returns:
        One row per data set, protocol and use of test-time augmentation, in ``CLAIM_COLUMNS``; differences in
        percentage points, ``published`` being the paper's own difference and the data set it is for.
    """
    rows = in_percent(measured)
    rows = rows[(rows["method"] == method) & (rows["metric"] == metric)]
    rows = rows[rows["seed"].fillna("").astype(str) != ""]
    claims = []
    for (dataset, protocol, tta), group in rows.groupby(
        ["dataset", "protocol", "tta"], sort=False, dropna=False
    ):
        table = group.pivot_table(index="seed", columns="arm", values="value")
        if headline not in table or control not in table:
            continue
        pairs = table[[headline, control]].dropna()
        if pairs.empty:
            continue
        difference, deviation, low, high = mean_interval(
            (pairs[headline] - pairs[control]).tolist(), confidence
        )
        known, where = _published_difference(published, method, headline, control, metric, str(dataset))
        claims.append(
            [method, dataset, protocol, metric, tta, headline, control, difference, deviation, low, high,
             len(pairs), confidence, known, where, group.iloc[0].get("note", "")]
        )  # fmt: skip
    return pd.DataFrame(claims, columns=CLAIM_COLUMNS)


def _published_difference(
    published: pd.DataFrame, method: str, headline: str, control: str, metric: str, dataset: str
) -> tuple[float, str]:
    """Find the paper's difference on the same data set, else on the first one it reports."""
    if not len(published):
        return float("nan"), ""
    rows = in_percent(published)
    rows = rows[(rows["method"] == method) & (rows["metric"] == metric)]
    found = {}
    for name, group in rows.groupby("dataset", sort=False):
        values = group.drop_duplicates("arm").set_index("arm")["value"]
        if headline in values and control in values:
            found[str(name)] = float(values[headline] - values[control])
    if not found:
        return float("nan"), ""
    name = dataset if dataset in found else next(iter(found))
    return found[name], name


def headline_claim(claims: pd.DataFrame) -> pd.Series | None:
    """Pick the row for a summary: the official protocol, with test-time augmentation where measured."""
    if claims.empty:
        return None
    order = claims.assign(
        other=[not uses_tta(value) for value in claims["tta"]],
        unofficial=~claims["protocol"].fillna("").isin(["", "official"]),
    )
    return claims.loc[order.sort_values(["unofficial", "other"], kind="stable").index[0]]


def gauge(claim: pd.Series) -> dict[str, float]:
    """Place difference, interval and published difference on a line from 0 to 100, zero at 50."""
    values = [float(claim[name]) for name in ("difference", "low", "high", "published")]
    known = [value for value in values if np.isfinite(value)]
    reach = 1.15 * max([abs(value) for value in known] + [0.5])
    places = {
        name: 50 + 50 * value / reach
        for name, value in zip(("difference", "low", "high", "published"), values, strict=True)
        if np.isfinite(value)
    }
    return {**places, "reach": reach}
