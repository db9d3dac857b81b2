"""One arm of one run: fit it for its task, and write what it says about samples or pairs."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from fer_repro.config import RunConfig, TripletConfig
from fer_repro.data.batches import Screen
from fer_repro.data.loading import Split, open_split, open_table
from fer_repro.data.pairs import has_pairs, open_pairs, people_in
from fer_repro.data.identification import identification_table
from fer_repro.data.samples import CHALLENGE
from fer_repro.data.store import Store
from fer_repro.data.views import Faces, Triplets
from fer_repro.errors import UserError
from fer_repro.evaluation.metrics import classification_metrics, softmax
from fer_repro.evaluation.pair_scores import read_pair_scores, write_pair_scores
from fer_repro.evaluation.predict import (
    SPLITS,
    Predictions,
    embed,
    predict,
    read_predictions,
    tested_samples,
    validation,
    write_predictions,
)
from fer_repro.evaluation.verification import cosine_scores, verification_metrics
from fer_repro.files import atomic_write
from fer_repro.methods.method import Method, Task
from fer_repro.training.checkpoint import Checkpoint, fingerprint
from fer_repro.training.loop import Fitted, Record, fit, make_fabric
from fer_repro.training.seeding import make_deterministic, seed_everything

if TYPE_CHECKING:
    from lightning.fabric import Fabric

FORGERY_CLASSES = ("real", "manipulated")


def task_of(method: Method, store: Store) -> Task:
    """Tell what a method is trained for on a data set.

    Raises:
        UserError: the method has no such task.
    """
    task: Task = "expression"
    if has_pairs(store) and "verification" in method.tasks:
        task = "verification"
    elif store.classes == FORGERY_CLASSES:
        task = "manipulation"
    if task not in method.tasks:
        raise UserError(
            f"{store.folder}: data set '{store.manifest.name}' is for {task}, method {method.name} for "
            f"{' and '.join(method.tasks)}"
        )
    return task


@dataclass(frozen=True)
class Arm:
    """What the training of one arm needs.

    Attributes:
        method: its method.
        config: of the run.
        options: the method's own.
        store: the prepared data set.
        state: folder of the resume state.
        task: from ``task_of``.
    """

    method: Method
    config: RunConfig
    options: Any
    store: Store
    state: Path
    task: Task

    def table(self) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Give the sample table to learn from and its classes; people instead of labels for verification."""
        if self.task == "verification":
            return identification_table(self.store.samples)
        return self.store.samples, self.store.classes

    def split(self, table: pd.DataFrame, name: str) -> Split:
        """Open one split of a table within the run's limits."""
        limits = {"train": self.config.data.max_train, "val": self.config.data.max_val}
        limit = limits.get(name, self.config.data.max_test)
        return open_table(self.store, table, name, limit, self.method.view(self.options).in_clips)

    def screen(self, split: Split, fabric: "Fabric") -> Screen:
        """Show a split as the network sees it."""
        return Screen(self.method.view(self.options), split, self.config.recipe.image_size, fabric.to_device)


@dataclass(frozen=True)
class Trained:
    """A trained arm.

    Attributes:
        network: with the weights of the best epoch.
        fitted: its training.
        first: the training by triplets before, where there was one.
        fabric: where it was trained.
    """

    network: nn.Module
    fitted: Fitted
    first: Fitted | None
    fabric: "Fabric"


def train_arm(arm: Arm) -> Trained:
    """Fit an arm, or continue where its resume state ends."""
    method, config = arm.method, arm.config
    make_deterministic(config.runtime)
    seed_everything(config.seed)
    fabric = make_fabric(config.runtime)
    table, classes = arm.table()
    train, held_out = arm.split(table, "train"), arm.split(table, "val")
    network, first = _start(arm, len(classes), train, held_out, fabric)
    loss = method.build_loss(arm.options, config.recipe.label_smoothing)
    seed_everything(config.seed)  # arms that draw more start weights than others see the same dropout
    fitted = fit(
        network,
        loss,
        method.view(arm.options),
        train,
        config,
        fabric,
        validation(arm.screen(held_out, fabric), fabric, config.evaluation.batch_size),
        Checkpoint(arm.state / "state.pt", fingerprint(config, arm.store.digest)),
        watch=method.watch or (lambda network: {}),
    )
    network.load_state_dict(fitted.weights)
    return Trained(network, fitted, first, fabric)


def _start(
    arm: Arm, classes: int, train: Split, held_out: Split, fabric: "Fabric"
) -> tuple[nn.Module, Fitted | None]:
    """Build the network; siamese arms learn distances first."""
    method, config, step = arm.method, arm.config, arm.method.first_step
    triplets = config.recipe.triplets
    if step is None or config.arm not in step.arms:
        return method.build_model(config.arm, arm.options, classes), None
    if triplets is None:
        raise UserError(
            f"recipe {config.recipe_name} of {config.method}: triplets is null, but arm '{config.arm}' is "
            "trained by triplets first"
        )
    siamese, loss = step.build(config.arm, arm.options), step.build_loss(triplets.margin)
    view = Triplets(triplets.per_epoch)
    screen = Screen(view, held_out, config.recipe.image_size, fabric.to_device)
    fitted = fit(
        siamese,
        loss,
        view,
        train,
        _first_config(config, triplets),
        fabric,
        validation(screen, fabric, config.evaluation.batch_size, loss),
        Checkpoint(arm.state / "triplets.pt", fingerprint(config, arm.store.digest)),
    )
    siamese.load_state_dict(fitted.weights)
    return step.tune(siamese, arm.options), fitted


def _first_config(config: RunConfig, triplets: TripletConfig) -> RunConfig:
    recipe = replace(
        config.recipe,
        epochs=triplets.epochs,
        batch_size=triplets.batch_size,
        optimiser=triplets.optimiser,
        schedule=triplets.schedule,
        sampling=replace(config.recipe.sampling, order="shuffle", per_epoch=0),
        selection="loss",
        early_stop=0,
    )
    return replace(config, recipe=recipe, arm=f"{config.arm} (triplets)")


def write_outcome(arm: Arm, trained: Trained, folder: Path) -> None:
    """Write history, predictions or scores, explained tensors and metrics; numbers come from the files."""
    _write_history(folder / "history.csv", trained.fitted.history)
    if trained.first is not None:
        _write_history(folder / "triplets.csv", trained.first.history)
    _write_explained(folder / "explained.npz", arm, trained)
    numbers: dict[str, Any] = {
        "best_epoch": trained.fitted.best_epoch,
        "epochs": len(trained.fitted.history),
        "parameters": sum(parameter.numel() for parameter in trained.network.parameters()),
    }
    if arm.task == "verification":
        _write_scores(folder, arm, trained)
        numbers |= _score_metrics(folder / "pairs.csv")
    else:
        copies = arm.config.recipe.tta_copies
        write_predictions(folder / "predictions.csv", _predictions(arm, trained), augmented=copies > 0)
        numbers |= _prediction_metrics(folder / "predictions.csv", copies > 0)
    (folder / "metrics.json").write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n", "utf-8")


def _write_history(path: Path, history: list[Record]) -> None:
    pd.DataFrame(history).to_csv(path, index=False, float_format="%.9g", lineterminator="\n")


def _predictions(arm: Arm, trained: Trained) -> Predictions:
    recipe, parts = arm.config.recipe, []
    for name in SPLITS:
        if name == CHALLENGE and name not in set(arm.store.samples["split"]):
            continue
        screen = arm.screen(arm.split(arm.store.samples, name), trained.fabric)
        logits, means = predict(
            trained.network,
            screen,
            trained.fabric,
            arm.config.evaluation.batch_size,
            recipe.augmentation,
            recipe.tta_copies,
            arm.config.seed,
        )
        samples, targets = tested_samples(screen)
        parts.append((samples, np.full(len(samples), name), targets, logits, means))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Predictions(arm.store.classes, *columns)


def _prediction_metrics(path: Path, augmented: bool) -> dict[str, Any]:
    """Compute from the file, so that anybody gets the same numbers from it."""
    predictions, numbers = read_predictions(path), {}
    for name in dict.fromkeys(predictions.splits.tolist()):
        part = predictions.of_split(name)
        numbers[name] = _rounded(classification_metrics(part.targets, softmax(part.logits)))
        if augmented:
            numbers[f"{name}_tta"] = _rounded(classification_metrics(part.targets, part.probabilities))
    return numbers


def tested_pairs(arm: Arm) -> pd.DataFrame:
    """Choose the pairs to score: ``test`` shows nobody the network has learnt from, ``val`` gives thresholds.

    A set's own lists of these names are taken. Else ``test`` is the first list of people who are all new to
    the network (LFW: ``dev_test``), and ``val`` the first of people it has learnt from.

    Raises:
        UserError: every list shows people of the training split.
    """
    pairs, limit = open_pairs(arm.store), arm.config.data.max_test
    learnt, known, strange = set(arm.table()[0]["subject"]), [], []
    for name in dict.fromkeys(pairs["list"]):
        people = set(people_in(pairs[pairs["list"] == name], arm.store.samples))
        known += [name] if people & learnt else []
        strange += [] if people & learnt else [name]
    if not strange:
        raise UserError(f"{arm.store.folder}: every list of pairs shows people of the training split")
    chosen = {"test" if "test" in strange else strange[0]: "test"}
    chosen |= dict.fromkeys(["val"] if "val" in strange else known[:1], "val")
    kept = pairs[pairs["list"].isin(chosen)]
    kept = kept.assign(list=kept["list"].map(chosen))
    if limit:
        kept = kept.groupby(["list", "fold", "same"], sort=False).head(max(1, limit // 4))
    return kept.reset_index(drop=True)


def _write_scores(folder: Path, arm: Arm, trained: Trained) -> None:
    pairs = tested_pairs(arm)
    rows = np.unique(pairs[["first", "second"]].to_numpy())
    split = Split(
        arm.store.images,
        rows,
        arm.store.samples["image"].to_numpy(np.int64)[rows],
        np.zeros(len(rows), np.int64),
    )
    vectors = embed(
        trained.network, arm.screen(split, trained.fabric), trained.fabric, arm.config.evaluation.batch_size
    )
    first, second = (np.searchsorted(rows, pairs[name].to_numpy()) for name in ("first", "second"))
    write_pair_scores(folder / "pairs.csv", pairs.assign(score=cosine_scores(vectors, first, second)))
    with atomic_write(folder / "embeddings.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, embeddings=vectors.astype(np.float16), samples=rows)


def _score_metrics(path: Path) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, part in read_pair_scores(path).groupby("list", sort=False):
        folds = part["fold"].to_numpy()
        metrics, _ = verification_metrics(
            part["score"].to_numpy(), part["same"].to_numpy(), folds if len(np.unique(folds)) > 1 else None
        )
        numbers[str(name)] = _rounded(metrics)
    return numbers


def _write_explained(path: Path, arm: Arm, trained: Trained) -> None:
    """Keep the tensors the paper draws for the first test items, as float16, and which samples they show.

    ``samples`` (n,) names each item by the row of its first picture; ``rows`` (n, T) all pictures of a clip,
    -1 at padding.
    """
    if arm.method.explain is None:
        return
    split = open_split(arm.store, "test", arm.config.data.max_test, arm.method.view(arm.options).in_clips)
    screen = arm.screen(split, trained.fabric)
    items = screen.view.testing(split).take(slice(0, arm.config.evaluation.explained))
    tensors = arm.method.explain(trained.network, *screen.clean(items).inputs)
    if tensors is None:
        return
    arrays = {name: tensor.float().cpu().numpy().astype(np.float16) for name, tensor in tensors.items()}
    rows = np.where(items.mask, split.samples[items.positions], -1)
    arrays["samples"] = rows[:, 0]
    if not isinstance(screen.view, Faces) and rows.shape[1] > 1:
        arrays["rows"] = rows
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **dict(sorted(arrays.items())))  # type: ignore[arg-type]


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.9g}") for name, value in metrics.items()}


def metric_line(metrics: dict[str, Any]) -> str:
    """Say the main test numbers of an arm in one line, for a terminal."""
    said = {"test": "test", "test_tta": "with test-time augmentation"}
    return ", ".join(
        f"{words} {metric.replace('_', ' ')} {100 * metrics[name][metric]:.2f} %"
        for name, words in said.items()
        for metric in ("accuracy", "pair_accuracy", "auc")
        if metric in metrics.get(name, {})
    )
