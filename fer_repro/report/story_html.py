"""An executed notebook as a part of the page: headings fitted in, code folded, every figure with alt text.

nbconvert turns cells into HTML; this file makes that HTML safe to join with other notebooks: ids and links
get a prefix, scripts and outside addresses are removed, tables scroll inside their own box, and images are
compressed without loss, so that the page is small enough for an attachment.
"""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from bs4.element import PreformattedString, Tag
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from PIL import Image
from traitlets.config import Config

from fer_repro.errors import UserError
from fer_repro.figures.tables import with_minus

_TEMPLATE = """{%- extends 'base/display_priority.j2' -%}
{%- block input -%}
<details class="code"><summary>Code</summary>{{ cell.source | highlight_code(metadata=cell.metadata) }}</details>
{% endblock input -%}
{%- block markdowncell -%}
<div class="prose">{{ cell.source | markdown2html }}</div>
{% endblock markdowncell -%}
{%- block execute_result -%}{%- block data_priority scoped -%}{{ super() }}{%- endblock -%}{%- endblock -%}
{%- block stream_stdout -%}<pre class="output" tabindex="0">{{ output.text | ansi2html }}</pre>{%- endblock -%}
{%- block stream_stderr -%}{%- endblock -%}
{%- block traceback_line -%}<pre class="output error" tabindex="0">{{ line | ansi2html }}</pre>{%- endblock -%}
{%- block data_html -%}<div class="shown">{{ output.data['text/html'] }}</div>{%- endblock -%}
{%- block data_markdown -%}<div class="prose">{{ output.data['text/markdown'] | markdown2html }}</div>
{%- endblock -%}
{%- block data_png -%}<figure class="plot"><div class="paper"><img src="data:image/png;base64,
{{- output.data['image/png'] | replace('\\n', '') }}"></div></figure>{%- endblock -%}
{%- block data_svg -%}{%- endblock -%}
{%- block data_text -%}<pre class="output" tabindex="0">{{ output.data['text/plain'] | ansi2html }}</pre>{%- endblock -%}
"""  # noqa: E501 - a template's lines
_NOTEBOOK_ONLY = "notebook-only"  # what helps those who run a notebook, not those who read the page
_HIDDEN = {"parameters", "injected-parameters", "remove_cell"}
_FORBIDDEN = (
    "script", "style", "link", "iframe", "object", "embed", "base", "meta", "form", "template",
    # and what a browser parses differently from the parser here, or what changes other elements
    "svg", "math", "noscript", "noembed", "noframes", "plaintext", "xmp", "textarea", "title",
)  # fmt: skip
_ASKING = ("ping", "action", "formaction", "srcdoc")
_LOADING = ("src", "srcset", "poster", "background", "xlink:href")
_NO_ALT = "No description has been provided"  # nbconvert's own placeholder


@dataclass(frozen=True)
class StoryHtml:
    """One executed notebook as a piece of the page."""

    name: str
    anchor: str
    title: str
    html: str
    contents: tuple[tuple[str, str], ...]  # (anchor, text) of its sections


def slug(text: str) -> str:
    """Make a text usable as an id: lower case, words joined by hyphens.

    >>> slug("What the masks really do?")
    'what-the-masks-really-do'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


def read_story(path: Path, level: int = 3) -> StoryHtml:
    """Turn an executed notebook into HTML whose title is a heading of ``level``.

    Args:
        path: an .ipynb file.
        level: of the notebook's own first heading; its sections come below.

    Raises:
        UserError: the file is no notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        raise UserError(f"{path}: not readable as a notebook: {error}") from None
    notebook.cells = [c for c in notebook.cells if _NOTEBOOK_ONLY not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        if _HIDDEN & set(cell.metadata.get("tags", [])):
            cell.metadata["transient"] = {"remove_source": True}
    exporter = HTMLExporter(config=Config({"HTMLExporter": {"exclude_anchor_links": True}}))
    exporter.raw_template = _TEMPLATE
    body, _ = exporter.from_notebook_node(notebook)
    soup = BeautifulSoup(body, "html.parser")
    anchor = slug(path.stem)
    make_safe(soup)
    leave_out_use(soup)
    title, contents = _fit_headings(soup, anchor, level, path.stem)
    describe_images(soup, title)
    box_tables(soup)
    return StoryHtml(path.stem, anchor, title, str(soup), contents)


def markdown_section(path: Path, heading: str) -> str:
    """Turn one section of a Markdown file into HTML, without its heading; empty where it does not exist.

    Args:
        path: a .md file, which may be missing.
        heading: text of a second-level heading.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    soup = BeautifulSoup(markdown2html(found[1]) if found else "", "html.parser")
    make_safe(soup)
    return str(soup)


def make_safe(soup: BeautifulSoup) -> None:
    """Remove what could run or load: scripts, styles, handlers, outside images, javascript links."""
    for tag in soup.find_all(_FORBIDDEN):
        tag.decompose()
    for comment in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        comment.extract()
    for tag in soup.find_all(True):
        for name, value in [(name, str(value)) for name, value in tag.attrs.items()]:
            styled = name == "style" and re.search(r"url|image|[\\@]", value, re.IGNORECASE)
            runs = name.startswith("on") or name in _ASKING or styled
            loads = name in _LOADING and not value.startswith("data:image/")
            leads = name == "href" and not re.match(r"(https?:|mailto:|#)", value)
            if runs or loads or leads or name == "border":
                del tag[name]
    for image in soup.find_all("img"):
        if not image.get("src"):
            image.decompose()


def leave_out_use(soup: BeautifulSoup) -> None:
    """Remove the paragraph that states what a notebook reads and writes: it is for those who run it."""
    for paragraph in soup.select(".prose p"):
        first = paragraph.find("strong")
        if first and first.get_text() == "Reads" and paragraph.get_text().startswith("Reads"):
            paragraph.decompose()


def _fit_headings(
    soup: BeautifulSoup, anchor: str, level: int, fallback: str
) -> tuple[str, tuple[tuple[str, str], ...]]:
    title, contents, renamed = "", [], {}
    taken = {anchor}
    for tag in soup.find_all(re.compile(r"^h[1-6]$")):
        for mark in tag.select("a.anchor-link"):
            mark.decompose()
        depth, text = int(tag.name[1]), tag.get_text(" ", strip=True)
        old = str(tag.get("id", ""))
        if depth == 1 and not title:
            title = text
            tag.decompose()
            continue
        new, number = f"{anchor}--{slug(text)}", 2
        while new in taken:
            new, number = f"{anchor}--{slug(text)}-{number}", number + 1
        taken.add(new)
        renamed[old] = new
        tag["id"] = new
        tag.name = f"h{min(6, depth + level - 1)}"
        if depth == 2:
            contents.append((new, text))
    for tag in soup.find_all(id=True):
        if tag["id"] not in taken:
            tag["id"] = f"{anchor}--{tag['id']}"
            if tag["id"] in taken:
                del tag["id"]
            else:
                taken.add(str(tag["id"]))
    for link in soup.find_all("a", href=re.compile("^#")):
        target = str(link["href"])[1:]
        wanted = renamed.get(target, f"{anchor}--{slug(target)}")
        link["href"] = f"#{wanted if wanted in taken else anchor}"
    return title or fallback, tuple(contents)


def describe_images(soup: BeautifulSoup, title: str) -> None:
    """Give every image without alt text the heading above it."""
    for image in soup.find_all("img"):
        if not image.get("alt") or str(image["alt"]).startswith(_NO_ALT):
            heading = image.find_previous(re.compile(r"^h[1-6]$"))
            image["alt"] = f"Figure of the section {heading.get_text() if heading else title}"


def box_tables(soup: BeautifulSoup) -> None:
    """Put every table into a box that scrolls sideways and that the keyboard reaches."""
    for table in soup.find_all("table"):
        parent = table.parent
        if isinstance(parent, Tag) and "scroll" in parent.get_attribute_list("class"):
            continue
        caption = table.find("caption")
        name = caption.get_text(" ", strip=True) if caption else "Table"
        table.wrap(
            soup.new_tag(
                "div", attrs={"class": "scroll", "tabindex": "0", "role": "group", "aria-label": name}
            )
        )


def number_captions(soup: BeautifulSoup) -> None:
    """Put "Figure 1." and "Table 1." before the captions of the whole page, in reading order."""
    for word, selector in (("Figure", "figure > figcaption"), ("Table", "table > caption")):
        for number, caption in enumerate(soup.select(selector), start=1):
            mark = soup.new_tag("b", attrs={"class": "no"})
            mark.string = f"{word} {number}."
            caption.insert(0, mark)
            mark.insert_after(" ")


def write_minus(soup: BeautifulSoup) -> None:
    """Give negative numbers one sign in all sentences and tables, but not in code."""
    for text in soup.find_all(string=re.compile(r"-\.?\d")):
        if not isinstance(text, PreformattedString) and not text.find_parent(
            ["code", "pre", "script", "style"]
        ):
            text.replace_with(with_minus(str(text)))


_PNG = "data:image/png;base64,"


def shrink_images(soup: BeautifulSoup) -> None:
    """Write every embedded PNG as lossless WebP where that is smaller, and write its size for the browser.

    The same image gives the same bytes. With width and height the layout does not move while it loads.
    """
    for image in soup.find_all("img"):
        source = str(image.get("src", ""))
        if source.startswith(_PNG):
            data = base64.b64decode(source[len(_PNG) :])
            with Image.open(io.BytesIO(data)) as decoded:
                image["width"], image["height"] = str(decoded.width), str(decoded.height)
                smaller = as_webp(decoded)
            if len(smaller) < len(data):
                image["src"] = "data:image/webp;base64," + base64.b64encode(smaller).decode("ascii")


def as_webp(image: Image.Image) -> bytes:
    """Encode without loss; an alpha channel without transparency is removed."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "webp", lossless=True, quality=20, method=1)
    return buffer.getvalue()
