"""The ledger: every claim at every place, what was measured there, and its verdict by ``verdicts``."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.claims import Claim, Claims, Place, Published
from fer_repro.evaluation.comparisons import Comparison, against_best, against_value, departures
from fer_repro.evaluation.evidence import Evidence
from fer_repro.evaluation.verdicts import RULES, WIDEST, Case, decide
from fer_repro.files import atomic_write
from fer_repro.measures.intervals import holm
from fer_repro.measures.metrics import find_metric
from fer_repro.measures.power import MANY_SEEDS, detectable, more_seeds, power
from fer_repro.recipes import is_synthetic

COLUMNS = (
    "claim", "method", "kind", "statement", "arm", "against", "dataset", "data", "protocol", "metric",
    "augmented", "condition", "as_published", "unit", "published", "tolerance", "published_source",
    "measured", "difference", "low", "high", "confidence", "p", "p_holm", "seeds", "groups", "power",
    "detectable", "more_seeds", "verdict", "rule", "reason", "line", "note", "access",
)  # fmt: skip

PARTS = ("clean", "occlusion", "pose_30", "pose_45")
"""Protocols that test a part of a test set."""
NOT_ATTEMPTED = "not attempted"
_PLACE = ("claim", "dataset", "protocol", "metric")
_NUMBERS = (
    "published", "tolerance", "measured", "difference", "low", "high", "confidence", "p", "p_holm", "seeds",
    "groups", "power", "detectable", "more_seeds", "rule",
)  # fmt: skip


@dataclass(frozen=True)
class _Tested:
    """What our runs show at one place."""

    evidence: Evidence
    comparison: Comparison
    departures: tuple[str, ...]


@dataclass(frozen=True)
class _Entry:
    """A claim at one place, before its p is corrected."""

    claim: Claim
    published: Published
    tested: _Tested | None

    @property
    def p(self) -> float:
        """The p-value in [0, 1] of what our runs show; NaN where none tested the claim."""
        return float("nan") if self.tested is None else self.tested.comparison.p


def judge(claims: Claims, evidence: Iterable[Evidence], confidence: float) -> pd.DataFrame:
    """Judge every claim at every place of its paper, and at every stand-in that was tested.

    The claims of one method tested on one data set are corrected for their number, after Holm.

    Args:
        claims: from ``read_claims``.
        evidence: from ``read_evidence``, of any methods and data sets.
        confidence: e.g. 0.95.

    Returns:
        ``COLUMNS``, one row per claim and place, in the file's order. Differences are above 0 where they are
        on the claim's side (for losses: lower). What does not exist is missing; ``more_seeds`` too where no
        number of seeds would decide.
    """
    gathered = list(evidence)
    entries = [
        _Entry(claim, published, _test(claims, claim, published, gathered, confidence))
        for claim in claims.claims
        for published in _places(claim, gathered)
    ]
    rows = [_row(claims, entry, p, confidence) for entry, p in zip(entries, _correct(entries), strict=True)]
    counts = dict.fromkeys(("seeds", "groups", "more_seeds", "rule"), "Int64")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(counts)


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
    """Use records where there is no run: their tested rows replace the rows that are not attempted.

    Where the ledger has no such place, a record's row is added after the claim's other rows. Where runs
    were tested at the same place, the runs are used.

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
            if (same & (rows["verdict"] != NOT_ATTEMPTED)).any():
                continue
            members = rows.index[rows["claim"] == found["claim"]]
            place = int(rows.index[same][0]) if same.any() else int(members.max()) + 1
            rest = rows[~same]
            parts = rest[rest.index < place], found.to_frame().T, rest[rest.index >= place]
            rows = pd.concat(parts, ignore_index=True)
    return rows if rows is ledger else rows.astype({name: ledger.dtypes[name] for name in _NUMBERS})


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
    """Read the ``ledger.csv`` of a record."""
    numbers = [name for name in COLUMNS if name in _NUMBERS]
    return pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(numbers, ""))[list(COLUMNS)]


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
    claims: Claims, claim: Claim, published: Published, evidence: Sequence[Evidence], confidence: float
) -> _Tested | None:
    found = _find(claim, published.place, evidence)
    if found is None:
        return None
    if published.size is not None and claim.kind == "absolute":
        comparison = against_value(found, claim.arm, published.size.value, confidence)
    else:
        rivals = [arm for arm in claim.against if arm in found.arms]
        comparison = against_best(found, claim.arm, rivals, claim.margin, confidence)
    return _Tested(found, comparison, departures(claims, claim, published.place, found))


def _correct(entries: Sequence[_Entry]) -> list[float]:
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, entry in enumerate(entries):
        families[entry.claim.method, entry.published.place.dataset].append(number)
    corrected = [float("nan")] * len(entries)
    for members in families.values():
        for number, value in zip(members, holm([entries[n].p for n in members]), strict=True):
            corrected[number] = float(value)
    return corrected


def _row(claims: Claims, entry: _Entry, p: float, confidence: float) -> dict[str, Any]:
    claim, place, size = entry.claim, entry.published.place, entry.published.size
    rule = decide(_case(entry, p, confidence))
    verdict, reason = RULES[rule]
    data = claims.data_set(place.dataset)
    row: dict[str, Any] = {
        "claim": claim.id, "method": claim.method, "kind": claim.kind, "statement": claim.statement,
        "arm": claim.arm, "against": " | ".join(claim.against), "dataset": place.dataset, "data": data.words,
        "protocol": place.protocol, "metric": place.metric, "augmented": place.augmented,
        "unit": _unit(claim, place), "published": size.value if size else np.nan,
        "tolerance": size.tolerance if size else np.nan,
        "published_source": size.source if size else entry.published.unverified,
        "confidence": confidence, "p_holm": p, "verdict": verdict, "rule": rule, "reason": reason,
        "access": data.access,
    }  # fmt: skip
    if entry.tested is None:
        return {**row, "line": f"{verdict} on {data.words}: {data.access}"}
    condition = _condition(entry.tested.departures, data.words)
    missing = _missing_seeds(entry, entry.tested, p, confidence) if rule in (9, 13) else None
    said = f"{reason}; {_say_missing(missing)}" if rule in (9, 13) else reason
    return {
        **row, **_numbers(entry, entry.tested, confidence), "condition": condition,
        "as_published": not entry.tested.departures, "augmented": entry.tested.evidence.augmented,
        "more_seeds": missing, "reason": said, "line": f"{verdict} on {condition}: {said}",
        "note": entry.tested.evidence.note,
    }  # fmt: skip


def _condition(differing: tuple[str, ...], words: str) -> str:
    """Name the data, then all in which the runs differ."""
    if not differing:
        return f"{words}, as published"
    return ", ".join(differing if differing[0].startswith(words) else (words, *differing))


def _unit(claim: Claim, place: Place) -> str:
    metric = find_metric(place.metric)
    return metric.unit if claim.kind == "absolute" else metric.gap_unit


def _case(entry: _Entry, p: float, confidence: float) -> Case:
    tested = entry.tested
    return Case(
        entry.claim.kind,
        entry.published.size,
        tested is not None and not tested.departures,
        None if tested is None else tested.comparison,
        p,
        tested is not None and tested.evidence.is_at_chance(entry.claim.arm),
        1 - confidence,
    )


def _numbers(entry: _Entry, tested: _Tested, confidence: float) -> dict[str, Any]:
    found, effect = tested.comparison, _effect(entry)
    compares = entry.claim.kind != "absolute"
    return {
        "measured": tested.evidence.spread(entry.claim.arm).value,
        "difference": found.value, "low": found.low, "high": found.high, "p": found.p,
        "seeds": found.spread.seeds, "groups": found.spread.groups,
        "power": power(found.spread, effect, confidence) if compares and effect > 0 else np.nan,
        "detectable": detectable(found.spread, confidence) if compares else np.nan,
    }  # fmt: skip


def _effect(entry: _Entry) -> float:
    """The difference for the power: the published one, here or at the paper's first place that has one.

    For a claim of non-inferiority: the margin, which is the distance to show where both are equally good.
    """
    if entry.claim.kind == "non_inferiority":
        return entry.claim.margin
    sizes = [entry.published.size, *(one.size for one in entry.claim.where)]
    return next((size.value for size in sizes if size is not None), float("nan"))


def _missing_seeds(entry: _Entry, tested: _Tested, p: float, confidence: float) -> int | None:
    """Seeds that are missing at the level that Holm's correction leaves to this claim."""
    found, size = tested.comparison, entry.published.size
    if entry.claim.kind == "absolute" and size is not None:
        near = abs(found.value) <= size.tolerance
        return more_seeds(found.spread, WIDEST * size.tolerance if near else abs(found.value), confidence)
    share = found.p / p if p > 0 else 1.0
    return more_seeds(found.spread, abs(found.spread.value - found.reference), 1 - (1 - confidence) * share)


def _say_missing(missing: int | None) -> str:
    if missing is None:
        return "no number of seeds is enough, more test samples are needed"
    if missing > MANY_SEEDS:
        return f"cannot be decided with these data, more than {MANY_SEEDS} more seeds would be needed"
    return f"{missing} more {'seed' if missing == 1 else 'seeds'} would decide if the mean does not change"
