"""How many times as fast as another commit does this one train? ``benchmarks rival --rival CLONE``."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.material import default_jobs, find_job
from benchmarks.tables import ROOT, Settings, Spread, Table, ratios

TURNS = 3
# run in either clone with that clone's own code and recipes
EPOCHS = """
import json, sys, torch
from benchmarks import training
from benchmarks.material import find_job
from benchmarks.tables import Settings
torch.set_num_threads(1)
training.ROUNDS = 2
settings = Settings("cpu", sys.argv[1] == "quick")
method, arm, dataset = sys.argv[2:]
whole, _, items = training.epochs(find_job(method, method, arm, dataset, dataset, settings), settings)
print(json.dumps([items, whole.median]))
"""


def measure(settings: Settings) -> Table:
    """Train every method here and in the other clone, alternately, each time in a fresh process."""
    assert settings.rival, "only asked for with a clone"
    clones = {"rival": settings.rival.resolve(), "own": ROOT}
    rows = []
    jobs = default_jobs(settings)
    jobs.insert(1, find_job("RMN, control", "rmn", "no_mask", *["synthetic"] * 2, settings))
    for job in jobs[: 1 if settings.quick else None]:
        arm = (job.config.method, job.config.arm, job.config.dataset)
        seconds: dict[str, list[float]] = {clone: [] for clone in clones}
        items = 0
        for _ in range(1 if settings.quick else TURNS):
            for clone, folder in clones.items():
                items, spent = _epoch(folder, settings, arm)
                seconds[clone].append(spent)
        spreads = {clone: Spread(tuple(values)) for clone, values in seconds.items()}
        rates = [f"{items / spread.median:,.1f}" for spread in spreads.values()]
        rows.append([job.name, *rates, ratios(spreads["rival"], spreads["own"]).shown()])
    return Table(
        "Training, beside another commit",
        f"Items per second of `fit` at the default recipes, alternately in fresh processes: commit "
        f"{_commit(clones['rival'])} and this one.",
        ("network", "there", "here", "times as fast"),
        rows,
    )


def _epoch(folder: Path, settings: Settings, arm: tuple[str, str, str]) -> tuple[int, float]:
    command = [sys.executable, "-c", EPOCHS, "quick" if settings.quick else "whole", *arm]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    items, seconds = json.loads(done.stdout)
    return items, seconds


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
