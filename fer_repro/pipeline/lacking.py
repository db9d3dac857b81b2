"""Runs for a notebook whose method the pipeline does not train: trained where they are missing."""

from pathlib import Path

from fer_repro.config import load_config, method_arms, run_folder
from fer_repro.datasets.store import open_store
from fer_repro.params import read_params
from fer_repro.pipeline.run import train_run

FINISHED = "metrics.json"


def runs_or_train(
    params_file: Path | str,
    method: str,
    dataset: str,
    runs: Path | str,
    prepared: Path | str,
    scratch: Path | str = "scratch",
    smoke: bool = False,
) -> Path:
    """Find the runs of all arms and seeds, or train those that are missing.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of its ``methods``.
        dataset: prepared below ``prepared``.
        runs: where the pipeline's runs live; nothing is written there.
        prepared: where prepared data sets live.
        scratch: where to train; what stands there from an earlier call with the same parameters and data
            is kept.
        smoke: shrink everything to seconds.

    Returns:
        ``runs`` where they are complete, else ``scratch / "runs"``.

    Raises:
        UserError: parameters or data set are wrong, or training diverged.
    """
    seeds = read_params(Path(params_file)).seeds
    arms = method_arms(Path(params_file), method)
    folders = [run_folder(runs, dataset, method, seed, arm) for seed in seeds for arm in arms]
    if all((folder / FINISHED).is_file() for folder in folders):
        return Path(runs)
    digests = open_store(Path(prepared) / dataset).digests
    places = {name: Path(scratch) / name for name in ("runs", "ckpt", "timings")}

    def is_made(seed: int, arm: str) -> bool:
        folder = run_folder(places["runs"], dataset, method, seed, arm)
        wanted = load_config(params_file, method, dataset, arm, seed, smoke=smoke)
        return (folder / FINISHED).is_file() and wanted.is_in(folder / "config.json", digests)

    for seed in seeds:
        if lacking := [arm for arm in arms if not is_made(seed, arm)]:
            train_run(
                params_file,
                method,
                dataset,
                seed,
                places["runs"],
                places["ckpt"],
                places["timings"],
                prepared,
                smoke=smoke,
                arms=lacking,
            )
    return places["runs"]
