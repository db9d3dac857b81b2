"""Who is a network worse for? Accuracy and activation in every group of a column of the sample table.

A gap between groups is compared with the gaps of groups that were dealt out at random among the same
people: a few people differ by chance, and the best and the worst of several groups always do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from fer_repro.datasets.groups import groups_of, permuted_groups, units_of
from fer_repro.datasets.protocols import stratified
from fer_repro.datasets.store import Store, open_store
from fer_repro.errors import UserError
from fer_repro.evaluation.agreement import sample_groups
from fer_repro.layers.activations import layer_strengths
from fer_repro.measures.activation import activation_ratios
from fer_repro.measures.intervals import Interval, seed_interval, spread_interval
from fer_repro.measures.regression import rank_order
from fer_repro.measures.variance_components import spread
from fer_repro.methods.method import load_method
from fer_repro.runs.checks import check_data, check_targets
from fer_repro.runs.folder import read_run_config, run_task
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.runs.predictions import SPLIT, read_predictions

LEAST = 10  # test samples of a group that is measured
PERMUTATIONS = 999
_SEEN = 2000  # images whose activations are measured, in the classes' proportions
GROUP_COLUMNS = ["group", "samples", "people", "accuracy", "low", "high", "gap", "gap low", "gap high"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroupGaps:
    """The groups of one column, and how a run's answers differ between them.

    Attributes:
        column: of the sample table.
        table: ``GROUP_COLUMNS``, the worst group first: accuracy in [0, 1]; its distance to that of all other
            samples; both with the interval for other samples, of people together where these are known.
        left_out: group -> its number of test samples, of those too small to be measured.
        gap: accuracy of the best group less that of the worst.
        permuted: (P,) the same of groups dealt out at random.
        activations: ``layer``, ``group``, ``ratio`` of every layer; empty where the network's inputs are no
            single images.
    """

    column: str
    table: pd.DataFrame
    left_out: dict[str, int]
    gap: float
    permuted: Array
    activations: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def p(self) -> float:
        """How often groups dealt out at random have at least this gap."""
        return float((1 + (self.permuted >= self.gap - 1e-12).sum()) / (1 + len(self.permuted)))

    @property
    def bars(self) -> pd.DataFrame:
        """The accuracies, as ``show_bars`` takes them."""
        names = self.table["group"] + " (" + self.table["samples"].astype(str) + ")"
        return self.table.assign(arm=self.column, **{"class": names, "value": self.table["accuracy"]})[
            ["arm", "class", "value", "low", "high"]
        ]


@dataclass(frozen=True)
class _Tested:
    """The test samples of a run: rows of the sample table, which are right, and what belongs together."""

    rows: np.ndarray
    hits: np.ndarray
    clusters: np.ndarray | None


def group_gaps(
    folder: Path | str,
    store: Store,
    column: str,
    confidence: float,
    least: int = LEAST,
    permutations: int = PERMUTATIONS,
    kind: str = "max",
) -> GroupGaps:
    """Measure a run's test samples in every group of a column.

    Args:
        folder: of a run that predicts classes, of any method.
        store: the data set it was trained on.
        column: of the sample table; see ``groups_of``.
        confidence: of the intervals, such as 0.95.
        least: samples of a group that is measured.
        permutations: how often groups are dealt out at random.
        kind: of activations, ``max`` or ``mean``.

    Raises:
        UserError: the run predicts no classes or was trained on other data, the column is missing or makes no
            groups, or fewer than two groups have ``least`` samples.
    """
    tested = _tested(Path(folder), store)
    names = groups_of(store.samples, column, str(store.folder / "samples.csv"))[tested.rows]
    sizes = pd.Series(names[names != ""]).value_counts().sort_index()
    measured = [str(name) for name, size in sizes.items() if size >= least]
    left_out = {str(name): int(size) for name, size in sizes.items() if size < least}
    if len(measured) < 2:
        said = ", ".join(f"{name}: {size}" for name, size in sizes.items()) or "none"
        raise UserError(
            f"{store.folder / 'samples.csv'}: column '{column}' has test samples in these groups: {said}; "
            f"expected two groups with at least {least} each"
        )
    kept = np.isin(names, measured)
    tested = _Tested(
        tested.rows[kept], tested.hits[kept], None if tested.clusters is None else tested.clusters[kept]
    )
    groups = np.searchsorted(measured, names[kept])
    given = tested, store.samples, confidence
    rows = [_row(name, groups == place, *given) for place, name in enumerate(measured)]
    table = pd.DataFrame(rows, columns=GROUP_COLUMNS)
    units = units_of(store.samples.iloc[tested.rows], groups)
    generator = np.random.default_rng(0)
    permuted = [
        _gap(tested.hits, permuted_groups(groups, units, generator), len(measured))
        for _ in range(permutations)
    ]
    return GroupGaps(
        column,
        table.sort_values(["accuracy", "group"]).reset_index(drop=True),
        left_out,
        _gap(tested.hits, groups, len(measured)),
        np.array(permuted),
        _activations(Path(folder), store, tested.rows, groups, measured, kind),
    )


def gap_sentence(found: GroupGaps, people: str) -> str:
    """Answer in one sentence who a network is worse for, and whether chance would do as much.

    Args:
        found: from ``group_gaps``.
        people: what the groups are of, such as ``faces``.
    """
    worst, best = found.table.iloc[0], found.table.iloc[-1]
    said = "" if not found.left_out else (
        f" Too few to be measured: {', '.join(f'{name} ({n})' for name, n in found.left_out.items())}."
    )  # fmt: skip
    chance = "chance can explain it" if found.p >= 0.05 else "chance seldom does this"
    return (
        f"By {found.column}, this network is worst for {people} of the group {worst['group']} "
        f"({worst['accuracy']:.1%} right) and best for {best['group']} ({best['accuracy']:.1%}). Of groups "
        f"dealt out at random {found.p:.1%} have a gap of at least {100 * found.gap:.1f} points: {chance}."
        f"{said}"
    )


def _tested(folder: Path, store: Store) -> _Tested:
    config = read_run_config(folder)
    task = run_task(config, folder)
    if task not in ("expression", "manipulation"):
        raise UserError(f"{folder}: was trained for {task}: expected a run that predicts classes")
    check_data(folder, config, store)
    predictions = read_predictions(folder / "predictions.csv")
    check_targets(folder / "predictions.csv", predictions, store)
    test = predictions.of_split(SPLIT)
    return _Tested(
        test.samples, test.logits.argmax(1) == test.targets, sample_groups(store.samples, test.samples)
    )


def _row(
    name: str, inside: np.ndarray, tested: _Tested, samples: pd.DataFrame, confidence: float
) -> list[object]:
    """Measure one group against all other samples."""
    own, others = tested.hits[inside].mean(), tested.hits[~inside].mean()
    shares = np.where(inside, (tested.hits - own) / inside.sum(), 0.0)
    accuracy = _interval(own, shares[inside], tested.clusters, inside, confidence, "logit")
    away = np.where(inside, shares, (others - tested.hits) / (~inside).sum())
    gap = _interval(own - others, away, tested.clusters, np.ones(len(inside), bool), confidence, "linear")
    people = samples["subject"].iloc[tested.rows[inside]] if "subject" in samples else pd.Series([""])
    known = people[people != ""].nunique()
    bounds = accuracy.low, accuracy.high, gap.value, gap.low, gap.high
    return [name, int(inside.sum()), int(known), float(own), *bounds]


def _interval(
    value: float,
    shares: np.ndarray,
    clusters: np.ndarray | None,
    inside: np.ndarray,
    confidence: float,
    scale: str,
) -> Interval:
    """Interval for other samples, of people together; without bounds where all are of one person."""
    own = None if clusters is None else clusters[inside]
    if own is not None and len(np.unique(own)) < 2:
        return Interval(float(value), float("nan"), float("nan"), "one group of samples")
    found = spread(np.array([value]), shares[None], own)
    return spread_interval(found, confidence, scale)  # type: ignore[arg-type]


def _gap(hits: np.ndarray, groups: np.ndarray, count: int) -> float:
    """Accuracy of the best group less that of the worst."""
    means = np.bincount(groups, hits, minlength=count) / np.bincount(groups, minlength=count)
    return float(np.ptp(means))


def _activations(
    folder: Path, store: Store, rows: np.ndarray, groups: np.ndarray, names: Sequence[str], kind: str
) -> pd.DataFrame:
    """Compare the activations of every layer between groups; nothing where a sample is no single image."""
    method = load_method(read_run_config(folder)["method"])
    if method.inputs not in ("images", "regions"):
        return pd.DataFrame(columns=["layer", "group", "ratio"])
    place = np.arange(len(rows))
    seen = stratified(groups, place, _SEEN)
    strengths = look(load_run(folder, store), rows[seen], layer_strengths)
    return ratio_table(strengths, groups[seen], names, kind)


def ratio_table(
    strengths: Mapping[str, np.ndarray], groups: np.ndarray, names: Sequence[str], kind: str = "max"
) -> pd.DataFrame:
    """Compute the activation ratio of each group in each layer.

    Args:
        strengths: from ``layer_strengths`` for all samples.
        groups: (N,) places in ``names``.
        names: of the groups.
        kind: ``max`` or ``mean``.

    Returns:
        ``layer``, from the first to the last; ``group``; ``ratio``, at most 1.
    """
    rows = [
        (name.removeprefix(f"{kind} "), group, float(ratio))
        for name, values in strengths.items()
        if name.startswith(f"{kind} ")
        for group, ratio in zip(names, activation_ratios(values, groups, len(names)), strict=True)
    ]
    return pd.DataFrame(rows, columns=["layer", "group", "ratio"])


def gaps_of_runs(
    folders: Mapping[str, Mapping[int, Path]],
    store: Store,
    column: str,
    chosen: Sequence[str],
    kind: str = "max",
    permuted: int | None = None,
) -> pd.DataFrame:
    """Put the activation ratio of every run, layer and group beside the group's accuracy.

    Args:
        folders: arm -> seed -> run.
        store: the data set of all.
        column: of the sample table.
        chosen: groups that are compared with each other, as far as they are tested.
        kind: ``max`` or ``mean``.
        permuted: seed by which groups are dealt out at random among people instead; None keeps them.

    Returns:
        ``arm``, ``seed``, ``layer``, ``group``, ``ratio``; ``accuracy``; ``gap``, the group's accuracy less
        the mean over groups.
    """
    names = groups_of(store.samples, column, str(store.folder / "samples.csv"))
    tables = []
    for arm, by_seed in folders.items():
        for seed, folder in by_seed.items():
            tested = _tested(folder, store)
            own = names[tested.rows]
            if permuted is not None:
                units = units_of(store.samples.iloc[tested.rows], own)
                own = permuted_groups(own, units, np.random.default_rng((permuted, seed)))
            shown, kept = [name for name in chosen if name in own], np.isin(own, chosen)
            groups = np.array([shown.index(name) for name in own[kept]])
            strengths = look(load_run(folder, store), tested.rows[kept], layer_strengths)
            table, hits = ratio_table(strengths, groups, shown, kind), tested.hits[kept]
            accuracies = pd.Series({name: hits[groups == k].mean() for k, name in enumerate(shown)})
            table["accuracy"] = table["group"].map(accuracies)
            tables.append(table.assign(gap=table["accuracy"] - accuracies.mean(), arm=arm, seed=seed))
    return pd.concat(tables, ignore_index=True)


def ratio_correlations(points: pd.DataFrame, confidence: float, resamples: int) -> pd.DataFrame:
    """Correlate activation ratios with accuracy gaps over the networks of a seed, by rank.

    Over all groups together a group that is always active less, whoever was trained on, counts as biased.
    Within a group only what training changes counts.

    Args:
        points: from ``gaps_of_runs``.
        confidence: of the intervals over seeds.
        resamples: of a bootstrap over ten seeds or more.

    Returns:
        ``layer``; ``of``: all groups, or within each group; ``rho``, ``low``, ``high`` over seeds;
        ``networks`` of a seed.
    """
    rows = []
    for layer, part in points.groupby("layer", sort=False):
        parts = {
            "all groups": part,
            **{f"within {name}": own for name, own in part.groupby("group", sort=False)},
        }
        for words, own in parts.items():
            values = [
                rank_order(each["ratio"].to_numpy(), each["gap"].to_numpy())
                for _, each in own.groupby("seed")
            ]
            found = seed_interval(values, confidence, resamples, "artanh")
            rows.append((layer, words, found.value, found.low, found.high, own["arm"].nunique()))
    return pd.DataFrame(rows, columns=["layer", "of", "rho", "low", "high", "networks"])


def ratio_changes(points: pd.DataFrame, control: str, layer: str) -> pd.DataFrame:
    """Compare ratio and accuracy of each arm and group with the control's, over the same seeds.

    Args:
        points: from ``gaps_of_runs``.
        control: an arm.
        layer: one of its layers.

    Returns:
        ``arm``, ``group``; ``ratio`` and ``accuracy``, means over seeds; their changes, ``ratio change`` and
        ``accuracy change`` in points of 100; ``p``, of a paired t test of the ratio over seeds.
    """
    own = points[points["layer"] == layer].set_index(["arm", "group", "seed"]).sort_index()
    rows = []
    for arm, group in dict.fromkeys((arm, group) for arm, group, _ in own.index):
        here, there = own.loc[(arm, group)], own.loc[(control, group)]
        change = 100 * (here["ratio"] - there["ratio"])
        rises = 100 * (here["accuracy"] - there["accuracy"])
        p = np.nan if arm == control or len(change) < 2 else float(stats.ttest_1samp(change, 0).pvalue)
        rows.append(
            (arm, group, here["ratio"].mean(), change.mean(), p, here["accuracy"].mean(), rises.mean())
        )
    columns = ["arm", "group", "ratio", "ratio change", "p", "accuracy", "accuracy change"]
    return pd.DataFrame(rows, columns=columns)


def accuracy_bars(points: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Average each arm's accuracy in each group over seeds, as ``show_bars`` takes it.

    Args:
        points: from ``gaps_of_runs``.
        confidence: of the intervals over seeds.
    """
    own = points[points["layer"] == points["layer"].iloc[0]]
    rows = []
    for (arm, group), part in own.groupby(["arm", "group"], sort=False):
        found = seed_interval(part["accuracy"].tolist(), confidence, 1, "logit")
        rows.append((arm, group, found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["arm", "class", "value", "low", "high"])


def store_of_run(folder: Path | str, prepared: Path | str) -> Store:
    """Open the prepared data set that a run was trained on.

    Args:
        folder: of the run.
        prepared: where prepared data sets live.

    Raises:
        UserError: the run or the data set is missing.
    """
    return open_store(Path(prepared) / str(read_run_config(Path(folder))["dataset"]))


class GroupFaces(NamedTuple):
    """Faces (n, H, W) or (n, H, W, 3), and the group of each."""

    images: np.ndarray
    titles: list[str]


def faces_of_groups(store: Store, rows: np.ndarray, column: str, each: int) -> GroupFaces:
    """Choose faces of different people from every group.

    Args:
        store: the data set.
        rows: (n,) of the sample table to choose from.
        column: of the sample table.
        each: at most so many of a group.
    """
    part = store.samples.iloc[rows].assign(group=groups_of(store.samples, column)[rows])
    people = part[part["group"].ne("")].drop_duplicates(["group", "subject"])
    chosen = people.groupby("group").head(each).sort_values("group", kind="stable")
    return GroupFaces(np.asarray(store.images[chosen["image"].to_numpy(np.int64)]), chosen["group"].tolist())
