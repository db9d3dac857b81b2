"""Optimiser and learning-rate schedule from the recipe."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RAdam
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from fer_repro.config import (
    OneCycleConfig,
    OptimiserConfig,
    PlateauConfig,
    ScheduleConfig,
    StepsConfig,
)
from fer_repro.errors import UserError


def make_optimiser(
    parameters: Iterable[nn.Parameter], config: OptimiserConfig, decayed: str = "all"
) -> Optimizer:
    """Build the optimiser.

    The RAdam of the RMN code is PyTorch's with decoupled weight decay (max difference 3e-6 after 60 steps).

    Args:
        parameters: of the network and of the loss; those without gradient are left out.
        config: name, rate, weight decay (of Adam coupled: added to the gradient), momentum (beta1 of RAdam,
            Adam and AdamW).
        decayed: ``all`` parameters, or ``weights``: those of convolutions and linear layers, not biases and
            the scales of norms, which have one dimension.

    Raises:
        UserError: there is none.
    """
    if config.name == "none":
        raise UserError(
            "recipe.optimiser.name is none, which is for arms that are solved at once: expected radam, "
            "adamw, adam, sgd or nesterov"
        )
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    # one pass over each weight instead of ten; on accelerators PyTorch's own choice stays
    fused = True if all(parameter.device.type == "cpu" for parameter in trained) else None
    lr, decay, betas = config.lr, config.weight_decay, (config.momentum, 0.999)
    groups: list[Any] = trained
    if decayed == "weights":
        flat = [parameter for parameter in trained if parameter.ndim <= 1]
        groups = [{"params": [parameter for parameter in trained if parameter.ndim > 1]}]
        groups += [{"params": flat, "weight_decay": 0.0}] if flat else []
    if config.name == "radam":
        return RAdam(groups, lr=lr, betas=betas, weight_decay=decay, decoupled_weight_decay=True)
    if config.name == "adamw":
        return AdamW(groups, lr=lr, betas=betas, weight_decay=decay, fused=fused)
    if config.name == "adam":
        return Adam(groups, lr=lr, betas=betas, weight_decay=decay, fused=fused)
    nesterov = config.name == "nesterov"
    return SGD(groups, lr=lr, momentum=config.momentum, weight_decay=decay, nesterov=nesterov, fused=fused)


class Schedule:
    """The learning rate over steps and epochs.

    ``plateau`` is fed one validation result per epoch, smaller is better (100 - accuracy in percent, as in
    the RMN code, or the loss): the rate falls after the first epoch beyond ``patience`` without a relative
    gain of 1e-4. ``steps`` falls after fixed epochs; ``one_cycle`` moves at every step.

    Args:
        optimiser: whose rate moves.
        config: the recipe's schedule.
        epochs: of the whole run.
        steps: per epoch.
    """

    def __init__(self, optimiser: Optimizer, config: ScheduleConfig, epochs: int, steps: int) -> None:
        self._optimiser = optimiser
        self._plateau: ReduceLROnPlateau | None = None
        self._cycle: LRScheduler | None = None
        self._falls: StepsConfig | None = None
        self._steps_left = self._epochs = 0
        if isinstance(config, PlateauConfig):
            self._plateau = ReduceLROnPlateau(
                optimiser,
                mode="min",
                factor=config.factor,
                patience=config.patience,
                threshold=1e-4,
                threshold_mode="rel",
                cooldown=config.cooldown,
                min_lr=config.floor,
            )
        elif isinstance(config, StepsConfig):
            self._falls = config
        elif isinstance(config, OneCycleConfig):
            total = max(2, epochs * steps)
            rises = round(config.warmup * total, 9) != 1  # PyTorch divides by the steps after the first: 0
            self._cycle = OneCycleLR(
                optimiser,
                max_lr=optimiser.param_groups[0]["lr"],
                total_steps=total,
                pct_start=config.warmup if rises else (1 - 1e-9) / total,
                cycle_momentum=False,
            )
            self._steps_left = total - 1

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimiser.param_groups[0]["lr"])

    def after_step(self) -> None:
        """Move the rate after an optimiser step."""
        if self._cycle is not None and self._steps_left > 0:
            self._cycle.step()
            self._steps_left -= 1

    def after_epoch(self, result: float) -> None:
        """Move the rate after an epoch.

        Args:
            result: of the validation, smaller is better.
        """
        if self._plateau is not None:
            self._plateau.step(result)
        self._epochs += 1
        if self._falls is not None and self._epochs in self._falls.milestones:
            for group in self._optimiser.param_groups:
                group["lr"] *= self._falls.factor

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain numbers."""
        inner = self._plateau or self._cycle
        state = {} if inner is None else inner.state_dict()
        kept = {key: value for key, value in state.items() if isinstance(value, int | float | str | list)}
        return {**kept, "steps_left": self._steps_left, "epochs": self._epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what a checkpoint kept; the rate itself is in the optimiser's state."""
        inner = self._plateau or self._cycle
        state = dict(state)
        self._steps_left, self._epochs = state.pop("steps_left"), state.pop("epochs")
        if inner is not None:
            inner.load_state_dict(state)
