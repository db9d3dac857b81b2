"""The whole test set beside its hard parts: accuracies by protocol."""

from collections.abc import Sequence

import pandas as pd

from fer_repro.report.claims import SUBSETS
from fer_repro.report.display import Shown, say, show_figure
from fer_repro.report.figures import recall_bars


def accuracy_by_protocol(intervals: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """Choose the accuracies of the whole test set and of its hard parts, with intervals over samples.

    Args:
        intervals: an evaluation's table of intervals, in percent.
        arms: which, in order.

    Returns:
        ``arm``, ``class`` (the protocol), ``value``, ``low`` and ``high`` in [0, 1].
    """
    chosen = intervals[
        (intervals["metric"] == "accuracy")
        & (intervals["tta"] == "none")
        & intervals["protocol"].isin(["official", *SUBSETS])
        & intervals["kind"].str.startswith("bootstrap")
        & intervals["arm"].isin(list(arms))
    ]
    order = {arm: place for place, arm in enumerate(arms)}
    chosen = chosen.sort_values("arm", key=lambda column: column.map(order), kind="stable")
    fractions = {name: chosen[name] / 100 for name in ("value", "low", "high")}
    return pd.DataFrame({"arm": chosen["arm"], "class": chosen["protocol"], **fractions}).reset_index(
        drop=True
    )


def show_subsets(table: pd.DataFrame, confidence: float) -> Shown:
    """Show accuracies by protocol, or say that no hard parts are known.

    Args:
        table: from ``accuracy_by_protocol``.
        confidence: of its intervals.
    """
    if set(table["class"]) <= {"official"}:
        return say("This data set has no lists of occluded or turned faces.")
    caption = (
        "Accuracy on the whole test set and on the lists of hard faces, mean over seeds, with the "
        f"{100 * confidence:g} % interval over the people or faces tested."
    )
    numbers = "; ".join(f"{row['arm']}, {row['class']}: {row['value']:.1%}" for _, row in table.iterrows())
    return show_figure(recall_bars(table, "Accuracy by list"), caption, f"Bars. {numbers}.")
