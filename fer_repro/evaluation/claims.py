"""What the papers claim, in a form that can be tested: results/published/claims.yaml, read strictly.

A claim is a comparison of arms, or a number to reach, at the places where the paper reports it; with the
data sets on which it can be tested instead. What the rules make of it: ``verdicts``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from fer_repro.errors import UserError, nearest
from fer_repro.evaluation.ensembles import ensemble_name
from fer_repro.files import read_yaml
from fer_repro.measures.metrics import Metric, find_metric
from fer_repro.methods.method import load_method, method_names
from fer_repro.sections import STRICT, read_section
from fer_repro.spreadsheets import as_numbers

Kind = Literal["difference", "ensemble", "non_inferiority", "absolute"]
STAND_INS = (
    "synthetic", "synthetic_clips", "synthetic_pairs", "synthetic_forgeries", "synthetic_engagement",
    "synthetic_resampled", "synthetic_smiles",
    "ckplus48", "ckplus", "lfw", "fer2013", "ferplus",
)  # fmt: skip
"""Data sets that are available without a request, or synthetic."""
_TOP_LEVEL = ("claims", "conditions", "data_sets")
_PLACES = ("where", "stand_ins")


@checked(frozen=True, config=STRICT)
class Size:
    """A published number: a difference in the direction of the claim, or a value to reach."""

    value: float
    unit: Literal["%", "points", "nats", "MSE", "rho"]
    tolerance: Annotated[float, Field(gt=0)]  # values this far off still count as the same; same unit
    source: str
    error: Annotated[float, Field(gt=0)] | None = (
        None  # standard error of a difference over the paper's test samples
    )


@checked(frozen=True, config=STRICT)
class Place:
    """Where a number is measured."""

    dataset: str
    protocol: str
    split: Literal["val", "test"]  # as the paper calls it; here it is always the test part
    metric: str
    augmented: bool  # with test-time augmentation


@dataclass(frozen=True)
class Published:
    """A place of the paper, and what it reports there.

    Attributes:
        place: where.
        size: how much; None where it is not verified.
        unverified: why there is no size, or "".
    """

    place: Place
    size: Size | None
    unverified: str


@checked(frozen=True, config=STRICT)
class Conditions:
    """What the papers' runs had that their recipes in params.yaml do not state, or state differently."""

    pretraining: Literal["", "none", "imagenet", "faces", "unknown"] = ""
    recipe: dict[str, int | float | str] = field(default_factory=dict)


@checked(frozen=True, config=STRICT)
class DataSet:
    """A data set, described for people, and how to get it."""

    words: str
    access: str
    control: float | None = (
        None  # % that a control must reach before a small difference speaks against a size
    )


@checked(frozen=True, config=STRICT)
class _Head:
    """The keys of a claim that are no places."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    method: str
    statement: str
    kind: Kind
    arm: str
    against: list[str]
    margin: float | None  # non_inferiority: up to this much worse is still "equal", in the metric's unit


@dataclass(frozen=True)
class Claim:
    """One claim of one paper.

    Attributes:
        id: unique.
        method: whose.
        statement: in plain words.
        kind: ``difference`` and ``ensemble``: arm beats the best of ``against``; ``non_inferiority``: it is
            not worse by more than ``margin``; ``absolute``: it reaches the published value.
        arm: whose number it is.
        against: the rivals; empty for ``absolute``.
        margin: above 0 for ``non_inferiority``, else 0.
        where: places of the paper.
        stand_ins: where it can be tested instead.
    """

    id: str
    method: str
    statement: str
    kind: Kind
    arm: str
    against: tuple[str, ...]
    margin: float
    where: tuple[Published, ...]
    stand_ins: tuple[Place, ...]


@dataclass(frozen=True)
class Claims:
    """The whole file.

    Attributes:
        claims: in the file's order.
        conditions: of papers, where their recipes in params.yaml are not enough.
        data_sets: every data set that a claim names.
    """

    claims: tuple[Claim, ...]
    conditions: Mapping[str, Conditions]
    data_sets: Mapping[str, DataSet]

    def data_set(self, name: str) -> DataSet:
        """Describe a data set; one that no claim names, such as a user's own, by its name."""
        return self.data_sets.get(name, DataSet(name, f"collected: fer-repro data add {name} PATH"))


def read_claims(path: Path | str = "results/published/claims.yaml") -> Claims:
    """Read and check ``claims.yaml``.

    Raises:
        UserError: naming the file, the claim and the nearest valid choice.
    """
    file = Path(path)
    sections = read_yaml(file)
    for key in [*sections, *_TOP_LEVEL]:
        if key not in _TOP_LEVEL:
            raise UserError(f"{file}: unknown key '{key}'; {nearest(str(key), _TOP_LEVEL)}")
        if key not in sections:
            raise UserError(f"{file}: key '{key}' is missing")
    for key, kind in zip(_TOP_LEVEL, (list, dict, dict), strict=True):
        if not isinstance(sections[key], kind):
            expected = "a list" if kind is list else "a mapping of names"
            raise UserError(f"{file}: {key} is {sections[key]!r}: expected {expected}")
    data_sets = {
        name: read_section(DataSet, section, f"{file}: data_sets.{name}")
        for name, section in sections["data_sets"].items()
    }
    conditions = {
        _known(name, method_names(), f"{file}: conditions"): read_section(
            Conditions, section, f"{file}: conditions.{name}"
        )
        for name, section in sections["conditions"].items()
    }
    found: dict[str, Claim] = {}
    for number, section in enumerate(sections["claims"], 1):
        claim = _read_claim(section, f"{file}: claim {number}", file, data_sets)
        if claim.id in found:
            raise UserError(f"{file}: claim {number}: the id '{claim.id}' is taken; expected another one")
        found[claim.id] = claim
    return Claims(tuple(found.values()), conditions, data_sets)


def published_table(path: Path | str = "results/published/results.csv") -> pd.DataFrame:
    """Read the published numbers: text unchanged, ``value`` as a number.

    Raises:
        UserError: the file is missing or no table, or a value is no number.
    """
    file = Path(path)
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; expected the published numbers") from None
    except ValueError as error:  # pandas' own errors are of this kind, and those of UTF-8
        raise UserError(f"{file}: not readable as CSV: {' '.join(str(error).split())}") from None
    if "value" not in table:
        raise UserError(f"{file}: column 'value' is missing; {nearest('value', map(str, table))}")
    values = as_numbers(table["value"])
    odd = ~np.isfinite(values.to_numpy())
    if odd.any():
        row = int(odd.argmax())
        raise UserError(f"{file}: row {row + 1}: value is '{table['value'].iloc[row]}': expected a number")
    return table.assign(value=values)


def _read_claim(section: Any, where: str, file: Path, data_sets: Mapping[str, DataSet]) -> Claim:  # noqa: ANN401 - untyped YAML
    if not isinstance(section, dict):
        raise UserError(f"{where}: expected a mapping of keys, found {section!r}")
    if isinstance(section.get("id"), str):
        where = f"{file}: claim '{section['id']}'"
    for key in _PLACES:
        if not isinstance(section.get(key), list):
            raise UserError(f"{where}: {key} is {section.get(key)!r}: expected a list of places")
    head = read_section(_Head, {k: v for k, v in section.items() if k not in _PLACES}, where)
    published = tuple(
        _read_published(item, head.kind, f"{where}: where[{number}]")
        for number, item in enumerate(section["where"])
    )
    stand_ins = tuple(
        read_section(Place, item, f"{where}: stand_ins[{number}]")
        for number, item in enumerate(section["stand_ins"])
    )
    _check_head(head, where)
    for place in [one.place for one in published] + list(stand_ins):
        _known(place.dataset, data_sets, f"{where}: data set")
        _metric(place, where)
    for place in stand_ins:
        _known(place.dataset, STAND_INS, f"{where}: stand-in")
    _check_units(head.kind, published, where)
    if head.kind == "absolute" and stand_ins:
        raise UserError(f"{where}: a number to reach has no stand_ins: other data have other numbers")
    return Claim(
        head.id, head.method, head.statement, head.kind, head.arm, tuple(head.against), head.margin or 0.0,
        published, stand_ins,
    )  # fmt: skip


def _read_published(section: Any, kind: Kind, where: str) -> Published:  # noqa: ANN401 - untyped YAML
    """Split a place of the paper into where it is and what is reported there."""
    key = "target" if kind == "absolute" else "delta"
    if not isinstance(section, dict) or key not in section:
        raise UserError(f"{where}: key '{key}' is missing: expected a published size, or null")
    size, why = section[key], section.get("unverified", "")
    rest = {name: value for name, value in section.items() if name not in (key, "unverified")}
    place = read_section(Place, rest, where)
    if size is None and (kind == "absolute" or not isinstance(why, str) or not why):
        raise UserError(f"{where}: {key} is null: expected a number, or under 'unverified' why there is none")
    if size is not None and why:
        raise UserError(f"{where}: 'unverified' and a {key} are both given: expected one of them")
    found = None if size is None else read_section(Size, size, f"{where}: {key}")
    return Published(place, found, why)


def _check_head(head: _Head, where: str) -> None:
    _known(head.method, method_names(), f"{where}: method")
    method = load_method(head.method)
    arms = {*method.arms, ensemble_name(method.ensemble)} if head.kind == "ensemble" else set(method.arms)
    if head.kind != "absolute":
        for arm in (head.arm, *head.against):
            _known(arm, arms, f"{where}: arm of {head.method}")
    if bool(head.against) == (head.kind == "absolute"):
        expected = "no rivals" if head.kind == "absolute" else "at least one rival"
        raise UserError(f"{where}: against is {head.against}: expected {expected} for kind {head.kind}")
    if (head.margin is not None and head.margin > 0) != (head.kind == "non_inferiority"):
        expected = "a number above 0" if head.kind == "non_inferiority" else "null"
        raise UserError(f"{where}: margin is {head.margin}: expected {expected} for kind {head.kind}")


def _check_units(kind: Kind, published: Iterable[Published], where: str) -> None:
    for one in published:
        if one.size is None:
            continue
        metric = _metric(one.place, where)
        expected = metric.unit if kind == "absolute" else metric.gap_unit
        if one.size.unit != expected:
            raise UserError(
                f"{where}: the unit of {one.place.metric} is '{one.size.unit}': expected '{expected}'"
            )


def _metric(place: Place, where: str) -> Metric:
    try:
        return find_metric(place.metric)
    except UserError as error:
        raise UserError(f"{where}: metric: {error}") from None


def _known(name: str, choices: Iterable[str], where: str) -> str:
    options = list(choices)
    if name not in options:
        raise UserError(f"{where}: unknown '{name}'; {nearest(str(name), options)}")
    return name
