"""Files that are whole or absent: YAML read as users mean it, and writes that rename when they are done."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from fer_repro.errors import UserError


class _Yaml12Loader(yaml.SafeLoader):
    """YAML 1.1 reads ``1e-3`` as a string and ``on`` as a boolean; users mean what YAML 1.2 reads."""


def _yaml_resolvers() -> None:
    tags = {"tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"}
    _Yaml12Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in tags]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    add = _Yaml12Loader.add_implicit_resolver
    add("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False|TRUE|FALSE)$"), list("tTfF"))
    add("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
    add(
        "tag:yaml.org,2002:float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    )


def _no_duplicate_keys(loader: _Yaml12Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[str, int] = {}
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise UserError(f"{loader.name}: key '{key}' on line {line} repeats the one on line {seen[key]}")
        seen[key] = key_node.start_mark.line + 1
    return loader.construct_mapping(node, deep=True)


def _yaml_int(loader: _Yaml12Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # decimal, as YAML 1.2 says: 010 is ten


_yaml_resolvers()
_Yaml12Loader.add_constructor("tag:yaml.org,2002:int", _yaml_int)
_Yaml12Loader.add_constructor("tag:yaml.org,2002:map", _no_duplicate_keys)


def parse_yaml(text: str, where: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Read one YAML 1.2 value from ``text``; ``where`` names its source in messages.

    Raises:
        UserError: the text is no YAML, or repeats a key.
    """
    try:
        loader = _Yaml12Loader(text)
        loader.name = where
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from None


def parse_pairs(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Read ``key=value`` pairs of a command line; values are YAML 1.2, so ``true`` and ``1e-3`` are no texts.

    Args:
        pairs: e.g. ``["seed=0", "recipe.epochs=3"]``.
        option: how the pairs were given, for messages, e.g. ``-p``.

    Raises:
        UserError: a pair without ``=``, a key given twice, or a value that is no YAML.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        key = key.strip()
        if not separator or not all(part.isidentifier() for part in key.split(".")):
            raise UserError(f"{option} {pair}: expected key=value, such as {option} seed=0")
        if key in values:
            raise UserError(f"{option} {pair}: '{key}' is given twice")
        values[key] = parse_yaml(text, f"{option} {pair}") if text.strip() else ""
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping as YAML 1.2: ``1e-3`` is a number, ``no`` is a word, repeated keys are errors.

    Raises:
        UserError: the file is missing, is no YAML or no mapping.
    """
    try:
        loaded = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; start in the project's root or pass params_file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: expected a mapping of keys at the top, found {type(loaded).__name__}")
    return loaded


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` on success, delete it on failure.

    The temporary name is fixed because ``torch.save`` stores the file's name in the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; rename it to ``path`` on success, delete it on failure.

    Raises:
        UserError: ``path`` exists already and ``force`` is false.
    """
    if path.exists() and not force:
        raise UserError(f"{path} exists already; nothing was changed (--force replaces it)")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)
