"""A data set in figures: its classes, factors, faces and pairs of faces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_repro.figures.display import Shown, say, show_figure
from fer_repro.figures.results import (
    MANY,
    class_balance,
    contact_sheet,
    factor_distributions,
    recall_bars,
    show_face,
)
from fer_repro.figures.sequence_figures import segment_columns, sequence_sheet
from fer_repro.figures.style import COLOURS, INK, bare, new_figure

FACTORS = (
    "restlessness",
    "intensity",
    "yaw",
    "pitch",
    "roll",
    "light_azimuth",
    "light_strength",
    "blur",
    "occluder",
)
_FACTS = {
    "distinct_images": "distinct images",
    "duplicate_groups": "groups of pixel-identical images",
    "duplicate_samples": "samples in such groups",
    "conflicting_groups": "of these groups, with conflicting labels",
    "constant_images": "blank images",
    "val_in_train": "val samples that are also in train",
    "test_in_train": "test samples that are also in train",
    "test_in_val": "test samples that are also in val",
    "subjects_known": "samples whose subject is known",
    "subjects_crossing": "subjects that are in more than one split",
}


_NO_CLASSES = ["0"]  # of images and what they are to become: the wanted distance


def count_table(audit: dict[str, Any]) -> pd.DataFrame:
    """Lay out samples per split and class, with the official counts beneath each where they are known.

    Of more than ``MANY`` classes, such as people, it gives how many there are and how many samples they have.

    Args:
        audit: a prepared set's audit.json.
    """
    official = (audit.get("official") or {}).items()
    parts = [*audit["counts"].items(), *((f"{part}, official", counts) for part, counts in official)]
    order = {"train": 0, "val": 1, "test": 2}
    parts.sort(key=lambda part: order.get(part[0].split(",")[0], 3))
    if len(audit["classes"]) <= MANY:
        rows = [[split, *counts, sum(counts)] for split, counts in parts]
        return pd.DataFrame(rows, columns=["split", *audit["classes"], "total"])
    rows = []
    for split, counts in parts:
        present = [count for count in counts if count] or [0]
        median = int(np.median(present))
        rows.append([split, sum(map(bool, counts)), min(present), median, max(present), sum(counts)])
    return pd.DataFrame(rows, columns=["split", "classes", "fewest", "median", "most", "total"])


def fact_table(audit: dict[str, Any]) -> pd.DataFrame:
    """Lay out what the data doctor counted, as text, and each deviation from the official set.

    Args:
        audit: a prepared set's audit.json.
    """
    facts = [(words, audit["facts"][key]) for key, words in _FACTS.items() if key in audit["facts"]]
    deviations = audit.get("differences", [])
    facts.append(("deviations from the official counts", len(deviations) if audit.get("official") else "–"))
    facts += [("deviation", text) for text in deviations]
    return pd.DataFrame([(what, str(found)) for what, found in facts], columns=["finding", "value"])


def show_balance(samples: pd.DataFrame, audit: dict[str, Any]) -> Shown:
    """Show how many images each class has in each split; of very many classes how many have how many.

    Args:
        samples: sample table.
        audit: a prepared set's audit.json.
    """
    classes = audit["classes"]
    few = len(classes) <= MANY
    figure = class_balance(samples, classes) if few else _class_sizes(samples)
    what = (
        "Images per class in each split, with their share."
        if few
        else "How many classes have how many images."
    )
    alt = "Bars for train, val and test; the table above has the numbers."
    return show_figure(figure, f"{what} {balance_sentence(audit)}", alt)


def _class_sizes(samples: pd.DataFrame) -> Figure:
    splits = [name for name in ("train", "val", "test") if (samples["split"] == name).any()]
    figure = new_figure(7.6, 2.6)
    panels = figure.subplots(1, max(len(splits), 1), squeeze=False)[0]
    for axes, split in zip(panels, splits, strict=False):
        sizes = samples.loc[samples["split"] == split, "label"].value_counts()
        axes.hist(sizes, bins=min(20, int(sizes.max())), color=COLOURS[0])
        axes.set_title(f"{split}  ({len(sizes):,} classes)")
        axes.set_xlabel("images of a class")
        axes.set_yscale("log")
    return figure


def balance_sentence(audit: dict[str, Any]) -> str:
    """Describe how uneven the classes of the training part are.

    Args:
        audit: a prepared set's audit.json.
    """
    classes, counts = audit["classes"], audit["counts"].get("train", [])
    present = [count for count in counts if count]
    if list(classes) == _NO_CLASSES and present:
        return f"No classes: images and what they are to become, {present[0]:,} in train."
    if len(present) < 2:
        return "There are no two classes to learn from in train."
    absent = [str(name) for name, count in zip(classes, counts, strict=True) if not count]
    if min(present) == max(present):
        words = f"In train {'every class' if not absent else 'each'} has {max(present):,}."
    else:
        most, least = classes[counts.index(max(present))], classes[counts.index(min(present))]
        words = (
            f"In train {most} has most, {max(present):,}, {least} fewest, {min(present):,}: "
            f"{max(present) / min(present):.1f} times as many."
        )
    return f"{words} {len(absent):,} of {len(classes):,} have none, such as {absent[0]}." if absent else words


def choose_faces(
    samples: pd.DataFrame, classes: Sequence[str], count: int, split: str = "train"
) -> np.ndarray:
    """Choose ``count`` samples of each class, from different subjects where classes are not the subjects.

    Args:
        samples: sample table.
        classes: names in index order.
        count: per class; of more than ``MANY`` classes some are chosen, spread evenly.
        split: train, val or test.

    Returns:
        Rows of the table, one class after another: count rows of the sheet with one column per class.
    """
    part = samples[samples["split"] == split]
    known = (part["subject"].fillna("") != "").any()
    if known and part.groupby("subject")["label"].nunique().max() > 1:  # labels are more than the person
        part = part.drop_duplicates(["subject", "label"])
    present = np.unique(part["label"])
    if len(present) > MANY:
        present = present[np.linspace(0, len(present) - 1, MANY).astype(int)]
    spread = [part.index[part["label"] == label].to_numpy() for label in present]
    chosen = [rows[np.linspace(0, len(rows) - 1, count).astype(int)] for rows in spread if len(rows)]
    return np.stack(chosen, axis=1).ravel() if chosen else np.zeros(0, dtype=int)


def show_faces(images: np.ndarray, samples: pd.DataFrame, classes: Sequence[str], count: int = 4) -> Shown:
    """Show a contact sheet with one column, or of few classes one row, per class; sequences as lines.

    Args:
        images: (N, H, W) or (N, H, W, 3) uint8, or (N, T, D) float16.
        samples: sample table.
        classes: names in index order.
        count: faces per class.
    """
    rows = choose_faces(samples, classes, count)
    titles = [classes[label] for label in samples.loc[rows, "label"]]
    if np.issubdtype(images.dtype, np.floating):
        return _show_sequences(images[samples.loc[rows, "image"]], samples.loc[rows], titles)
    columns, one_per = len(set(titles)), "column"
    if columns < count:  # wide rather than tall
        rows, columns, one_per = rows.reshape(count, -1).T.ravel(), count, "row"
        titles = [classes[label] for label in samples.loc[rows, "label"]]
    known = list(classes) != _NO_CLASSES
    figure = contact_sheet(
        images[samples.loc[rows, "image"]], titles if known else [""] * len(rows), columns=columns
    )
    caption = f"Training images,{f' one {one_per} per class,' if known else ''} spread over the data set."
    labels = f" labelled {', '.join(dict.fromkeys(titles))}" if known else ""
    return show_figure(figure, caption, f"{len(rows)} faces{labels}.")


def _show_sequences(sequences: np.ndarray, samples: pd.DataFrame, titles: Sequence[str]) -> Shown:
    known = ", and below them the true number of each segment" if segment_columns(samples) else ""
    return show_figure(
        sequence_sheet(sequences, samples, titles, columns=len(set(titles)) or 1),
        f"Training sequences, one column per level: all measurements over time{known}.",
        f"{len(titles)} sequences of level {', '.join(dict.fromkeys(titles))}.",
    )


def show_factors(samples: pd.DataFrame) -> Shown:
    """Show how the known factors are spread, or state that this data set has none."""
    known = [factor for factor in FACTORS if factor in samples]
    if not known:
        return Shown("<p>Nothing is known about these images beyond their labels.</p>")
    caption = "Distributions of the known factors, all splits together."
    if "intensity" in known:
        shown = samples["intensity"][samples["intensity"] > 0]
        caption += f" {len(shown):,} of {len(samples):,} show an expression: of intensity {_middle(shown)}."
    alt = f"Distributions of {', '.join(known)}."
    return show_figure(factor_distributions(samples, known), caption, alt)


def _middle(values: pd.Series) -> str:
    low, high = values.quantile([0.05, 0.95])
    return f"{low:.2f} to {high:.2f} in nine of ten cases"


def show_by_factor(table: pd.DataFrame, factor: str) -> Shown:
    """Show how accuracy depends on a factor, or state that it is not known.

    Args:
        table: from ``fer_repro.figures.result_files.accuracy_by_factor``.
        factor: its name.
    """
    if table.empty:
        return say(f"The factor {factor} is not known for these images.")
    caption = (
        f"Test accuracy by {factor}, mean over seeds without test-time augmentation, with Wilson's interval "
        "for the images. Number of test images in brackets."
    )
    numbers = "; ".join(f"{row['arm']}, {row['class']}: {row['value']:.0%}" for _, row in table.iterrows())
    return show_figure(recall_bars(table, f"Accuracy by {factor}"), caption, f"Bars. {numbers}.")


def show_occlusions(
    images: np.ndarray, samples: pd.DataFrame, classes: Sequence[str], count: int = 2
) -> Shown:
    """Show faces with each kind of occluder, or state that none is known."""
    if "occluder" not in samples:
        return Shown("<p>Occluders are not labelled in this data set.</p>")
    hidden = samples[samples["occluder"] != "none"]
    kinds = sorted(hidden["occluder"].unique())
    enough = [kind for kind in kinds if (hidden["occluder"] == kind).sum() >= count]
    if not enough:
        return Shown("<p>No face of this data set is occluded.</p>")
    picked = np.stack(
        [hidden.index[hidden["occluder"] == kind][:count].to_numpy() for kind in enough], 1
    ).ravel()
    titles = [f"{row['occluder']}: {classes[row['label']]}" for _, row in samples.loc[picked].iterrows()]
    figure = contact_sheet(images[samples.loc[picked, "image"]], titles, columns=len(enough))
    caption = "Faces with each kind of occluder, and their labels."
    return show_figure(figure, caption, f"{len(picked)} occluded faces: {', '.join(enough)}.")


Array = np.ndarray


def worst_pairs(pairs: pd.DataFrame, threshold: float, count: int) -> pd.DataFrame:
    """Pick the pairs furthest on the wrong side of the threshold, alternating between both kinds of error.

    Args:
        pairs: columns ``first``, ``second``, ``same`` (0 or 1) and ``score``.
        threshold: same from this score on.
        count: at most so many.

    Returns:
        Rows of ``pairs`` with ``said`` (0 or 1): the worst of each kind first. One kind fills up where the
        other has too few.
    """
    said = (pairs["score"] >= threshold).astype(int)
    wrong = pairs.assign(said=said, miss=(pairs["score"] - threshold).abs())[said != pairs["same"]]
    order = wrong.sort_values(["miss", "first", "second"], ascending=[False, True, True], kind="stable")
    turn = order.groupby("same").cumcount()
    mixed = order.assign(turn=turn).sort_values(["turn", "same"], kind="stable")
    return mixed.head(count).drop(columns=["turn", "miss"]).reset_index(drop=True)


def pair_gallery(first: Array, second: Array, pairs: pd.DataFrame, columns: int = 3) -> Figure:
    """Draw pairs of faces: above the true answer, below the predicted one and the score.

    Args:
        first: (P, H, W) or (P, H, W, 3), uint8 or in [0, 1].
        second: alike.
        pairs: P rows with ``same``, ``said`` (0 or 1) and ``score``.
        columns: pairs per row.
    """
    rows = max(1, -(-len(pairs) // columns))
    figure = new_figure(7.6, rows * (7.6 / columns / 2 + 0.42) + 0.1)
    figure.set_layout_engine("constrained", wspace=0.06)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        bare(axes)
    words = {0: "different", 1: "same"}
    for axes, one, other, (_, row) in zip(panels, first, second, pairs.iterrows(), strict=False):
        show_face(axes, _beside(one, other))
        same, said = int(row["same"]), int(row["said"])
        axes.set_title(f"{words[same]} {'person' if same else 'persons'}", fontsize=8.5, pad=3, loc="left",
                       fontweight="normal")  # fmt: skip
        axes.set_xlabel(f"predicted {words[said]}, score {row['score']:.2f}".replace("-", "−"), fontsize=8.5,
                        loc="left", color=COLOURS[1] if said != same else INK)  # fmt: skip
    return figure


def _beside(one: Array, other: Array) -> Array:
    """Put two faces beside each other with a white gap."""
    white = 255 if one.dtype == np.uint8 else 1
    gap = np.full((one.shape[0], max(1, one.shape[1] // 24), *one.shape[2:]), white, dtype=one.dtype)
    return np.concatenate([one, gap, other], axis=1)
