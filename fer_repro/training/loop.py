"""The training loop, on Lightning Fabric: one epoch, and the fit that selects, stops and resumes."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fer_repro.config import RunConfig, RuntimeConfig
from fer_repro.data.batches import Screen, Shown, batch_bounds
from fer_repro.data.loading import Split
from fer_repro.data.sampling import epoch_items, epoch_length
from fer_repro.data.views import View
from fer_repro.errors import UserError
from fer_repro.training.checkpoint import Checkpoint, copy_weights, restore_generators
from fer_repro.training.optim import Schedule, make_optimiser
from fer_repro.training.progress import Progress
from fer_repro.training.seeding import choose_device

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Validate = Callable[[nn.Module], tuple[float, float]]
Watch = Callable[[nn.Module], dict[str, float]]
Record = dict[str, int | float]


@dataclass(frozen=True)
class Fitted:
    """What a fit ends with.

    Attributes:
        weights: of the epoch with the best validation result, on the CPU.
        history: one record per epoch: epoch (from 1), lr (of its first step), train_loss, train_accuracy,
            val_loss, val_accuracy (means over samples, accuracies in [0, 1]), best (1: weights were kept),
            and what ``watch`` read off the network.
        best_epoch: from 1.
        best: its validation result, the accuracy or the loss.
        images: how many this process trained on (fewer after a resume).
        seconds: how long this process trained, without validation.
    """

    weights: dict[str, Tensor]
    history: list[Record]
    best_epoch: int
    best: float
    images: int
    seconds: float


@dataclass
class _State:
    """Where a fit stands: what a checkpoint keeps besides the states of the modules."""

    epoch: int = 0
    step: int = 0
    rate: float = 0.0  # of the running epoch's first step
    tally: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # of the running epoch
    best_epoch: int = 0
    best: float = math.inf  # smaller is better
    finished: bool = False
    weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)


def make_fabric(runtime: RuntimeConfig) -> "Fabric":
    """Start Lightning Fabric on one device.

    Fabric is imported here, because that takes about three seconds.

    Args:
        runtime: device and precision.

    Raises:
        UserError: cuda is asked for and absent.
    """
    device = choose_device(runtime)
    from lightning.fabric import Fabric

    return Fabric(accelerator=device, devices=1, precision=runtime.precision)


def logits_of(output: Any) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    """Take the logits (N, K) from what a network returned: they themselves, or a named tuple's ``logits``."""
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    return logits


def hits_of(output: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - a tensor or a method's named tuple
    """Say which items a network got right, (N,) bool: by the largest logit, or by the tuple's ``hits``."""
    if hasattr(output, "hits"):
        hits: Tensor = output.hits(targets)
        return hits
    return logits_of(output).detach().argmax(1) == targets


def train_one_epoch(
    fabric: "Fabric",
    network: nn.Module,
    loss: nn.Module,
    optimiser: Any,  # noqa: ANN401 - Fabric's wrapper
    batches: Iterator[Shown],
    tally: Tensor,
    after_step: Callable[[], None],
) -> None:
    """Take one optimiser step per batch.

    Args:
        fabric: scales and runs the backward pass.
        network: set up by Fabric, as is ``optimiser``.
        loss: of the network's output and the targets.
        optimiser: of network and loss.
        batches: what the network is called with and targets (N,), on the device.
        tally: (3,) float64, raised in place by the sum of losses, the correct and all samples; it stays on
            the device, so no step waits for a number.
        after_step: called after each step.
    """
    network.train()
    for inputs, targets in batches:
        output = network(*inputs)
        batch_loss = loss(output, targets)
        optimiser.zero_grad()
        fabric.backward(batch_loss)
        optimiser.step()
        tally[0] += batch_loss.detach() * len(targets)
        tally[1] += hits_of(output, targets).sum()
        tally[2] += len(targets)
        after_step()


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
        validate: network -> loss and accuracy in [0, 1].
        checkpoint: written every ``runtime.checkpoint_seconds`` and after every epoch.
        log: called with each epoch's record.
        watch: numbers of the network that each epoch's record is to keep.

    Raises:
        UserError: the loss is no longer finite.
    """
    running = _Fit(network, loss, view, split, config, fabric, checkpoint)
    state, trained, seconds = running.state, 0.0, 0.0
    while not state.finished:
        begin, before = time.monotonic(), state.tally[2]
        running.train()
        trained, seconds = trained + state.tally[2] - before, seconds + time.monotonic() - begin
        record = running.close_epoch(*validate(network), watch(network))
        running.save()
        log(record)
    running.progress.close()
    return Fitted(state.weights, state.history, state.best_epoch, abs(state.best), round(trained), seconds)


class _Fit:
    """The modules of one fit and where it stands."""

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
        self.network, self.config, self.fabric = network, config, fabric
        self.checkpoint = checkpoint
        self.screen = Screen(view, split, recipe.image_size, fabric.to_device)
        items = epoch_length(view, split, recipe.sampling)
        self.loss = fabric.to_device(loss)
        # CPUs stay contiguous: torch 2.14.1 corrupted its heap there (width 8, batch of 7, two threads)
        is_fast = runtime.channels_last and fabric.device.type == "cuda"
        self.layout = torch.channels_last if is_fast else torch.contiguous_format
        fabric.to_device(network).to(memory_format=self.layout)
        self.raw_optimiser = make_optimiser([*network.parameters(), *loss.parameters()], recipe.optimiser)
        compiled: Any = torch.compile(network) if runtime.compile else network
        self.forward, self.optimiser = fabric.setup(compiled, self.raw_optimiser)
        steps = len(batch_bounds(items, recipe.batch_size))
        self.schedule = Schedule(self.raw_optimiser, recipe.schedule, recipe.epochs, steps)
        self.state = _State()
        self._resume()
        done = self.state.epoch * steps + self.state.step
        name = f"{config.dataset}/{config.method}/{config.seed}/{config.arm}"
        self.progress = Progress(name, recipe.epochs, steps, items, done)
        self._saved = time.monotonic()

    def train(self) -> None:
        """Train to the end of the running epoch."""
        if self.state.step == 0:
            self.state.rate = self.schedule.rate
        tally = torch.tensor(self.state.tally, dtype=torch.float64, device=self.fabric.device)

        def after_step() -> None:
            self.schedule.after_step()
            self.state.step += 1
            self.progress.step()
            if time.monotonic() - self._saved >= self.config.runtime.checkpoint_seconds:
                self.state.tally = tally.tolist()
                self.save()

        train_one_epoch(
            self.fabric, self.forward, self.loss, self.optimiser, self._batches(), tally, after_step
        )
        self.state.tally = tally.tolist()

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
        by_loss = recipe.selection == "loss"
        result = val_loss if by_loss else -val_accuracy
        better = result < state.best
        if better:
            state.best_epoch, state.best = state.epoch, result
            state.weights = copy_weights(self.network)
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
        state.history.append(record)
        state.step, state.tally = 0, [0.0, 0.0, 0.0]
        waited = state.epoch - state.best_epoch
        state.finished = state.epoch >= recipe.epochs or 0 < recipe.early_stop < waited
        self.progress.epoch(record)
        return record

    def save(self) -> None:
        """Write the checkpoint."""
        modules = {name: module.state_dict() for name, module in self._modules().items()}
        self.checkpoint.save({"modules": modules, "state": vars(self.state)})
        self._saved = time.monotonic()

    def _resume(self) -> None:
        found = self.checkpoint.load()
        if found is None:
            return
        for name, module in self._modules().items():
            module.load_state_dict(found["modules"][name])
        self.state = _State(**found["state"])
        restore_generators(found["generators"])

    def _modules(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "loss": self.loss,
            "optimiser": self.raw_optimiser,
            "schedule": self.schedule,
            "precision": self.fabric.strategy.precision,  # the loss scale of 16-mixed
        }

    def _batches(self) -> Iterator[Shown]:
        state, recipe, seed, screen = self.state, self.config.recipe, self.config.seed, self.screen
        items = epoch_items(screen.view, screen.split, recipe.sampling, seed, state.epoch)
        for begin, end in batch_bounds(len(items.targets), recipe.batch_size)[state.step :]:
            shown = screen.training(items.take(slice(begin, end)), recipe, seed, state.epoch)
            yield Shown(tuple(map(self._laid_out, shown.inputs)), shown.targets)

    def _laid_out(self, pictures: Tensor) -> Tensor:
        if pictures.ndim != 4:
            return pictures
        return pictures.contiguous(memory_format=self.layout)
