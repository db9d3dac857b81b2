"""How fast are the networks in training and in use, and how much of the machine's arithmetic is that?"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.material import Job, default_jobs, laid_out, paper_jobs, prepared
from benchmarks.tables import ROOT, Settings, Spread, Table, by_turns
from fer_repro.layers.cost import count_flops
from fer_repro.training.optim import make_optimiser

PAPER_BATCH = 2
COMPILE_SECONDS = 180  # for one network, training and inference; RMN needs most
SIDE = 1024


def measure(settings: Settings) -> Table:
    """Time training steps and forward passes of all networks."""
    rows = [
        ["matrix product", "", kind, "", "", f"{peak(kind, settings):,.0f}"] for kind in ("float32", "bf16")
    ]
    compiler = shutil.which("c++") or shutil.which("g++")
    for job in default_jobs(settings)[: 1 if settings.quick else None]:
        rows += rates(job, job.config.recipe.batch_size, settings)
        if not settings.quick:
            rows += (
                compiled_rates(job, settings)
                if compiler
                else [[job.name, "", "compiled", "no compiler", "", ""]]
            )
    for job in [] if settings.quick else paper_jobs(settings):
        rows += rates(job, PAPER_BATCH, settings, f"{job.name}, paper")
    return Table(
        "Networks",
        "Items per second of training steps and of forward passes, and the GFLOP/s of the latter (two per "
        f"multiply-add) beside a product of {SIDE} x {SIDE} matrices. First the networks that the default "
        "reproduction trains, with its batches; then the papers' at 224 pixels. Compiled: torch.compile in "
        f"float32, in its own process that has {COMPILE_SECONDS} seconds for both; the seconds it took "
        "are in brackets, fewer where generated code of an earlier run is in PyTorch's cache.",
        ("network", "batch", "numbers", "training", "forward", "GFLOP/s forward"),
        rows,
    )


def peak(kind: str, settings: Settings) -> float:
    """Measure the machine's rate of a matrix product, in GFLOP/s."""
    number = torch.float32 if kind == "float32" else torch.bfloat16
    side = 8 * SIDE if settings.device == "cuda" else SIDE
    a, b = (torch.randn(side, side, device=settings.device).to(number) for _ in range(2))
    found = by_turns({kind: lambda: [a @ b for _ in range(5)]}, settings)
    return 5 * 2 * side**3 / found[kind].median / 1e9


def rates(job: Job, batch: int, settings: Settings, name: str = "") -> list[list[str]]:
    """Time one network in float32 and bf16."""
    calls, flops = {}, 0
    for kind in ("float32", "bf16"):
        train, show, flops = steps(job, batch, settings, kind == "bf16")
        calls |= {f"train {kind}": train, f"show {kind}": show}
    found = by_turns(calls, settings)
    return [
        row(name or job.name, batch, kind, found[f"train {kind}"], found[f"show {kind}"], flops)
        for kind in ("float32", "bf16")
    ]


def row(name: str, batch: int, kind: str, train: Spread, show: Spread, flops: int) -> list[str]:
    """Write one row."""
    per_second = [f"{batch / spread.median:,.1f}" for spread in (train, show)]
    return [name, str(batch), kind, *per_second, f"{flops / show.median / 1e9:,.0f}"]


def steps(
    job: Job, batch: int, settings: Settings, brief: bool, compiled: bool = False
) -> tuple[Callable[[], object], Callable[[], object], int]:
    """Make the calls of a training step and a forward pass, and count the latter's operations."""
    inputs, targets = job.batch(batch, settings)
    inputs = tuple(laid_out(each) for each in inputs)
    network, loss = prepared(job.network(), settings), job.loss().to(settings.device)
    shown = prepared(job.network(), settings).eval()
    flops = count_flops(shown, *inputs)
    parameters = [*network.parameters(), *loss.parameters()]
    optimiser = make_optimiser(parameters, job.config.recipe.optimiser)
    learning: nn.Module = torch.compile(network) if compiled else network  # type: ignore[assignment]
    showing: nn.Module = torch.compile(shown) if compiled else shown  # type: ignore[assignment]

    def train() -> None:
        with torch.autocast(settings.device, torch.bfloat16, enabled=brief):
            value = loss(learning(*inputs), targets)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    def show() -> object:
        with torch.no_grad(), torch.autocast(settings.device, torch.bfloat16, enabled=brief):
            return showing(*inputs)

    return train, show, flops


def compiled_rates(job: Job, settings: Settings) -> list[list[str]]:
    """Time one compiled network in a process that is stopped when its time is over."""
    batch = job.config.recipe.batch_size
    command = [sys.executable, "-m", "benchmarks.networks", job.name, settings.device]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=COMPILE_SECONDS, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return [[job.name, str(batch), "compiled", f"not within {COMPILE_SECONDS} s", "", ""]]
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [""])[-1]
        return [[job.name, str(batch), "compiled", f"failed: {reason[:80]}", "", ""]]
    train, show, flops = json.loads(done.stdout)
    note = f"compiled ({time.monotonic() - begin:.0f} s)"
    return [row(job.name, batch, note, Spread(tuple(train)), Spread(tuple(show)), flops)]


def main(name: str, device: str) -> None:
    """Compile and time one network, and print what ``compiled_rates`` reads."""
    torch.set_num_threads(1)
    settings = Settings(device, False)
    job = next(job for job in default_jobs(settings) if job.name == name)
    train, show, flops = steps(job, job.config.recipe.batch_size, settings, False, compiled=True)
    found = by_turns({"train": train, "show": show}, settings)
    print(json.dumps([found["train"].values, found["show"].values, flops]))


if __name__ == "__main__":
    main(*sys.argv[1:])
