"""The contract every method fulfils, how methods are found, and the import of official checkpoints."""

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_repro.errors import UserError, nearest
from fer_repro.loading.batches import Batch
from fer_repro.loading.views import Faces, View
from fer_repro.recipes import is_path
from fer_repro.sections import read_section

Task = Literal["expression", "verification", "manipulation", "regression"]
EnsembleRule = Literal["probabilities", "logits"]

_SHOWN = 5  # keys named in an error; the rest is counted


class BuildModel(Protocol):
    """Build the network of an arm, in training mode, with its initial weights."""

    def __call__(self, arm: str, options: Any, classes: int, pretrained: bool = True) -> nn.Module:  # noqa: ANN401
        """Build ``arm``; ``pretrained=False`` skips pretrained weights that a checkpoint will replace."""


class BuildLoss(Protocol):
    """Build the loss as a module: the optimiser and the checkpoint see what it holds."""

    def __call__(self, options: Any, label_smoothing: float = 0.0) -> nn.Module:  # noqa: ANN401
        """Build the loss: called with all that the model returned and targets (N,)."""


def _faces(options: Any) -> View:  # noqa: ANN401 - the method's options
    return Faces()


@dataclass(frozen=True)
class FirstStep:
    """Training by triplets that comes before an arm's own.

    Attributes:
        arms: which arms have it.
        build: arm, options -> network of (anchor, positive, negative), in training mode; its output's
            ``hits`` is true where the positive is nearer.
        build_loss: margin, every -> loss of that output and the anchors' classes.
        tune: trained network, options -> the arm's network, whose training follows.
    """

    arms: tuple[str, ...]
    build: Callable[[str, Any], nn.Module]
    build_loss: Callable[[float, bool], nn.Module]
    tune: Callable[[Any, Any], nn.Module]


Outputs = Callable[[nn.Module], tuple[Tensor, Tensor]]
"""Runs a network on all training samples, not augmented: its output (N, D) on the CPU, and targets (N,)."""


@dataclass(frozen=True)
class Continuation:
    """Arms that begin with the networks of other arms of the same run, which are trained once for all.

    Attributes:
        sources: arm -> the arms whose networks it begins with.
        begin: arm, options, these networks, ``Outputs`` -> the arm's network, in training mode.
    """

    sources: Mapping[str, tuple[str, ...]]
    begin: Callable[[str, Any, Sequence[Any], Outputs], nn.Module]


@dataclass(frozen=True)
class Solver:
    """Arms whose numbers are found at once, in closed form or by another library: without epochs.

    Their networks hold what was found as parameters without a gradient; see ``fer_repro.layers.solved``. They
    are saved, read back and run as all networks are.

    Attributes:
        arms: which arms have it.
        fit: network, batches of all training samples, each once and not augmented, seed of the run; puts what
            it finds into the network.
    """

    arms: tuple[str, ...]
    fit: Callable[[Any, Iterable[Batch], int], None]


def _any_classes(options: Any, classes: Sequence[str]) -> Any:  # noqa: ANN401 - the method's options
    return options


def _same_key(key: str) -> str:
    return key


@dataclass(frozen=True)
class OfficialLayout:
    """How one class of a paper's own code is rebuilt and how its state dict is read.

    Attributes:
        repository: owner and name, e.g. ``phamquiluan/ResidualMaskingNetwork``.
        build: makes our module from the official constructor's arguments. It runs on the meta device.
        constructor: names of the official constructor's arguments that are understood.
        ignored: pattern of official keys that carry nothing new, such as aliases of shared tensors.
        rename: official key -> our key.
        described: entries of ``official`` besides the constructor that ``build`` is given with its arguments.
        container: the entry under which a training checkpoint keeps the state dict beside other things.
        classes: of the authors' checkpoint, in the order of its logits.
        regions: names in order, the whole face last; none where a sample is none of them.
        colour: of the faces that the authors trained on.
        standardise: the network takes images that ImageNet's mean and deviation have standardised.
    """

    repository: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    constructor: tuple[str, ...] = ()
    ignored: str = r"(?!)"
    rename: Callable[[str], str] = _same_key
    described: tuple[str, ...] = ()
    container: str = ""
    classes: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    colour: Literal["grey", "rgb"] = "rgb"
    standardise: bool = False


@dataclass(frozen=True)
class Method:
    """One paper: what it is called, which arms it has, and how its parts are built.

    Attributes:
        name: the file's name, and the key below ``methods`` in params.yaml.
        title: of the paper.
        paper: arXiv identifier; empty where no open copy is known.
        task: what is predicted; under ``manipulation`` class 0 is real and class 1 is manipulated, under
            ``regression`` it is a number.
        further_tasks: what else the method is for, from what its models return besides logits.
        inputs: what one sample is: images (N, 3, H, W), frames (N, T, 3, H, W), regions (N, R, 3, H, W) or
            sequences of measurements (N, T, D).
        headline: the arm that is the paper's method.
        control: the arm without the paper's idea.
        arms: arm -> one sentence.
        options: pydantic dataclass of a recipe's ``model`` section.
        build_model: builds an arm's network, which returns logits (N, K) or a named tuple with ``logits``;
            of a regression numbers (N,) or a named tuple with ``values``.
        build_loss: builds the loss.
        explain: the tensors the paper plots, each with the batch first; None where an arm has none.
        official: identifier in the authors' code -> layout.
        recognise: the authors' state dict -> identifier; "" where its keys are of another paper.
        imagenet: arm, ``model`` section -> the publisher's file of ImageNet weights; of timm, ``timm/NAME``.
        crop: the paper's policy of ``fer_repro.datasets.faces`` to cut a face.
        diagnostics: names of what is shown for this method alone.
        view: what the network gets of a face or clip, from the options.
        for_classes: options, names of the data's classes in label order -> the options to build with, for a
            method to which single classes matter.
        watch: numbers of a network that the history of its training keeps.
        first_step: training by triplets, where arms have it.
        continuation: arms that begin with the networks of others.
        solver: arms that are fitted without epochs.
        as_stored: reads traces in the pixels that resizing destroys: it takes images of ``image_size`` only,
            and the commands that cut faces out of files refuse it.
        unseen: arm, ``model`` section -> the kind of manipulation that the arm's training leaves out, or "".
        kinds: arm, ``model`` section -> how many kinds of manipulation the arm learns as classes after the
            real one; 0 where it learns two classes. It is tested by two columns of logits, as all others.
        hidden: arm, ``model`` section -> how many labels of faces an arm that verifies people learns beside
            the people, to hide them: its training targets are person + people x label, and probes are
            measured that read the label; 0 where it learns people alone.
        learnt: arm, ``model`` section, sample table, seed -> (N,) bool, the rows of the training part that
            the arm learns from; None: all.
        subsets: ``model`` section, sample table -> name -> (N,) bool, groups of test samples that have
            results of their own, as a protocol has.
        ensemble: arms that the paper combines, in the order of its table; empty where it has no ensemble.
        ensemble_rule: what it averages.
    """

    name: str
    title: str
    paper: str
    task: Task
    inputs: Literal["images", "frames", "regions", "sequences"]
    headline: str
    control: str
    arms: Mapping[str, str]
    options: type[Any]
    build_model: BuildModel
    build_loss: BuildLoss
    explain: Callable[[nn.Module, Tensor], dict[str, Tensor] | None] | None = None
    official: Mapping[str, OfficialLayout] = field(default_factory=dict)
    recognise: Callable[[Mapping[str, Tensor]], str] = lambda state: ""
    imagenet: Callable[[str, Mapping[str, Any]], str] = lambda arm, options: "resnet18-f37072fd.pth"
    crop: str = "square"  # face recognition aligns by five points, which no box gives
    diagnostics: tuple[str, ...] = ()
    further_tasks: tuple[Task, ...] = ()
    view: Callable[[Any], View] = _faces
    for_classes: Callable[[Any, Sequence[str]], Any] = _any_classes
    watch: Callable[[nn.Module], dict[str, float]] | None = None
    first_step: FirstStep | None = None
    continuation: Continuation | None = None
    solver: Solver | None = None
    as_stored: bool = False
    unseen: Callable[[str, Mapping[str, Any]], str] = lambda arm, options: ""
    kinds: Callable[[str, Mapping[str, Any]], int] = lambda arm, options: 0
    hidden: Callable[[str, Mapping[str, Any]], int] = lambda arm, options: 0
    learnt: Callable[[str, Mapping[str, Any], pd.DataFrame, int], NDArray] | None = None
    subsets: Callable[[Mapping[str, Any], pd.DataFrame], Mapping[str, NDArray]] = lambda options, samples: {}
    ensemble: tuple[str, ...] = ()
    ensemble_rule: EnsembleRule = "probabilities"

    def read_options(self, section: object, where: str, classes: Sequence[str]) -> Any:  # noqa: ANN401
        """Check a recipe's ``model`` section and fit it to a data set.

        Args:
            section: what was in the file.
            where: file and key for the message.
            classes: names of the data's classes in label order; none where they are people.

        Raises:
            UserError: see ``read_section``.
        """
        return self.for_classes(read_section(self.options, section, where), classes)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All its tasks."""
        return (self.task, *self.further_tasks)

    def sources(self, arm: str) -> tuple[str, ...]:
        """Name the arms whose networks an arm begins with."""
        return self.continuation.sources.get(arm, ()) if self.continuation else ()

    def is_solved(self, arm: str) -> bool:
        """Whether an arm is fitted at once; it has no epochs and no budget of them."""
        return self.solver is not None and arm in self.solver.arms

    def pretraining_name(self, options: Any) -> str:  # noqa: ANN401 - the method's own dataclass
        """Name the weights that a network starts from, as tables print it; a file's with its digest."""
        start = str(getattr(options, "pretraining", "none"))
        return f"faces ({start}, SHA-256 {options.start_sha256[:8]})" if is_path(start) else start

    def check_arm(self, arm: str) -> None:
        """Refuse an arm this method does not have.

        Raises:
            UserError: naming the nearest arm.
        """
        if arm not in self.arms:
            raise UserError(f"method {self.name} has no arm '{arm}'; {nearest(arm, self.arms)}")


def method_names() -> tuple[str, ...]:
    """Name every file of this folder that defines ``METHOD``, sorted."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    defines = re.compile(r"^METHOD\b", re.MULTILINE)
    return tuple(file.stem for file in files if defines.search(file.read_text(encoding="utf-8")))


def load_method(name: str) -> Method:
    """Import ``fer_repro.methods.<name>`` and return its ``METHOD``.

    Raises:
        UserError: there is no such method; names the nearest.
    """
    names = method_names()
    if name not in names:
        raise UserError(f"there is no method '{name}'; {nearest(name, names)}")
    method: Method = importlib.import_module(f"fer_repro.methods.{name}").METHOD
    return method


def load_official(official: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Rebuild a network of a paper's own code and load its weights, strictly.

    The network is built without memory for its weights and then takes over the given tensors: they are
    shared, not copied, unless their floating types differ among themselves (then all become the widest).

    Args:
        official: ``repo``; ``class``, whose beginning is the official identifier, e.g.
            ``models.resmasking.resmasking_dropout1 (ResMasking)``; ``constructor``, its arguments by name.
        state_dict: official key -> tensor, aliases of shared tensors allowed; or a training checkpoint that
            holds it.

    Returns:
        The module in evaluation mode, in the floating type and on the device of the given tensors.

    Raises:
        UserError: the class or an argument is unknown, or keys are missing, unexpected, reshaped or mistyped:
            one error names the first of each kind and counts all.
    """
    identifier, layout = _find_layout(official)
    constructor = official.get("constructor") or {}
    for argument in constructor:
        if argument not in layout.constructor:
            raise UserError(
                f"{identifier}: unknown constructor argument '{argument}'; "
                f"{nearest(str(argument), layout.constructor)}"
            )
    with torch.device("meta"):
        described = {key: official[key] for key in layout.described if key in official}
        module = layout.build({**described, **constructor})
    held = state_dict.get(layout.container)
    state_dict = held if isinstance(held, Mapping) else state_dict
    ignored = re.compile(layout.ignored)
    given = {layout.rename(k): v for k, v in state_dict.items() if not ignored.fullmatch(str(k))}
    module.load_state_dict(_fitted(given, module.state_dict(), identifier), strict=True, assign=True)
    return module.eval()


def _find_layout(official: Mapping[str, Any]) -> tuple[str, OfficialLayout]:
    for key in ("repo", "class"):
        if not isinstance(official.get(key), str):
            raise UserError(f"official: '{key}' is {official.get(key)!r}: expected a text")
    layouts = {
        f"{layout.repository} {identifier}": (identifier, layout)
        for name in method_names()
        for identifier, layout in load_method(name).official.items()
    }
    wanted = f"{official['repo'].split(' ')[0]} {official['class']}"
    fitting = [key for key in layouts if f"{wanted} ".startswith(f"{key} ")]
    if not fitting:
        raise UserError(f"no method knows the official class '{wanted}'; {nearest(wanted, layouts)}")
    return layouts[max(fitting, key=len)]


def _fitted(given: dict[str, Any], expected: dict[str, Tensor], identifier: str) -> dict[str, Tensor]:
    """Compare keys, shapes and types with what the module expects; unify the floating type."""
    wrong = [
        f"{key} ({_kind(value)} instead of {_kind(expected[key])})"
        for key, value in given.items()
        if key in expected and not _fits(value, expected[key])
    ]
    groups = {
        "missing": [key for key in expected if key not in given],
        "unexpected": [key for key in given if key not in expected],
        "reshaped or mistyped": wrong,
    }
    if any(groups.values()):
        found = "; ".join(
            f"{len(keys)} {word}: {', '.join(keys[:_SHOWN])}{' ...' if len(keys) > _SHOWN else ''}"
            for word, keys in groups.items()
            if keys
        )
        raise UserError(f"the state dict does not fit {identifier} ({len(expected)} tensors): {found}")
    floating = functools.reduce(
        torch.promote_types, (value.dtype for value in given.values() if value.is_floating_point())
    )
    return {
        key: value.detach().to(floating if expected[key].is_floating_point() else expected[key].dtype)
        for key, value in given.items()
    }


def _fits(value: object, expected: Tensor) -> bool:
    return (
        isinstance(value, Tensor)
        and value.shape == expected.shape
        and (value.is_floating_point() or not expected.is_floating_point())
    )


def _kind(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
