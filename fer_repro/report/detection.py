"""Telling two kinds apart by a score: ROC and DET curves with bands over seeds, and score histograms.

Serves pairs (the same person or not) and faces (manipulated or real): a score is higher where the positive
kind is more likely.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator, PercentFormatter
from scipy.stats import norm

from fer_repro.measures.verification import Roc, auc, equal_error_rate, roc
from fer_repro.report.style import COLOURS, INK, QUIET, arm_colours, new_figure, plain

Array = np.ndarray
Scored = tuple[Array, Array]  # scores (P,), and 1 for the positive kind, 0 for the other (P,)
_DASHES = (0, (3, 2))
_STYLES = ("-", (0, (5, 2)), (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_RATES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)


def detection_curves(arms: Mapping[str, Sequence[Scored]], zoom: float = 1.0) -> Figure:
    """Draw ROC and DET curves: the mean over seeds as a line, their range as a band.

    The DET axes are those of normal deviates (Martin et al., Eurospeech 1997), where scores of two normal
    distributions give a straight line. The legend has area under the ROC (AUC) and equal error rate (EER)
    as means over seeds, with their ranges where there are several.

    Args:
        arms: arm -> scores and truth of each seed.
        zoom: largest false positive rate of the ROC panel.

    Raises:
        UserError: an arm has scores of one kind only.
    """
    colours = arm_colours(arms)
    figure = new_figure(7.6, 3.75 + 0.17 * len(arms))
    left, right = figure.subplots(1, 2)
    grid = np.unique(np.concatenate([np.linspace(0, 1, 501), np.geomspace(1e-4, 1, 301)]))
    smallest = min((_step(scored) for seeds in arms.values() for scored in seeds), default=0.01)
    for i, (arm, seeds) in enumerate(arms.items()):
        curves = [roc(*scored) for scored in seeds]
        hits = np.array([_hits_at(curve, grid) for curve in curves])
        line = {"color": colours[arm], "linestyle": _STYLES[i % len(_STYLES)]}
        left.plot(grid, hits.mean(axis=0), label=_legend(arm, curves), **line)
        left.fill_between(
            grid, hits.min(axis=0), hits.max(axis=0), color=colours[arm], alpha=0.14, linewidth=0
        )
        misses = norm.ppf(np.clip(1 - hits, smallest / 2, 1 - smallest / 2))
        kept = (grid >= smallest) & (grid < 1)
        places = norm.ppf(grid[kept])
        right.plot(places, norm.ppf(norm.cdf(misses[:, kept]).mean(axis=0)), **line)
        right.fill_between(places, misses[:, kept].min(axis=0), misses[:, kept].max(axis=0),
                           color=colours[arm], alpha=0.14, linewidth=0)  # fmt: skip
    _finish_roc(left, zoom)
    _finish_det(right, smallest)
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def _step(scored: Scored) -> float:
    """The smallest rate that the fewer of both kinds can measure."""
    positives = float(np.sum(scored[1]))
    return 1 / max(1.0, min(positives, len(scored[1]) - positives))


def _hits_at(curve: Roc, grid: Array) -> Array:
    """True positive rate at each false positive rate: the largest reached, linear in between."""
    places, first = np.unique(curve.far[::-1], return_index=True)
    return np.interp(grid, places, curve.tar[::-1][first])


def _legend(arm: str, curves: Sequence[Roc]) -> str:
    areas, errors = [auc(curve) for curve in curves], [equal_error_rate(curve) for curve in curves]
    words = f"{plain(arm)}: AUC {np.mean(areas):.3f}"
    words += f" ({min(areas):.3f} to {max(areas):.3f})" if len(areas) > 1 else ""
    words += f", EER {100 * np.mean(errors):.1f} %"
    return words + (f" ({100 * min(errors):.1f} to {100 * max(errors):.1f})" if len(errors) > 1 else "")


def _finish_roc(axes: Axes, zoom: float) -> None:
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=_DASHES)
    axes.set_title("ROC")
    axes.set_xlim(0, zoom)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid()


def _finish_det(axes: Axes, smallest: float) -> None:
    ticks = [rate for rate in _RATES if rate >= smallest * 0.8]
    low, high = norm.ppf(max(smallest * 0.8, 5e-4)), norm.ppf(0.85)
    axes.plot([low, high], [low, high], color=QUIET, linewidth=1, linestyle=_DASHES)
    axes.annotate("equal errors", (low, low), (24, 5), textcoords="offset points",
                  fontsize=8.5, color=QUIET)  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(norm.ppf(ticks)))
        axis.set_major_formatter(FixedFormatter([f"{100 * rate:g}%" for rate in ticks]))
        axis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_title("DET")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("false negative rate")
    axes.grid()


def score_histograms(
    arms: Mapping[str, Scored],
    kinds: tuple[str, str] = ("different", "same"),
    score: str = "cosine",
    thresholds: Mapping[str, float] | None = None,
) -> Figure:
    """Draw how the scores of both kinds are spread, one panel per arm, with the AUC.

    Args:
        arms: arm -> scores (P,) and truth (P,).
        kinds: the words for truth 0 and 1.
        score: what a score is.
        thresholds: arm -> the threshold that decides, drawn as a line.
    """
    columns = min(2, len(arms))
    rows = -(-len(arms) // max(columns, 1))
    figure = new_figure(7.6, 2.2 * rows + 0.5)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[len(arms) :]:
        axes.set_visible(False)
    together = np.concatenate([np.asarray(scores, float) for scores, _ in arms.values()])
    edges = np.linspace(together.min(), together.max() + 1e-9, 51)
    for axes, (arm, (scores, truth)) in zip(panels, arms.items(), strict=False):
        for value, colour in ((0, COLOURS[1]), (1, COLOURS[0])):
            part = np.asarray(scores, float)[np.asarray(truth) == value]
            sns.histplot(x=part, bins=edges, stat="probability", ax=axes, color=colour, alpha=0.6,
                         linewidth=0, label=f"{kinds[value]}", legend=False)  # fmt: skip
        axes.set_title(f"{plain(arm)}: AUC {auc(roc(scores, truth)):.3f}")
        axes.set_ylabel("")
        if thresholds and arm in thresholds:
            axes.axvline(thresholds[arm], color=INK, linewidth=1.2, linestyle=_DASHES, label="threshold")
    for axes in panels[max(len(arms) - columns, 0) : len(arms)]:
        axes.set_xlabel(score)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.tick_params(labelbottom=True)
    for axes in panels[::columns]:
        axes.set_ylabel("share of its kind")
    drawn = [axes.get_legend_handles_labels() for axes in panels]
    named = {
        label: handle for handles, labels in drawn for handle, label in zip(handles, labels, strict=True)
    }
    names = [name for name in (*kinds, "threshold") if name in named]
    figure.legend([named[name] for name in names], names, loc="outside lower center", ncols=3)
    return figure
