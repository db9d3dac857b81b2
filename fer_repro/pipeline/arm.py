"""One arm of one run: what it learns from, and its training."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fer_repro.config import RunConfig, TripletConfig
from fer_repro.datasets.folds import (
    fold_split,
    hidden_labels,
    identification_table,
    kind_labels,
    without_kind,
)
from fer_repro.datasets.store import Store
from fer_repro.datasets.votes import soft_targets
from fer_repro.errors import UserError
from fer_repro.loading.batches import Batch, BatchBuilder
from fer_repro.loading.split import Split, distinct, level_values, official_validation, open_table
from fer_repro.loading.views import Triplets
from fer_repro.methods.method import Method, Task
from fer_repro.stage_code import TRAINING
from fer_repro.training.checkpoint import Checkpoint, copy_weights, fingerprint
from fer_repro.training.fit import Fitted, fit
from fer_repro.training.heads import dropping_features, linear_layer
from fer_repro.training.predict import (
    cross_entropy,
    item_batches,
    predict,
    squared_error,
    tested_rows,
    validation,
)
from fer_repro.training.seeding import make_deterministic, seed_everything

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PROCESS_STRIDE = 1_000_003  # between the seeds of a run's processes: no seed of another run


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
        fabric: where it computes.
        fold: the fold that is tested; 0 for the set's own split.
        sources: the arms whose networks it begins with.
    """

    method: Method
    config: RunConfig
    options: Any
    store: Store
    state: Path
    task: Task
    fabric: "Fabric"
    fold: int = 0
    sources: "tuple[Arm, ...]" = ()

    def folds(self) -> "list[Arm]":
        """Give the trainings that this arm consists of: itself, or one for each fold."""
        folds = self.config.data.folds
        return [self._of_fold(k) for k in range(1, folds + 1)] or [self]

    def _of_fold(self, fold: int) -> "Arm":
        sources = tuple(source._of_fold(fold) for source in self.sources)
        return replace(self, fold=fold, state=self.state / f"fold{fold}", sources=sources)

    @property
    def hidden(self) -> int:
        """How many labels the arm learns beside people, to hide them; 0 where it verifies nobody."""
        hidden = self.method.hidden(self.config.arm, self.config.recipe.model)
        return hidden if self.task == "verification" else 0

    def stamp(self, code: Iterable[str] = TRAINING) -> str:
        """Hash what the arm depends on, its sources included; see ``fingerprint``."""
        own = fingerprint(self.config, self.store.digest, code, self.fabric.world_size)
        if not self.sources:
            return own
        stamps = [own, *(source.stamp(code) for source in self.sources)]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()

    def table(self) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Give the sample table to learn from and its classes; people instead of labels for verification.

        A kind of manipulation that the arm is to meet first in its test is neither in train nor in val.
        """
        if self.task == "verification":
            return identification_table(self.store.samples)
        where = str(self.store.folder / "samples.csv")
        samples = self.store.samples
        if self.fold:
            samples = fold_split(samples, self.fold, where)
        if unseen := self.method.unseen(self.config.arm, self.config.recipe.model):
            samples = without_kind(samples, unseen, where)
        if self.method.learnt:
            given = self.config.arm, self.config.recipe.model, samples, self.config.seed
            samples = samples[self.method.learnt(*given) | samples["split"].ne("train").to_numpy()]
        return samples, self.store.classes

    def to_learn(self) -> tuple[Split, Split, int]:
        """Open what is trained on and what chooses the epoch; and count the classes."""
        table, classes = self.table()
        learnt, by_test = table, self.config.data.select_on == "test" and self.task != "verification"
        if by_test:
            learnt = table.assign(split=table["split"].replace("val", "train"))
        if kinds := self.method.kinds(self.config.arm, self.config.recipe.model):
            learnt = kind_labels(learnt, kinds, str(self.store.folder / "samples.csv"))
        if self.hidden:
            learnt = hidden_labels(learnt, self.store.samples, self.hidden, str(self.store.folder))
        held_out = self.split(table, "test") if by_test else self._validation(table)
        return self._voted(self.split(learnt, "train")), held_out, len(classes)

    def split(self, table: pd.DataFrame, name: str) -> Split:
        """Open one split of a table within the run's limits, each sample once."""
        if name == "val" and self.config.recipe.sampling.validation == "official":
            return distinct(self._validation(table))
        return self._limited(table, name)

    def _validation(self, table: pd.DataFrame) -> Split:
        """Open what chooses the epoch; under ``official`` a sample may be in it several times."""
        if self.config.recipe.sampling.validation == "uniform":
            return self._limited(table, "val")
        whole = open_table(self.store, table, "val", in_clips=self.method.view(self.options).in_clips)
        return official_validation(whole, self.config.data.max_val, self.config.seed)

    def _limited(self, table: pd.DataFrame, name: str) -> Split:
        limits = {"train": self.config.data.max_train, "val": self.config.data.max_val}
        limit = limits.get(name, self.config.data.max_test)
        split = open_table(self.store, table, name, limit, self.method.view(self.options).in_clips)
        if self.task != "regression":
            return split
        return replace(split, values=level_values(self.store).astype(np.float32)[split.targets])

    def screen(self, split: Split) -> BatchBuilder:
        """Show a split as the network sees it."""
        size, view = self.config.recipe.image_size, self.method.view(self.options)
        return BatchBuilder(view, split, size, self.fabric.to_device)

    def _voted(self, split: Split) -> Split:
        """Add the shares of the votes where the recipe learns from them."""
        wanted = self.config.recipe.targets
        if wanted == "labels":
            return split
        shares = soft_targets(self.store.samples, self.store.classes)
        if shares is None or self.task != "expression":
            raise UserError(
                f"recipe {self.config.recipe_name} of {self.config.method}: targets is '{wanted}', but data "
                f"set '{self.store.manifest.name}' has no votes for it; 'labels' always works"
            )
        return replace(split, shares=shares[split.samples])


@dataclass(frozen=True)
class Trained:
    """A trained arm.

    Attributes:
        network: with the weights of the best epoch.
        fitted: its training.
        first: the training by triplets before, where there was one.
    """

    network: nn.Module
    fitted: Fitted
    first: Fitted | None


def train_arm(arm: Arm) -> Trained:
    """Fit an arm, or continue where its resume state ends."""
    method, config, fabric = arm.method, arm.config, arm.fabric
    make_deterministic(config.runtime)
    seed_everything(config.seed)
    train, held_out, classes = arm.to_learn()
    if method.is_solved(config.arm):
        return _solve(arm, train, held_out, classes)
    network, first = _start(arm, classes, train, held_out)
    loss = method.build_loss(arm.options, config.recipe.label_smoothing)
    criterion = squared_error if arm.task == "regression" else cross_entropy
    # arms that draw more initial weights than others see the same dropout; each process draws its own
    seed_everything(config.seed + PROCESS_STRIDE * fabric.global_rank)
    item = None if config.recipe.head == "none" else _first_item(arm, held_out)
    with dropping_features(config.recipe.head, network, loss, item) as loss:
        fitted = fit(
            network,
            loss,
            method.view(arm.options),
            train,
            _named(arm, config),
            fabric,
            validation(arm.screen(held_out), fabric, config.evaluation.batch_size, criterion),
            _checkpoint(arm, "state.pt"),
            watch=method.watch or (lambda network: {}),
        )
    network.load_state_dict(fitted.weights)
    return Trained(network, fitted, first)


def _first_item(arm: Arm, split: Split) -> Batch:
    """Build a batch of one item on the CPU."""
    view = arm.method.view(arm.options)
    screen = BatchBuilder(view, split, arm.config.recipe.image_size, lambda tensor: tensor)
    return screen.clean(view.testing(split).take(slice(0, 1)))


def check_head(arm: Arm) -> None:
    """Refuse a recipe's ``head`` where the arm has no linear layer for it, before anything is trained.

    Raises:
        UserError: naming the arms of the method that have one.
    """
    if arm.config.recipe.head == "none":
        return
    _, held_out, classes = arm.folds()[0].to_learn()
    item, loss = _first_item(arm, held_out), arm.method.build_loss(arm.options)

    def refusal(name: str) -> str:
        try:
            linear_layer(arm.method.build_model(name, arm.options, classes, pretrained=False), loss, item)
        except UserError as error:
            return str(error)
        return ""

    where, head = f"recipe {arm.config.recipe_name} of {arm.method.name}", arm.config.recipe.head
    if reason := refusal(arm.config.arm):
        others = ", ".join(name for name in arm.method.arms if not refusal(name)) or "none of them"
        raise UserError(
            f"{where}: head is '{head}', but {reason} in arm '{arm.config.arm}'; "
            f"arms that can have it: {others}; 'none' always works"
        )


def _solve(arm: Arm, train: Split, held_out: Split, classes: int) -> Trained:
    """Fit an arm at once; its history is one record, of epoch 0."""
    method, config, size = arm.method, arm.config, arm.config.evaluation.batch_size
    assert method.solver is not None
    network = arm.fabric.to_device(_start(arm, classes, train, held_out)[0])
    screen, begin = arm.screen(train), time.monotonic()
    method.solver.fit(network, (screen.clean(items) for items in item_batches(screen, size)), config.seed)
    seconds = time.monotonic() - begin
    criterion = squared_error if arm.task == "regression" else cross_entropy
    if arm.hidden:  # people alone are validated
        train = arm.split(arm.table()[0], "train")
    learnt, chosen = (
        validation(arm.screen(split), arm.fabric, size, criterion)(network) for split in (train, held_out)
    )
    record = {"epoch": 0, "lr": 0.0, "train_loss": learnt[0], "train_accuracy": learnt[1]}
    record |= {"val_loss": chosen[0], "val_accuracy": chosen[1], "best": 1}
    if arm.task == "regression":
        record = {name: value for name, value in record.items() if not name.endswith("_accuracy")}
    best = chosen[0] if arm.task == "regression" else chosen[1]
    fitted = Fitted(copy_weights(network), [record], 0, best, len(train), seconds, [])
    return Trained(network, fitted, None)


def _checkpoint(arm: Arm, name: str) -> Checkpoint:
    return Checkpoint(arm.state / name, arm.stamp())


def _start(arm: Arm, classes: int, train: Split, held_out: Split) -> tuple[nn.Module, Fitted | None]:
    """Build the network; siamese arms learn distances first, others begin with networks of other arms."""
    fabric, method, config, step = arm.fabric, arm.method, arm.config, arm.method.first_step
    if method.continuation and arm.sources:
        networks = [train_arm(source).network for source in arm.sources]
        seed_everything(config.seed)  # the same whether the sources were trained or read back
        return method.continuation.begin(
            config.arm, arm.options, networks, partial(_outputs, arm, train)
        ), None
    triplets = config.recipe.triplets
    if step is None or config.arm not in step.arms:
        return method.build_model(config.arm, arm.options, classes), None
    if triplets is None:
        raise UserError(
            f"recipe {config.recipe_name} of {config.method}: triplets is null, but arm '{config.arm}' is "
            "trained by triplets first"
        )
    siamese, loss = step.build(config.arm, arm.options), step.build_loss(triplets.margin, triplets.every)
    view = Triplets(triplets.per_epoch)
    screen = BatchBuilder(view, held_out, config.recipe.image_size, fabric.to_device)
    fitted = fit(
        siamese,
        loss,
        view,
        train,
        _named(arm, _first_config(config, triplets)),
        fabric,
        validation(screen, fabric, config.evaluation.batch_size, loss),
        _checkpoint(arm, "triplets.pt"),
    )
    siamese.load_state_dict(fitted.weights)
    return step.tune(siamese, arm.options), fitted


def _outputs(arm: Arm, train: Split, network: nn.Module) -> tuple[Tensor, Tensor]:
    """Run a network on all training samples; see ``fer_repro.methods.method.Outputs``."""
    screen, config = arm.screen(train), arm.config
    batch_size, augmentation = config.evaluation.batch_size, config.recipe.augmentation
    outputs, _ = predict(network, screen, arm.fabric, batch_size, augmentation, copies=0, seed=config.seed)
    return torch.from_numpy(outputs), torch.from_numpy(tested_rows(screen)[1])


def _named(arm: Arm, config: RunConfig) -> RunConfig:
    """Name the fold in what the training prints."""
    return (
        replace(config, arm=f"{config.arm}, fold {arm.fold} of {config.data.folds}") if arm.fold else config
    )


def _first_config(config: RunConfig, triplets: TripletConfig) -> RunConfig:
    recipe = replace(
        config.recipe,
        epochs=triplets.epochs,
        batch_size=triplets.batch_size,
        optimiser=triplets.optimiser,
        arm_rate=0.0,
        schedule=triplets.schedule,
        sampling=replace(config.recipe.sampling, order="shuffle", per_epoch=0),
        selection="loss",
        early_stop=0,
    )
    return replace(config, recipe=recipe, arm=f"{config.arm} (triplets)")
