"""What did the default reproduction take, stage by stage? Read from what its runs left; nothing is run."""

import json
from collections import defaultdict
from pathlib import Path

from benchmarks.tables import ROOT, Settings, Table
from fer_repro.params import read_params

KINDS = {"data": "prepare", "train": "train", "": "evaluate and tell", "comparison": "compare"}


def measure(settings: Settings) -> Table:
    """Add up the stages' durations; training also from the timings of every arm."""
    rows = _stage_rows(ROOT / "timings" / "stages")
    for dataset, method in read_params(ROOT / "params.yaml").pipeline.runs:
        rows += _training_rows(dataset, method)
    return Table(
        "Cost of the default reproduction",
        "Seconds as the stages recorded them when they last ran here. A stage that was restored "
        "from the cache has none. Stages run in parallel where there are enough processors.",
        ("stage", "runs", "seconds, all", "seconds, longest"),
        rows,
    )


def _stage_rows(folder: Path) -> list[list[str]]:
    found: dict[str, list[float]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        kind = KINDS.get(path.stem.split("-")[0], KINDS[""])
        found[kind].append(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    return [_row(f"{kind}: whole stages", found[kind]) for kind in KINDS.values() if kind in found]


def _training_rows(dataset: str, method: str) -> list[list[str]]:
    files = sorted((ROOT / "timings" / dataset / method).glob("*/*.json"))
    arms = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    trained = [arm["train_seconds"] + arm.get("first_step_seconds", 0) for arm in arms]
    validated = [sum(epoch["validation_seconds"] for epoch in arm["epochs"]) for arm in arms]
    shown = [arm["evaluate_seconds"] for arm in arms]
    stages = sorted((ROOT / "timings" / "stages").glob(f"train-{dataset}-{method}-*.json"))
    whole = [json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in stages]
    rest = (sum(whole) - sum(trained) - sum(validated) - sum(shown)) / max(1, len(whole))
    where = f"train: {method} on {dataset}"
    return [
        _row(f"{where}, training", trained),
        _row(f"{where}, validation", validated),
        _row(f"{where}, predicting and explaining", shown),
        [f"{where}, start-up, figures and saving", str(len(whole)), f"{rest * len(whole):.0f}", "-"],
    ]


def _row(name: str, seconds: list[float]) -> list[str]:
    return [name, str(len(seconds)), f"{sum(seconds):.0f}", f"{max(seconds, default=0):.0f}"]
