"""Runs with half the epochs, read from records: has training longer changed a result?

Arms that are fitted at once have no epochs: between two of them nothing can change, unless they begin with a
network that was trained.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.config import ARM_RATE, HALF, HEAD
from fer_repro.evaluation.evidence import CHOSEN, Evidence, flat
from fer_repro.files import read_json
from fer_repro.measures.metrics import find_metric
from fer_repro.methods.method import load_method

_OWN = ("note", "epochs", ARM_RATE)  # of a recipe: what may differ between the two lengths
_LEAST = {True: 3, False: 1}  # seeds with half the epochs, for headline comparisons and for others


@dataclass(frozen=True)
class Shorter:
    """The record of runs of one method on one data set.

    Attributes:
        method: name.
        dataset: name.
        recipe: dotted keys.
        rows: its rows.csv.
        validation: arm -> seed -> accuracy of the kept epoch on the validation part, in percent.
    """

    method: str
    dataset: str
    recipe: Mapping[str, Any]
    rows: pd.DataFrame
    validation: Mapping[str, Mapping[int, float]]

    def fits(self, evidence: Evidence) -> bool:
        """Whether the evidence is of the same recipe with twice the epochs, or one more for odd numbers."""
        if (self.method, self.dataset) != (evidence.method, evidence.dataset):
            return False
        theirs = {key: value for key, value in evidence.recipe.items() if key in self.recipe}
        same = all(value == self.recipe[key] for key, value in theirs.items() if key not in _OWN)
        return same and evidence.recipe.get("epochs", 0) // 2 == self.recipe["epochs"]

    def by_seed(self, evidence: Evidence, arm: str) -> dict[int, float]:
        """The values of an arm at the place of the evidence."""
        if arm == CHOSEN:
            values = {name: self.by_seed(evidence, name) for name in evidence.members}
            best = self.chosen(evidence.members)
            return {seed: values[name][seed] for seed, name in best.items() if seed in values[name]}
        rows = self.rows
        here = (rows["arm"] == arm) & (rows["protocol"] == evidence.protocol)
        here &= (rows["metric"] == evidence.metric) & (rows["split"] == "test") & (rows["seed"] != "")
        here &= (rows["tta"] != "none") == evidence.augmented
        return {int(seed): float(value) for seed, value in rows[here][["seed", "value"]].to_numpy()}

    def chosen(self, members: Sequence[str]) -> dict[int, str]:
        """Name for each seed the member that is best on the validation part."""
        known = {name: self.validation.get(name, {}) for name in members}
        seeds = set.intersection(*(set(values) for values in known.values()))
        return {seed: max(members, key=lambda name: known[name][seed]) for seed in sorted(seeds)}

    def validated(self, evidence: Evidence, arm: str) -> Mapping[int, float]:
        """The validation accuracy of an arm by seed; empty for arms that combine others."""
        if arm == CHOSEN:
            best = self.chosen(evidence.members)
            return {seed: self.validation[name][seed] for seed, name in best.items()}
        return self.validation.get(arm, {})


@dataclass(frozen=True)
class Movement:
    """How a comparison changed from half the epochs to all of them. All NaN where that is not known.

    Attributes:
        shorter: the difference with half the epochs, over the seeds of both.
        moved: how much larger it is with all epochs, over the same seeds.
        rise: the largest gain of an arm's validation accuracy, in points.
    """

    shorter: float = math.nan
    moved: float = math.nan
    rise: float = math.nan


def read_shorter(records: Path | str) -> list[Shorter]:
    """Read all records of runs with half the epochs: ``fer-repro record --half``."""
    found = []
    for file in sorted(Path(records).glob("*/record.json")):
        record = read_json(file, "it beside the record's rows.csv")
        if not record.get(HALF):
            continue
        validation: dict[str, dict[int, float]] = {}
        for run in record["runs"]:
            of_arm = validation.setdefault(run["arm"], {})
            of_arm[int(run["seed"])] = float(run["validation_accuracy"])
        rows = pd.read_csv(file.parent / "rows.csv", dtype={"seed": str}, keep_default_na=False)
        recipe = {HEAD: "none"} | flat(record["recipe"]) | flat(record["data"])
        found.append(Shorter(record["method"], record["dataset"], recipe, rows, validation))
    return found


def movement(evidence: Evidence, arm: str, rival: str, shorter: Iterable[Shorter]) -> Movement:
    """Compare a difference with that of the first record that has half its epochs and enough of its seeds.

    Args:
        evidence: of the runs with all epochs.
        arm: whose claim it is.
        rival: the nearest one.
        shorter: from ``read_shorter``.
    """
    built = load_method(evidence.method)
    if all(built.is_solved(name) and not built.sources(name) for name in (arm, rival)):
        return Movement(evidence.gain(arm, rival).value, 0.0, 0.0)
    least = _LEAST[{arm, rival} == {built.headline, built.control}]
    for record in shorter:
        if not record.fits(evidence):
            continue
        sides = [(evidence.by_seed(name), record.by_seed(evidence, name)) for name in (arm, rival)]
        seeds = sorted(set.intersection(*(set(values) for side in sides for values in side)))
        if len(seeds) >= least:
            sign = -1.0 if find_metric(evidence.metric).lower_is_better else 1.0
            whole, half = (
                sign * sum(sides[0][length][seed] - sides[1][length][seed] for seed in seeds) / len(seeds)
                for length in (0, 1)
            )
            return Movement(half, whole - half, _rise(evidence, record, (arm, rival), seeds))
    return Movement()


def _rise(evidence: Evidence, record: Shorter, arms: Sequence[str], seeds: Sequence[int]) -> float:
    """Find the largest gain in validation over the seeds of both; arms that combine others have none."""
    gains = []
    for arm in arms:
        before, after = record.validated(evidence, arm), evidence.validation.get(arm, ())
        known = dict(zip(evidence.seeds, after, strict=False))
        both = [seed for seed in seeds if seed in before and seed in known]
        if both:
            gains.append(sum(known[seed] - before[seed] for seed in both) / len(both))
    return max(gains, default=0.0)
