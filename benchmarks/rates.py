"""Which learning rate is best for each arm? Real faces need ``fer-repro data add``."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.tables import ROOT, Settings, Table
from benchmarks.trained import SEEDS, trained
from fer_repro.config import load_config
from fer_repro.errors import UserError

SHARES = (1 / 3, 1.0, 3.0)
"""Of the recipe's rate: the same grid for every arm, extended while the best one is at its edge."""


class Searched(NamedTuple):
    """The arms of one recipe that are compared, and the epochs that the search trains for."""

    method: str
    dataset: str
    recipe: str
    epochs: int
    arms: tuple[str, ...]

    @property
    def data(self) -> Path:
        """Where the data set lies."""
        return ROOT / ("prepared" if self.dataset.startswith("synthetic") else "stores")


# epochs: a quarter of the recipe's, an eighth where these are many
RUNS = (
    Searched("rmn", "fer2013", "fer2013", 5, ("no_mask", "masked")),
    Searched("ran", "ferplus", "ferplus", 5, ("whole_face", "softmax_weights")),
    Searched("fan", "ckplus48", "ckplus48", 7, ("score_fusion", "self_relation")),
    Searched("rmn", "synthetic", "long", 12, ("no_mask", "masked")),
    Searched("ran", "synthetic", "long", 8, ("whole_face", "softmax_weights")),
    Searched("fan", "synthetic_clips", "long", 36, ("score_fusion", "self_relation")),
    Searched("adacos", "synthetic_pairs", "long", 20, ("softmax", "arcface", "dynamic")),
    Searched("p2sgrad", "synthetic_pairs", "long", 20, ("softmax", "arcface", "p2sgrad")),
    Searched(
        "efficientnet",
        "synthetic_forgeries",
        "long",
        8,
        ("plain", "attention", "plain_siamese", "attention_siamese"),
    ),
    Searched("distillation", "synthetic", "long", 8, ("untouched", "fine_tuned", "kl", "triplet", "joined")),
    Searched("maxout", "synthetic", "long", 8, ("pgm", "dropout", "none", "random_drop")),
    Searched("cascade", "synthetic", "long", 8, ("cascade", "flat", "flat_five", "cascade_gabor")),
    Searched(
        "engagement", "synthetic_engagement", "long", 24, ("rank_loss", "mse", "bag", "average_of_five")
    ),
    Searched(
        "face_losses",
        "synthetic_forgeries",
        "long",
        12,
        ("softmax", "norm_softmax", "arcface", "cosface", "sphereface2"),
    ),
)


def measure(settings: Settings) -> Table:
    """Train every arm with every rate for a part of the recipe's epochs; finished runs are read."""
    rows = []
    for run in RUNS[: 1 if settings.quick else None]:
        for arm in run.arms:
            found = _search(settings, run, arm)
            best = max(found, key=lambda rate: found[rate])
            for rate in sorted(found):
                chosen = "chosen" if rate == best else ""
                network = f"{run.method}, {arm}"
                row = [network, run.dataset, str(run.epochs), f"{rate:g}", f"{found[rate]:.1f}", chosen]
                rows.append(row)
    return Table(
        "Learning rates of arms",
        f"Best validation accuracy in percent, seed {SEEDS[0]}, after so many epochs, a quarter or an eighth "
        "of the recipe's; the test part is not looked at. Every arm has the same grid, 1/3, 1 and 3 times "
        "the recipe's rate, extended while the best rate is at its edge (docs/verdicts.md). Of a regression: "
        "the share of the variance that is explained.",
        ("network", "data set", "epochs", "rate", "validation accuracy, %", ""),
        rows,
    )


def _search(settings: Settings, run: Searched, arm: str) -> dict[float, float]:
    """Rate -> validation accuracy of one arm."""
    place = (run.method, run.dataset, arm)
    recipe = load_config(ROOT / "params.yaml", *place, SEEDS[0], run.recipe).recipe
    found: dict[float, float] = {}
    wanted = [share * recipe.optimiser.lr for share in SHARES]
    while wanted:
        for rate in (float(f"{rate:.3g}") for rate in wanted):
            change = {
                "recipe.epochs": run.epochs,
                "recipe.optimiser.lr": rate,
                "recipe.arm_rate": 0.0,
            }
            names = (f"rate-{rate:g}", (run.method, arm, run.dataset), run.recipe)
            try:
                found[rate] = trained(settings, *names, SEEDS[0], change, run.data).validation_accuracy
            except UserError:  # it diverged
                found[rate] = 0.0
        wanted = [] if settings.quick else _beyond(found)
    return found


def _beyond(found: dict[float, float]) -> list[float]:
    """Name the next rate where the best one is at the edge of those tried."""
    best = max(found, key=lambda share: found[share])
    if best == min(found):
        return [best / 3]
    return [best * 3] if best == max(found) else []
