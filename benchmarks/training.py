"""What share of a training is the network itself?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from benchmarks.material import Job, default_jobs, find_job, laid_out, prepared
from benchmarks.tables import Settings, Spread, Table, clock, ratios
from fer_repro.training.checkpoint import Checkpoint
from fer_repro.training.fit import fit
from fer_repro.training.optim import make_optimiser
from fer_repro.training.processes import make_fabric
from fer_repro.training.seeding import make_deterministic

STEPS = 24  # an epoch of the synthetic recipes has 26 to 44
ROUNDS = 9
AIM = 0.95


def measure(settings: Settings) -> Table:
    """Train every method's headline arm, alternately with its bare steps."""
    jobs = [job for job in default_jobs(settings) if job.name != "P2SGrad"]
    if settings.device == "cuda":
        jobs = [find_job("RMN, 224 px", "rmn", "masked", "synthetic", "paper", settings)]
    if settings.quick:
        jobs = jobs[:1]
    rows = []
    for job in jobs:
        whole, bare, items = epochs(job, settings)
        rates = [f"{items / spread.median:,.1f}" for spread in (whole, bare)]
        rows.append([job.name, *rates, ratios(bare, whole).shown(".3f"), str(AIM)])
    return Table(
        "Training, end to end",
        "Items per second (faces, clips) of `fit` with all it does in an epoch - order, gather, "
        "augmentation, steps, tallies, progress, checkpoint when due - beside forward, backward and "
        "optimiser step of the same network on one batch that is ready in memory. Synthetic recipes; on a "
        "GPU RMN's paper recipe in bf16.",
        ("network", "fit", "bare", "share", "aim"),
        rows,
    )


def epochs(job: Job, settings: Settings, rounds: int = 0) -> tuple[Spread, Spread, int]:
    """Time epochs of ``fit`` alternately with bare steps.

    Args:
        job: what is trained.
        settings: of the benchmark.
        rounds: epochs that count; 0 takes ``ROUNDS``.

    Returns:
        Seconds of both, and the items of an epoch.
    """
    recipe = job.config.recipe
    steps, repeats = (2, 1) if settings.quick else (STEPS, rounds or ROUNDS)
    items = steps * recipe.batch_size
    sampling = replace(recipe.sampling, per_epoch=items)
    precision = "bf16-mixed" if settings.device == "cuda" else "32-true"
    recipe = replace(recipe, sampling=sampling, epochs=repeats + 1, early_stop=0, precision=precision)
    config = replace(job.config, recipe=recipe)
    make_deterministic(config.runtime)
    job, fabric = replace(job, config=config), make_fabric(config)
    bare, stamps = bare_steps(job, fabric, steps, settings), []

    def validate(network: nn.Module) -> tuple[float, float]:
        before = clock(settings)
        bare()
        stamps.append((before, clock(settings)))
        return 0.0, 0.0

    screen, ends = job.screen(items, settings), []
    with TemporaryDirectory() as folder:
        fit(
            job.network(),
            job.loss(),
            screen.view,
            screen.split,
            config,
            fabric,
            validate,
            Checkpoint(Path(folder) / "state.pt", "benchmark"),
            lambda record: ends.append(clock(settings)),
        )
    plain = [end - begin for begin, end in stamps]
    whole = [ends[n] - ends[n - 1] - plain[n] for n in range(1, len(ends))]  # the first epoch warms up
    return Spread(tuple(whole)), Spread(tuple(plain[1:])), items


def bare_steps(job: Job, fabric, steps: int, settings: Settings) -> Callable[[], None]:
    """Make the call that does nothing but forward, backward and optimiser step."""
    network = prepared(job.network(), settings).train()
    loss = job.loss().to(settings.device)
    recipe = job.config.recipe
    optimiser = make_optimiser([*network.parameters(), *loss.parameters()], recipe.optimiser)
    inputs, targets = job.batch(recipe.batch_size, settings)
    inputs = tuple(laid_out(each) for each in inputs)

    def run() -> None:
        for _ in range(steps):
            with fabric.autocast():
                value = loss(network(*inputs), targets)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()

    return run
