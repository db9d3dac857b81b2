"""What does it bring to keep freed memory between the steps? Bare steps of fresh processes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.material import default_jobs
from benchmarks.tables import ROOT, Settings, Spread, Table, clock, ratios
from benchmarks.training import bare_steps

NETWORKS = ("RMN", "RAN", "EfficientNet")
STEPS = 24
HOW = ("usual", "kept")


def measure(settings: Settings) -> Table:
    """Take steps with the C library's own setting and with that of training, by turns."""
    rows = []
    for name in NETWORKS[:1] if settings.quick else NETWORKS:
        found: dict[str, list[dict[str, float]]] = {how: [] for how in HOW}
        for _ in range(settings.repeats):
            for how in HOW:
                found[how].append(in_process(name, how, settings.quick))
        seconds = {how: Spread(tuple(each["seconds"] for each in found[how])) for how in HOW}
        peaks = {how: Spread(tuple(each["peak_mb"] for each in found[how])) for how in HOW}
        rows.append(
            [
                name,
                *(f"{1000 * seconds[how].median:.1f}" for how in HOW),
                ratios(seconds["usual"], seconds["kept"]).shown(".3f"),
                *(f"{peaks[how].median:,.0f}" for how in HOW),
            ]
        )
    return Table(
        "Freed memory, kept",
        "Milliseconds of one bare step (forward, backward, optimiser; synthetic recipes) in fresh processes, "
        "by turns: with the GNU C library's usual handing back of freed memory, and kept as training on CPUs "
        "has it (fer_repro/training/allocator.py); and the peak of resident memory in MiB.",
        ("network", "usual", "kept", "usual over kept", "peak, usual", "peak, kept"),
        rows,
    )


def in_process(name: str, how: str, quick: bool) -> dict[str, float]:
    """Time steps in a fresh process; returns seconds of a step and the peak of memory."""
    command = [sys.executable, "-m", "benchmarks.allocator", name, how, *(["quick"] if quick else [])]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed: {found.stderr[-2000:]}")
    values: dict[str, float] = json.loads(found.stdout)
    return values


def take_steps(name: str, how: str, settings: Settings) -> dict[str, float]:
    """Do in this process what ``in_process`` measures."""
    import torch

    from fer_repro.training.allocator import keep_freed_memory
    from fer_repro.training.processes import make_fabric

    torch.set_num_threads(1)
    if how == "kept":
        keep_freed_memory()
    job = next(each for each in default_jobs(settings) if each.name == name)
    if settings.quick:
        job = replace(job, config=replace(job.config, recipe=replace(job.config.recipe, batch_size=4)))
    steps = 2 if settings.quick else STEPS
    run = bare_steps(job, make_fabric(job.config.runtime), steps, settings)
    run()
    begin = clock(settings)
    run()
    seconds = (clock(settings) - begin) / steps
    status = Path("/proc/self/status").read_text(encoding="ascii").split()
    return {"seconds": seconds, "peak_mb": int(status[status.index("VmHWM:") + 1]) / 1024}


if __name__ == "__main__":
    print(json.dumps(take_steps(sys.argv[1], sys.argv[2], Settings("cpu", sys.argv[3:] == ["quick"]))))
