"""How much time does it save to keep freed memory between steps? Bare steps of fresh processes."""

import json
import sys
from dataclasses import replace

from benchmarks.material import default_jobs
from benchmarks.processes import in_process, memory
from benchmarks.tables import Settings, Spread, Table, clock, ratios
from benchmarks.training import STEPS, bare_steps

NETWORKS = ("RMN", "RAN", "EfficientNet")
HOW = ("usual", "kept")


def measure(settings: Settings) -> Table:
    """Take steps with the C library's own setting and with that of training, alternately."""
    rows, quick = [], ["quick"] if settings.quick else []
    for name in NETWORKS[:1] if settings.quick else NETWORKS:
        found: dict[str, list[dict[str, float]]] = {how: [] for how in HOW}
        for _ in range(settings.repeats):
            for how in HOW:
                found[how].append(json.loads(in_process("allocator", name, how, *quick)))
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
        "alternately: with the GNU C library's usual return of freed memory, and kept as in training on CPUs "
        "(fer_repro/training/seeding.py); and the peak of resident memory in MiB.",
        ("network", "usual", "kept", "usual over kept", "peak, usual", "peak, kept"),
        rows,
    )


def take_steps(name: str, how: str, settings: Settings) -> dict[str, float]:
    """Time steps in this process; returns seconds of a step and the peak of memory."""
    import torch

    from fer_repro.training.processes import make_fabric
    from fer_repro.training.seeding import keep_freed_memory

    torch.set_num_threads(1)
    if how == "kept":
        keep_freed_memory()
    job = next(each for each in default_jobs(settings) if each.name == name)
    if settings.quick:
        job = replace(job, config=replace(job.config, recipe=replace(job.config.recipe, batch_size=4)))
    steps = 2 if settings.quick else STEPS
    run = bare_steps(job, make_fabric(job.config), steps, settings)
    run()
    begin = clock(settings)
    run()
    seconds = (clock(settings) - begin) / steps
    return {"seconds": seconds, "peak_mb": memory("VmHWM") / 2**20}


if __name__ == "__main__":
    print(json.dumps(take_steps(sys.argv[1], sys.argv[2], Settings("cpu", sys.argv[3:] == ["quick"]))))
