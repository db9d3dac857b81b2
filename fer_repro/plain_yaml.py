"""YAML as users mean it, and no more than that: the core of YAML 1.2, where values are what JSON knows.

No tag makes an object, a date stays a text, no number is infinite, and a file of aliases cannot grow without
end in memory.
"""

import copy
import math
import re
from functools import lru_cache
from typing import Any

import yaml

from fer_repro.errors import UserError

MOST_VALUES = 100_000


class _Yaml12Loader(yaml.SafeLoader):
    """YAML 1.1 reads ``1e-3`` as a string and ``on`` as a boolean; users mean what YAML 1.2 reads."""


def _yaml_resolvers() -> None:
    tags = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "timestamp", "value")}
    _Yaml12Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in tags]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    add = _Yaml12Loader.add_implicit_resolver
    add("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$"), list("tTfF"))
    add("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
    add(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
        list("-+.0123456789"),
    )


def _no_duplicate_keys(loader: _Yaml12Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if isinstance(key, list | dict):
            raise UserError(f"{loader.name}: the key on line {line} is a collection: expected a name")
        if key in seen:
            raise UserError(f"{loader.name}: key '{key}' on line {line} repeats the one on line {seen[key]}")
        seen[key] = line
    return loader.construct_mapping(node, deep=True)


def _yaml_number(loader: _Yaml12Loader, node: yaml.ScalarNode) -> int | float:
    text = loader.construct_scalar(node)
    whole = node.tag.endswith(":int")
    try:
        value = int(text[:20]) if whole else float(text)  # decimal, as in YAML 1.2: 010 is ten
    except ValueError:
        value = math.inf  # a string that was tagged as a number
    if abs(value) >= (2**63 if whole else math.inf):
        line = node.start_mark.line + 1
        raise UserError(f"{loader.name}: {text[:30]!r} on line {line} is no number that can be computed with")
    return value


def _check_size(node: yaml.Node, sizes: dict[int, int], where: str) -> int:
    """Count the values that a node unfolds to: a few lines of aliases to aliases can be billions."""
    if id(node) not in sizes:
        sizes[id(node)] = 1  # where a node holds itself, the constructor reports it
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        for part in parts:
            inner = part if isinstance(part, tuple) else (part,)  # of a mapping key and value
            sizes[id(node)] += sum(_check_size(one, sizes, where) for one in inner)
        if sizes[id(node)] > MOST_VALUES:
            raise UserError(f"{where}: its aliases unfold to more than {MOST_VALUES} values; write them out")
    return sizes[id(node)]


_yaml_resolvers()
_FOREIGN = {f"tag:yaml.org,2002:{kind}" for kind in ("binary", "omap", "pairs", "set", "timestamp")}
"""Types that YAML 1.2 does not have, nor JSON."""
_Yaml12Loader.yaml_constructors = {
    tag: constructor for tag, constructor in yaml.SafeLoader.yaml_constructors.items() if tag not in _FOREIGN
}
_Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _yaml_number)
_Yaml12Loader.add_constructor("tag:yaml.org,2002:float", _yaml_number)
_Yaml12Loader.add_constructor("tag:yaml.org,2002:map", _no_duplicate_keys)


def parse_yaml(text: str, where: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Read one YAML 1.2 value from ``text``; ``where`` names its source in messages.

    A stage asks for params.yaml again and again: the same text is parsed once, and every caller gets a copy.

    Raises:
        UserError: the text is no YAML, or repeats a key.
    """
    return copy.deepcopy(_parse(text, where))


@lru_cache(maxsize=8)
def _parse(text: str, where: str) -> Any:  # noqa: ANN401 - as above
    try:
        loader = _Yaml12Loader(text)
        loader.name = where
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node, {}, where)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{where}: not readable as YAML: nested too deeply") from None
