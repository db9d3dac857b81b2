"""The ledger: every claim at every place, what was measured there, and its verdict by ``verdicts``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.datasets.protocols import UNSEEN
from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.claims import Claim, Claims, Place, Published
from fer_repro.evaluation.comparisons import (
    Comparison,
    against_best,
    against_value,
    below_half,
    departures,
    is_solved,
)
from fer_repro.evaluation.decisions import decide_rows
from fer_repro.evaluation.evidence import CHOSEN, Evidence
from fer_repro.evaluation.shorter import Movement, Shorter, movement
from fer_repro.files import atomic_write
from fer_repro.measures.metrics import find_metric
from fer_repro.measures.power import detectable, power
from fer_repro.recipes import is_synthetic

COLUMNS = (
    "claim", "method", "kind", "statement", "arm", "against", "dataset", "data", "protocol", "metric",
    "augmented", "condition", "as_published", "unit", "published", "tolerance", "published_source",
    "measured", "control", "difference", "low", "high", "confidence", "reference", "p", "p_holm", "tests",
    "p_half", "p_half_holm", "equal_within", "seed_variance", "sample_variance", "seeds", "groups", "epochs",
    "shorter_difference", "moved", "rise", "at_chance", "power", "detectable", "more_seeds", "verdict",
    "rule", "rules_version", "reason", "line", "note", "access", "record",
)  # fmt: skip

PARTS = ("clean", "occlusion", "pose_30", "pose_45", UNSEEN)
"""Protocols that test a part of a test set."""
NOT_ATTEMPTED = "not attempted"
_AT_CHANCE = 4  # its rule in version 1
_PLACE = ("claim", "dataset", "protocol", "metric")
_NUMBERS = (
    "published", "tolerance", "measured", "control", "difference", "low", "high", "confidence", "reference",
    "p", "p_holm", "tests", "p_half", "p_half_holm", "equal_within", "seed_variance", "sample_variance",
    "seeds", "groups", "epochs", "shorter_difference", "moved", "rise", "power", "detectable", "more_seeds",
    "rule", "rules_version",
)  # fmt: skip
_COUNTS = ("tests", "seeds", "groups", "epochs", "more_seeds", "rule", "rules_version")


@dataclass(frozen=True)
class _Tested:
    """What our runs show at one place."""

    evidence: Evidence
    comparison: Comparison
    rival: str  # the nearest one; empty for values to reach
    departures: tuple[str, ...]
    movement: Movement


@dataclass(frozen=True)
class _Entry:
    """A claim at one place."""

    claim: Claim
    published: Published
    tested: _Tested | None


def judge(
    claims: Claims, evidence: Iterable[Evidence], confidence: float, shorter: Sequence[Shorter] = ()
) -> pd.DataFrame:
    """Judge every claim at every place of its paper, and at every stand-in that was tested.

    Args:
        claims: from ``read_claims``.
        evidence: from ``read_evidence``, of any methods and data sets.
        confidence: e.g. 0.95.
        shorter: runs with half the epochs, from ``read_shorter``.

    Returns:
        ``COLUMNS``, one row per claim and place, in the file's order. Differences are above 0 where they are
        on the claim's side (for losses: lower). What does not exist is missing; ``more_seeds`` too where no
        number of seeds would decide. ``record`` names the record that holds the runs: none does here.
    """
    gathered = list(evidence)
    entries = [
        _Entry(claim, published, _test(claims, claim, published, gathered, confidence, shorter))
        for claim in claims.claims
        for published in _places(claim, gathered)
    ]
    rows = [_row(claims, entry, confidence) for entry in entries]
    return _typed(decide_rows(pd.DataFrame(rows, columns=list(COLUMNS))))


def _typed(ledger: pd.DataFrame) -> pd.DataFrame:
    numbers = dict.fromkeys(_NUMBERS, "float64") | dict.fromkeys(_COUNTS, "Int64")
    return ledger.astype(numbers)


def write_ledger(ledger: pd.DataFrame, folder: Path | str) -> Path:
    """Write ``ledger.csv``, byte-stable, floats as %.6g, and return its path."""
    path = Path(folder) / "ledger.csv"
    with atomic_write(path) as temporary:
        ledger.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    return path


def attempted(ledger: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of claims that runs tested."""
    return ledger[ledger["verdict"] != NOT_ATTEMPTED]


def with_records(ledger: pd.DataFrame, records: Path | str) -> pd.DataFrame:
    """Use records where there is no run, or none as well grounded: their rows replace those of the ledger.

    As published is best, then more seeds, then more epochs; of equals the first is used. Where the ledger has
    no such place, a record's row is added after the claim's other rows. Verdicts are given anew, by the rules
    of now and with the correction for all tests together.

    Args:
        ledger: from ``judge``.
        records: the folder of records; those that hold a ``ledger.csv`` take part, in the order of names.

    Raises:
        UserError: a record judged a claim that no longer exists, or that has changed since.
    """
    rows = ledger
    for path in sorted(Path(records).glob("*/ledger.csv")):
        for number, (_, found) in enumerate(read_tested(path).iterrows(), 1):
            _check_claim(found, ledger, f"{path}: row {number}")
            same = (rows[list(_PLACE)] == found[list(_PLACE)]).all(axis=1)
            if same.any() and _grounds(found) <= _grounds(rows[same].iloc[0]):
                continue
            members = rows.index[rows["claim"] == found["claim"]]
            found["statement"] = rows.loc[members[0], "statement"]
            found["record"] = path.parent.name
            place = int(rows.index[same][0]) if same.any() else int(members.max()) + 1
            rest = rows[~same]
            parts = rest[rest.index < place], found.to_frame().T, rest[rest.index >= place]
            rows = pd.concat(parts, ignore_index=True)
    return rows if rows is ledger else _typed(decide_rows(rows))


def _grounds(row: pd.Series) -> tuple[bool, float, float]:
    """How well a row is grounded; a row without runs least of all."""
    seeds, epochs = (0.0 if pd.isna(row[name]) else float(row[name]) for name in ("seeds", "epochs"))
    return str(row["as_published"]) == "True", seeds, epochs


def _check_claim(found: pd.Series, ledger: pd.DataFrame, where: str) -> None:
    """Check that a record judged the claim as it is now: records and claims are joined by name."""
    again = "judge the record's runs again (fer-repro record --force), or remove its ledger.csv"
    made = ledger[ledger["claim"] == found["claim"]]
    if made.empty:
        known = nearest(found["claim"], ledger["claim"].unique())
        raise UserError(f"{where}: claim '{found['claim']}' does not exist; {known} {again}")
    same_place = made[(made[list(_PLACE)] == found[list(_PLACE)]).all(axis=1)]
    now = {name: made[name].iloc[0] for name in ("method", "kind", "arm", "against")}
    now |= {name: same_place[name].iloc[0] for name in ("published", "tolerance") if len(same_place)}
    for name, value in now.items():
        same = value == found[name] or (name in _NUMBERS and np.isclose(value, found[name], 1e-5, 0, True))
        if not same:
            raise UserError(
                f"{where}: claim '{found['claim']}' was judged with {name} '{found[name]}', it has '{value}' "
                f"now; {again}"
            )


def read_tested(path: Path | str) -> pd.DataFrame:
    """Read the ``ledger.csv`` of a record; one judged by version 1 of the rules lacks some columns."""
    numbers = [name for name in COLUMNS if name in _NUMBERS]
    found = pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(numbers, ""))
    if "rules_version" not in found:
        found["at_chance"] = found["rule"] == _AT_CHANCE
    return found.reindex(columns=list(COLUMNS))


def _places(claim: Claim, evidence: Sequence[Evidence]) -> list[Published]:
    """The paper's places, and the stand-ins that were tested; the paper's size does not apply there."""
    tested = [place for place in claim.stand_ins if _find(claim, place, evidence) is not None]
    tested += _collected(claim, evidence)
    return [*claim.where, *(Published(place, None, "") for place in tested)]


def _collected(claim: Claim, evidence: Sequence[Evidence]) -> list[Place]:
    """Use any collected set that the claim does not name as a stand-in, on the same part.

    A hard part of a test set replaces the same part alone, a whole test set replaces a whole one.
    """
    known = [*(one.place for one in claim.where), *claim.stand_ins]
    named = {place.dataset for place in known if _find(claim, place, evidence) is not None}
    places: dict[tuple[str, str], Place] = {}
    for found in evidence:
        if found.method != claim.method or is_synthetic(found.dataset) or found.dataset in named:
            continue
        for model in claim.stand_ins:
            part = found.protocol in PARTS or model.protocol in PARTS
            if found.metric != model.metric or (part and found.protocol != model.protocol):
                continue
            place = replace(model, dataset=found.dataset, protocol=found.protocol)
            if _find(claim, place, evidence) is not None:
                places.setdefault((place.dataset, place.metric), place)
    return list(places.values())


def _find(claim: Claim, place: Place, evidence: Sequence[Evidence]) -> Evidence | None:
    """Find the runs of a place with the arm and a rival, augmented as wanted if there are such."""
    wanted = (claim.method, place.dataset, place.protocol, place.metric)
    fitting = [
        found
        for found in evidence
        if (found.method, found.dataset, found.protocol, found.metric) == wanted
        and claim.arm in found.arms
        and (not claim.against or set(claim.against) & set(found.arms))
    ]
    return min(fitting, key=lambda found: found.augmented != place.augmented, default=None)


def _test(
    claims: Claims,
    claim: Claim,
    published: Published,
    evidence: Sequence[Evidence],
    confidence: float,
    shorter: Sequence[Shorter],
) -> _Tested | None:
    found = _find(claim, published.place, evidence)
    if found is None:
        return None
    differing = departures(claims, claim, published.place, found)
    if published.size is not None and claim.kind == "absolute":
        reached = against_value(found, claim.arm, published.size.value, confidence)
        return _Tested(found, reached, "", differing, Movement())
    rivals = [arm for arm in claim.against if arm in found.arms]
    if claim.kind == "ensemble" and all(arm in found.validation for arm in rivals):
        # whoever deploys one network chooses it without the test part
        found, rivals = found.with_chosen(rivals), [CHOSEN]
    comparison = against_best(found, claim.arm, rivals, claim.margin, confidence)
    rival = min(rivals, key=lambda name: found.gain(claim.arm, name).value)
    return _Tested(found, comparison, rival, differing, movement(found, claim.arm, rival, shorter))


def _row(claims: Claims, entry: _Entry, confidence: float) -> dict[str, Any]:
    claim, place, size = entry.claim, entry.published.place, entry.published.size
    data = claims.data_set(place.dataset)
    row: dict[str, Any] = {
        "claim": claim.id, "method": claim.method, "kind": claim.kind, "statement": claim.statement,
        "arm": claim.arm, "against": " | ".join(claim.against), "dataset": place.dataset, "data": data.words,
        "protocol": place.protocol, "metric": place.metric, "augmented": place.augmented,
        "unit": _unit(claim, place), "published": size.value if size else np.nan,
        "tolerance": size.tolerance if size else np.nan,
        "published_source": size.source if size else entry.published.unverified,
        "confidence": confidence, "reference": 0.0 - claim.margin, "access": data.access,
        "record": "",
    }  # fmt: skip
    if entry.tested is None:
        return row
    return {
        **row, **_numbers(claims, entry, entry.tested, confidence),
        "condition": _condition(entry.tested.departures, data.words),
        "as_published": not entry.tested.departures, "augmented": entry.tested.evidence.augmented,
        "at_chance": entry.tested.evidence.is_at_chance(claim.arm), "note": entry.tested.evidence.note,
    }  # fmt: skip


def _condition(differing: tuple[str, ...], words: str) -> str:
    """Name the data, then all in which the runs differ."""
    if not differing:
        return f"{words}, as published"
    return ", ".join(differing if differing[0].startswith(words) else (words, *differing))


def _unit(claim: Claim, place: Place) -> str:
    metric = find_metric(place.metric)
    return metric.unit if claim.kind == "absolute" else metric.gap_unit


def _numbers(claims: Claims, entry: _Entry, tested: _Tested, confidence: float) -> dict[str, Any]:
    found, effect = tested.comparison, _effect(entry)
    solved = is_solved(entry.claim, tested.evidence)
    compares = entry.claim.kind != "absolute"
    return {
        "measured": tested.evidence.spread(entry.claim.arm).value,
        "control": tested.evidence.spread(tested.rival).value if tested.rival else np.nan,
        "difference": found.value, "low": found.low, "high": found.high, "p": found.p,
        "p_half": _p_half(claims, entry, tested), "seed_variance": found.spread.seed_variance,
        "sample_variance": found.spread.sample_variance,
        "epochs": None if solved else tested.evidence.recipe.get("epochs"),
        "shorter_difference": tested.movement.shorter, "moved": tested.movement.moved,
        "rise": tested.movement.rise, "seeds": found.spread.seeds, "groups": found.spread.groups,
        "power": power(found.spread, effect, confidence) if compares and effect > 0 else np.nan,
        "detectable": detectable(found.spread, confidence) if compares else np.nan,
    }  # fmt: skip


def _p_half(claims: Claims, entry: _Entry, tested: _Tested) -> float:
    """The p of "at least half of the published difference", where it may speak against the paper's size.

    That is on the paper's own data, where its standard error is known; and with other recipes than the
    paper's only if the control is as good as the data set's entry demands.
    """
    size, wanted = entry.published.size, claims.data_set(entry.published.place.dataset).control
    if entry.claim.kind in ("absolute", "non_inferiority") or size is None or size.value <= 0:
        return float("nan")
    strong = wanted is not None and tested.evidence.spread(tested.rival).value >= wanted
    if size.error is None or (tested.departures and not strong):
        return float("nan")
    return below_half(tested.comparison, size.value, size.error)


def _effect(entry: _Entry) -> float:
    """The difference for the power: the published one, here or at the paper's first place that has one.

    For a claim of non-inferiority: the margin, which is the distance to show where both are equally good.
    """
    if entry.claim.kind == "non_inferiority":
        return entry.claim.margin
    sizes = [entry.published.size, *(one.size for one in entry.claim.where)]
    return next((size.value for size in sizes if size is not None), float("nan"))
