"""Runs that people start themselves, beside the pipeline's: ``fer-repro train``.

A mistake is told before what takes seconds to import: PyTorch for the device, all else for the training.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_repro.config import RunConfig, load_config, method_arms, run_folder
from fer_repro.files import one_writer
from fer_repro.params import dataset_manifest

if TYPE_CHECKING:
    from fer_repro.pipeline.run import RunReport


def train_own(
    params: Path,
    method: str,
    dataset: str,
    seed: int,
    out: Path,
    recipe: str = "",
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
    force: bool = False,
) -> "RunReport | None":
    """Prepare the data set and train all arms of a method, or continue what a killed call began.

    Args:
        params: usually ``params.yaml``.
        method: a key of its ``methods``.
        dataset: a key of its ``data``.
        seed: from 0.
        out: where runs go; ``prepared``, ``ckpt`` and ``timings`` lie beside it.
        recipe: see ``load_config``, as are the next two.
        overrides: dotted keys of the run's configuration.
        smoke: shrink everything to seconds.
        force: train finished arms anew.

    Returns:
        What was trained; None in all but the first of the processes that share a run.

    Raises:
        UserError: a mistake in the configuration, or something finished is in the way.
    """
    root, prepared = out.parent, out.parent / "prepared"
    configs = [
        load_config(params, method, dataset, arm, seed, recipe, overrides, smoke)
        for arm in method_arms(params, method)
    ]
    manifest = dataset_manifest(params, dataset)
    if configs[0].runtime.device == "cuda":
        from fer_repro.training.seeding import choose_device

        choose_device(configs[0].runtime)
    from fer_repro.datasets.prepare import prepare_dataset
    from fer_repro.pipeline.finished_runs import keep_folder, keep_run
    from fer_repro.pipeline.run import train_run
    from fer_repro.training.processes import make_fabric

    fabric = make_fabric(configs[0])
    with ExitStack() as stack:
        if fabric.is_global_zero:  # of the processes that torchrun or Slurm started
            stack.enter_context(one_writer(run_folder(out, dataset, method, seed)))
            for config in configs:
                keep_run(config, out, root / "ckpt", force)
            keep_folder(prepared / dataset)
            prepare_dataset(dataset, manifest, prepared / dataset)
            _say_arms(configs)
        fabric.barrier()
        roots = (out, root / "ckpt", root / "timings", prepared)
        report = train_run(
            params, method, dataset, seed, *roots, recipe=recipe, overrides=overrides, smoke=smoke
        )
    return report if fabric.is_global_zero else None


def _say_arms(configs: Sequence[RunConfig]) -> None:
    """Say what one call trains; how long each takes is said when its first steps are done."""
    folds = configs[0].data.folds
    each = f", each {folds} times (folds)" if folds else ""
    names = ", ".join(config.arm for config in configs)
    number = f"{len(configs)} arms, one after another" if len(configs) > 1 else "1 arm"
    print(f"to train: {number}{each}: {names}", file=sys.stderr, flush=True)
