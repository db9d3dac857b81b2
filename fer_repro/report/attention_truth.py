"""Attention against the truth: how well maps find the manipulated pixels, beside maps that look at none."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fer_repro.measures.saliency import map_precision_recall
from fer_repro.report.display import Shown, say, show_figure, show_table
from fer_repro.report.truth import enlarge, precision_curves, single_maps

Array = np.ndarray
NOTHING = "Which pixels of these faces were manipulated is not known; nothing can be compared."


def with_mean(maps: Mapping[str, Array]) -> dict[str, Array]:
    """Add to each arm's maps their mean over all faces, repeated: a map that looks at no face in particular.

    Args:
        maps: arm -> (n, h, w) or (n, 1, h, w).

    Returns:
        arm -> (n, h, w), and ``arm, mean`` after each.
    """
    found = {}
    for arm, values in maps.items():
        single = single_maps(np.asarray(values, np.float64))
        found[arm] = single
        found[f"{arm}, mean"] = np.repeat(single.mean(axis=0, keepdims=True), len(single), axis=0)
    return found


def show_precision(maps: Mapping[str, Array], truths: Array | None) -> Shown:
    """Show precision over recall for finding manipulated pixels, or say that they are not known.

    Args:
        maps: name -> (n, h, w).
        truths: (n, H, W) bool; None where nothing is known.
    """
    if truths is None:
        return say(NOTHING)
    faces = {name: list(zip(values, truths, strict=True)) for name, values in maps.items()}
    caption = (
        "Do the brightest places of the attention lie where the face was manipulated? Mean over manipulated "
        "test faces, band from quarter to quarter; 'mean' is the mean map, the same for every face."
    )
    return show_figure(precision_curves(faces), caption, f"Precision over recall of {', '.join(maps)}.")


def attention_table(maps: Mapping[str, Array], truths: Array, kinds: Sequence[str]) -> pd.DataFrame:
    """Average the area under precision and recall over the faces of each kind of manipulation.

    Args:
        maps: name -> (n, h, w).
        truths: (n, H, W) bool; faces without a manipulated pixel are left out.
        kinds: n names.

    Returns:
        ``kind``, ``faces``, ``chance`` (the manipulated share of a face), and a column per map.
    """
    names = np.asarray(kinds)
    touched = truths.reshape(len(truths), -1).any(axis=1)
    rows = []
    for kind in dict.fromkeys(names[touched]):
        chosen = np.flatnonzero(touched & (names == kind))
        row: dict[str, object] = {"kind": kind, "faces": len(chosen), "chance": truths[chosen].mean()}
        for name, values in maps.items():
            faces = [(enlarge(values[i], *truths[i].shape), truths[i]) for i in chosen]
            row[name] = np.mean([map_precision_recall(heat[None], truth[None]).area for heat, truth in faces])
        rows.append(row)
    return pd.DataFrame(rows)


def show_attention_table(maps: Mapping[str, Array], truths: Array | None, kinds: Sequence[str]) -> Shown:
    """Show ``attention_table``, or say that the manipulated pixels are not known."""
    if truths is None:
        return say(NOTHING)
    table = attention_table(maps, truths, kinds)
    caption = "Mean area under precision and recall (PR-AUC) by kind of manipulation; chance is its share."
    kept = {"faces": "count", "chance": "number", **dict.fromkeys(maps, "number")}
    return show_table(table.round(3), caption, kinds=kept)  # type: ignore[arg-type]
