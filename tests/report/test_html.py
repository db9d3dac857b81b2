import itertools
import re
import shutil
import subprocess
import sys

import pytest
from bs4 import BeautifulSoup
from finished_project import PARAMS, write

from fer_repro.errors import UserError
from fer_repro.report.html import main, write_report


@pytest.fixture
def page(project):
    write_report(project, project / "reports/index.html")
    return BeautifulSoup((project / "reports/index.html").read_text(encoding="utf-8"), "html.parser")


def test_nothing_is_asked_of_any_network(page):
    for tag in page.find_all(True):
        for name in ("src", "srcset", "poster", "data", "action"):
            assert str(tag.get(name, "data:")).startswith("data:"), tag.name
        if tag.name == "link":
            assert tag["href"].startswith("data:")
    style = page.style.string
    assert "@import" not in style
    assert "url(" not in style
    assert not re.search(r"fetch\(|XMLHttpRequest|https?:", page.script.string)


def test_only_our_own_script_runs(page):
    assert len(page.find_all("script")) == 1
    assert "alert" not in page.script.string
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.get_text()  # shown, not run


def test_every_picture_is_described(page):
    pictures = page.find_all("img")
    assert len(pictures) >= 5
    assert all(picture.get("alt") for picture in pictures)
    assert all(drawing.get("aria-label") for drawing in page.find_all("svg"))


def test_ids_are_unique_and_links_resolve(page):
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    targets = {link["href"][1:] for link in page.find_all("a", href=True) if link["href"].startswith("#")}
    assert targets <= set(ids)
    labelled = {tag["aria-labelledby"] for tag in page.find_all(attrs={"aria-labelledby": True})}
    assert labelled <= set(ids)


def test_headings_step_down_one_at_a_time(page):
    levels = [int(tag.name[1]) for tag in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_opening_view_tells_the_claim_and_its_doubt(page):
    opening = page.find(id="top").get_text(" ", strip=True)
    for piece in (
        "inconclusive 1",
        "Masks <help>.",
        "paper: +1.72 points on FER2013",
        "+1.00 points −2.73 to +4.73",
        "3 seeds",
        "Lacking: 12 more seeds",
        "On synthetic faces, width 1/8",
        "dvc repro evaluate-faces@synthetic-rmn",
        "seed 2 masked 81.00 80.00 82.00 no mask 80.00 80.50 79.50",
        "74.24 % 73.64 to 74.84",
        "1 claim on data that is not at hand",
        "free: somewhere",
    ):
        assert piece in opening, piece


def test_claims_lead_to_runs_rows_and_sources(page):
    links = [link["href"] for link in page.find(id="top").find_all("a")]
    for place in ("runs/synthetic/rmn/", "results/synthetic/rmn/rows.csv", "published/results.csv"):
        assert f"../{place}" in links
    assert "https://arxiv.org/abs/2603.05937" in links


def test_deviations_are_shown(page):
    assert "A softmax." in page.find(id="deviations").get_text()


def test_captions_are_numbered_in_order(page):
    for word, selector in (("Figure", "figure > figcaption"), ("Table", "table > caption")):
        captions = [caption.get_text() for caption in page.select(selector)]
        assert captions
        assert all(text.startswith(f"{word} {i}. ") for i, text in enumerate(captions, start=1))


def test_wide_tables_scroll_in_their_box(page):
    for table in page.find_all("table"):
        assert "scroll" in table.parent["class"]
        assert table.parent["tabindex"] == "0"


def test_code_is_folded_and_parameters_are_hidden(page):
    cells = page.select("details.code")
    assert cells
    assert not any(cell.has_attr("open") for cell in cells)
    assert "seed = 0" not in page.find(id="papers").get_text()


def test_how_to_run_a_notebook_is_left_to_the_notebook(page):
    text = page.get_text()
    assert "Why?" in text
    assert "How to run this notebook" not in text
    assert "Writes others" not in text


def test_records_stand_beside_the_published_numbers(page):
    section = page.find(id="records")
    text = section.get_text(" ", strip=True)
    for piece in (
        "rmn on fer2013",
        "CPU budget",
        "81.00",
        "74.14",
        "+6.86",
        "79.00",
        "clean",
        "+1.00",
        "2 h 5 min",
    ):
        assert piece in text, piece
    assert not section.find("i")  # a note is text
    assert page.find("a", href="#records")


def test_where_it_ran_is_told_when_all_timings_are_known(project):
    timing = (
        '{"train_seconds": 50.4, "environment": {"processor": "A processor", "cores": 2, "device": "cpu"}}'
    )
    for seed, arm in itertools.product(range(3), ("masked", "no_mask")):
        write_report(project, project / "index.html")
        assert "networks trained" not in (project / "index.html").read_text(encoding="utf-8")
        write(project / f"timings/synthetic/rmn/{seed}/{arm}.json", timing)
    write_report(project, project / "index.html")
    text = (project / "index.html").read_text(encoding="utf-8")
    assert "6 networks trained in 5 min 2 s of computing, on A processor, 2 cores, no GPU used." in text


def test_no_synthetic_number_stands_beside_a_published_one(project):
    (project / "executed/comparison.ipynb").unlink()  # then the page has its own table
    write_report(project, project / "index.html")
    page = BeautifulSoup((project / "index.html").read_text(encoding="utf-8"), "html.parser")
    text = page.find(id="results").table.get_text()
    assert "74.14" not in text
    assert "synthetic faces, width 1/8" in text


def test_the_same_inputs_give_the_same_bytes(project):
    for name in ("one.html", "two.html"):
        write_report(project, project / name)
    assert (project / "one.html").read_bytes() == (project / "two.html").read_bytes()


@pytest.mark.parametrize("gone", ["results", "comparison", "executed", "runs", "published"])
def test_missing_pieces_are_named(project, gone):
    shutil.rmtree(project / gone)
    write_report(project, project / "index.html")
    text = BeautifulSoup((project / "index.html").read_text(encoding="utf-8"), "html.parser").get_text()
    assert "not there yet" in text
    assert f"{gone}/" in text


def test_a_project_that_has_not_run_has_a_page(tmp_path):
    write(tmp_path / "params.yaml", PARAMS)
    write_report(tmp_path, tmp_path / "index.html")
    assert "No claim has been judged yet" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_damaged_notebook_is_one_clear_error(project, capsys):
    (project / "executed/rmn-synthetic.ipynb").write_text("{")
    assert main(["--root", str(project), "--out", str(project / "index.html")]) == 2
    assert "rmn-synthetic.ipynb: not readable as a notebook" in capsys.readouterr().err
    assert not (project / "index.html").exists()


def test_results_without_a_column_are_one_clear_error(project):
    write(project / "results/synthetic/rmn/rows.csv", "method,arm\nrmn,masked\n")
    with pytest.raises(UserError, match=r"rows\.csv: column '.*' is missing"):
        write_report(project, project / "index.html")


def test_the_report_needs_no_torch():
    code = "import sys, fer_repro.report.html; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
