"""How long does a prediction take, and what makes it shorter at what cost?"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.material import Job, paper_jobs
from benchmarks.tables import Settings, Table, by_turns, ratios
from fer_repro.inference.torch_backend import brief_numbers, fold_batch_norms, speed_up
from fer_repro.training.loop import logits_of

BATCHES = (1, 8)
AIM = 2


def measure(settings: Settings) -> Table:
    """Time every paper's network on one item and on eight, plain and made faster."""
    jobs = paper_jobs(settings)
    rows = []
    for job in jobs[:2] if settings.quick else jobs:
        for batch in BATCHES:
            rows += variants(job, batch, settings)
    return Table(
        "Latency of the papers' networks",
        "Milliseconds per item (a face, or the regions or frames that the name says) at 224 pixels; the "
        "forward pass alone, images are ready in memory, random weights. Difference: the largest of a logit "
        f"from the plain float32 pass, over the largest logit. Aim: {AIM} times at batch 8 for RMN and "
        "ResNet-18. Fast, which is `load(..., fast=True)`: folded, channels last, bf16, weights stored so.",
        ("network", "batch", "variant", "ms per item", "times as fast", "difference"),
        rows,
    )


def variants(job: Job, batch: int, settings: Settings) -> list[list[str]]:
    """Time one network's variants alternately."""
    inputs, _ = job.batch(batch, settings)
    plain = job.network().to(settings.device).eval()
    folded = copy.deepcopy(plain)
    fold_batch_norms(folded, *inputs)
    last = copy.deepcopy(folded).to(memory_format=torch.channels_last)
    fast = copy.deepcopy(plain)
    speed_up(fast, *inputs)
    calls = {
        "float32": forward(plain, inputs, settings),
        "folded": forward(folded, inputs, settings),
        "folded, channels last": forward(last, inputs, settings),
        "bf16": forward(plain, inputs, settings, brief=True),
        "fast": forward(fast, inputs, settings, brief=True),
    }
    found = by_turns(calls, settings)
    right = calls["float32"]()
    return [
        [
            job.name,
            str(batch),
            name,
            f"{1e3 * found[name].median / batch:.1f}",
            ratios(found["float32"], found[name]).shown(),
            f"{((call() - right).abs().max() / right.abs().max()).item():.0e}",
        ]
        for name, call in calls.items()
    ]


def forward(
    network: nn.Module, inputs: tuple[Tensor, ...], settings: Settings, brief: bool = False
) -> Callable[[], Tensor]:
    """Make the call of a forward pass that gives logits."""
    device = torch.device(settings.device)

    def run() -> Tensor:
        with torch.inference_mode():
            if not brief:
                return logits_of(network(*inputs)).float()
            with brief_numbers(device):
                output = network(*inputs)
            return logits_of(output).float()

    return run
