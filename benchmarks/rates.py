"""Which learning rate is best for each arm on real faces? Needs ``fer-repro data add`` for them."""

from benchmarks.tables import ROOT, Settings, Table
from benchmarks.trained import SEEDS, trained
from fer_repro.config import load_config

SHARES = (1 / 3, 1.0, 3.0)
"""Of the recipe's rate: the same grid for every arm, extended while the best one is at its edge."""
QUARTER = 4
# arms of one recipe, the control first
RUNS = {
    "fer2013": [("rmn", "no_mask"), ("rmn", "masked")],
    "ferplus": [("ran", "whole_face"), ("ran", "softmax_weights")],
}


def measure(settings: Settings) -> Table:
    """Train every arm with every rate for a quarter of the recipe's shorter run; finished runs are read."""
    rows = []
    for dataset, arms in list(RUNS.items())[: 1 if settings.quick else None]:
        for method, arm in arms:
            recipe = load_config(ROOT / "params.yaml", method, dataset, arm, SEEDS[0]).recipe
            epochs, base = max(1, recipe.epochs // 2 // QUARTER), recipe.optimiser.lr
            found: dict[float, float] = {}
            wanted = list(SHARES)
            while wanted:
                for share in wanted:
                    change = {"recipe.epochs": epochs, "recipe.optimiser.lr": float(f"{share * base:.3g}")}
                    done = trained(
                        settings,
                        f"rate-{change['recipe.optimiser.lr']:g}",
                        (method, arm, dataset),
                        dataset,
                        SEEDS[0],
                        change,
                        ROOT / "stores",
                    )
                    found[share] = done.validation_accuracy
                wanted = [] if settings.quick else _beyond(found)
            best = max(found, key=lambda share: found[share])
            for share in sorted(found):
                chosen = "chosen" if share == best else ""
                rows.append(
                    [f"{method}, {arm}", dataset, f"{share * base:.3g}", f"{found[share]:.1f}", chosen]
                )
    return Table(
        "Learning rates of arms on real faces",
        "Best validation accuracy in percent after a quarter of the shorter run's epochs, "
        f"seed {SEEDS[0]}; the test part is not looked at. Every arm has the same grid, 1/3, 1 and 3 times "
        "the recipe's rate, extended while the best rate is at its edge "
        "(rule 3 of docs/verdicts.md, version 2).",
        ("network", "data set", "rate", "validation accuracy, %", ""),
        rows,
    )


def _beyond(found: dict[float, float]) -> list[float]:
    """Name the next rate where the best one is at the edge of those tried."""
    best = max(found, key=lambda share: found[share])
    if best == min(found):
        return [best / 3]
    return [best * 3] if best == max(found) else []
