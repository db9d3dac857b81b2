"""What does a second of training buy? Accuracy beside seconds, for batch, width, side, stem and epochs."""

from typing import Any

from benchmarks.tables import Settings, Spread, Table
from benchmarks.trained import SEEDS, item_seconds, trained

SMALL_STEM = {"recipe.model.stem": "small", "recipe.image_size": 48}
# headline arm and data set of each method, and what is changed of the recipe named like the data set
RUNS: dict[str, tuple[tuple[str, str, str], dict[str, dict[str, Any]]]] = {
    "RMN": (
        ("rmn", "masked", "synthetic"),
        {"batch 64": {"recipe.batch_size": 64}, "3 epochs": {"recipe.epochs": 3}}
        | {"12 epochs": {"recipe.epochs": 12}, "small stem, 48 px": SMALL_STEM},
    ),
    "RMN, control": (
        ("rmn", "no_mask", "synthetic"),
        {"batch 64": {"recipe.batch_size": 64}, "width 16": {"recipe.model.width": 16}}
        | {"3 epochs": {"recipe.epochs": 3}, "12 epochs": {"recipe.epochs": 12}}
        | {"small stem, 48 px": SMALL_STEM},
    ),
    "RAN": (
        ("ran", "softmax_weights", "synthetic"),
        {"batch 16": {"recipe.batch_size": 16}, "batch 64": {"recipe.batch_size": 64}}
        | {"width 16": {"recipe.model.width": 16}, "8 epochs": {"recipe.epochs": 8}}
        | {"48 px": {"recipe.image_size": 48}, "small stem, 48 px": SMALL_STEM},
    ),
    "FAN": (
        ("fan", "self_relation", "synthetic_clips"),
        {"batch 8": {"recipe.batch_size": 8}, "batch 32": {"recipe.batch_size": 32}}
        | {"width 16": {"recipe.model.width": 16}, "9 epochs": {"recipe.epochs": 9}}
        | {"36 epochs": {"recipe.epochs": 36}, "64 px": {"recipe.image_size": 64}}
        | {"small stem": {"recipe.model.stem": "small"}},
    ),
    "AdaCos": (
        ("adacos", "dynamic", "synthetic_pairs"),
        {"batch 16": {"recipe.batch_size": 16}, "batch 64": {"recipe.batch_size": 64}}
        | {"width 16": {"recipe.model.width": 16}, "5 epochs": {"recipe.epochs": 5}}
        | {"20 epochs": {"recipe.epochs": 20}, "64 px": {"recipe.image_size": 64}}
        | {"small stem": {"recipe.model.stem": "small"}},
    ),
    "EfficientNet": (
        ("efficientnet", "plain", "synthetic_forgeries"),
        {"batch 16": {"recipe.batch_size": 16}, "batch 64": {"recipe.batch_size": 64}}
        | {"width 16": {"recipe.model.width": 16}, "2 epochs": {"recipe.epochs": 2}}
        | {"8 epochs": {"recipe.epochs": 8}, "96 px": {"recipe.image_size": 96}},
    ),
}


def measure(settings: Settings) -> Table:
    """Train every variant with every seed; what is there already is read."""
    rows = []
    for label, (run, changes) in list(RUNS.items())[: 1 if settings.quick else None]:
        usual = 0.0
        for name, change in {"default": {}, **changes}.items():
            folder = name.replace(",", "").replace(" ", "-")
            seeds = SEEDS[: 1 if settings.quick else None]
            done = [trained(settings, folder, run, run[2], seed, change) for seed in seeds]
            accuracy = Spread(tuple(each.validation_accuracy for each in done))
            seconds = done[0].items * len(done[0].history) * item_seconds(settings, run, run[2], change)
            usual = usual or seconds
            rows.append([label, name, accuracy.shown(".1f"), f"{seconds:.1f}", f"{seconds / usual:.2f}"])
    return Table(
        "What a second of training buys",
        "Best validation accuracy in percent (AdaCos: of the people it learns from) and seconds of all "
        "epochs of each method's headline arm at the default recipe with one change; median of the seeds "
        f"{', '.join(map(str, SEEDS))}, with the lowest and the highest; without validation. Default recipes "
        "are not chosen from this table.",
        ("network", "change", "validation accuracy, %", "seconds", "of the default's seconds"),
        rows,
    )
