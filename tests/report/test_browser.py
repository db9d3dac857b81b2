"""The page in a real browser: the one that fixtures make, and the last built one where it is of this code."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
from finished_project import make_project

from fer_repro.report.html import write_report

driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

ROOT = Path(__file__).parents[2]
REPORT, CODE = ROOT / "reports/index.html", ROOT / "fer_repro/report"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
CONTENTS = "document.querySelectorAll('.toc a')"


@pytest.fixture(scope="module")
def browser():
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module", params=["of fixtures", "as built"])
def address(request, tmp_path_factory):
    if request.param == "as built":
        if not REPORT.is_file():
            pytest.skip("reports/index.html is not built: make reproduce")
        newest = max(
            file.stat().st_mtime for file in CODE.rglob("*") if file.is_file() and file.suffix != ".pyc"
        )
        if REPORT.stat().st_mtime < newest:
            pytest.skip("reports/index.html is older than the code that makes it: make reproduce")
        return REPORT.as_uri()
    root = make_project(tmp_path_factory.mktemp("shown"))
    write_report(root, root / "reports/index.html")
    return (root / "reports/index.html").as_uri()


class Watched:
    """A page of the report whose messages and requests are kept.

    Args:
        browser: where it opens.
        address: of the report.
        width: of the window, in pixels.
        scheme: light or dark, as the system prefers.
    """

    def __init__(self, browser, address, width=1280, scheme="light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.asked, self.said = [], []
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(address, wait_until="load")

    def _answer(self, route):
        if route.request.url.startswith("file:"):
            route.continue_()
            return
        self.asked.append(route.request.url)
        route.abort()

    def close(self):
        self.context.close()


@pytest.fixture
def opened(browser, address):
    """Open the report in as many windows as wanted."""
    windows = []

    def open_one(**how):
        windows.append(Watched(browser, address, **how))
        return windows[-1]

    yield open_one
    for window in windows:
        window.close()


@pytest.fixture(scope="module")
def wide(browser, address):
    """One window for the tests that leave the page as it is."""
    window = Watched(browser, address)
    yield window
    window.close()


def test_it_loads_without_a_word_and_asks_for_nothing(wide):
    assert wide.said == []
    assert wide.asked == []
    entries = wide.page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in entries if not name.startswith("data:")] == []


@pytest.mark.parametrize(
    "slipped",
    [
        "const s = document.createElement('script'); s.text = 'window.ran = 1'; document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x: onerror=\"window.ran = 1\">')",
        "document.body.insertAdjacentHTML('beforeend', '<a id=x href=\"javascript:window.ran=1\">x</a>');"
        "document.getElementById('x').click()",
    ],
)
def test_what_slips_into_the_page_does_not_run(opened, slipped):
    window = opened()
    window.page.evaluate(f"() => {{ {slipped} }}")
    window.page.wait_for_timeout(300)
    assert window.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in said for said in window.said)


def test_every_image_loads_and_is_described(wide):
    images = wide.page.evaluate(
        "Array.from(document.images, "
        "i => ({alt: i.alt, width: i.naturalWidth, hint: i.getAttribute('width')}))"
    )
    assert len(images) >= 3
    for image in images:
        assert len(image["alt"]) > 5, image
        assert image["width"] == int(image["hint"]) > 0, image


def test_every_anchor_and_every_file_it_links_is_there(wide):
    links = wide.page.evaluate("Array.from(document.links, a => [a.getAttribute('href'), a.href])")
    ids = wide.page.evaluate("Array.from(document.querySelectorAll('[id]'), e => e.id)")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href, _ in links if href.startswith("#")} <= set(ids)
    files = {where.partition("#")[0] for _, where in links if where.startswith("file:")}
    lost = [where for where in files if not Path(where.removeprefix("file://")).exists()]
    assert lost == []


@pytest.mark.parametrize("width", [375, 800, 1100, 1200, 1280, 1920])
def test_nothing_scrolls_sideways_but_in_its_box(opened, width):
    page = opened(width=width).page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_scrolls_sideways_shows_so(opened):
    page = opened(width=375).page
    signs = page.evaluate(
        """Array.from(document.querySelectorAll("figure .paper"), box =>
             [box.scrollWidth > box.clientWidth, getComputedStyle(box, "::before").content])"""
    )
    assert any(scrolls for scrolls, _ in signs)
    assert all(("scroll sideways" in words) == scrolls for scrolls, words in signs)
    shadow = "getComputedStyle(document.querySelector('.scroll')).backgroundAttachment"
    assert page.evaluate(shadow) == "local, local, scroll, scroll"


def test_the_contents_are_reached_by_keyboard(opened):
    page = opened().page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    wanted = page.evaluate(f"{CONTENTS}.length")
    reached = set()
    for _ in range(wanted + 10):
        page.keyboard.press("Tab")
        place = page.evaluate(f"Array.from({CONTENTS}).indexOf(document.activeElement)")
        reached |= {place} - {-1}
        if page.evaluate("document.getElementById('content').contains(document.activeElement)"):
            break
    assert reached == set(range(wanted))


def test_the_skip_link_leads_past_the_contents(opened):
    page = opened().page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('content').contains(document.activeElement)")


def test_an_entry_of_the_contents_leads_to_its_heading(opened):
    page = opened().page
    page.focus(".toc a[href='#provenance']")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#provenance'")
    page.wait_for_function("document.querySelector('.toc a[aria-current]').hash !== '#top'")
    top = page.evaluate("document.getElementById('provenance').getBoundingClientRect().top")
    bar = page.evaluate("document.querySelector('.bar').getBoundingClientRect().bottom")
    assert bar - 1 <= top < 900


def test_a_narrow_window_folds_the_contents(opened):
    page = opened(width=375).page
    assert not page.evaluate("document.querySelector('.toc details').open")
    page.focus(".toc summary")
    page.keyboard.press("Enter")
    assert page.is_visible(".toc a[href='#provenance']")


def read_column(page, table, column):
    return page.evaluate(
        "([t, c]) => Array.from(document.querySelectorAll('table.sortable')[t].tBodies[0].rows, r => "
        "r.cells[c].textContent)",
        [table, column],
    )


def as_number(text):
    head = text.replace("\N{MINUS SIGN}", "-").replace(",", "").split(" ")[0]
    try:
        return float(head.rstrip("%"))
    except ValueError:
        return None


def test_tables_sort_by_every_column(opened):
    """Expected: numbers by value with gaps last, words as the browser's language orders them."""
    page = opened().page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    tables = page.evaluate(
        "Array.from(document.querySelectorAll('table.sortable'), t => Array.from(t.tHead.rows[0].cells, "
        "h => h.classList.contains('number')))"
    )
    assert tables
    for table, columns in itertools.islice(enumerate(tables), 12):
        for column, numeric in enumerate(columns):
            for wanted in ("ascending", "descending"):
                page.evaluate(
                    "([t, c]) => document.querySelectorAll('table.sortable')[t].tHead.rows[0].cells[c]"
                    ".querySelector('button').click()",
                    [table, column],
                )
                marks = page.evaluate(
                    "t => Array.from(document.querySelectorAll('table.sortable')[t].tHead.rows[0].cells, "
                    "h => h.getAttribute('aria-sort'))",
                    table,
                )
                assert marks == [wanted if i == column else None for i in range(len(columns))]
                texts = read_column(page, table, column)
                if numeric:
                    numbers = [as_number(text) for text in texts]
                    known = [number for number in numbers if number is not None]
                    assert known == sorted(known, reverse=wanted == "descending"), (table, column)
                    assert None not in numbers[: len(known)], (table, column)
                else:
                    order = "a.localeCompare(b)" if wanted == "ascending" else "b.localeCompare(a)"
                    assert texts == page.evaluate(f"t => t.slice().sort((a, b) => {order})", texts)


def test_sorting_works_by_keyboard(opened):
    page = opened().page
    page.evaluate("document.getElementById('again').querySelector('th button').focus()")
    before = page.evaluate("document.querySelector('#again tbody').textContent")
    page.keyboard.press("Enter")
    assert page.get_attribute("#again th[aria-sort]", "aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert page.get_attribute("#again th[aria-sort]", "aria-sort") == "descending"
    assert page.evaluate("document.querySelector('#again tbody').textContent") != before


def test_code_is_shown_and_hidden(opened):
    page = opened().page
    state = "Array.from(document.querySelectorAll('details.code'), one => one.open)"
    assert not any(page.evaluate(state))
    page.focus("#code-toggle")
    page.keyboard.press("Enter")
    assert all(page.evaluate(state))
    assert page.get_attribute("#code-toggle", "aria-pressed") == "true"
    assert page.inner_text("#code-toggle") == "Hide code"
    page.click("#code-toggle")
    assert not any(page.evaluate(state))


@pytest.mark.parametrize(("scheme", "other"), [("light", "Dark"), ("dark", "Light")])
def test_the_scheme_is_the_readers_and_a_choice_is_kept(opened, scheme, other):
    page = opened(scheme=scheme).page
    ground = "getComputedStyle(document.body).backgroundColor"
    first = page.evaluate(ground)
    assert page.inner_text("#theme-toggle") == other
    page.click("#theme-toggle")
    second = page.evaluate(ground)
    assert second != first
    assert page.inner_text("#theme-toggle") == scheme.capitalize()
    page.reload()
    assert page.evaluate(ground) == second


def test_a_claim_opens_by_keyboard(opened):
    page = opened().page
    page.focus("#claims details.claim > summary")
    page.keyboard.press("Enter")
    assert page.is_visible("#claims details.claim[open] dl.proof")


def test_paper_has_everything_open_and_no_controls(opened):
    page = opened(scheme="dark").page
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert not page.is_visible(".bar")
    assert not page.is_visible(".toc")
    assert page.is_visible("#claims dl.proof")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert not page.is_visible("#claims dl.proof")


def test_it_reads_without_its_script(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.is_visible(".toc a[href='#provenance']")
    assert page.is_visible("#claims .what >> nth=0")
    assert not page.is_visible("#theme-toggle")
    context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 375)])
def test_axe_finds_no_serious_violation(opened, address, scheme, width):
    built = address == REPORT.as_uri()
    if built and width < 1280:
        pytest.skip("axe takes long on the whole report: two windows are enough")
    page = opened(scheme=scheme, width=width).page
    if not built:
        page.evaluate("document.querySelectorAll('details:not(.code)').forEach(one => { one.open = true; })")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [
        {"rule": one["id"], "where": [node["target"] for node in one["nodes"][:3]], "help": one["help"]}
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not grave, json.dumps(grave, indent=1)


def test_search_leads_to_the_place_in_a_folded_chapter(opened):
    page = opened().page
    page.click("#fold-toggle")
    assert page.evaluate("document.querySelectorAll('details.chapter[open]').length") == 0
    page.keyboard.press("/")
    page.keyboard.type("it leaves open")
    page.click("#found a")
    assert page.evaluate("document.querySelectorAll('details.chapter[open]').length") == 1
    assert not page.is_visible("#found")


def test_search_reports_that_nothing_was_found(opened):
    page = opened().page
    page.fill("#search", "no such words anywhere")
    assert page.inner_text("#found") == "Nothing found"
