"""The ledger at a glance: what the first view of the page shows of every claim, with links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from fer_repro.errors import UserError, nearest
from fer_repro.figures.ledger_tables import (
    answer_sentence,
    best_answer,
    count_verdicts,
    in_words,
    protocol_words,
)
from fer_repro.figures.tables import metric_words, spell, uses_tta
from fer_repro.measures.metrics import find_metric

GROUPS = {
    "faces": "Expressions of single faces",
    "further_faces": "Expressions of single faces",
    "clips": "Expressions of clips",
    "pairs": "Do two faces show one person?",
    "forgeries": "Real or manipulated?",
    "further_forgeries": "Real or manipulated?",
    "traces": "Traces that processing leaves in pixels",
    "sequences": "Numbers predicted from sequences",
    "synthesis": "Faces with another expression",
    "hiding": "What embeddings hide",
    "groups": "Who is a network worse for?",
}
"""Task of the pipeline -> heading of its papers, in the order of the page."""


@dataclass(frozen=True)
class Paper:
    """One paper's claims.

    Attributes:
        method: its name here.
        name: of the method, as the paper spells it; the title where it is not known.
        title: of the paper.
        rest: authors, venue, arXiv identifier.
        link: to the paper.
        tested: claims with a verdict, as ``_claim`` gives them.
        missing: per data set that is not here its name ``data``, ``access`` (how to get it), and ``claims``.
        counts: verdicts that occur, with how often.
        answer: one sentence on the claim that is answered best; empty where none was tested.
        record: that the answer rests on; empty where it rests on the pipeline's runs.
        group: of papers with one task, as ``GROUPS`` spells it; empty where it is not known.
    """

    method: str
    name: str
    title: str
    rest: str
    link: str
    tested: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    counts: list[tuple[str, int]]
    answer: str
    record: str = ""
    group: str = ""

    @property
    def mains(self) -> list[dict[str, Any]]:
        """The first claim that was tested, at all its places: what the paper is about."""
        return [claim for claim in self.tested if claim["claim"] == self.tested[0]["claim"]]


def glance(
    ledger: pd.DataFrame,
    rows: pd.DataFrame,
    papers: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[tuple[str, str], str],
    records: Mapping[str, pd.DataFrame] | None = None,
) -> list[Paper]:
    """Gather the claims of each paper for the opening view.

    Args:
        ledger: from ``read_ledger``.
        rows: measured result rows of the pipeline's runs, with the values of single seeds.
        papers: what results/published/papers.yaml holds.
        tasks: data set and method -> task of the pipeline, as stages are called.
        records: name of a record -> its rows; claims that rest on a record are shown with these.
    """
    words, sources = in_words(ledger), _Sources(rows, tasks, records or {})
    return [
        _paper(str(method), papers.get(str(method), {}), part, sources)
        for method, part in words.groupby("method", sort=False)
    ]


@dataclass(frozen=True)
class _Sources:
    """Where the numbers of a claim are, and which command made them."""

    measured: pd.DataFrame
    tasks: Mapping[tuple[str, str], str]
    records: Mapping[str, pd.DataFrame]

    def rows(self, claim: pd.Series) -> pd.DataFrame:
        """Return the table with the rows of a claim.

        Raises:
            UserError: they are of a record that is not there.
        """
        if claim["record"] and claim["record"] not in self.records:
            raise UserError(
                f"the ledger names the record '{claim['record']}', which is not there "
                f"({nearest(claim['record'], self.records)}); to judge the claims again: dvc repro compare"
            )
        return self.records[claim["record"]] if claim["record"] else self.measured

    def places(self, claim: pd.Series) -> dict[str, str]:
        """Name folder, rows and command of a claim's runs."""
        place = f"{claim['dataset']}/{claim['method']}"
        if claim["record"]:
            folder = f"results/records/{claim['record']}"
            return {"runs": folder, "rows": f"{folder}/rows.csv", "command": ""}
        task = self.tasks.get((str(claim["dataset"]), str(claim["method"])), "")
        command = f"dvc repro evaluate-{task}@{claim['dataset']}-{claim['method']}" if task else ""
        return {
            "runs": f"runs/{place}",
            "rows": f"results/measured/{place}/rows.csv",
            "command": command,
        }


def grouped(papers: Sequence[Paper], tasks: Mapping[str, str]) -> list[Paper]:
    """Put papers of one task together, in the order of ``GROUPS``; those that are not trained here come last.

    Args:
        papers: from ``glance``.
        tasks: method -> its task.
    """
    order = [*GROUPS, ""]
    found = sorted(papers, key=lambda paper: order.index(tasks.get(paper.method, "")))
    rest = "Papers that are not trained here" if tasks else ""
    return [replace(paper, group=GROUPS.get(tasks.get(paper.method, ""), rest)) for paper in found]


def _paper(method: str, paper: Mapping[str, Any], words: pd.DataFrame, sources: _Sources) -> Paper:
    identifier = str(paper.get("arxiv", ""))
    rest = [", ".join(paper.get("authors", [])), str(paper.get("venue", ""))]
    rest.append(f"arXiv:{identifier}" if identifier else "")
    tested, best = words[words["tested"]], best_answer(words)
    return Paper(
        method,
        str(paper.get("name", paper.get("title", method))),
        str(paper.get("title", method)),
        ". ".join(part for part in rest if part),
        f"https://arxiv.org/abs/{identifier}" if identifier else "",
        [_claim(row, sources) for _, row in tested.iterrows()],
        [
            {
                "data": data,
                "access": "; ".join(dict.fromkeys(part["access"])),
                "claims": part.to_dict("records"),
            }
            for data, part in words[~words["tested"]].groupby("data", sort=False)
        ],
        count_verdicts(words),
        "" if best is None else answer_sentence(best),
        "" if best is None else str(best["record"]),
    )


def _claim(row: pd.Series, sources: _Sources) -> dict[str, Any]:
    seeds, values = _by_seed(row, sources.rows(row))
    return {
        **row,
        "metric_words": metric_words(row["metric"], "%"),
        "lists": protocol_words(row["protocol"]),
        "percent": f"{100 * float(row['confidence']):g}",
        **sources.places(row),
        "seed_names": seeds,
        "seed_values": values,
        "gauge": gauge(row) if row["kind"] != "absolute" else {},
    }


def _by_seed(row: pd.Series, rows: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Print the values of single seeds of the claim's arms: seeds, and arm -> values."""
    arms = [str(row["arm"]), *_against(row)]
    same = rows["arm"].isin(arms) & (rows["seed"] != "") & rows["seed"].notna()
    for name in ("method", "dataset", "protocol", "metric"):
        same &= rows[name] == row[name]
    same &= rows["tta"].map(uses_tta) == bool(row["augmented"])
    part = rows[same]
    seeds = sorted(part["seed"].unique(), key=int)
    found = []
    for arm in arms:
        values = part[part["arm"] == arm].set_index("seed")["value"]
        if len(values):
            unit = find_metric(str(row["metric"])).unit
            found.append((arm, [spell(float(values.get(seed, np.nan)), unit) for seed in seeds]))
    return seeds, found


def _against(row: pd.Series) -> list[str]:
    return [arm for arm in str(row["against"]).split(" | ") if arm]


REACH = {"points": 15.0, "nats": 0.3, "MSE": 0.03, "rho": 0.3}
"""Where the small bars of claims end, on both sides of zero: one scale for all bars of a unit."""


def gauge(row: pd.Series) -> dict[str, float]:
    """Place difference, interval and published difference on a line from 0 to 100, zero at 50.

    Values beyond ``REACH`` are at the end of the line.
    """
    reach = REACH.get(str(row["unit"]), REACH["points"])
    values = {name: float(row[name]) for name in ("difference", "low", "high", "published")}
    return {
        name: 50 + 50 * float(np.clip(value / reach, -1, 1))
        for name, value in values.items()
        if np.isfinite(value)
    }
