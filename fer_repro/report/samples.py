"""Faces and findings of a data set, chosen for its contact sheets and tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.report.display import Shown, say, show_figure
from fer_repro.report.figures import contact_sheet, factor_distributions, recall_bars

FACTORS = ("intensity", "yaw", "pitch", "roll", "light_azimuth", "light_strength", "blur", "occluder")
_FACTS = {
    "distinct_images": "distinct images",
    "duplicate_groups": "groups of pixel-identical images",
    "duplicate_samples": "samples in such groups",
    "conflicting_groups": "of these groups, with conflicting labels",
    "constant_images": "blank images",
    "val_in_train": "val samples that also stand in train",
    "test_in_train": "test samples that also stand in train",
    "test_in_val": "test samples that also stand in val",
    "subjects_known": "samples whose subject is known",
    "subjects_crossing": "subjects that stand in more than one split",
}


def count_table(audit: dict[str, Any]) -> pd.DataFrame:
    """Lay out samples per split and class, with the official counts beneath each where they are known.

    Args:
        audit: a prepared set's audit.json.
    """
    rows = []
    for split, counts in audit["counts"].items():
        rows.append([split, *counts, sum(counts)])
    for part, counts in (audit.get("official") or {}).items():
        rows.append([f"{part}, official", *counts, sum(counts)])
    order = {"train": 0, "val": 1, "test": 2}
    rows.sort(key=lambda row: order.get(row[0].split(",")[0], 3))
    return pd.DataFrame(rows, columns=["split", *audit["classes"], "total"])


def fact_table(audit: dict[str, Any]) -> pd.DataFrame:
    """Lay out what the data doctor counted, in words, and each deviation from the official set.

    Args:
        audit: a prepared set's audit.json.
    """
    facts = [(words, audit["facts"][key]) for key, words in _FACTS.items() if key in audit["facts"]]
    deviations = audit.get("differences", [])
    facts.append(("deviations from the official counts", len(deviations) if audit.get("official") else "–"))
    facts += [("deviation", text) for text in deviations]
    return pd.DataFrame([(what, str(found)) for what, found in facts], columns=["finding", "value"])


def choose_faces(
    samples: pd.DataFrame, classes: Sequence[str], count: int, split: str = "train"
) -> np.ndarray:
    """Choose the first ``count`` samples of each class, from different subjects where these are known.

    Args:
        samples: sample table.
        classes: names in index order.
        count: per class.
        split: train, val or test.

    Returns:
        Rows of the table, one class after another: count rows of the sheet with one column per class.
    """
    part = samples[samples["split"] == split]
    if (part["subject"].fillna("") != "").any():
        part = part.drop_duplicates(["subject", "label"])
    spread = [part.index[part["label"] == label].to_numpy() for label in range(len(classes))]
    chosen = [rows[np.linspace(0, len(rows) - 1, count).astype(int)] for rows in spread if len(rows)]
    return np.stack(chosen, axis=1).ravel() if chosen else np.zeros(0, dtype=int)


def show_faces(
    images: np.ndarray, samples: pd.DataFrame, classes: Sequence[str], count: int = 4, path: str | None = None
) -> Shown:
    """Show a contact sheet with one column per class.

    Args:
        images: (N, H, W) or (N, H, W, 3) uint8.
        samples: sample table.
        classes: names in index order.
        count: rows of the sheet.
        path: where to save it, without suffix.
    """
    rows = choose_faces(samples, classes, count)
    titles = [classes[label] for label in samples.loc[rows, "label"]]
    figure = contact_sheet(images[samples.loc[rows, "image"]], titles, columns=len(set(titles)) or 1)
    caption = "Training images, one column per class, spread over the data set."
    return show_figure(
        figure, caption, f"{len(rows)} faces labelled {', '.join(dict.fromkeys(titles))}.", path
    )


def show_factors(samples: pd.DataFrame, path: str | None = None) -> Shown:
    """Show how the known factors are spread, or say that this data set has none."""
    known = [factor for factor in FACTORS if factor in samples]
    if not known:
        return Shown("<p>Nothing is known about these images beyond their labels.</p>")
    caption = "How the factors that made the faces are spread, all splits together."
    alt = f"Distributions of {', '.join(known)}."
    return show_figure(factor_distributions(samples, known), caption, alt, path)


def show_by_factor(table: pd.DataFrame, factor: str) -> Shown:
    """Show how accuracy depends on a factor, or say that this data set does not know it.

    Args:
        table: from ``fer_repro.report.runs.accuracy_by_factor``.
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
    images: np.ndarray, samples: pd.DataFrame, classes: Sequence[str], count: int = 2, path: str | None = None
) -> Shown:
    """Show faces behind each kind of occluder, or say that none is known."""
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
    caption = "Faces behind each kind of occluder, with their labels."
    return show_figure(figure, caption, f"{len(picked)} occluded faces: {', '.join(enough)}.", path)
