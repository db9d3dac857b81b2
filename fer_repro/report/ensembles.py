"""Ensembles beside one another: the paper's table from published rows, and what averaging gains."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

LEVELS = ("frame", "video")


def published_ensembles(
    published: pd.DataFrame, method: str, dataset: str, networks: Sequence[str], baseline: str
) -> pd.DataFrame:
    """Lay out the published rows of one data set as the paper's table does.

    Args:
        published: rows of published/results.csv, where ``plain+attention`` names an ensemble of two.
        method: whose rows.
        dataset: as named there.
        networks: in the order of the paper's table.
        baseline: the network that stands in no ensemble.

    Returns:
        ``networks``, such as ``plain+attention``; a true or false column per network; a column per metric,
        areas in [0, 1]. The baseline comes first. Ensembles that are not published are left out.
    """
    rows = published[(published["method"] == method) & (published["dataset"] == dataset)]
    values = rows.assign(value=rows["value"] / np.where(rows["unit"] == "%", 100, 1))
    wide = values.pivot_table(index="arm", columns="metric", values="value")
    sets: list[tuple[str, ...]] = [(baseline,)]
    sets += [chosen for n in range(1, len(networks) + 1) for chosen in combinations(networks, n)]
    table = []
    for members in sets:
        name = "+".join(members)
        if name in wide.index:
            inside = {network: network in members for network in (baseline, *networks)}
            metrics = {str(metric): value for metric, value in wide.loc[name].items()}
            table.append({"networks": name, **inside, **metrics})
    return pd.DataFrame(table)


def ensemble_gains(
    tables: Mapping[str, pd.DataFrame], networks: Sequence[str], baseline: str
) -> pd.DataFrame:
    """Say what averaging all networks gains over the best of them and over the baseline, in points of AUC.

    Args:
        tables: data -> ensembles with the columns ``frame_auc`` and ``video_auc``, in [0, 1].
        networks: those that are averaged.
        baseline: the network beside them.

    Returns:
        ``data``, ``level``; ``baseline``, ``best single`` and ``all`` as AUC in percent; ``single``, which
        network is the best; ``over single`` and ``over baseline``, all minus these, in points.
    """
    rows = []
    for data, table in tables.items():
        by_name = table.set_index("networks")
        everything = "+".join(networks)
        if not {everything, baseline, *networks} <= set(by_name.index):
            continue
        for level in LEVELS:
            areas = 100 * by_name[f"{level}_auc"].astype(float)
            best = str(areas[list(networks)].idxmax())
            rows.append(
                {
                    "data": data,
                    "level": level,
                    "baseline": areas[baseline],
                    "best single": areas[best],
                    "single": best,
                    "all": areas[everything],
                    "over single": areas[everything] - areas[best],
                    "over baseline": areas[everything] - areas[baseline],
                }
            )
    return pd.DataFrame(
        rows,
        columns=["data", "level", "baseline", "best single", "single", "all", "over single", "over baseline"],
    )
