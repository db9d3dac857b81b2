"""How much a network looks at what matters: tables of weights and maps next to the ground truth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fer_repro.figures.clip_figures import (
    NOTHING,
    choose_clips,
    order_curves,
    weight_against_intensity,
    weight_by_distractor,
    weight_timelines,
)
from fer_repro.figures.display import Shown, say, show_figure, show_table
from fer_repro.figures.region_figures import weight_against_occlusion
from fer_repro.figures.result_files import ExplainedFaces
from fer_repro.figures.tables import Column, Kind, print_value
from fer_repro.figures.true_areas import precision_curves

Array = np.ndarray
AGREEMENT = (
    Column("weights", "Weights"),
    Column("value", "Mean"),
    Column("interval", "Interval", "range"),
    Column("by_seed", "Seed by seed", "range"),
    Column("above", "Above 0"),
    Column("counted", "Counted"),
)


def spread_faces(
    rows: Array, images: Array, samples: pd.DataFrame, classes: Sequence[str], count: int
) -> ExplainedFaces:
    """Choose faces of different classes from all over a list, so that they show different people.

    Args:
        rows: (n,) of the sample table.
        images: all images of the data set.
        samples: its sample table.
        classes: names in index order.
        count: at most so many.

    Returns:
        ``chosen`` are positions in ``rows``.
    """
    labels = samples["label"].to_numpy()[rows]
    present = np.unique(labels)
    chosen = []
    for number in range(min(count, len(rows))):
        members = np.flatnonzero(labels == present[number % len(present)])
        chosen.append(int(members[int((number + 0.5) / count * len(members))]))
    shown = samples["image"].to_numpy()[rows[chosen]]
    return ExplainedFaces(
        np.array(chosen), np.asarray(images[shown]), [str(classes[labels[i]]) for i in chosen]
    )


def show_timelines(
    looked: Mapping[str, Array], images: Array, samples: pd.DataFrame, classes: Sequence[str], count: int
) -> Shown:
    """Show clips frame by frame with the weights of their frames, most disturbed ones first.

    Args:
        looked: ``rows``, ``alpha`` and ``weights`` of clips, (n, T).
        images: all images of the data set.
        samples: its sample table; the ground truth of frames may be missing.
        classes: names in index order.
        count: at most so many.
    """
    clips = choose_clips(looked, images, _with_truth(samples), classes, count)
    truth = "Grey: the true intensity." if "intensity" in samples else "The true intensity is not known here."
    caption = (
        "Test clips and the weights of their frames, relative to equal weights (1, dashed). Bars: α alone. "
        f"Line: the final weight. {truth} Hatched: a distractor is present."
    )
    words = "; ".join(f"{clip.title}, largest weight in frame {int(clip.weights.argmax())}" for clip in clips)
    return show_figure(weight_timelines(clips), caption, f"Strips of frames over charts of weights. {words}.")


def show_intensity(frames: pd.DataFrame, steps: pd.DataFrame, correlations: pd.DataFrame) -> Shown:
    """Show weight against true intensity, or state that the intensity is not known.

    Args:
        frames: see ``weight_against_intensity``; intensities are NaN where they are not known.
        steps: see there.
        correlations: see there.
    """
    if frames["intensity"].isna().all():
        return say("The true intensity of these frames is not known; nothing can be compared.")
    caption = (
        "Every frame of every test clip: its weight, relative to equal weights (1, dashed), against the true "
        "intensity of its expression."
    )
    medians = [
        f"{arm!s}: medians {', '.join(f'{one:.2f}' for one in part['middle'])}"
        for arm, part in steps.groupby("arm", sort=False)
    ]
    figure = weight_against_intensity(frames, steps, correlations)
    return show_figure(figure, caption, f"Scatter plots, from low to high intensity. {'; '.join(medians)}.")


def show_distractors(table: pd.DataFrame, confidence: float) -> Shown:
    """Show the mean weight of frames by what distracts in them, or state that nothing is known.

    Args:
        table: see ``weight_by_distractor``; empty where nothing is known.
        confidence: of the intervals over clips.
    """
    if table.empty:
        return say("What distracts in these frames is not known.")
    caption = (
        "Mean weight of frames by what distracts in them, relative to equal weights (1, dashed), with the "
        f"{100 * confidence:g} % interval over clips."
    )
    words = "; ".join(f"{row['arm']}, {row['distractor']}: {row['mean']:.2f}" for _, row in table.iterrows())
    return show_figure(weight_by_distractor(table), caption, f"Bars. {words}.")


def show_cover(weights: Array, coverage: Array | None, steps: pd.DataFrame, caption: str) -> Shown:
    """Show each region's weight against how much of it is occluded, or state that this is not known.

    Args:
        weights: (N, R).
        coverage: (N, R) in [0, 1]; None where it is not known.
        steps: see ``weight_against_occlusion``.
        caption: what is drawn.
    """
    if coverage is None:
        return say("It is not known which pixels of these faces are occluded, so nothing can be compared.")
    found = steps.drop_duplicates("region")
    words = ", ".join(
        f"{name} {print_value(value, 'points')}"
        for name, value in zip(found["region"], found["correlation"], strict=True)
    )
    alt = f"Scatter plots. Rank correlation of weight and occluded share: {words}."
    return show_figure(weight_against_occlusion(weights, coverage, steps), caption, alt)


def show_agreement(table: pd.DataFrame, caption: str, places: int = 3) -> Shown:
    """Show how far weights agree with the ground truth, or state that it is not known.

    Args:
        table: ``weights``, ``mean``, ``low``, ``high``, ``by_seed`` (a mean for each), ``above_zero`` (%),
            ``items`` and ``of``.
        caption: what was measured.
        places: decimals.
    """
    if table.empty:
        return say("The ground truth of this data set is not known, so agreement cannot be measured.")
    printed = [
        {
            "weights": row["weights"],
            "value": _signed(row["mean"], places),
            "interval": _interval(row, places),
            "by_seed": ", ".join(_signed(value, places) for value in row["by_seed"]),
            "above": f"{row['above_zero']:.0f} %",
            "counted": f"{row['items']} of {row['of']}",
        }
        for _, row in table.iterrows()
    ]
    return show_table(pd.DataFrame(printed), caption, AGREEMENT)


def show_expressiveness(table: pd.DataFrame, confidence: float) -> Shown:
    """Show how far TED-inspired scores and frame weights follow the true intensity, and what follows from it.

    Args:
        table: ``weights``, ``mean``, ``low``, ``high``, ``items`` and ``clips``, which tells parts of the
            clips apart, each with the rows ``sum minus static`` and ``α β minus static``.
        confidence: of its intervals.
    """
    if table.empty:
        return say("The true intensity of these frames is not known, so scores cannot be compared.")
    parts = list(dict.fromkeys(table["clips"]))
    printed = pd.DataFrame({"score": list(dict.fromkeys(table["weights"]))})
    columns, sentences = [Column("score", "Score")], []
    for part in parts:
        rows = table[table["clips"] == part].set_index("weights")
        printed[f"mean {part}"] = [_signed(value, 2) for value in rows["mean"]]
        printed[part] = [_interval(row, 2) for _, row in rows.iterrows()]
        title = f"Clips {part} ({rows['items'].max()})".replace("Clips all", "All clips")
        columns += [Column(f"mean {part}", title, "range"), Column(part, "Interval", "range")]
        sentences.append(
            f"{title}: {_gain(rows.loc['sum minus static'], 'the sum', 'its static half alone')}; "
            f"{_gain(rows.loc['α β minus static'], 'the weights', 'the static score')}."
        )
    caption = (
        "TED-inspired scores of frames and FAN's weights: Spearman's rank correlation with the true "
        f"intensity, mean over clips, with the {100 * confidence:g} % interval over clips, and over seeds or "
        "random orders. The last two rows are paired differences."
    )
    return Shown(show_table(printed, caption, columns).markup + say(" ".join(sentences)).markup)


def _gain(row: pd.Series, first: str, second: str) -> str:
    """Say which of two follows the intensity better, if the interval of the difference has one sign."""
    size = f"{_signed(row['mean'], 2)}, {_interval(row, 2)}"
    if row["low"] > 0 or row["high"] < 0:
        how = "better" if row["low"] > 0 else "less well"
        return f"{first} follow{'s' * (first == 'the sum')} the intensity {how} than {second} ({size})"
    return f"no difference is shown between {first} and {second} ({size})"


def show_order(gaps: pd.DataFrame, whole: pd.DataFrame, confidence: float) -> Shown:
    """Show how often two frames of a clip are put in the right order of intensity, and what follows from it.

    Args:
        gaps: see ``order_curves``; empty where nothing is known.
        whole: ``order``, ``mean`` (the share that is right), ``low``, ``high``, ``tau``, ``tau_low``,
            ``tau_high``, ``pairs``, ``clips`` and ``of``; the last row is the difference of the first two.
        confidence: of the intervals.
    """
    if whole.empty:
        return say("The true intensity of these frames is not known, so their order cannot be tested.")
    sure, gain = f"{100 * confidence:g} %", whole.iloc[-1]
    printed = pd.DataFrame({"order": whole["order"]})
    printed["right"] = [*(f"{100 * share:.1f} %" for share in whole["mean"][:-1]), _points(gain["mean"])]
    printed["interval"] = [*(_percents(row) for _, row in whole[:-1].iterrows()), _point_range(gain)]
    printed["tau"] = [_signed(value, 2) for value in whole["tau"]]
    taus = whole[["tau_low", "tau_high"]].set_axis(["low", "high"], axis=1)
    printed["taus"] = [_interval(row, 2) for _, row in taus.iterrows()]
    columns = (
        Column("order", "Frames ordered by"),
        Column("right", "Right", "range"),
        Column("interval", "Interval", "range"),
        Column("tau", "Kendall's τ", "range"),
        Column("taus", "Interval", "range"),
    )
    table = show_table(
        printed,
        f"All {gain['pairs']:,} pairs of frames of {gain['clips']} test clips, and Kendall's rank "
        f"correlation with the true intensity, mean over clips; {sure} intervals over seeds and people. The "
        "last row is the paired difference of the first two.",
        columns,
    )
    first = gaps[gaps["order"] == gaps["order"].iloc[0]]
    alt = "; ".join(
        f"gap {row['low_gap']:g} to {row['high_gap']:g}: {100 * row['mean']:.0f} %"
        for _, row in first.iterrows()
    )
    figure = show_figure(
        order_curves(gaps),
        "Two frames of one test clip: how often the one of higher intensity is found, by how far their true "
        f"intensities are apart. Dashed: guessing. Bars: {sure} intervals over seeds and people.",
        f"Lines that rise with the gap. {first['order'].iloc[0]}, {alt}.",
    )
    return Shown(figure.markup + table.markup + say(_order_found(first.iloc[0], gain)).markup)


def _order_found(least: pd.Series, gain: pd.Series) -> str:
    """Say what the intervals decide: does comparing help, and are the smallest changes seen?"""
    how = "No difference is shown between comparing two frames and estimating each by itself"
    if gain["low"] > 0 or gain["high"] < 0:
        how = (
            f"Comparing two frames orders them {'better' if gain['low'] > 0 else 'less well'} than estimates"
        )
    seen = "more often than guessing" if least["low"] > 0.5 else "not shown to exceed guessing"
    smallest = f"{least['low_gap']:g} to {least['high_gap']:g}"
    return (
        f"{how} ({_points(gain['mean'])}, {_point_range(gain)}). Of the smallest changes, {smallest}, "
        f"{100 * least['mean']:.1f} % are seen rightly ({_percents(least)}): {seen}. "
        f"Left out: {gain['of'] - gain['clips']} of {gain['of']} test clips, whose intensity is constant, as "
        "that of neutral ones is."
    )


def _points(share: float) -> str:
    return f"{_signed(100 * share, 1)} points"


def _point_range(row: pd.Series) -> str:
    return f"{_signed(100 * row['low'], 1)} to {_signed(100 * row['high'], 1)}"


def _percents(row: pd.Series) -> str:
    return " to ".join(
        f"{100 * row[end]:.1f}" if np.isfinite(row[end]) else print_value(row[end], "number")
        for end in ("low", "high")
    )


def show_formulas(table: pd.DataFrame, caption: str) -> Shown:
    """Show FAN's two formulas of evaluation beside each other, one row per seed.

    Args:
        table: ``seed``, ``eq4``, ``authors``, ``difference``, ``changed``, ``confidence_eq4``,
            ``confidence_authors`` (all in percent or points) and ``scale``.
        caption: printed above the table.
    """
    columns = (
        Column("seed", "Seed", "count"),
        Column("eq4", "Accuracy: Eq. 4", "percent"),
        Column("authors", "authors'", "percent"),
        Column("difference", "Difference", "points"),
        Column("changed", "Clips changed", "percent"),
        Column("confidence_eq4", "Confidence: Eq. 4", "percent"),
        Column("confidence_authors", "authors'", "percent"),
        Column("scale", "Median s", "number"),
    )
    return show_table(table, caption, columns)


def _with_truth(samples: pd.DataFrame) -> pd.DataFrame:
    """Add the columns of the ground truth where a data set has none."""
    found = samples.copy(deep=False)
    if "intensity" not in found:
        found["intensity"] = np.nan
    if "distractor" not in found:
        found["distractor"] = NOTHING
    return found


def _interval(row: pd.Series, places: int) -> str:
    return f"{_signed(row['low'], places)} to {_signed(row['high'], places)}"


def _signed(value: float, places: int) -> str:
    return (
        f"{value:+.{places}f}".replace("-", "\N{MINUS SIGN}")
        if np.isfinite(value)
        else print_value(value, "number")
    )


_UNKNOWN = "It is not known which pixels of these faces were manipulated, so nothing can be compared."


def show_precision(table: pd.DataFrame) -> Shown:
    """Show precision over recall for finding manipulated pixels, or state that they are not known.

    Args:
        table: see ``precision_curves``; empty where nothing is known.
    """
    if table.empty:
        return say(_UNKNOWN)
    caption = (
        "Do the brightest places of the attention lie where the face was manipulated? Mean over manipulated "
        "test faces, band from quarter to quarter; 'mean' is the mean map, the same for every face."
    )
    words = f"Precision over recall of {', '.join(dict.fromkeys(table['map']))}."
    return show_figure(precision_curves(table), caption, words)


def show_attention_table(table: pd.DataFrame) -> Shown:
    """Show areas under precision and recall by kind, or state that the manipulated pixels are not known.

    Args:
        table: ``kind``, ``faces``, ``chance``, and a column per map; empty where nothing is known.
    """
    if table.empty:
        return say(_UNKNOWN)
    caption = (
        "Mean area under precision and recall (PR-AUC) by kind of manipulation; chance is the manipulated "
        "share of a face."
    )
    kinds: dict[str, Kind] = {"faces": "count", **dict.fromkeys(table.columns[2:], "number")}
    return show_table(table.round(3), caption, kinds=kinds)
