"""Which recipe of params.yaml a run takes, and what that recipe takes over from another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from fer_repro.errors import UserError, nearest

REAL_FACES = "real_faces"
"""The recipe that a method takes for a collected set that it has no recipe for."""
PAPER = "paper"
"""The recipe that others are like: their own lines are in what they depart from it."""
_LIKE = "like"
_MODEL = {
    "trunk": "trunk {}",
    "width": "width {}",
    "stem": "{} stem",
    "dimensions": "{}-d",
    "rows": "segments of {} rows",
    "unseen": "no {} in training",
    "pairs": "{} pairs",
}
NAMES = {
    "none": "",
    "imagenet": "ImageNet",
    "adam": "Adam",
    "adamw": "AdamW",
    "radam": "RAdam",
    "sgd": "SGD",
    "nesterov": "Nesterov SGD",
}


_STARTS = ("none", "imagenet")
_WEIGHTS = ("weights.safetensors", "model.safetensors")  # of a run, of an exported network


def is_path(start: str) -> bool:
    """Whether ``model.pretraining`` is the path of a run, of an exported network or of a checkpoint."""
    return "/" in start


def _known_start(start: str) -> str:
    if not is_path(start) and start not in _STARTS:
        known = "expected none, imagenet, or the path of a run, a network or a checkpoint, with a /"
        raise ValueError(f"{known}; {nearest(start, _STARTS)}")
    return start


Start = Annotated[str, AfterValidator(_known_start)]
"""What a network starts from: none, imagenet, or a path as for ``start_file``."""


def start_file(start: str) -> Path:
    """Find the weights that a network starts from.

    Args:
        start: the folder of a trained run or of an exported network, or a checkpoint of a paper's authors.

    Raises:
        UserError: there are none.
    """
    path = Path(start)
    for file in (path, *(path / name for name in _WEIGHTS)):
        if file.is_file():
            return file
    raise UserError(
        f"model.pretraining is {start}, and no weights are there: train that run first; networks of the "
        "repository come with `make install`; model.pretraining none starts from random weights"
    )


def is_synthetic(dataset: str) -> bool:
    """Whether a data set is one of the project's own rendered ones, which are all named so."""
    return dataset.partition("_")[0] == "synthetic"


def own_recipe(recipes: object, dataset: str) -> str:
    """Name the recipe of a data set: its own, its adapter's, or for collected sets that for real faces."""
    known = recipes if isinstance(recipes, dict) else {}
    names = [dataset, dataset.partition("-")[0]]
    if not is_synthetic(dataset):
        names.append(REAL_FACES)
    return next((name for name in names if name in known), dataset)


def resolve(recipes: Mapping[str, Any], name: str, defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Complete a recipe: what it does not set is that of the one it is ``like``, in the end the defaults'.

    Args:
        recipes: of one method, as written.
        name: a key of them.
        defaults: ``recipe_defaults`` of params.yaml.
        where: of the recipes, for messages.

    Raises:
        UserError: there is no such recipe, or ``like`` leads back to itself.
    """
    chain: list[str] = []
    parent = name
    while parent:
        if parent in chain:
            raise UserError(f"{where}.{parent}: like leads back to itself: {' -> '.join((*chain, parent))}")
        chain.append(parent)
        parent = str(choose(recipes, parent, where).get(_LIKE, ""))
    found = dict(defaults)
    for each in reversed(chain):
        if "note" in recipes[each]:
            raise UserError(f"{where}.{each}: note is now written automatically: remove the line")
        found = _merged(found, {key: value for key, value in recipes[each].items() if key != _LIKE})
    return found


def _merged(parent: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; one that names another kind, as schedules do, replaces the whole."""
    merged = {**parent, **own}
    for key, value in own.items():
        before = parent.get(key)
        if isinstance(value, dict) and isinstance(before, dict) and _is_one_kind(value, before):
            merged[key] = _merged(before, value)
    return merged


def _is_one_kind(value: dict[str, Any], before: dict[str, Any]) -> bool:
    return bool(value.get("name", before.get("name")) == before.get("name"))


def say_departures(run: Mapping[str, Any], paper: Mapping[str, Any] | None) -> str:
    """State in one phrase how a run departs from its paper's recipe, for all tables: its ``note``.

    Args:
        run: the resolved configuration, with ``recipe``, ``data`` and ``smoke``.
        paper: the resolved recipe of the paper; None where its numbers are not known.
    """
    ours, theirs = _facts(run["recipe"]), {} if paper is None else _facts(paper)
    differing = {key: phrase for key, (value, phrase) in ours.items() if theirs.get(key, (None,))[0] != value}
    if "optimiser" in differing:  # another one has another rate
        differing.pop("rate", None)
    pairs = [
        # FAN's and RAN's papers have other pretraining than their recipes: those weights are not available
        phrase if key not in theirs or key == "pretraining" else f"{phrase} ({theirs[key][0]})"
        for key, phrase in differing.items()
    ]
    if paper is None:
        said = ", ".join(phrase for phrase in pairs if phrase != "table stem") + " (paper: not known)"
    elif differing:
        said = ", ".join(pairs).replace("(", "(paper: ", 1)
    else:
        others = ", ".join(key.replace("_", " ") for key in paper if run["recipe"][key] != paper[key])
        said = f"the paper's recipe but for {others}" if others else "the paper's recipe"
    limits = {"training": run["data"]["max_train"], "test": run["data"]["max_test"]}
    cut = [f", at most {count} {part} samples" for part, count in limits.items() if count]
    return "".join([said, *cut, ", a smoke run" if run["smoke"] else ""])


def _facts(recipe: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What readers of a table look for first: the value, and its phrase."""
    model, optimiser, epochs = recipe["model"], recipe["optimiser"], recipe["epochs"]
    count, size = recipe["sampling"]["per_epoch"], recipe["image_size"]
    head = recipe.get("head", "none")
    of = f" of {count}" if count else ""
    start = NAMES.get(model.get("pretraining", "none"), model.get("pretraining"))
    name = NAMES[optimiser["name"]]
    facts = {
        "epochs": (f"{epochs}{of}", f"{epochs} {'epoch' if epochs == 1 else 'epochs'}{of}"),
        **{
            key: (str(model[key]), phrase.format(model[key]))
            for key, phrase in _MODEL.items()
            if key in model
        },
        **({} if head == "none" else {"head": (head, f"{head} head")}),
        **({"image_size": (f"{size}", f"{size} px")} if size else {}),  # sequences have none
        "pretraining": (f"{start or 'none'}", _start_phrase(start)),
        "batch_size": (f"{recipe['batch_size']}", f"batch {recipe['batch_size']}"),
        "optimiser": (name, name),
        "rate": (f"{optimiser['lr']:g}", f"rate {optimiser['lr']:g}"),
    }
    if name:
        return facts
    return {key: facts[key] for key in facts if key in (*_MODEL, "image_size")}  # nothing is trained


def _start_phrase(start: str) -> str:
    if not start:
        return "no pretraining"
    return f"{start.partition('/')[2] or start} start"


def choose(section: Any, name: str, where: str) -> Any:  # noqa: ANN401 - untyped YAML
    """Take an entry of a mapping, or raise an error that names the nearest one."""
    if not isinstance(section, dict):
        raise UserError(f"{where}: expected a mapping, found {section!r}")
    if name not in section:
        raise UserError(f"{where} has no '{name}'; {nearest(name, section)}")
    return section[name]
