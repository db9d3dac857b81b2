"""The page in a real browser, where one is installed."""

import shutil
import subprocess

import pytest
from bs4 import BeautifulSoup

from fer_repro.report.html import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--virtual-time-budget=4000", "--dump-dom",
)  # fmt: skip
PROBE = """<script>
window.addEventListener("load", function () {
  var root = document.documentElement, found = [];
  if (root.scrollWidth > root.clientWidth) { found.push("scrolls sideways: " + root.scrollWidth); }
  document.querySelectorAll("img").forEach(function (image) {
    if (!image.naturalWidth) { found.push("not loaded: " + image.alt); }
  });
  performance.getEntriesByType("resource").forEach(function (entry) {
    if (!/^data:/.test(entry.name)) { found.push("asked for: " + entry.name); }
  });
  document.querySelectorAll("#results th button").forEach(function (button) { button.click(); });
  document.getElementById("code-toggle").click();
  if (document.querySelector("details.code:not([open])")) { found.push("code stays hidden"); }
  var theme = root.dataset.theme;
  document.getElementById("theme-toggle").click();
  if (root.dataset.theme === theme) { found.push("the theme stays"); }
  root.setAttribute("data-found", JSON.stringify(window.failures.concat(found)));
});
</script>"""
WATCH = """<script>
window.failures = [];
window.onerror = function (text) { window.failures.push(text); };
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def look(page, folder, width):
    places = [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", page.as_uri()]
    done = subprocess.run(
        [BROWSER, *OPTIONS, *places], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_behaves(project, tmp_path, width):
    write_report(project, project / "index.html")
    text = (project / "index.html").read_text(encoding="utf-8")
    text = text.replace("<head>", "<head>" + WATCH, 1).replace("</body>", PROBE + "</body>")
    (project / "probed.html").write_text(text, encoding="utf-8")
    root = BeautifulSoup(look(project / "probed.html", tmp_path, width), "html.parser").html
    assert root["data-found"] == "[]"
