"""Which networks are used if none is named: rules in order, and the reason in one line.

1. Trained on photographs or videos of people comes before unknown data, and these before synthetic faces.
2. The user's own runs and files come before the network that comes with the repository.
3. A paper's own arm, or its ensemble of one seed, comes before rivals, baselines and controls.
4. Numbers of two data sets are never compared: of several the first by name is taken.
5. Within it the best accuracy on the validation part, then the first by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fer_repro.errors import UserError, one_line
from fer_repro.inference.catalogue import (
    FILES,
    PLACES,
    SHIPPED,
    SYNTHETIC_FACES,
    Listed,
    is_unknown,
    list_models,
)

_EXAMPLES = {
    "expression": "rmn synthetic",
    "verification": "adacos synthetic_pairs",
    "manipulation": "efficientnet synthetic_forgeries",
}
REAL, UNSURE, RENDERED = range(3)
OWN, OTHER = range(2)


@dataclass(frozen=True)
class ChosenModels:
    """The networks that are used, and why.

    Attributes:
        paths: what ``load`` takes; several are an ensemble.
        reason: the rules that decided.
    """

    paths: tuple[str, ...]
    reason: str

    def text(self) -> str:
        """One line for people."""
        first, *others = map(Path, self.paths)
        shown = one_line(first.as_posix())
        if others:
            shown = (
                f"{one_line(first.parent.as_posix())}: {' + '.join(Path(path).name for path in self.paths)}"
            )
        return f"model: {shown} ({self.reason})"


class _Candidate(NamedTuple):
    paths: tuple[str, ...]
    dataset: str
    data: int
    shipped: bool
    own: int
    accuracy: float | None


def choose_models(task: str = "expression", root: Path = Path()) -> ChosenModels:
    """Choose networks of single images.

    Args:
        task: expression, verification or manipulation; of the last the paper's ensemble of one seed.
        root: the project's folder.

    Raises:
        UserError: there is none.
    """
    left = list(_candidates([each for each in list_models(root) if each.task == task]))
    if not left:
        *places, last = (str(root / place) for place in (*PLACES, FILES, SHIPPED))
        raise UserError(
            f"no model for {task} in {', '.join(places)} or {last}; "
            f"train one (`fer-repro train {_EXAMPLES[task]}`), import one (`fer-repro import`), or name one "
            "with --model"
        )
    if len(left) == 1:
        return ChosenModels(left[0].paths, f"the only one for {task}{_comes_along(left[0])}")
    reasons = []
    for key, word in _RULES:
        best = min(map(key, left))
        kept = [each for each in left if key(each) == best]
        if len(kept) < len(left):
            reasons.append(word(kept[0], left))
        left = kept
    if len(left) > 1:
        reasons.append(f"first by name of {len(left)}")
    return ChosenModels(left[0].paths, "; ".join(reasons) + _comes_along(left[0]))


def _candidates(models: list[Listed]) -> Iterator[_Candidate]:
    from fer_repro.methods.method import load_method, method_names

    known = {name: load_method(name) for name in method_names()}
    seen = set()
    for each in models:
        method = known.get(each.method)
        if method is None or method.inputs == "frames" or method.as_stored:
            continue
        members = [each]
        if each.kind == "run" and each.task == "manipulation" and each.arm in method.ensemble:
            beside = {one.arm: one for one in models if Path(one.path).parent == Path(each.path).parent}
            members = [beside[arm] for arm in method.ensemble if arm in beside]
        paths = tuple(member.path for member in members)
        own = each.arm == method.headline or len(members) > 1 or each.arm not in method.arms
        if paths not in seen:
            seen.add(paths)
            data, shipped = _rank(each.trained_on), each.kind == "shipped"
            yield _Candidate(paths, each.dataset, data, shipped, OTHER - own, _accuracy(members))


def _comes_along(taken: _Candidate) -> str:
    return "; it comes with the repository" if taken.shipped else ""


def _rank(data: str) -> int:
    return RENDERED if data == SYNTHETIC_FACES else UNSURE if is_unknown(data) else REAL


def _accuracy(members: list[Listed]) -> float | None:
    known = [each.val_accuracy for each in members if each.val_accuracy is not None]
    return sum(known) / len(known) if len(known) == len(members) else None


def _why_data(taken: _Candidate, left: list[_Candidate]) -> str:
    if taken.data == REAL:
        return "trained on photographs; others are trained on synthetic faces or on unknown data"
    return "the others are trained on synthetic faces"


def _why_yours(taken: _Candidate, left: list[_Candidate]) -> str:
    return "your own before the one that comes with the repository"


def _why_own(taken: _Candidate, left: list[_Candidate]) -> str:
    many = len(taken.paths)
    return f"the paper's ensemble, {many} networks of one seed" if many > 1 else "the paper's own arm"


def _why_dataset(taken: _Candidate, left: list[_Candidate]) -> str:
    names = sorted({each.dataset for each in left})
    return (
        f"{taken.dataset} first by name of the data sets {', '.join(names)}, whose numbers cannot be compared"
    )


def _why_accuracy(taken: _Candidate, left: list[_Candidate]) -> str:
    mean = "mean " if len(taken.paths) > 1 else ""
    return f"best {mean}accuracy on the validation part of {taken.dataset}, {taken.accuracy:.1%}"


_Rule = tuple[Callable[[_Candidate], Any], Callable[[_Candidate, list[_Candidate]], str]]
_RULES: tuple[_Rule, ...] = (
    (lambda each: each.data, _why_data),
    (lambda each: each.shipped, _why_yours),
    (lambda each: (each.own, -len(each.paths)), _why_own),
    (lambda each: each.dataset, _why_dataset),
    (lambda each: -1.0 if each.accuracy is None else -1.0 - each.accuracy, _why_accuracy),
)
