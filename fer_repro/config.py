"""Typed configuration: ``load_config`` is the only reader of params.yaml.

One path: params.yaml -> ``load_config`` -> frozen dataclasses -> plain arguments. No field has a default, so
every number exists once, in params.yaml, where DVC sees it change.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_repro.errors import UserError, nearest
from fer_repro.files import file_sha256
from fer_repro.params import DataConfig, EvaluationConfig, MethodConfig, Params, RuntimeConfig, read_params
from fer_repro.recipes import PAPER, choose, is_path, own_recipe, resolve, say_departures, start_file
from fer_repro.sections import STRICT, Count, Fraction, NonNegative, Positive, PositiveInt, read_section

TASK = "task"
"""The key of ``config.json`` that names what a run was trained for."""
DATA_DIGESTS = "data_sha256"
"""The key of ``config.json`` that holds the digests of the data a run was trained on."""
ARM_RATE = "arm_rate"
"""The key of a recipe that may differ between arms that are compared: each has the best of one grid."""
START_DIGEST = "start_sha256"
"""The option of a network that starts from a file: its digest."""
HEAD = "head"
"""The key of a recipe that runs of earlier versions lack: theirs is ``none``."""
HALF = "half_epochs"
"""The key of a ``record.json`` that marks runs with half the epochs of others: they judge no claim."""
Head = Literal["none", "dropout", "pgm"]
"""What drops features before a network's linear layer in training: ``fer_repro.training.heads``."""
Scale = Annotated[float, Field(gt=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]


@dataclass(frozen=True, config=STRICT)
class JitterConfig:
    """Changes of brightness, contrast and saturation, in this order, each uniform."""

    brightness: Fraction  # values times 1 + [-brightness, brightness]
    contrast: Fraction  # distances from the image's mean times 1 + [-contrast, contrast]
    saturation: Fraction  # distances from grey times 1 + [-saturation, saturation]


@dataclass(frozen=True, config=STRICT)
class EraseConfig:
    """Random erasing (Zhong et al., arXiv:1708.04896): a rectangle becomes black."""

    share: Fraction  # of the images
    area: tuple[Fraction, Fraction]  # of the image, uniform between these
    aspect: Annotated[float, Field(ge=1)]  # width over height lies between 1/aspect and aspect


@dataclass(frozen=True, config=STRICT)
class AugmentationConfig:
    """Training and random test-time augmentation, applied after enlarging to ``image_size``."""

    flip: Fraction
    rotation: Annotated[float, Field(ge=0, le=180)]  # degrees, in [-rotation, rotation], black corners
    shift: Fraction  # of the side, uniform in [-shift, shift] on both axes
    scale: Annotated[float, Field(ge=0, lt=1)]  # factor uniform in [1 - scale, 1 + scale]
    crop: Annotated[float, Field(ge=0, lt=1)]  # cut up to this share off the side, anywhere, and enlarge
    jitter: JitterConfig | None
    erase: EraseConfig | None
    resampling: Literal[
        "two_step", "composed"
    ]  # enlarge and then rotate, as papers' code does; or both at once


@dataclass(frozen=True, config=STRICT)
class DistortionConfig:
    """How often and how strongly faces are distorted; a share of 0 leaves a step out."""

    nearest: Fraction  # share of faces shrunk and enlarged by taking the nearest pixel
    nearest_scale: Scale
    colour: Fraction  # share with changed colours: half by brightness and contrast, half in HSV
    brightness: Fraction  # added to the values, uniform in [-brightness, brightness]
    contrast: Fraction  # values are multiplied by 1 + [-contrast, contrast]
    hue: Annotated[float, Field(ge=0, le=180)]  # degrees, uniform in [-hue, hue], as are the next two
    saturation: Fraction
    value: Fraction
    noise: Fraction  # share with noise: half a sensor's at high ISO, half Gaussian
    iso_colour: tuple[Fraction, Fraction]  # deviation of the hue at intensity 1, share of the circle
    iso_intensity: tuple[Fraction, Fraction]
    gaussian: tuple[Fraction, Fraction]  # standard deviation; one number for all channels of a pixel
    linear: Fraction  # share shrunk and enlarged linearly
    linear_scale: tuple[Scale, Scale]
    jpeg: Fraction  # share compressed
    quality: tuple[Quality, Quality]


@dataclass(frozen=True, config=STRICT)
class OptimiserConfig:
    """RAdam and AdamW, with decoupled weight decay, Adam, SGD, also with Nesterov momentum; or none."""

    name: Literal["radam", "adamw", "adam", "sgd", "nesterov", "none"]  # none: no arm is trained
    lr: Positive
    weight_decay: NonNegative
    momentum: Fraction  # SGD's momentum, or beta1 of the others


@dataclass(frozen=True, config=STRICT)
class PlateauConfig:
    """The rate falls when the validation result does not get better."""

    name: Literal["plateau"]
    factor: Fraction  # multiply the rate by this
    patience: Count  # epochs without gain before the next one lowers the rate
    floor: NonNegative  # never below this rate
    cooldown: Count  # epochs after a fall that do not count


@dataclass(frozen=True, config=STRICT)
class OneCycleConfig:
    """The rate rises to ``lr`` and falls to almost nothing, step by step."""

    name: Literal["one_cycle"]
    warmup: Fraction  # share of all steps in which the rate rises


@dataclass(frozen=True, config=STRICT)
class StepsConfig:
    """The rate falls at fixed epochs."""

    name: Literal["steps"]
    factor: Fraction  # multiply the rate by this
    milestones: list[PositiveInt]  # after so many epochs


@dataclass(frozen=True, config=STRICT)
class ConstantConfig:
    """The rate stays."""

    name: Literal["constant"]


ScheduleConfig = Annotated[
    PlateauConfig | OneCycleConfig | StepsConfig | ConstantConfig, Field(discriminator="name")
]


@dataclass(frozen=True, config=STRICT)
class SamplingConfig:
    """What an epoch contains."""

    order: Literal["shuffle", "balanced"]  # balanced: both classes alternately, the smaller one drawn again
    per_epoch: Count  # so many samples, then validation; 0: all
    # with data.max_val: a share of each class from the whole table, or as in loading/split.py
    validation: Literal["uniform", "official"]


@dataclass(frozen=True, config=STRICT)
class TripletConfig:
    """The first step of siamese training, before the recipe's own numbers train the head."""

    epochs: PositiveInt
    per_epoch: PositiveInt  # triplets
    batch_size: PositiveInt  # triplets
    margin: Positive
    every: bool  # learn from every triplet that a batch's faces form, not the drawn ones alone
    optimiser: OptimiserConfig
    schedule: ScheduleConfig


@dataclass(frozen=True, config=STRICT)
class RecipeConfig:
    """Everything one training run depends on besides its data and seed."""

    note: str  # printed in every table with a result of this recipe: ``recipes.say_departures``
    model: dict[str, bool | int | float | str]  # the method's own options, checked by the method
    head: Head  # what drops features before the linear layer in training, besides what the method has
    image_size: Count  # pixels; images are enlarged to this side; 0: sequences, which have none
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "auto"]  # auto: bf16 where the machine has it
    epochs: PositiveInt
    batch_size: PositiveInt  # of an optimiser step, over all processes
    accumulate: PositiveInt  # forward passes that share a batch, to save memory; batch norm sees its part
    sampling: SamplingConfig
    optimiser: OptimiserConfig
    schedule: ScheduleConfig
    arm_rate: NonNegative  # what an arm has in place of optimiser.lr, of the recipe's ``rates``; 0: nothing
    decayed: Literal["all", "weights"]  # weights: no decay of biases and of the scales of norms
    clip_norm: NonNegative  # largest norm of the gradient; 0 does not clip
    ema: Annotated[float, Field(ge=0, lt=1)]  # what each step keeps of the averaged weights; 0: no average
    selection: Literal["accuracy", "loss"]  # which validation result chooses the epoch and moves a plateau
    early_stop: Count  # epochs without a better validation result that are still allowed; 0 never stops early
    targets: Literal["labels", "shares", "drawn"]  # shares of the votes, or one label drawn from them
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    augmentation: AugmentationConfig
    distortions: DistortionConfig | None  # after the augmentation, in training only
    triplets: TripletConfig | None
    tta_copies: Count  # 0: no test-time augmentation


@dataclass(frozen=True, config=STRICT)
class RunConfig:
    """One arm of one method on one data set with one seed."""

    method: str
    arm: str
    dataset: str
    seed: Count
    recipe_name: str
    smoke: bool
    data: DataConfig
    recipe: RecipeConfig
    evaluation: EvaluationConfig
    runtime: RuntimeConfig

    def as_json(self, data_digests: Mapping[str, str] | None = None, task: str = "") -> str:
        """Byte-stable JSON: sorted keys, two spaces.

        Args:
            data_digests: of the data that the run is trained on, ``Store.digests``; a run's ``config.json``
                has them, so that it is never taken for a run on other data of that name.
            task: what the run is trained for; a run's ``config.json`` has it.
        """
        values = asdict(self) | ({DATA_DIGESTS: dict(data_digests)} if data_digests is not None else {})
        values |= {TASK: task} if task else {}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def is_in(self, path: Path, data_digests: Mapping[str, str] | None = None) -> bool:
        """Whether a run's ``config.json`` holds this configuration, and these data where they are given."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            digests = found.pop(DATA_DIGESTS, None)
            found.pop(TASK, None)
            found.get("recipe").setdefault(HEAD, "none")
        except (OSError, ValueError, RecursionError, AttributeError):  # absent or damaged: another one
            return False
        return found == json.loads(self.as_json()) and data_digests in (None, digests)


def method_arms(params_file: Path, method: str, full: bool = False) -> tuple[str, ...]:
    """The arms of ``method`` that the pipeline trains, in params.yaml's order.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of ``methods``.
        full: also those of ``more_arms``, which only the full reproduction trains.

    Raises:
        UserError: the method is unknown.
    """
    section = choose(read_params(params_file).methods, method, f"{params_file}: methods")
    return (*section.arms, *(section.more_arms if full else ()))


def paper_recipe(params_file: Path | str, method: str) -> dict[str, Any] | None:
    """Resolve the recipe ``paper`` of a method; None where the paper's numbers are not known."""
    return _paper(read_params(Path(params_file)), method, str(params_file))


def load_config(
    params_file: Path | str,
    method: str,
    dataset: str,
    arm: str,
    seed: int,
    recipe: str = "",
    overrides: Mapping[str, Any] | None = None,
    smoke: bool = False,
) -> RunConfig:
    """Resolve the configuration of one run.

    Args:
        params_file: usually ``params.yaml``.
        method: a key of ``methods``.
        dataset: a key of ``data``.
        arm: the arm to train; the method itself checks that it knows it.
        seed: from 0.
        recipe: a key of ``methods.<method>.recipes``; empty takes the recipe named like the data set, and for
            a collected set without one ``real_faces``.
        overrides: dotted keys within the run's configuration, e.g. ``{"recipe.epochs": 3}``.
        smoke: shrink everything to seconds (few samples, one epoch, CPU) through the same code.

    Raises:
        UserError: naming the key, the file and the nearest valid key.
    """
    path = Path(params_file)
    params = read_params(path)
    recipes = choose(params.methods, method, f"{path}: methods").recipes
    name = recipe or own_recipe(recipes, dataset)
    values: dict[str, Any] = {
        "method": method,
        "arm": arm,
        "dataset": dataset,
        "seed": seed,
        "recipe_name": name,
        "smoke": smoke,
        "data": asdict(params.limits(dataset, str(path))),
        "recipe": _recipe(params, method, name, str(path), arm),
        "evaluation": asdict(params.evaluation),
        "runtime": asdict(params.runtime),
    }
    for key, value in {**(_small(values["recipe"]) if smoke else {}), **(overrides or {})}.items():
        _override(values, str(key), value)
    _note_start(values["recipe"]["model"])
    where = f"{path} (with overrides)" if overrides else str(path)
    config = read_section(RunConfig, values, where)
    if config.recipe.note:
        raise UserError("overrides: recipe.note is not set by hand: it states how a run departs")
    note = say_departures(values, _paper(params, method, str(path)))
    return replace(config, recipe=replace(config.recipe, note=note))


def _note_start(model: Any) -> None:  # noqa: ANN401 - untyped YAML
    """Add the digest of the weights that a network starts from to its options."""
    start = model.get("pretraining") if isinstance(model, dict) else None
    if isinstance(start, str) and is_path(start):
        model[START_DIGEST] = file_sha256(start_file(start))


def _paper(params: Params, method: str, path: str) -> dict[str, Any] | None:
    recipes = choose(params.methods, method, f"{path}: methods").recipes
    return _recipe(params, method, PAPER, path) if PAPER in recipes else None


def _recipe(params: Params, method: str, name: str, path: str, arm: str = "") -> dict[str, Any]:
    """Resolve a recipe and check it, so that a mistake is named where it is; its note is empty.

    What ``rates`` has for the arm becomes its ``arm_rate``.
    """
    for key in params.recipe_defaults:
        if key not in _RECIPE_KEYS:
            raise UserError(f"{path}: recipe_defaults: unknown key '{key}'; {nearest(key, _RECIPE_KEYS)}")
    where = f"{path}: methods.{method}.recipes"
    found = resolve(params.methods[method].recipes, name, params.recipe_defaults, where)
    rates = _checked_rates(found.pop(_RATES, {}), params.methods[method], f"{where}.{name}.{_RATES}")
    found = json.loads(json.dumps(found | {"note": "", ARM_RATE: rates.get(arm, 0.0)}))  # a private copy
    read_section(RecipeConfig, found, f"{where}.{name}")
    return dict(found)


def _checked_rates(rates: Any, method: MethodConfig, where: str) -> dict[str, float]:  # noqa: ANN401 - untyped YAML
    """Check the learning rates of single arms: those that a search on equal terms found."""
    if not isinstance(rates, dict):
        raise UserError(f"{where} is {rates!r}: expected a mapping of arms to learning rates")
    for arm, rate in rates.items():
        choose(dict.fromkeys((*method.arms, *method.more_arms)), str(arm), where)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
            raise UserError(f"{where}.{arm} is {rate!r}: expected a learning rate above 0")
    return rates


_RATES = "rates"
_RECIPE_KEYS = (RecipeConfig.__dataclass_fields__.keys() - {"note", ARM_RATE}) | {_RATES}
# smoke: true keeps the code path and reduces the work
_SMOKE: dict[str, Any] = {
    "data.max_train": 24,
    "data.max_val": 8,
    "data.max_test": 8,
    "recipe.epochs": 1,
    "recipe.batch_size": 8,
    "recipe.image_size": 64,
    "recipe.model.width": 4,
    "recipe.sampling.per_epoch": 0,
    "evaluation.batch_size": 8,
    "evaluation.bootstrap": 50,
    "evaluation.explained": 2,
    "runtime.device": "cpu",
    "recipe.precision": "32-true",
    "runtime.compile": False,
}


def _small(recipe: dict[str, Any]) -> dict[str, Any]:
    """Override what makes a run long."""
    copies = {"recipe.tta_copies": min(1, recipe["tta_copies"])}
    if not recipe["image_size"] or recipe["optimiser"]["name"] == "none":  # sequences; maps of pixels
        copies["recipe.image_size"] = recipe["image_size"]
    smoke = {key: _SMOKE[key] for key in _SMOKE if "width" not in key or "width" in recipe["model"]}
    if "pretraining" in recipe["model"]:  # published weights fit full widths only
        copies["recipe.model.pretraining"] = "none"
    if recipe["triplets"] is None:
        return {**smoke, **copies}
    triplets = {"epochs": 1, "per_epoch": 8, "batch_size": 4}
    return {**smoke, **copies, **{f"recipe.triplets.{key}": value for key, value in triplets.items()}}


def _override(values: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    section: Any = values
    for parent in parents:
        section = choose(section, parent, f"overrides: '{key}'")
    if not isinstance(section, dict) or last not in section:
        choices = section if isinstance(section, dict) else ()
        raise UserError(f"overrides: unknown key '{key}'; {nearest(last, choices)}")
    section[last] = value


def run_folder(root: Path | str, dataset: str, method: str, seed: int, arm: str = "") -> Path:
    """Where one run lives below ``root`` (runs, ckpt or timings).

    The seed is above the arm because a stage trains all arms of a seed, and its output is one folder.
    """
    return Path(root) / dataset / method / str(seed) / arm
