"""A whole training on Lightning Fabric: epoch by epoch, with selection, early stop and exact resume."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer_repro.config import RunConfig
from fer_repro.errors import UserError
from fer_repro.loading.batches import Batch, BatchBuilder, batch_bounds
from fer_repro.loading.split import Split
from fer_repro.loading.views import BatchIndex, View, epoch_items, epoch_length
from fer_repro.training.checkpoint import Checkpoint, copy_weights, generators, restore_generators
from fer_repro.training.convolutions import prepare_convolutions
from fer_repro.training.loop import Microbatch, average_of, train_one_epoch
from fer_repro.training.optim import Schedule, make_optimiser
from fer_repro.training.processes import agreed, gathered, prepare_norms, share, total
from fer_repro.training.progress import Pace, Progress
from fer_repro.training.seeding import keep_freed_memory

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Validate = Callable[[nn.Module], tuple[float, float]]
Watch = Callable[[nn.Module], dict[str, float]]
Record = dict[str, int | float]

# several processes ask the first one whether to save, and not at every step
STEPS_BETWEEN_QUESTIONS = 20


@dataclass(frozen=True)
class Fitted:
    """What a fit ends with.

    Attributes:
        weights: of the epoch with the best validation result, on the CPU; averaged ones with ``ema``.
        history: one record per epoch: epoch (from 1), lr (of its first step), train_loss, train_accuracy,
            val_loss, val_accuracy (means over samples, accuracies in [0, 1], none of a regression), best (1:
            weights were kept), and what ``watch`` read off the network.
        best_epoch: from 1.
        best: its validation result, the accuracy or the loss.
        images: how many this call trained on (fewer after a resume), in all processes.
        seconds: how long this call trained, without validation.
        paces: one record per epoch of this call, see ``Pace.epoch``; they differ from run to run.
    """

    weights: dict[str, Tensor]
    history: list[Record]
    best_epoch: int
    best: float
    images: int
    seconds: float
    paces: list[dict[str, float]]


@dataclass
class _State:
    """The progress of a fit: what a checkpoint keeps besides the states of the modules."""

    epoch: int = 0
    step: int = 0
    rate: float = 0.0  # of the running epoch's first step
    tally: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # of the running epoch
    best_epoch: int = 0
    best: float = math.inf  # smaller is better
    finished: bool = False
    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)


class _Piece(NamedTuple):
    """A ``Microbatch`` before its inputs are built."""

    items: BatchIndex
    weight: float
    closes: bool


def fit(
    network: nn.Module,
    loss: nn.Module,
    view: View,
    split: Split,
    config: RunConfig,
    fabric: "Fabric",
    validate: Validate,
    checkpoint: Checkpoint,
    log: Callable[[Record], None] = lambda record: None,
    watch: Watch = lambda network: {},
) -> Fitted:
    """Train until the last epoch or the early stop; continue where ``checkpoint`` ends.

    As in the RMN code the weights of the best validation result are kept (strictly better), and training
    stops after more than ``early_stop`` epochs in a row without a better one. Unlike there, an epoch's
    accuracy is the mean over its samples, not over its batches. A killed and continued run ends with the same
    bits.

    Args:
        network: on any device; trained in place.
        loss: a module; its parameters are trained too.
        view: what the network sees of an item.
        split: the training samples.
        config: of the run.
        fabric: from ``make_fabric``.
        validate: network -> loss and accuracy in [0, 1]; it is given the averaged network with ``ema``.
        checkpoint: written every ``runtime.checkpoint_seconds`` and at the end.
        log: called with each epoch's record.
        watch: numbers of the network that each epoch's record is to keep.

    Raises:
        UserError: the loss in training or validation is no longer finite, or a part of a batch has too few
            items for the network.
    """
    running = Fit(network, loss, view, split, config, fabric, checkpoint)
    state, paces, trained = running.state, [], 0.0
    while not state.finished:
        pace, before = Pace(fabric), state.tally[2]
        running.train(pace)
        trained += state.tally[2] - before
        paces.append(pace.epoch(state.epoch + 1, state.tally[2] - before))
        begin = time.perf_counter()
        validated = validate(running.judged)
        paces[-1]["validation_seconds"] = round(time.perf_counter() - begin, 3)
        record = running.close_epoch(*validated, watch(running.judged))
        if running.is_due() or state.finished:
            running.save()
        log(record)
    running.progress.close()
    seconds = sum(record["seconds"] for record in paces)
    return Fitted(
        state.weights, state.history, state.best_epoch, abs(state.best), round(trained), seconds, paces
    )


class Fit:
    """The modules and the progress of one fit.

    Attributes:
        state: how far it is.
        progress: its bar or lines.
        judged: what is validated and kept: the network, or the average of its weights.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        view: View,
        split: Split,
        config: RunConfig,
        fabric: "Fabric",
        checkpoint: Checkpoint,
    ) -> None:
        recipe, runtime = config.recipe, config.runtime
        self.network, self.raw_loss, self.config, self.fabric = network, loss, config, fabric
        self.checkpoint = checkpoint
        if fabric.device.type == "cpu":
            keep_freed_memory()
            prepare_convolutions(network)
        self.screen = BatchBuilder(view, split, recipe.image_size, _mover(fabric.device))
        items = epoch_length(view, split, recipe.sampling)
        self._check_parts(items)
        has_weights = any(parameter.requires_grad for parameter in loss.parameters())
        self.loss: nn.Module = fabric.to_device(loss)
        self.layout = torch.channels_last if runtime.channels_last else torch.contiguous_format
        prepare_norms(network, fabric)
        fabric.to_device(network).to(memory_format=self.layout)
        self.average = average_of(network, recipe.ema) if recipe.ema else None
        self.judged: nn.Module = self.average.module if self.average else network
        parameters = [*network.parameters(), *loss.parameters()]
        optimiser = replace(recipe.optimiser, lr=recipe.arm_rate or recipe.optimiser.lr)
        self.raw_optimiser = make_optimiser(parameters, optimiser, recipe.decayed)
        compiled: Any = torch.compile(network) if runtime.compile else network
        self.forward, self.optimiser = fabric.setup(compiled, self.raw_optimiser)
        if has_weights and fabric.world_size > 1:
            self.loss = fabric.setup_module(loss)  # its gradients are averaged, too
        steps = len(self._bounds(items))
        self.schedule = Schedule(self.raw_optimiser, recipe.schedule, recipe.epochs, steps)
        self.state = _State()
        self._resume()
        done = self.state.epoch * steps + self.state.step
        name = f"{config.dataset}/{config.method}/{config.seed}/{config.arm}"
        self.progress = Progress(
            name, recipe.epochs, steps, items, done, fabric.is_global_zero, _faster(fabric.device)
        )
        self._saved = time.monotonic()

    def train(self, pace: Pace) -> None:
        """Train to the end of the running epoch; the state's tally is then that of all processes."""
        if self.state.step == 0:
            self.state.rate = self.schedule.rate
        # what a checkpoint holds was counted in all processes
        counted = self.state.tally if self.fabric.is_global_zero else [0.0, 0.0, 0.0]
        tally = torch.tensor(counted, dtype=torch.float64, device=self.fabric.device)

        def after_step() -> None:
            if self.average:
                self.average.update_parameters(self.network)
            self.schedule.after_step()
            self.state.step += 1
            self.progress.step()
            if self.is_due():
                self.state.tally = total(tally, self.fabric).tolist()
                self.save()

        train_one_epoch(
            self.fabric,
            self.forward,
            self.loss,
            self.optimiser,
            pace.fed(self._parts()),
            tally,
            after_step,
            self.config.recipe.clip_norm,
        )
        self.state.tally = total(tally, self.fabric).tolist()

    def close_epoch(self, val_loss: float, val_accuracy: float, watched: dict[str, float]) -> Record:
        """Select, move the rate, decide on the early stop and go to the next epoch."""
        state, recipe = self.state, self.config.recipe
        loss, correct, count = state.tally
        state.epoch += 1
        if not math.isfinite(loss):
            raise UserError(
                f"{self.progress.name}: the training loss is {loss} in epoch {state.epoch}; "
                f"try a lower recipe.optimiser.lr than {recipe.optimiser.lr}"
            )
        if not (math.isfinite(val_loss) and math.isfinite(val_accuracy)):
            raise UserError(
                f"{self.progress.name}: validation gives loss {val_loss}, accuracy {val_accuracy} in epoch "
                f"{state.epoch}; try a lower recipe.optimiser.lr than {recipe.optimiser.lr}"
            )
        by_loss = recipe.selection == "loss"
        result = val_loss if by_loss else -val_accuracy
        better = result < state.best
        if better:
            state.best_epoch, state.best = state.epoch, result
            state.weights = copy_weights(self.judged)
        self.schedule.after_epoch(val_loss if by_loss else 100 - 100 * val_accuracy)
        record: Record = {
            "epoch": state.epoch,
            "lr": state.rate,
            "train_loss": loss / count,
            "train_accuracy": correct / count,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "best": int(better),
            **watched,
        }
        if self.screen.split.values is not None:
            record = {name: value for name, value in record.items() if not name.endswith("_accuracy")}
        state.history.append(record)
        state.step, state.tally = 0, [0.0, 0.0, 0.0]
        waited = state.epoch - state.best_epoch
        state.finished = state.epoch >= recipe.epochs or 0 < recipe.early_stop < waited
        self.progress.epoch(record)
        return record

    def save(self) -> None:
        """Write the checkpoint; the first process does, with the random generators of all."""
        modules = {name: module.state_dict() for name, module in self._modules().items()}
        every = gathered(generators(), self.fabric)
        if self.fabric.is_global_zero:
            self.checkpoint.save({"modules": modules, "state": vars(self.state), "generators": every})
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the last checkpoint is old enough for a new one; all processes agree."""
        due = time.monotonic() - self._saved >= self.config.runtime.checkpoint_seconds
        if self.fabric.world_size == 1:
            return due
        return self.state.step % STEPS_BETWEEN_QUESTIONS == 0 and agreed(due, self.fabric)

    def _resume(self) -> None:
        found = self.checkpoint.load()
        if found is None:
            return
        for name, module in self._modules().items():
            module.load_state_dict(found["modules"][name])
        self.state = _State(**found["state"])
        restore_generators(found["generators"][self.fabric.global_rank])

    def _modules(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "loss": self.raw_loss,
            "optimiser": self.raw_optimiser,
            "schedule": self.schedule,
            "precision": self.fabric.strategy.precision,  # the loss scale of 16-mixed
            **({"average": self.average} if self.average else {}),
        }

    def _bounds(self, items: int) -> list[tuple[int, int]]:
        # two for each part of a batch, of which every process takes one at least
        least = self.config.recipe.accumulate * max(2, self.fabric.world_size)
        return batch_bounds(items, self.config.recipe.batch_size, least)

    def _check_parts(self, items: int) -> None:
        """Refuse batches whose parts are too small: a process without items, or batch norm over one."""
        recipe, processes = self.config.recipe, self.fabric.world_size
        norms = has_batch_norm(self.network)
        least = recipe.accumulate * (max(2, processes) if norms else processes)
        smallest = min(end - begin for begin, end in self._bounds(items))
        if smallest >= least:
            return
        shared = f" in {processes} processes" if processes > 1 else ""
        reason = "batch norm needs two items in each part" if norms else "each part needs an item"
        where = f"{self.config.dataset}/{self.config.method}/{self.config.arm}"
        raise UserError(
            f"{where}: {items} training items, batch_size {recipe.batch_size} and accumulate "
            f"{recipe.accumulate}{shared} give a batch of {smallest}: {reason}; expected batch_size and "
            f"training items of {least} or more, or a smaller accumulate"
        )

    def _parts(self) -> Iterator[Microbatch]:
        """Build this process's parts of the epoch's remaining batches; small ones are augmented in rows."""
        plan = self._plan()
        for first in plan:
            others = islice(plan, self.screen.row_length(first.items) - 1)
            row = [first, *others]
            shown = self.screen.training_row(
                [piece.items for piece in row], self.config.recipe, self.config.seed, self.state.epoch
            )
            for piece, inputs in zip(row, shown, strict=True):
                yield Microbatch(self._laid_out(inputs), piece.weight, piece.closes)

    def _plan(self) -> Iterator[_Piece]:
        """Cut the epoch's remaining batches into this process's parts."""
        state, recipe, screen = self.state, self.config.recipe, self.screen
        items = epoch_items(screen.view, screen.split, recipe.sampling, self.config.seed, state.epoch)
        for begin, end in self._bounds(len(items.targets))[state.step :]:
            mine = share(items.take(slice(begin, end)), self.fabric)
            for number, piece in enumerate(cut(mine, recipe.accumulate), 1):
                weight = len(piece.targets) * self.fabric.world_size / (end - begin)
                yield _Piece(piece, weight, number == recipe.accumulate)

    def _laid_out(self, shown: Batch) -> Batch:
        inputs = [
            images.contiguous(memory_format=self.layout) if images.ndim == 4 else images
            for images in shown.inputs
        ]
        return Batch(tuple(inputs), shown.targets)


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network in training normalises by what it sees; frozen batch norm does not."""
    mode = network.training
    network.train()  # some networks keep their batch norm in evaluation mode
    found = any(isinstance(module, _BatchNorm) and module.training for module in network.modules())
    network.train(mode)
    return found


def _faster(device: torch.device) -> str:
    """Name what shortens a training of hours."""
    gpu = "a GPU (runtime.device) or " if device.type == "cpu" else ""
    return f"{gpu}fewer epochs, a smaller recipe.image_size or model.width would help"


def _mover(device: torch.device) -> Callable[[Tensor], Tensor]:
    """Move single tensors as Fabric does, which looks for tensors within anything it is given."""
    return lambda tensor: tensor.to(device, non_blocking=device.type == "cuda")


def cut(items: BatchIndex, parts: int) -> Iterator[BatchIndex]:
    """Cut the items of a batch into so many parts that differ by one item at most."""
    count = len(items.targets)
    for number in range(parts):
        yield (
            items if parts == 1 else items.take(slice(number * count // parts, (number + 1) * count // parts))
        )
