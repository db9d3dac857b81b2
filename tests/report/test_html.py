import base64
import hashlib
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from finished_project import PARAMS, ledger_rows, make_project, result_rows, write
from PIL import Image

from fer_repro.errors import UserError
from fer_repro.files import read_yaml
from fer_repro.params import TASKS, read_params
from fer_repro.report.glance import GROUPS, Paper, gauge, glance, grouped
from fer_repro.report.html import SOURCES, report_main, write_report, write_sources
from fer_repro.report.provenance import command_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished project whose page is only read."""
    root = make_project(tmp_path_factory.mktemp("built"))
    write_report(root, root / "reports/index.html")
    return root


@pytest.fixture(scope="module")
def page(built):
    return BeautifulSoup((built / "reports/index.html").read_text(encoding="utf-8"), "html.parser")


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


def test_browsers_are_told_to_run_nothing_else(page):
    message = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert message.find_previous_sibling("script") is None
    rules = dict(rule.split(" ", 1) for rule in message["content"].split("; "))
    digest = base64.b64encode(hashlib.sha256(page.script.string.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"


def test_every_image_is_described(page):
    images = page.find_all("img")
    assert len(images) >= 5
    assert all(image.get("alt") for image in images)
    assert all(drawing.get("aria-label") for drawing in page.find_all("svg"))


def test_the_claims_open_with_measured_over_published(page):
    figure = page.find(id="claims").find("figure")
    assert figure.find_next("details", class_="claim")
    assert "1 rmn masks, synthetic faces: published +1.72, measured +1.00 points" in figure.img["alt"]
    assert "Left out: tested claims without a verified published size (0)" in figure.figcaption.get_text()


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


def test_the_opening_view_tells_what_was_found_and_where(page):
    opening = page.find(id="top").get_text(" ", strip=True)
    for piece in (
        "reproduced 1 inconclusive 1 not attempted 1",
        "Masks Reproduced: masked, 74.24 % (73.64 to 74.84) by accuracy on FER2013; 3 seeds, as published. "
        "Published: 74.14 %. Of 2 claims tested 1 is decided. reproduced 1, inconclusive 1, not attempted 1",
        "synthetic faces +1.00 points −2.73 to +4.73",
        "1 record of runs on other data",
        "make reproduce trains and evaluates all of it",
        "Made from no commit",
    ):
        assert piece in opening, piece
    assert page.find("a", href="#claims-rmn")


def test_claims_tell_their_doubt(page):
    claims = page.find(id="claims").get_text(" ", strip=True)
    for piece in (
        "Masks <help>.",
        "paper: +1.72 points on FER2013",
        "+1.00 points −2.73 to +4.73",
        "3 seeds",
        "Missing: 12 more seeds",
        "On synthetic faces, width 1/8",
        "dvc repro evaluate-faces@synthetic-rmn",
        "seed 2 masked 81.00 80.00 82.00 no mask 80.00 80.50 79.50",
        "74.24 % 73.64 to 74.84",
        "1 data set not available here",
    ):
        assert piece in claims, piece


def test_each_missing_data_set_is_named_once(page):
    ledger = pd.concat([ledger_rows(), ledger_rows().head(1).assign(claim="b", statement="Two.")])
    (paper,) = glance(ledger.assign(record=""), result_rows(), {}, {})
    (part,) = paper.missing
    assert (part["data"], part["access"]) == ("FER2013", "free: somewhere")
    assert [claim["statement"] for claim in part["claims"]] == ["Masks <help>.", "Two."]
    assert page.get_text().count("free: somewhere") == 1


def test_papers_are_grouped_by_task(page):
    heading = "Expressions of single faces"
    for part in ("nav.toc li.group", "ul.glance > li.group", "#claims > p.group", "#papers > p.group"):
        assert [each.get_text(strip=True) for each in page.select(part)] == [heading], part
    papers = [
        Paper(name, name, name, "", "", [], [], [], "") for name in ("fan", "own", "adacos", "ran", "rmn")
    ]
    tasks = {"fan": "clips", "ran": "faces", "rmn": "faces", "adacos": "pairs"}
    found = [(paper.method, paper.group) for paper in grouped(papers, tasks)]
    assert [name for name, _ in found] == ["ran", "rmn", "fan", "adacos", "own"]
    assert found[0][1] == heading
    assert found[-1][1] == "Papers that are not trained here"
    assert {paper.group for paper in grouped(papers, {})} == {""}
    assert set(GROUPS) == set(TASKS)


def test_claims_lead_to_runs_rows_and_sources(page):
    claims = page.find(id="claims")
    files = {code.get_text() for code in claims.find_all("code")}
    for place in (
        "runs/synthetic/rmn/", "results/measured/synthetic/rmn/rows.csv", "results/published/results.csv",
        "results/records/one/", "results/records/one/rows.csv",
    ):  # fmt: skip
        assert place in files
    links = [link["href"] for link in claims.find_all("a", href=True)]
    assert {"#record-one", "#rules"} <= set(links)
    assert "https://arxiv.org/abs/2603.05937" in links


def test_the_page_holds_the_rules_of_its_verdicts(page):
    rules = page.find(id="rules").get_text(" ", strip=True)
    assert "Rule one, explained" in rules
    assert "More" not in rules


def test_a_mailed_page_has_no_dead_link(page):
    for link in page.find_all("a", href=True):
        assert link["href"].startswith(("#", "https://", "http://", "mailto:")), link["href"]


def test_small_bars_of_a_unit_have_one_scale():
    row = {"unit": "points", "difference": 7.5, "low": -30.0, "high": 15.0, "published": np.nan}
    assert gauge(pd.Series(row)) == {"difference": 75.0, "low": 0.0, "high": 100.0}
    assert gauge(pd.Series(row | {"difference": -1.5}))["difference"] == pytest.approx(45.0)


def test_each_paper_has_story_tables_records_and_deviations(page):
    chapter = page.find(id="rmn-synthetic").find_parent("section")
    assert chapter.h3.get_text() == "Story"
    assert "74.14" in chapter.find(id="tables-rmn").find_next("table").get_text()
    assert "A softmax." in chapter.find(id="sheet-rmn").find_next("table").get_text()
    assert chapter.find("a", href="#record-one")
    assert chapter.find("a", href="#claims-rmn")


def test_a_paper_without_a_run_has_its_page(project):
    ledger = pd.read_csv(project / "results/comparison/ledger.csv", keep_default_na=False)
    other = ledger.iloc[:1].assign(method="p2sgrad", claim="p2sgrad-x")
    pd.concat([ledger, other]).to_csv(project / "results/comparison/ledger.csv", index=False)
    write_report(project, project / "index.html")
    page = BeautifulSoup((project / "index.html").read_text(encoding="utf-8"), "html.parser")
    message = page.find(id="paper-p2sgrad").find_parent("section").get_text()
    assert "make reproduce-full" in message
    assert page.select_one('.toc a[href="#paper-p2sgrad"]')


def test_costs_tell_memory_where_it_was_recorded(project):
    timing = {
        "train_seconds": 61,
        "images_per_second": 10,
        "epochs": [{"seconds": 61.0, "memory_mb": 2048.0}],
    }
    write(project / "timings/synthetic/rmn/0/masked.json", json.dumps(timing))
    write_report(project, project / "index.html")
    page = BeautifulSoup((project / "index.html").read_text(encoding="utf-8"), "html.parser")
    first, second = (row.get_text(" ") for row in page.find(id="costs").table.tbody.find_all("tr"))
    assert first == "rmn masked synthetic 2,163,247 1 face 57.98 1 min 1 s 10 not recorded 2.0 GB"
    assert second.endswith("not recorded not recorded")


def test_provenance_tells_hashes_of_what_was_read_and_made(page, built):
    section = page.find(id="provenance")
    text = section.get_text(" ")
    digest = hashlib.sha256((built / "params.yaml").read_bytes()).hexdigest()
    for piece in (digest, "0123abc.dir", "12,345", "pipeline:", "numpy=="):
        assert piece in text, piece
    assert "an-old-stage" not in text


def test_images_keep_their_pixels_in_fewer_bytes(page, built):
    notebook = nbformat.read(built / "executed/rmn-synthetic.ipynb", as_version=4)
    shown = notebook.cells[6].outputs[0]["data"]["text/html"]
    before = BeautifulSoup(shown, "html.parser").img["src"]
    after = page.find(id="papers").find("img")
    assert after["src"].startswith("data:image/webp;base64,")
    assert len(after["src"]) < len(before)
    one, two = (Image.open(io.BytesIO(base64.b64decode(src.split(",")[1]))) for src in (before, after["src"]))
    assert np.array_equal(np.asarray(one.convert("RGB")), np.asarray(two.convert("RGB")))
    assert (after["width"], after["height"]) == (str(one.width), str(one.height))


def test_every_command_names_a_stage_of_the_pipeline():
    root = Path(__file__).parents[2]
    params = read_params(root / "params.yaml")
    groups = set(read_yaml(root / "dvc.yaml")["stages"])
    commands = command_table(params.pipeline.datasets, params.pipeline.runs)["command"]
    named = {c.split("@")[0].split()[-1].strip("'") for c in commands if "@" in c}
    assert named == {group for group in groups if "-" in group or group == "prepare"}
    targets = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {c.split()[1] for c in commands if c.startswith("make")} <= set(targets)


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
    *most, last = itertools.product(range(3), ("masked", "no_mask"))
    for seed, arm in most:
        write(project / f"timings/synthetic/rmn/{seed}/{arm}.json", timing)
    write_report(project, project / "index.html")
    assert "networks trained" not in (project / "index.html").read_text(encoding="utf-8")
    write(project / f"timings/synthetic/rmn/{last[0]}/{last[1]}.json", timing)
    write_report(project, project / "index.html")
    text = (project / "index.html").read_text(encoding="utf-8")
    assert "6 networks trained in 5 min 2 s of computing time, on A processor, 2 cores, no GPU used." in text


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


@pytest.mark.parametrize(
    "gone", ["results/measured", "results/comparison", "executed", "runs", "results/published"]
)
def test_missing_pieces_are_named(project, gone):
    shutil.rmtree(project / gone)
    write_report(project, project / "index.html")
    text = BeautifulSoup((project / "index.html").read_text(encoding="utf-8"), "html.parser").get_text()
    assert "still missing" in text
    assert f"{gone}/" in text


def test_a_project_that_has_not_run_has_a_page(tmp_path):
    write(tmp_path / "params.yaml", PARAMS)
    write_report(tmp_path, tmp_path / "index.html")
    assert "No claim has been judged yet" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_damaged_notebook_is_one_clear_error(project, capsys):
    (project / "executed/rmn-synthetic.ipynb").write_text("{")
    assert report_main(["--root", str(project), "--out", str(project / "index.html")]) == 2
    assert "rmn-synthetic.ipynb: not readable as a notebook" in capsys.readouterr().err
    assert not (project / "index.html").exists()


def test_a_large_page_is_written_and_said(project, capsys, monkeypatch):
    """Seven data sets fill 16 MB; what took an hour to train is not to end without a report."""
    page = project / "index.html"
    assert report_main(["--root", str(project), "--out", str(page)]) == 0
    assert "larger than" not in capsys.readouterr().err
    monkeypatch.setattr("fer_repro.report.html._MAILED", page.stat().st_size - 1)
    page.unlink()
    assert report_main(["--root", str(project), "--out", str(page)]) == 0
    assert f"note: {page} is larger than" in capsys.readouterr().err
    assert page.is_file()


def test_results_without_a_column_are_one_clear_error(project):
    write(project / "results/measured/synthetic/rmn/rows.csv", "method,arm\nrmn,masked\n")
    with pytest.raises(UserError, match=r"rows\.csv: column '.*' is missing"):
        write_report(project, project / "index.html")


def test_the_report_needs_no_torch():
    code = "import sys, fer_repro.report.html; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_page_that_cannot_be_written_is_told_in_one_line(built, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert report_main(["--root", str(built), "--out", str(tmp_path / "file/page.html")]) == 2
    *steps, said = capsys.readouterr().err.splitlines()
    assert steps == ["gathering results, figures and stories ...", "laying out the page ..."]
    assert said.startswith("fer-repro: [Errno ")


def test_the_hashes_beside_the_page_follow_what_it_is_made_of(project):
    """The page names commit and times; DVC is to see a change of what it is made of, and nothing else."""
    out = project / "reports/sources.json"
    write_sources(project, out)
    first = out.read_bytes()
    write_sources(project, out)
    assert out.read_bytes() == first
    (project / "executed/other.failed.ipynb").write_text("{}")
    write_sources(project, out)
    assert out.read_bytes() == first
    (project / "executed/other.ipynb").write_text("{}")
    write_sources(project, out)
    assert [name for name, digest in json.loads(out.read_text()).items() if digest not in first.decode()] == [
        "executed"
    ]


def test_the_hashes_are_of_all_that_the_stage_depends_on():
    assert set(SOURCES) == set(read_yaml(ROOT / "dvc.yaml")["stages"]["report"]["deps"])
