"""The results record and README's table say what the project's files hold."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

from fer_repro.errors import UserError
from fer_repro.files import read_yaml
from fer_repro.methods.method import method_names
from fer_repro.report.records import shown_records
from fer_repro.report.results_page import (
    BEGIN,
    CITATION,
    END,
    citation,
    results_page,
    short_table,
    with_table,
)

ROOT = Path(__file__).parents[2]


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def page():
    return results_page(ROOT)


def test_readme_has_the_table_of_the_records():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(readme, short_table(ROOT)) == readme, (
        "README.md is older than results/records/: run python -m fer_repro.report.results_page"
    )


def test_the_citation_names_every_paper():
    text = (ROOT / CITATION).read_text(encoding="utf-8")
    assert text == citation(ROOT), f"{CITATION} is old: run python -m fer_repro.report.results_page"
    found = yaml.safe_load(text)
    assert found["authors"] == [{"name": "fer_repro contributors"}]
    riders = ["fan_graph", "fan_order", "fan_ted"]  # only arms or a part of a story are inspired by these
    papers = read_yaml(ROOT / "results/published/papers.yaml")
    assert sorted(papers) == sorted([*method_names(), *riders])
    assert len(found["references"]) == len(papers)
    assert all(papers[name]["title"].startswith("Inspired by: ") for name in riders)
    (rmn,) = [one for one in found["references"] if "Residual Masking" in one["title"]]
    assert rmn["authors"][1] == {"family-names": "Vu", "given-names": "The Huynh"}
    assert (rmn["year"], rmn["identifiers"][0]["value"]) == (2020, "arXiv:2603.05937")


def test_the_short_table_has_the_numbers_of_the_ledger():
    answers, _, table = short_table(ROOT).replace("−", "-").partition("\n\n")
    message = 0
    for row in read(ROOT / "results/comparison/ledger.csv"):
        if row["verdict"] == "not attempted" or row["dataset"].startswith("synthetic"):
            assert f"| {row['data']} |" not in table or not row["dataset"].startswith("synthetic")
            continue
        message += 1
        difference, low, high = (float(row[name]) for name in ("difference", "low", "high"))
        assert f"| {difference:+.2f} points | {low:+.2f} to {high:+.2f} | {row['verdict']} |" in table
    assert message == sum(line.startswith("| ") and "points" in line for line in table.splitlines()) > 0
    assert answers.count("- **") == len(method_names())  # one sentence for each paper


def test_the_page_counts_the_verdicts(page):
    verdicts = [row["verdict"] for row in read(ROOT / "results/comparison/ledger.csv")]
    for verdict in set(verdicts):
        assert f"| {verdict} | {verdicts.count(verdict)} |" in page
    tested = [
        row for row in read(ROOT / "results/comparison/ledger.csv") if row["verdict"] != "not attempted"
    ]
    as_published = sum(row["as_published"] == "True" for row in tested)
    assert f"- {as_published} of the {len(tested)} tested claims ran as published" in page


def test_the_page_holds_every_claim_and_every_record(page):
    for row in read(ROOT / "results/comparison/ledger.csv"):
        assert f"**{row['statement']}**" in page
    for folder in shown_records(ROOT / "results/records"):
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        assert record["commit"] in page
        assert record["recipe"]["note"] in page


def test_means_of_records_stand_in_the_page(page):
    means = [
        row
        for folder in shown_records(ROOT / "results/records")
        for row in read(folder / "rows.csv")
        if row["metric"] in ("accuracy", "pair_accuracy") and row["unit"] == "%" and row["seed"] == ""
    ]
    official = [row for row in means if row["protocol"] == "official"]
    assert len(official) > 5
    for row in official:
        assert f"| {float(row['value']):.2f} |" in page, row


def test_a_gpu_record_is_not_said_to_be_a_cpu_s(page):
    assert ("Every record was made on a CPU" in page) == all(
        json.loads(file.read_text())["environment"]["device"] == "cpu"
        for file in (ROOT / "results/records").glob("*/record.json")
    )


def test_the_questions_quote_the_record_of_fer2013():
    faq = (ROOT / "docs/faq.md").read_text(encoding="utf-8")
    rows = {
        (row["metric"], row["tta"] != "none"): float(row["value"])
        for row in read(ROOT / "results/records/fer2013-rmn-cpu/rows.csv")
        if row["arm"] == "masked" and row["protocol"] == "official" and row["seed"] == ""
    }
    assert f"reaches {rows['accuracy', True]:.1f} % where 74.14 % is published" in " ".join(faq.split())
    before, after = rows["ece", False], rows["ece_after_temperature", False]
    assert f"it is {before:.1f} points before and {after:.1f} after" in " ".join(faq.split())


def test_only_what_lies_between_the_marks_changes():
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    changed = with_table(readme, "| new |\n")
    assert re.fullmatch(rf"before\n{BEGIN}\s+\| new \|\s+{END}\nafter\n", changed)
    assert with_table(changed, "| new |\n") == changed
    with pytest.raises(UserError, match="expected the lines"):
        with_table("no marks", "| new |\n")
