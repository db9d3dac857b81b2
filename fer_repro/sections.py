"""Reading a mapping into a typed section: unknown, missing and wrongly typed keys are one clear error."""

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from fer_repro.errors import UserError, nearest

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
PositiveInt = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
T = TypeVar("T")


def read_section(kind: type[T], section: object, where: str) -> T:
    """Check a mapping against a dataclass: unknown, missing and wrongly typed keys are one clear error.

    Args:
        kind: a pydantic dataclass with ``extra="forbid"``.
        section: what was in the file.
        where: file and key for the message, e.g. ``params.yaml: methods.rmn.recipes.synthetic``.

    Raises:
        UserError: naming the key, the file and the nearest valid key, or the value and what was expected.
    """
    if not isinstance(section, Mapping):
        raise UserError(f"{where}: expected a mapping of keys, found {section!r}")
    try:
        return TypeAdapter(kind).validate_json(
            json.dumps(section)
        )  # JSON mode: strict, yet nested mappings pass
    except ValidationError as error:
        messages = [text for item in error.errors() if (text := _explain(kind, section, item, where))]
        raise UserError("; ".join(messages[:3])) from None


def _explain(kind: type, section: Mapping[str, Any], item: Any, where: str) -> str:  # noqa: ANN401 - pydantic's item
    path = [str(part) for part in item["loc"]]
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}: unknown key '{'.'.join(path)}'; {nearest(path[-1], _fields_at(kind, path[:-1]))}"
    if item["type"] in ("missing", "missing_argument"):
        present: Any = section
        for part in path[:-1]:
            present = present.get(part, present)  # a union's tag is no key
        odd = set(present) - set(_fields_at(kind, path[:-1]))
        if difflib.get_close_matches(path[-1], odd, n=1, cutoff=0.5):
            return ""  # the unknown key is reported, with this one as its correction
        return f"{where}: key '{'.'.join(path)}' is missing"
    expected = (
        item["msg"]
        .removeprefix("Value error, ")
        .lower()
        .replace("valid array", "list")
        .replace("an object", "a mapping of keys")
    )
    return f"{where}: {'.'.join(path)} is {item['input']!r}: {expected}"


def _fields_at(kind: Any, path: list[str]) -> list[str]:  # noqa: ANN401 - walks into field types
    for part in path:
        fields = getattr(kind, "__dataclass_fields__", {})
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            kind = fields[part].type if part in fields else _member(kind, part)
    return list(getattr(_member(kind), "__dataclass_fields__", {}))


def _member(kind: Any, tag: str = "") -> Any:  # noqa: ANN401 - an annotation
    """Find the dataclass of a union: the one whose name is ``tag``, or the only one."""
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    members = [member for member in get_args(kind) if hasattr(member, "__dataclass_fields__")]
    named = [m for m in members if tag in get_args(m.__dataclass_fields__.get("name", m).type)] if tag else []
    return named[0] if named else members[0] if len(members) == 1 else kind
