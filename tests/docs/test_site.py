"""The documentation builds without a warning, links lead somewhere, nothing is asked of other places."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from bs4 import BeautifulSoup
from served_folder import served

ROOT = Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
PATIENCE = 120_000  # milliseconds, for a machine with other work on it
NAMED_ONLY = {"canonical", "next", "prev", "license"}  # relations of <link> that load nothing


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("documentation") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Path -> parsed page; the page for missing addresses has absolute links and is left out."""
    files = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    assert len(files) > 10
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in files}


def test_internal_links_and_anchors_lead_somewhere(pages):
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    wrong, followed = [], 0
    for path, page in pages.items():
        for tag in page.find_all("a", href=True):
            if urlsplit(tag["href"]).scheme:
                continue
            followed += 1
            file, anchor = urldefrag(tag["href"])
            target = (path.parent / unquote(file)).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (anchor and unquote(anchor) not in anchors.get(target, set())):
                wrong.append(f"{path.name}: {tag['href']}")
    assert not wrong
    assert followed > 500


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for path, page in pages.items():
        for name, attribute in LOADS.items():
            for tag in page.find_all(name, **{attribute: True}):
                if name == "link" and set(tag.get("rel", [])) & NAMED_ONLY:
                    continue
                parts = urlsplit(tag[attribute])
                assert not parts.netloc, f"{path.name}: {tag}"
                if not parts.scheme:
                    assert (path.parent / unquote(parts.path)).is_file(), f"{path.name}: {tag}"
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", text), sheet.name


def test_every_image_has_words(pages):
    for path, page in pages.items():
        for image in page.find_all("img"):
            assert image.get("alt") or image.get("role") == "presentation", f"{path.name}: {image}"


@pytest.fixture(scope="module")
def address(site):
    """Where a server of this machine shows the site."""
    with served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """A browser without a head."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def test_pages_behave_on_a_phone(browser, address, pages):
    view = browser.new_page(viewport={"width": 375, "height": 800})
    view.set_default_timeout(PATIENCE)
    asked, complaints = [], []
    view.on("request", lambda request: asked.append(request.url))
    view.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    view.on("pageerror", lambda error: complaints.append(str(error)))
    for path in pages:
        view.goto(f"{address}/{path.name}", wait_until="load")
        wide = view.evaluate("document.documentElement.scrollWidth")
        assert wide <= 375, f"{path.name} scrolls sideways: {wide}"
    view.close()
    assert complaints == []
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []


def test_the_search_finds(browser, address):
    view = browser.new_page()
    view.set_default_timeout(PATIENCE)
    view.goto(f"{address}/index.html", wait_until="load")
    view.get_by_role("textbox", name="Search").click()
    view.keyboard.type("island loss")
    found = view.locator(
        ".md-search-result__link[href*='add_method.html']"
    )  # the place among the pages is mkdocs' own
    found.first.wait_for(state="visible")
    view.close()


# the table of results takes axe half a minute
@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        ("light", "add_method"),
        ("dark", "add_method"),
        pytest.param("light", "results", marks=pytest.mark.slow),
        pytest.param("dark", "results", marks=pytest.mark.slow),
    ],
)
def test_nothing_bars_the_way_of_screen_readers_and_keyboards(browser, address, scheme, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    view = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    view.set_default_timeout(PATIENCE)
    rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else None  # all else is the same in both
    view.goto(f"{address}/{name}.html", wait_until="load")
    found = {
        f"{violation['id']}: {violation['nodes'][0]['html'][:120]}"
        for violation in axe.run(view, options=rules).response["violations"]
        if violation["impact"] in ("serious", "critical")
    }
    view.close()
    assert not found


def test_files_that_pages_name_exist():
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(
            r"`((?:fer_repro|tests|docs|results|notebooks)/[\w./-]+?)/?`", page.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 40
    written = re.compile("NAME|island|jaffe")  # by the reader, and by the worked pages themselves
    assert not [
        each for each in sorted(named) if not written.search(each[1]) and not (ROOT / each[1]).exists()
    ]
