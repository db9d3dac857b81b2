"""What a trained method gets right, drawn by its task: confusion of classes, or the ROC of pairs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.report.display import Shown, show_figure
from fer_repro.report.figures import confusion_matrices
from fer_repro.report.style import QUIET, arm_colours, new_figure, plain


def show_outcome(
    confusions: Mapping[str, np.ndarray], classes: Sequence[str], scores: pd.DataFrame, about: str
) -> Shown:
    """Show confusion matrices where classes were predicted, else how well pairs are told apart.

    Args:
        confusions: arm -> (K, K) counts; empty where pairs were scored.
        classes: K names.
        scores: ``arm``, ``seed``, ``far``, ``tar`` of the pairs; empty where classes were predicted.
        about: what was trained on what, said in the caption.
    """
    if confusions:
        return show_figure(
            confusion_matrices(confusions, classes),
            f"Confusion on the test part, without test-time augmentation: {about}.",
            "One matrix per arm: rows are true classes, columns predicted ones.",
        )
    return show_figure(
        roc_lines(scores),
        f"Accepted same pairs over accepted different ones, on the test pairs: {about}.",
        "One curve per arm, from accepting nothing to accepting everything; the diagonal is chance.",
    )


def roc_lines(scores: pd.DataFrame) -> Figure:
    """Draw one receiver operating characteristic per arm and seed from its corners.

    Args:
        scores: ``arm``, ``seed``, ``far`` and ``tar`` in [0, 1].
    """
    figure = new_figure(5.2, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    colours = arm_colours(dict.fromkeys(scores["arm"]))
    for (named, _), part in scores.groupby(["arm", "seed"], sort=False):
        arm = str(named)
        known = axes.get_legend_handles_labels()[1]
        name = plain(arm)
        axes.plot(part["far"], part["tar"], color=colours[arm], label=None if name in known else name)
    axes.set(xlabel="accepted different pairs", ylabel="accepted same pairs", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="lower right", frameon=False)
    return figure
