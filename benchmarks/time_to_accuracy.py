"""How long until RMN's control classifies FER2013 so well? Needs ``fer-repro data add fer2013 PATH``."""

from benchmarks.tables import ROOT, Settings, Spread, Table
from benchmarks.trained import SEEDS, Training, chosen_seeds, item_seconds, trained

RUN = ("rmn", "no_mask", "fer2013")
RECIPE = "fer2013"
EPOCHS = 20
GOALS = (60, 64, 66)


def measure(settings: Settings) -> Table:
    """Train with every seed; finished runs are read."""
    stores = ROOT / "stores"
    change = {"recipe.epochs": EPOCHS}
    name = f"{EPOCHS}-epochs"
    done = [trained(settings, name, RUN, RECIPE, seed, change, stores) for seed in chosen_seeds(settings)]
    epoch = done[0].items * item_seconds(settings, RUN, RECIPE, change)
    rows = [[f"PublicTest, {goal} %", _reached(done, goal / 100, epoch)] for goal in GOALS]
    public = Spread(tuple(each.validation_accuracy for each in done))
    private = {
        part: Spread(tuple(100 * each.metrics[part]["accuracy"] for each in done))
        for part in ("test", "test_tta")
    }
    rows.append([f"all {len(done[0].history)} epochs", f"{epoch * len(done[0].history):.0f}"])
    rows.append(["PublicTest at the best epoch, %", public.shown(".1f")])
    rows.append(["PrivateTest, %", private["test"].shown(".1f")])
    rows.append(["PrivateTest, averaged over 8 augmented copies, %", private["test_tta"].shown(".1f")])
    return Table(
        "Time to accuracy on FER2013",
        f"Seconds of one thread that RMN's control (no masks) trains until it reaches an accuracy on "
        f"PublicTest, which also chooses the epoch; PrivateTest is evaluated once. Recipe "
        f"`{RECIPE}` of params.yaml for {EPOCHS} epochs: width 16, 48 px, small stem, batch 128, SGD. "
        f"Median of the seeds {', '.join(map(str, SEEDS))}, with the lowest and the highest; seconds without "
        "validation.",
        ("until", "seconds, or %"),
        rows,
    )


def _reached(done: list[Training], goal: float, epoch: float) -> str:
    """Seconds until the first epoch that is so good, and how many of the seeds have one."""
    found = []
    for each in done:
        good = each.history.index[each.history["val_accuracy"] >= goal]
        found += [epoch * (good[0] + 1)] if len(good) else []
    if not found:
        return "not reached"
    return Spread(tuple(found)).shown(".0f") + (
        "" if len(found) == len(done) else f", {len(found)} of {len(done)} seeds"
    )
