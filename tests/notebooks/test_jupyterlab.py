"""Notebooks as people open them: JupyterLab in a browser, Run All, no error; and a slider that is moved."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from fer_repro.pipeline.inputs import read_notebook, stripped

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

ROOT = Path(__file__).parents[2]
TOKEN = "for-this-test-only"
(HOOK,) = re.findall(r"--ContentsManager\.\S+", (ROOT / "Makefile").read_text(encoding="utf-8"))
FAILED = "[data-mime-type$='stderr']:has(.ansi-red-fg)"  # IPython's traceback of a cell that raised
LOADING, RUNNING = 60, 240  # seconds that a page, and all cells of a notebook, may take on a busy machine


@contextmanager
def jupyterlab(project, *options, autosave=3600):
    """Serve a folder on the loopback interface with settings of its own; ``autosave`` in seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    homes = {name: project / ".jupyter" / name.lower() for name in (
        "HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
        "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR",
    )}  # fmt: skip
    settings = {
        "notebook-extension/tracker": {"windowingMode": "none"},  # else only cells in sight are in the page
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"autosaveInterval": autosave},
    }
    for name, values in settings.items():
        path = homes["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--ServerApp.root_dir={project}", f"--IdentityProvider.token={TOKEN}",
        "--LabApp.extension_manager=readonly", *options,
    ]  # fmt: skip
    if os.name == "posix" and os.geteuid() == 0:
        command.append("--allow-root")
    places = {name: str(path) for name, path in homes.items()} | {"JUPYTER_PREFER_ENV_PATH": "1"}
    with (project / "jupyterlab.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=project, env={**os.environ, **places}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api/status?token={TOKEN}", process, project / "jupyterlab.log")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(address, process, log):
    until = time.monotonic() + LOADING
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).read()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.3)
        else:
            return


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def copy_of(project, folder):
    """Copy a project with the notebooks of this one, as JupyterLab may write what it likes there."""
    shutil.copytree(project, folder, dirs_exist_ok=True)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    return folder


def open_notebook(browser, address, name):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset&token={TOKEN}")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=1000 * LOADING)  # in the status bar
    return page


def run_cells(page):
    """Run all cells by the menu and wait for them; none may fail."""
    page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.locator("li[data-command='runmenu:run-all']").click()
    page.wait_for_function(
        f'() => document.querySelector("{FAILED}") ||'
        "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
        ".every(prompt => /\\d/.test(prompt.textContent))",
        timeout=1000 * RUNNING,
    )
    failed = page.locator(FAILED)
    assert failed.count() == 0, failed.first.inner_text()


def run_all(browser, address, project, name):
    """Open a notebook, run all cells, save it; returns page and code cells."""
    page = open_notebook(browser, address, name)
    run_cells(page)
    file = project / "notebooks" / f"{name}.ipynb"
    until = time.monotonic() + LOADING
    while True:
        code = saved_code(file)
        failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
        assert not failed, failed[0]["ename"] + ": " + failed[0]["evalue"]
        if code and all(cell["execution_count"] for cell in code):
            return page, code
        assert time.monotonic() < until, f"{name}: not all cells were run and saved"
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1500)


def saved_code(file):
    """The code cells as they were saved last; none while the file is being written."""
    try:
        return [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    except json.JSONDecodeError:
        return []


def has_outputs(code):
    return any(cell["outputs"] for cell in code)


def is_whole(code):
    """Whether all cells had run when they were saved."""
    return has_outputs(code[-1:]) and all(cell["execution_count"] for cell in code)


def texts(code):
    return [
        output["text"] for cell in code for output in cell["outputs"] if output["output_type"] == "stream"
    ]


@pytest.fixture(
    scope="module", params=[pytest.param((), marks=pytest.mark.slow), (HOOK,)], ids=["plain", "make lab"]
)
def autosaved(request, browser, drawn, tmp_path_factory):
    """The data notebook after Run All and nothing but autosave: (project, file, before, options, figures)."""
    project, options = copy_of(drawn, tmp_path_factory.mktemp("lab") / "project"), request.param
    for command in (("init", "-q"), ("add", "notebooks"), ("commit", "-qm", "all")):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command]
        subprocess.run(git, cwd=project, check=True)
    file = project / "notebooks/data.ipynb"
    before, written = stripped(read_notebook(file)), file.stat().st_mtime_ns
    with jupyterlab(project, *options, autosave=1) as address:
        page = open_notebook(browser, address, "data")
        run_cells(page)
        images = "[...document.querySelectorAll('.jp-NotebookPanel img')]"
        page.wait_for_function(f"() => {images}.every(one => one.complete)")
        figures = page.evaluate(f"{images}.map(one => one.naturalWidth > 0)")
        until = time.monotonic() + LOADING
        while file.stat().st_mtime_ns == written or not (options or is_whole(saved_code(file))):
            assert time.monotonic() < until, "JupyterLab has not saved by itself"
            page.keyboard.press("Control+Enter")  # what arrives during a save is saved after the next change
            page.wait_for_timeout(5000)  # until that cell has run: a save in between has no count of it
        page.wait_for_timeout(3000)  # further autosaves
        page.close()
    return project, file, before, options, figures


def test_the_data_notebook_runs_from_the_top(autosaved):
    project, file, _, options, figures = autosaved
    assert figures == [True] * 4
    code = saved_code(file)
    assert options or all(cell["execution_count"] for cell in code)
    assert texts(code) == []
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert (project / "scratch/prepared/synthetic/images.npy").is_file()


def test_a_notebook_that_ran_changes_no_input(autosaved):
    """With the hook of `make lab` git sees no change, either."""
    project, file, before, options, _ = autosaved
    assert stripped(read_notebook(file)) == before
    assert has_outputs(saved_code(file)) == (not options)
    command = ["git", "status", "--porcelain", "-uno", "notebooks"]
    seen = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert bool(seen.stdout) == (not options)


@pytest.mark.slow
def test_every_notebook_runs_from_the_top(browser, trained, tmp_path):
    project = copy_of(trained, tmp_path / "project")
    with jupyterlab(project) as address:
        for name in sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")):
            page, code = run_all(browser, address, project, name)
            assert (
                page.locator(".jp-NotebookPanel .jp-OutputArea-output[data-mime-type$='stderr']").count() == 0
                or name == "train"
            )
            assert code
            page.close()


@pytest.mark.slow
def test_a_slider_moves_the_figure(browser, trained, tmp_path):
    project = copy_of(trained, tmp_path / "project")
    with jupyterlab(project) as address:
        page, _ = run_all(browser, address, project, "rmn")
        slider = page.locator(".widget-slider", has_text="Intensity").locator("[role='slider']")
        slider.scroll_into_view_if_needed()
        image = page.locator(".widget-html-content img")
        before, words = image.get_attribute("src"), image.get_attribute("alt")
        slider.focus()
        page.keyboard.press("Home")
        page.wait_for_function(
            "before => document.querySelector('.widget-html-content img').src !== before", arg=before
        )
        assert "at 0.00" in image.get_attribute("alt")
        assert "at 0.90" in words
        page.close()
