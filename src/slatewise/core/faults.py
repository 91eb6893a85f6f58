"""Faults: what is wrong with data that is not of a type, in our words.

msgspec checks data and says in its own words what does not fit; here its message becomes path, rule, value and the
nearest valid name. Keys of mappings, which its paths leave out, are found by trying each alone.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec
from msgspec import inspect

from slatewise.core.errors import did_you_mean, nearest, shown

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes, from the outside in."""


class Finding(NamedTuple):
    """What is wrong with some data.

    Attributes:
        path: Where, below the data.
        rule: What would have been right.
        got: The value there; None if there is none to show.
        hint: The nearest valid name; empty if none helps.
    """

    path: Path
    rule: str
    got: str | None = None
    hint: str = ""


def find_fault(message: str, data: Any, into: Any) -> Finding:
    """Return in our words what msgspec's `message` says of `data`, which is no `into`."""
    rule, below = _split(message)
    path = _resolve(data, below, into)
    if unknown := re.fullmatch(r"Object contains unknown field `(.+)`", rule):
        name = unknown[1]
        return Finding((*path, name), "is not known here", hint=did_you_mean(name, _names(into, path)))
    if missing := re.fullmatch(r"Object missing required field `(.+)`", rule):
        return Finding((*path, missing[1]), "must be given")
    value = _at(data, path)
    if isinstance(value, float) and not isfinite(value):
        return Finding(path, "must be finite", shown(value))
    if wanted := re.fullmatch(r"Expected `(.+?)`(?:, got `.+`|(.*))", rule):
        bound = re.sub(r"\.0$", "", (wanted[2] or "").strip())
        return Finding(path, f"must be {bound or _plain(wanted[1])}", shown(value))
    if rule.startswith(("Invalid value", "Invalid enum value")):
        names = _names(into, path)
        number = "a whole number or " if _takes_numbers(into, path) else ""
        rule = f"must be {number or 'one of '}" + ", ".join(map(repr, names)) if names else "is not allowed"
        return Finding(path, rule, shown(value), nearest(str(value), names))
    return Finding(path, rule[:1].lower() + rule[1:], shown(value) if isinstance(value, float | int | str) else None)


def _plain(kinds: str) -> str:
    words = {
        "int": "a whole number",
        "float": "a number",
        "str": "text",
        "bool": "true or false",
        "object": "a mapping",
        "array": "a list",
        "null": "nothing",
    }
    return " or ".join(words.get(kind.strip(), kind.strip()) for kind in kinds.split("|"))


def _split(message: str) -> tuple[str, list[str | None]]:
    """Split an error of msgspec into its rule and its path; None stands for an unnamed key of a mapping."""
    found = re.fullmatch(r"(.*?) - at `(?:key` in `)?\$(.*)`", message, re.DOTALL)
    if found is None:
        return message, []
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", found[2])
    return found[1], [name or (None if place == "..." else place) for name, place in steps]


def _resolve(data: Any, below: list[str | None], into: Any) -> Path:
    """Return the path with every unnamed key found: it is the one whose entry alone still fails."""
    path: Path = ()
    for step in below:
        here = _at(data, path)
        if step is None and isinstance(here, dict):
            key = next(
                (key for key in cast("dict[str, Any]", here) if _fails(_with(data, path, {key: here[key]}), into)),
                None,
            )
            if key is None:
                return path
            path = (*path, key)
        elif isinstance(here, list):
            path = (*path, int(step or 0))
        else:
            path = (*path, str(step))
    return path


def _fails(data: Any, into: Any) -> bool:
    try:
        msgspec.convert(data, into, strict=True)
    except msgspec.ValidationError:
        return True
    return False


def _with(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    copy: Any = data.copy()
    copy[step] = _with(data[step], rest, value)
    return copy


def _at(data: Any, path: Path) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _names(into: Any, path: Path) -> list[str]:
    """Return the names valid at a path of a type: fields of structs, values of literals, tags of unions."""
    kinds = _kinds(into, path)
    fields = [field.encode_name for kind in kinds if isinstance(kind, inspect.StructType) for field in kind.fields]
    return fields or [str(value) for kind in kinds if isinstance(kind, inspect.LiteralType) for value in kind.values]


def _takes_numbers(into: Any, path: Path) -> bool:
    return any(isinstance(kind, inspect.IntType) for kind in _kinds(into, path))


def _kinds(into: Any, path: Path) -> list[inspect.Type]:
    kinds = _flat(inspect.type_info(into))
    for step in path:
        kinds = [inner for kind in kinds for inner in _step(kind, step)]
    return kinds


def _flat(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        return _flat(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [inner for one in kind.types for inner in _flat(one)]
    return [kind]


def _step(kind: inspect.Type, step: str | int) -> list[inspect.Type]:
    match kind:
        case inspect.StructType():
            if step == kind.tag_field:
                return [inspect.LiteralType((str(kind.tag),))]
            return [inner for field in kind.fields if field.encode_name == step for inner in _flat(field.type)]
        case inspect.DictType():
            return _flat(kind.value_type)
        case inspect.ListType() | inspect.VarTupleType():
            return _flat(kind.item_type)
        case _:
            return []
