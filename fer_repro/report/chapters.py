"""A page per paper: its stories, its tables beside ours, its records on other data, its deviation sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fer_repro.figures.deviations import read_deviations, show_deviations
from fer_repro.figures.exports import as_text_of, read_kept_table
from fer_repro.figures.paper_tables import paper_parts
from fer_repro.report.glance import Paper
from fer_repro.report.records import Record
from fer_repro.report.story_html import StoryHtml


@dataclass(frozen=True)
class Chapter:
    """What the page shows of one paper.

    Attributes:
        method: its name here.
        title: the short title of its story; else the paper's.
        anchor: id of the heading.
        paper: reference and claims; None where the ledger has none.
        stories: one per data set, first the one of the headline.
        tables: HTML of the paper's tables beside ours; empty where there are none.
        sheet: HTML of the deviation sheet; empty where there is none.
        records: runs of this method on other data.
    """

    method: str
    title: str
    anchor: str
    paper: Paper | None
    stories: tuple[StoryHtml, ...]
    tables: str
    sheet: str
    records: tuple[Record, ...]

    @property
    def group(self) -> str:
        """The heading of papers with its task; empty where it is not known."""
        return self.paper.group if self.paper else ""


def make_chapters(
    methods: Sequence[str],
    papers: Sequence[Paper],
    stories: Mapping[str, Sequence[StoryHtml]],
    records: Sequence[Record],
    root: Path,
    confidence: float,
) -> list[Chapter]:
    """Gather the pages of all known papers, in the order of the ledger.

    Args:
        methods: names; those that ``papers`` does not know come last.
        papers: the ledger at a glance.
        stories: method -> its executed stories.
        records: of all methods.
        root: the project's folder, with results/comparison/tables/ and results/published/deviations.yaml.
        confidence: of the intervals in the tables.

    Raises:
        UserError: the deviation sheets are wrong.
    """
    known = {paper.method: paper for paper in papers}
    sheets = _sheets(root / "results/published" / "deviations.yaml")
    names = dict.fromkeys([*known, *methods, *stories])
    tables = {
        name: _read_tables(root / "results/comparison/tables" / f"{name}.csv", confidence) for name in names
    }
    return [
        _chapter(name, known.get(name), stories.get(name, ()), records, sheets.get(name, ""), tables[name])
        for name in names
    ]


def _chapter(
    method: str,
    paper: Paper | None,
    stories: Sequence[StoryHtml],
    records: Sequence[Record],
    sheet: str,
    tables: str,
) -> Chapter:
    named = [_with_data(story, method) for story in stories] if len(stories) > 1 else list(stories)
    title = stories[0].title if stories else paper.title if paper else method
    return Chapter(
        method,
        title,
        stories[0].anchor if stories else f"paper-{method}",
        paper,
        tuple(named),
        tables,
        sheet,
        tuple(record for record in records if record.method == method),
    )


def _read_tables(file: Path, confidence: float) -> str:
    """Lay out the tables that the compare stage wrote as HTML."""
    if not file.is_file():
        return ""
    table = read_kept_table(file)
    return as_text_of("html", table, paper_parts(table, confidence))


def _with_data(story: StoryHtml, method: str) -> StoryHtml:
    """Add the data set to the title of one of several stories."""
    dataset = story.name.removeprefix(f"{method}-").replace("_", " ")
    return replace(story, title=f"{story.title}: {dataset}")


def _sheets(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    return {method: show_deviations(method, file).markup for method in read_deviations(file)}
