"""The ledger of claims as people read it: at a glance, in tables, and in a terminal.

``fer_repro.evaluation.ledger`` judges; here nothing is decided, only printed.
"""

import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fer_repro.errors import UserError, nearest
from fer_repro.figures.display import Shown, say, show_table
from fer_repro.figures.exports import TablePart
from fer_repro.figures.tables import Column, metric_words, spell, spell_gap, spell_range
from fer_repro.measures.metrics import find_metric
from fer_repro.recipes import is_synthetic
from fer_repro.spreadsheets import read_csv

DECIDED = {
    "reproduced": "yes", "direction reproduced": "yes", "smaller at this budget": "partly",
    "no difference here": "partly", "opposite at this budget": "no", "not reproduced": "no",
}  # fmt: skip
"""Verdicts that answer the question, and what they answer."""
VERDICTS = (
    *DECIDED, "still learning", "one budget only", "nothing learnt at this budget", "inconclusive",
    "not attempted",
)  # fmt: skip
"""All verdicts in the order of tables."""
_FEW_SEEDS = 3  # the rule of docs/verdicts.md by which fewer than three seeds decide nothing
NEEDED = (
    "claim", "method", "kind", "statement", "arm", "against", "dataset", "data", "protocol", "metric",
    "augmented", "condition", "unit", "published", "published_source", "measured", "difference", "low",
    "high", "confidence", "seeds", "as_published", "more_seeds", "verdict", "rule", "reason",
    "access",
)  # fmt: skip
TESTED = (
    Column("verdict", "Verdict"),
    Column("statement", "Claim"),
    Column("was", "Published"),
    Column("now", "Measured", "range"),
    Column("interval", "Interval", "range"),
    Column("seeds", "Seeds", "count"),
    Column("missing", "Missing"),
    Column("condition", "On", "note"),
)
STORY = (
    Column("statement", "Claim"),
    Column("metric_words", "Metric"),
    Column("now", "Measured", "range"),
    Column("interval", "Interval", "range"),
    Column("seeds", "Seeds", "count"),
    Column("was", "Published"),
    Column("verdict", "Verdict"),
    Column("why", "Why", "note"),
)
OPEN = (
    Column("statement", "Claim"),
    Column("data", "On"),
    Column("was", "Published"),
    Column("published_source", "From", "note"),
    Column("access", "How to get the data", "note"),
)
_OPEN = "not attempted"
_MISSING = {
    "still learning": "more epochs", "one budget only": "a run with half the epochs",
    "nothing learnt at this budget": "more epochs",
}  # fmt: skip
_MOST_SEEDS = 30  # more than this is no useful advice: then the data are too few


def read_ledger(path: Path | str) -> pd.DataFrame:
    """Read ``ledger.csv``.

    Raises:
        UserError: the file is missing or no table, or a column is missing.
    """
    try:
        ledger = read_csv(path, _NUMBERS)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the compare stage writes it") from None
    for name in NEEDED:
        if name not in ledger:
            raise UserError(f"{path}: column '{name}' is missing; {nearest(name, ledger.columns)}")
    if "epochs" not in ledger:  # of version 1 of the rules
        ledger = ledger.assign(epochs=math.nan)
    return ledger if "record" in ledger else ledger.assign(record="")  # one record's own


_NUMBERS = (
    "published", "tolerance", "measured", "control", "difference", "low", "high", "p", "p_holm", "seeds",
    "groups", "epochs", "shorter_difference", "moved", "power", "detectable", "more_seeds", "rule",
)  # fmt: skip


def in_words(ledger: pd.DataFrame) -> pd.DataFrame:
    """Describe each row as text.

    Args:
        ledger: from ``fer_repro.evaluation.ledger.judge``, or ``read_ledger``.

    Returns:
        The ledger with ``was`` (published, with the data where it is another), ``now`` and ``interval``
        (measured), ``missing`` (what would decide it) and ``tested``, as text but for the last;
        ``was_source`` states where the published size is from.
    """
    sizes = first_sizes(ledger)
    words = [{**_measured(row), **_published(row, sizes)} for _, row in ledger.iterrows()]
    columns = ["was", "was_source", "now", "interval", "missing"]
    table = pd.DataFrame(words, index=ledger.index, columns=columns)
    return pd.concat([ledger, table], axis=1).assign(tested=ledger["verdict"] != _OPEN)


def first_sizes(ledger: pd.DataFrame) -> dict[str, pd.Series]:
    """Find for each claim the first place where the paper has a size."""
    return {str(row["claim"]): row for _, row in ledger[::-1].iterrows() if _known(row["published"])}


def _published(row: pd.Series, sizes: Mapping[str, pd.Series]) -> dict[str, str]:
    """Print the published size of this place; of the claim's first place with one where this has none."""
    source = str(row["published_source"])
    if _known(row["published"]):
        return {"was": _size(row, row["published"]), "was_source": source}
    first = sizes.get(str(row["claim"]))
    if row["verdict"] == _OPEN or first is None:
        return {"was": "no verified size", "was_source": source}
    size = f"{_size(first, first['published'])} on {first['data']}"
    return {"was": size, "was_source": str(first["published_source"])}


def _size(row: pd.Series, value: float) -> str:
    unit = str(row["unit"])
    target = float(row["published"]) if row["kind"] == "absolute" else 0.0
    beside = row["low"] + target, row["high"] + target
    if row["kind"] == "absolute":
        return f"{spell(value, unit, *beside)} {unit}"
    number, _, word = _gap(row, value, *beside).partition(" ")
    return " ".join(part for part in (number, unit, word) if part)


def _is_error(row: pd.Series) -> bool:
    return find_metric(str(row["metric"])).lower_is_better


def _gap(row: pd.Series, value: float, *beside: float) -> str:
    """Print a difference; of errors, where above 0 is the claim's side, which of both is lower."""
    if not _is_error(row):
        return spell_gap(value, str(row["unit"]), *beside)
    size = spell_gap(abs(value), str(row["unit"]), *beside)[1:]
    return f"{size} {'lower' if value > 0 else 'higher'}"


def _measured(row: pd.Series) -> dict[str, str]:
    if not _known(row["difference"]):
        return {"now": "", "interval": "", "missing": ""}
    unit, target = str(row["unit"]), 0.0
    if row["kind"] == "absolute":
        target = float(row["published"])
        interval = spell_range(row["low"] + target, row["high"] + target, unit)
    else:
        ends = [_gap(row, row["low"], row["high"]), _gap(row, row["high"], row["low"])]
        first, _, word = ends[0].partition(" ")
        interval = f"{first if word and ends[1].endswith(f' {word}') else ends[0]} to {ends[1]}"
    missing = _MISSING.get(str(row["verdict"]), "")
    if row["verdict"] == "inconclusive":
        missing = _missing_seeds(row["more_seeds"])
    return {"now": _size(row, row["difference"] + target), "interval": interval, "missing": missing}


def spell_seeds(count: float) -> str:
    """Spell how many seeds there are.

    >>> spell_seeds(1.0), spell_seeds(5.0)
    ('1 seed', '5 seeds')
    """
    return f"{count:.0f} seed{'' if count == 1 else 's'}"


def _missing_seeds(seeds: float) -> str:
    if not _known(seeds):
        return "more test samples"
    if seeds > _MOST_SEEDS:
        return f"not with these data: more than {_MOST_SEEDS} seeds"
    return f"{seeds:.0f} more seed{'' if seeds == 1 else 's'}"


def _known(value: Any) -> bool:  # noqa: ANN401 - a cell
    return not pd.isna(value) and math.isfinite(value)


_ANSWERS = {
    "reproduced": "Reproduced",
    "direction reproduced": "The direction holds",
    "smaller at this budget": "Smaller than half of what was published",
    "no difference here": "No difference here",
    "opposite at this budget": "The opposite at this budget",
    "not reproduced": "Not reproduced",
    "still learning": "Not decided, the networks still learn",
    "one budget only": "Not decided, there is one budget only",
    "nothing learnt at this budget": "Not decided, nothing was learnt",
    "inconclusive": "Not decided, the interval allows both answers",
}


def best_answer(words: pd.DataFrame) -> pd.Series | None:
    """Choose the row that answers best for a paper: decided, on real data, as published, with most seeds.

    Args:
        words: rows of one paper, from ``in_words``.

    Returns:
        The row; its ``claims`` and ``decided`` count the claims that were tested, and decided anywhere.
    """
    tested = words[words["tested"]]
    if tested.empty:
        return None
    best = min((row for _, row in tested.iterrows()), key=_openness)
    decided = tested[tested["verdict"].isin(DECIDED)]
    counts = {"claims": tested["claim"].nunique(), "decided": decided["claim"].nunique()}
    return pd.concat([best, pd.Series(counts)])


def _openness(row: pd.Series) -> tuple[bool, bool, bool, float]:
    reduced = str(row["as_published"]) != "True"
    return row["verdict"] not in DECIDED, is_synthetic(row["dataset"]), reduced, -float(row["seeds"])


def answer_sentence(row: pd.Series) -> str:
    """Answer in plain words: what was compared, how much it differs, on which data and budget.

    Args:
        row: from ``best_answer``.
    """
    rivals = [name.replace("_", " ") for name in str(row["against"]).split(" | ") if name]
    against = " and ".join(rivals) if row["kind"] != "ensemble" else "the one that validation chose"
    members = str(row["arm"]).replace("_", " ").split("+")
    arm = members[0] if len(members) == 1 else f"{len(members)} networks together"
    compared = f"{arm} against {against}" if rivals else arm
    epochs = f", {row['epochs']:.0f} epochs" if _known(row["epochs"]) else ""
    budget = "as published" if str(row["as_published"]) == "True" else f"reduced budget{epochs}"
    claims, decided = row.get("claims", 1), row.get("decided", 0)
    others = f" Of {claims} claims tested {decided} {'is' if decided == 1 else 'are'} decided."
    was = "The paper gives no verified size." if "no verified" in row["was"] else f"Published: {row['was']}."
    place = f"{row['data']}{protocol_words(row['protocol'])}"
    why = (
        _ANSWERS[row["verdict"]]
        if row["rule"] != _FEW_SEEDS
        else "Not decided, there are fewer than three seeds"
    )
    return (
        f"{why}: {compared}, {row['now']} ({row['interval']}) by "
        f"{metric_words(row['metric'], '%')} on {place}; {spell_seeds(row['seeds'])}, {budget}. "
        f"{was}{others if decided and claims > 1 else ''}"
    )


def protocol_words(protocol: str) -> str:
    """Name a list of test samples after a comma; nothing where it is the data set's own.

    >>> protocol_words("pose_45"), protocol_words("official")
    (', pose 45', '')
    """
    return "" if protocol in ("official", "ten_fold") else f", {protocol}".replace("_", " ")


def count_verdicts(ledger: pd.DataFrame) -> list[tuple[str, int]]:
    """Count the verdicts that occur, in their order."""
    counts = ledger["verdict"].value_counts()
    return [(name, int(counts[name])) for name in VERDICTS if name in counts]


def ledger_parts(ledger: pd.DataFrame) -> list[TablePart]:
    """Lay the ledger out as two tables: what was tested, and what was not with how to get the data."""
    words = in_words(ledger)
    tested, missing = words[words["tested"]], words[~words["tested"]]
    percent = f"{100 * float(ledger['confidence'].iloc[0]):g} %" if len(ledger) else ""
    return [
        TablePart(
            f"Claims tested, with the {percent} interval over seeds and samples of what was measured. Rules: "
            "docs/verdicts.md.",
            tested,
            TESTED,
        ),
        TablePart("Claims not attempted, and how to get their data.", missing, OPEN),
    ]


def show_ledger(ledger: pd.DataFrame) -> Shown:
    """Show what was tested as a table; what was not, folded."""
    tested, missing = ledger_parts(ledger)
    counts = ", ".join(f"{count} {name}" for name, count in count_verdicts(ledger))
    summary = f"{len(ledger)} results, one for each claim and place: {counts}."
    shown = say(summary if counts else "There is no claim.").markup
    if len(tested.frame):
        shown += show_table(tested.frame, tested.caption, tested.columns).markup
    if len(missing.frame):
        table = show_table(missing.frame, missing.caption, missing.columns).markup
        shown += f"<details><summary>{len(missing.frame)} not attempted</summary>{table}</details>\n"
    return Shown(shown)


def show_verdicts(ledger: pd.DataFrame, method: str, dataset: str) -> Shown:
    """Show the claims of one method that were tested on one data set, or state that none was.

    Args:
        ledger: from ``fer_repro.evaluation.ledger.judge``.
        method: whose claims.
        dataset: where they were tested.
    """
    words = in_words(ledger)
    rows = words[words["tested"] & (ledger["method"] == method) & (ledger["dataset"] == dataset)]
    if rows.empty:
        return say(f"No claim of {method} can be tested on {dataset}.")
    percent = f"{100 * float(rows['confidence'].iloc[0]):g} %"
    caption = (
        f"Claims tested on {dataset}, with the {percent} interval of each difference; the rules are in "
        "docs/verdicts.md."
    )
    why = rows["reason"] + "; " + rows["condition"]
    metrics = [metric_words(metric, "%") for metric in rows["metric"]]
    return show_table(rows.assign(why=why, metric_words=metrics), caption, STORY)


def as_text(ledger: pd.DataFrame, width: int = 100) -> str:
    """Print the ledger for a terminal, verdict first, no line longer than ``width``.

    Args:
        ledger: from ``read_ledger``.
        width: of the terminal, 80 or more.
    """
    words = in_words(ledger)
    lines: list[str] = []
    tested = words[words["tested"]]
    for (method, condition, seeds), rows in tested.groupby(["method", "condition", "seeds"], sort=False):
        head = f"{method} on {condition}; {seeds:.0f} seed{'' if seeds == 1 else 's'}"
        lines += ["", *textwrap.wrap(head, width, subsequent_indent="  ")]
        for _, row in rows.iterrows():
            lines += _lines(row, width)
    missing = words[~words["tested"]]
    if len(missing):
        data = "; ".join(dict.fromkeys(missing["data"]))
        text = f"not attempted, {len(missing)} claims, on {data}. "
        text += "How to get the data: results/comparison/ledger.md"
        lines += ["", *textwrap.wrap(text, width, subsequent_indent="  ")]
    return "\n".join(lines).lstrip("\n")


_VERDICT, _NUMBER = 20, 34


def _lines(row: pd.Series, width: int) -> list[str]:
    """Set one claim in three columns: verdict, statement, numbers."""
    wide = width - _VERDICT - _NUMBER - 6
    statement = textwrap.wrap(str(row["statement"]), wide, break_on_hyphens=False)
    numbers = [f"measured: {row['now']}", f"  {row['interval']}", f"published: {row['was']}"]
    numbers += [f"missing: {row['missing']}"] if row["missing"] else []
    details = [line for text in numbers for line in textwrap.wrap(text, _NUMBER, subsequent_indent="  ")]
    columns = ([str(row["verdict"])], statement, details)
    return [
        f"  {first:<{_VERDICT}}  {second:<{wide}}  {third}".rstrip()
        for first, second, third in _level(columns)
    ]


def _level(columns: tuple[list[str], ...]) -> Iterator[tuple[str, ...]]:
    longest = max(map(len, columns))
    yield from zip(*(column + [""] * (longest - len(column)) for column in columns), strict=True)
