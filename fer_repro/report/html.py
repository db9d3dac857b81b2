"""Write the report: ``python -m fer_repro.report.html [--out reports/index.html]``.

One file that needs no network access: it contains styles, script and images. It is readable without the
script, too.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fer_repro.errors import UserError, print_error
from fer_repro.files import atomic_write, file_sha256
from fer_repro.report.page import Page, gather
from fer_repro.report.story_html import box_tables, number_captions, shrink_images, write_minus
from fer_repro.terminal import doing

_TEMPLATES = Path(__file__).parent / "templates"
SOURCES = (
    "results/comparison", "executed", "results/measured", "results/published", "results/records", "runs",
    "docs/verdicts.md", "inputs/code/report.json", "inputs/params.json",
)  # fmt: skip
"""Folders that the page is made of: what the stage `report` depends on."""
_MAILED = 15_000_000  # bytes that common mail servers accept as an attachment


def render_page(page: Page) -> str:
    """Write the page's HTML; the same page gives the same text."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    css = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    text = environment.get_template("page.html.j2").render(page=page, css=css, script=script)
    soup = BeautifulSoup(text, "html.parser")
    box_tables(soup)
    number_captions(soup)
    write_minus(soup)
    shrink_images(soup)
    _allow_only_own_script(soup)
    return soup.decode(formatter="minimal")


def _allow_only_own_script(soup: BeautifulSoup) -> None:
    """Let browsers run the page's own script, known by its hash, and load nothing else.

    A second protection, in case text from elsewhere is not escaped.
    """
    (script,), (charset,) = soup.select("script"), soup.select("meta[charset]")
    digest = hashlib.sha256(script.text.encode("utf-8")).digest()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{base64.b64encode(digest).decode()}'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    meta = soup.new_tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": "; ".join(rules)})
    charset.insert_after(meta)


def write_report(root: Path, out: Path) -> int:
    """Gather the project below ``root`` and write the page to ``out``, atomically.

    Returns:
        The size of the page in bytes.

    Raises:
        UserError: params.yaml or a found file is not readable.
    """
    with doing("gathering results, figures and stories"):
        page = gather(root)
    with doing("laying out the page"):
        text = render_page(page).encode("utf-8")
    with atomic_write(out) as temporary:
        temporary.write_bytes(text)
    return len(text)


def write_sources(root: Path, out: Path) -> None:
    """Write the SHA-256 of each folder and file that the page is made of, byte-stable.

    The page itself names commit, machine and times, so it differs each time; for DVC this file
    replaces it.
    """
    found = {}
    for name in SOURCES:
        digest = hashlib.sha256()
        for path in sorted({root / name, *(root / name).rglob("*")}):
            if path.is_file() and not path.match("*.failed.ipynb"):
                content = file_sha256(path)
                digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
        found[name] = digest.hexdigest()
    with atomic_write(out) as temporary:
        temporary.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def report_main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, write the page, print its path."""
    parser = argparse.ArgumentParser(prog="python -m fer_repro.report.html", description="Write the report.")
    parser.add_argument("--out", type=Path, default=Path("reports/index.html"), help="the page to write")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder")
    parser.add_argument("--sources", type=Path, help="write hashes of what the page is made of here")
    options = parser.parse_args(arguments)
    try:
        size = write_report(options.root, options.out)
        if options.sources:
            write_sources(options.root, options.sources)
    except (UserError, OSError) as error:  # an OSError: no permission, disk full
        print_error(error)
        return 2
    print(f"{options.out} ({size / 1e6:.1f} MB)")
    if size > _MAILED:
        print(
            f"note: {options.out} is larger than {_MAILED / 1e6:.0f} MB: many mail servers reject it; "
            "each data set and method makes it larger",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(report_main())
