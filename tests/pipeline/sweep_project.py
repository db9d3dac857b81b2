"""Sweeps of the small project as processes of their own, and stubs of training stages that misbehave."""

import subprocess
import sys
import time

import psutil
import yaml
from stub_project import ROOT, STUB

from fer_repro.pipeline.preload import ADDRESS

SWEEP = (sys.executable, str(ROOT / "fer_repro/pipeline/sweep.py"))
TRAIN = 'elif name == "train":\n'
STAGES = {f"train-faces@synthetic-{method}-{seed}" for method in ("rmn", "twin") for seed in (0, 1)}
LIMIT = 300  # seconds: ten times what a busy machine needs


def training(clone, first):
    """Let the stub of a training stage do this first."""
    text = STUB.replace(TRAIN, f"{TRAIN}    {first}\n")
    assert text != STUB
    (clone.folder / "fer_repro/pipeline/notebooks.py").write_text(text)


def start(clone, *arguments, preloads=False):
    """Start a sweep; the stubs need no libraries, so only a test of it lets the sweep import them first."""
    none = {} if preloads else {ADDRESS: "none"}
    return subprocess.Popen(
        [*SWEEP, *arguments], cwd=clone.folder, env={**clone.environment, **none}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def sweep(clone, *arguments, preloads=False):
    """Run a sweep to its end: (exit code, what it said)."""
    process = start(clone, *arguments, preloads=preloads)
    said = process.communicate(timeout=LIMIT)[0]
    return process.returncode, said


def wait_for(path, process):
    """Wait until a stage has written this file while the sweep runs."""
    limit = time.monotonic() + LIMIT
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.05)


def running_stages(folder):
    """The processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_for_quiet(folder):
    """Wait until no process works in a folder any more."""
    limit = time.monotonic() + 30
    while left := running_stages(folder):
        assert time.monotonic() < limit, left
        time.sleep(0.05)


def stages_in_lock(clone):
    return yaml.safe_load((clone.folder / "dvc.lock").read_text())["stages"]
