"""Which recipe of params.yaml a run takes, and what that recipe takes over from another one."""

from typing import Any

from fer_repro.errors import UserError, nearest

REAL_FACES = "real_faces"
"""The recipe that a method takes for a collected set that it has no recipe for."""
_LIKE = "like"


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


def inherit(recipes: object, name: str, where: str, heirs: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - YAML
    """Resolve ``like: RECIPE``: everything of that recipe but what the heir says itself."""
    found = choose(recipes, name, where)
    if not isinstance(found, dict) or _LIKE not in found:
        return found
    if name in heirs:
        raise UserError(f"{where}.{name}: like leads back to itself: {' -> '.join((*heirs, name))}")
    own = {key: value for key, value in found.items() if key != _LIKE}
    parent = inherit(recipes, str(found[_LIKE]), where, (*heirs, name))
    return _merged(parent, own) if isinstance(parent, dict) else parent


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


def choose(section: Any, name: str, where: str) -> Any:  # noqa: ANN401 - untyped YAML
    """Take an entry of a mapping, or raise an error that names the nearest one."""
    if not isinstance(section, dict):
        raise UserError(f"{where}: expected a mapping, found {section!r}")
    if name not in section:
        raise UserError(f"{where} has no '{name}'; {nearest(name, section)}")
    return section[name]
