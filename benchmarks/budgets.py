"""What accuracy does a second of training give? By batch, width, side, stem and epochs."""

from benchmarks.tables import Settings, Spread, Table
from benchmarks.trained import SEEDS, chosen_seeds, item_seconds, trained

SMALL_STEM = {"model.stem": "small", "image_size": 48}
# headline arm and data set of each method, and each change of the recipe named like the data set
RUNS: dict[str, tuple[tuple[str, str, str], list[dict[str, int | str]]]] = {
    "RMN": (
        ("rmn", "masked", "synthetic"),
        [{"batch_size": 64}, {"epochs": 3}, {"epochs": 12}, SMALL_STEM],
    ),
    "RMN, control": (
        ("rmn", "no_mask", "synthetic"),
        [{"batch_size": 64}, {"model.width": 16}, {"epochs": 3}, {"epochs": 12}, SMALL_STEM],
    ),
    "RAN": (
        ("ran", "softmax_weights", "synthetic"),
        [
            {"batch_size": 16},
            {"batch_size": 64},
            {"model.width": 16},
            {"epochs": 8},
            {"image_size": 48},
            SMALL_STEM,
        ],
    ),
    "FAN": (
        ("fan", "self_relation", "synthetic_clips"),
        [
            {"batch_size": 8},
            {"batch_size": 32},
            {"model.width": 16},
            {"epochs": 9},
            {"epochs": 36},
            {"image_size": 64},
            {"model.stem": "small"},
        ],
    ),
    "AdaCos": (
        ("adacos", "dynamic", "synthetic_pairs"),
        [
            {"batch_size": 16},
            {"batch_size": 64},
            {"model.width": 16},
            {"epochs": 5},
            {"epochs": 20},
            {"image_size": 64},
            {"model.stem": "small"},
        ],
    ),
    "EfficientNet": (
        ("efficientnet", "plain", "synthetic_forgeries"),
        [
            {"batch_size": 16},
            {"batch_size": 64},
            {"model.width": 16},
            {"epochs": 2},
            {"epochs": 8},
            {"image_size": 96},
        ],
    ),
}
WORDS = {
    "batch_size": "batch {}",
    "epochs": "{} epochs",
    "image_size": "{} px",
    "model.stem": "{} stem",
    "model.width": "width {}",
}


def measure(settings: Settings) -> Table:
    """Train every variant with every seed; finished runs are read."""
    rows = []
    for label, (run, changes) in list(RUNS.items())[: 1 if settings.quick else None]:
        usual = 0.0
        for departures in [{}, *changes]:
            name = ", ".join(WORDS[key].format(value) for key, value in departures.items()) or "default"
            folder = name.replace(",", "").replace(" ", "-")
            change = {f"recipe.{key}": value for key, value in departures.items()}
            seeds = chosen_seeds(settings)
            done = [trained(settings, folder, run, run[2], seed, change) for seed in seeds]
            accuracy = Spread(tuple(each.validation_accuracy for each in done))
            seconds = done[0].items * len(done[0].history) * item_seconds(settings, run, run[2], change)
            usual = usual or seconds
            rows.append([label, name, accuracy.shown(".1f"), f"{seconds:.1f}", f"{seconds / usual:.2f}"])
    return Table(
        "Accuracy per second of training",
        "Best validation accuracy in percent (AdaCos: of the people it learns from) and seconds of all "
        "epochs of each method's headline arm at the default recipe with one change; median of the seeds "
        f"{', '.join(map(str, SEEDS))}, with the lowest and the highest; without validation. Default recipes "
        "are not chosen from this table.",
        ("network", "change", "validation accuracy, %", "seconds", "of the default's seconds"),
        rows,
    )
