"""Documents: YAML, TOML or JSON text as plain data that still knows on which line each key stands.

YAML is read as version 1.2 (`no` and `on` are text), without tags, and with no key twice. Errors that msgspec finds in
the data are told in the project's form: path, rule, value, the nearest valid name, and `file:line`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast, final

import msgspec
from msgspec import inspect
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

from slatewise.core.errors import PolicyError, SlatewiseError, did_you_mean, shown

Path_ = tuple[str | int, ...]
_T = TypeVar("_T")
_E = TypeVar("_E", bound=SlatewiseError)

MOST_NODES = 20_000
"""Keys and values that a document may have, aliases written out."""


@final
class Document:
    """Plain data and where it stands.

    Attributes:
        data: The document, a mapping.
        name: File name for messages, empty if there is no file.
        lines: Path of a key to its line, from 1.
    """

    __slots__ = ("data", "lines", "name")

    def __init__(self, data: Mapping[str, Any], name: str, lines: Mapping[Path_, int]) -> None:
        self.data = data
        self.name = name
        self.lines = lines

    @classmethod
    def read(cls, path: str | Path) -> Document:
        """Read a file; its ending says the format.

        Raises:
            PolicyError: The file is not there, of no known format, or malformed.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError("policy", "must be a readable text file", f"{path} ({error})") from None
        return cls.parse(text, path.suffix.lstrip(".").lower(), str(path))

    @classmethod
    def parse(cls, text: str, form: str, name: str = "") -> Document:
        """Parse text of a format: yaml, yml, toml or json.

        >>> Document.parse("slots: 3  # short", "yaml").data
        {'slots': 3}
        """
        readers = {"yaml": _yaml, "yml": _yaml, "json": _json, "toml": _toml}
        if form not in readers:
            raise PolicyError("policy", "must end in .yaml, .yml, .toml or .json", shown(name or form))
        data, lines = readers[form](text, name)
        if not isinstance(data, dict):
            raise PolicyError("policy", "must be a mapping of sections", shown(data), source=name)
        return cls(cast("dict[str, Any]", data), name, lines)

    def error(self, kind: type[_E], path: Sequence[str | int], rule: str, got: str | None = None, hint: str = "") -> _E:
        """Return an error about `path`, with the line of the nearest key that the document has."""
        place = tuple(path)
        while place and place not in self.lines:
            place = place[:-1]
        line = self.lines.get(place)
        source = self.name if line is None else f"{self.name or 'line'}:{line}"
        return kind(spelled(path) or "policy", rule, got, hint, source)

    def find(self, path: Sequence[str | int], name: str) -> Path_:
        """Return the first place below `path` where `name` is a key or a value; `path` itself if nowhere."""
        data: Any = self.data
        for step in path:
            if not isinstance(data, dict) or step not in data:
                return tuple(path)
            data = cast("dict[Any, Any]", data)[step]
        return next(_places(data, tuple(path), name), tuple(path))


def spelled(path: Sequence[str | int]) -> str:
    """Return a path as people write it.

    >>> spelled(("compose", "constrain", "rules", 0, "at_most"))
    'compose.constrain.rules[0].at_most'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def convert(document: Document, path: Sequence[str | int], data: Any, into: type[_T]) -> _T:
    """Return `data`, which stands at `path` of the document, as a checked struct.

    Raises:
        PolicyError: Names the field, the rule, the value and the nearest valid name.
    """
    try:
        return msgspec.convert(data, into, strict=True)
    except msgspec.ValidationError as error:
        finding = find_fault(str(error), data, into)
        place = (*path, *finding.path)
        raise document.error(PolicyError, place, finding.rule, finding.got, finding.hint) from None


class Finding(NamedTuple):
    """What is wrong with some data.

    Attributes:
        path: Where, below the data.
        rule: What would have been right.
        got: The value there; None if there is none to show.
        hint: The nearest valid name; empty if none helps.
    """

    path: Path_
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
    if wanted := re.fullmatch(r"Expected `(.+?)`(?:, got `.+`|(.*))", rule):
        return Finding(path, f"must be {(wanted[2] or '').strip() or _plain(wanted[1])}", shown(value))
    if rule.startswith(("Invalid value", "Invalid enum value")):
        names = _names(into, path)
        rule = "must be one of " + ", ".join(map(repr, names)) if names else "is not allowed"
        return Finding(path, rule, shown(value), did_you_mean(str(value), names))
    return Finding(path, rule[:1].lower() + rule[1:])


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


def _resolve(data: Any, below: list[str | None], into: Any) -> Path_:
    """Return the path with every unnamed key found: it is the one whose entry alone still fails."""
    path: Path_ = ()
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


def _with(data: Any, path: Path_, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    copy: Any = data.copy()
    copy[step] = _with(data[step], rest, value)
    return copy


def _at(data: Any, path: Path_) -> Any:
    for step in path:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _places(data: Any, path: Path_, name: str) -> Iterator[Path_]:
    if isinstance(data, dict):
        for key, value in cast("dict[str, Any]", data).items():
            if name in (key, value):
                yield (*path, key)
            yield from _places(value, (*path, key), name)
    elif isinstance(data, list):
        for place, value in enumerate(cast("list[Any]", data)):
            yield from _places(value, (*path, place), name)


def _names(into: Any, path: Path_) -> list[str]:
    """Return the names valid at a path of a type: fields of structs, values of literals, tags of unions."""
    kinds = _flat(inspect.type_info(into))
    for step in path:
        kinds = [inner for kind in kinds for inner in _step(kind, step)]
    fields = [field.encode_name for kind in kinds if isinstance(kind, inspect.StructType) for field in kind.fields]
    return fields or [str(value) for kind in kinds if isinstance(kind, inspect.LiteralType) for value in kind.values]


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


def _yaml(text: str, name: str) -> tuple[Any, dict[Path_, int]]:
    try:
        reader: Any = YAML(typ="safe", pure=True)
        data, tree = reader.load(text), reader.compose(text)
    except YAMLError as error:
        raise _malformed(name, error) from None
    except (ValueError, RecursionError) as error:
        raise PolicyError("policy", f"is not readable YAML ({error})", source=name) from None
    lines: dict[Path_, int] = {}
    if tree is not None:
        try:
            _mark(tree, (), lines)
        except RecursionError:
            raise PolicyError("policy", "must not contain itself", source=name) from None
    return ({} if data is None else data), lines


def _malformed(name: str, error: YAMLError) -> PolicyError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    source = f"{name or 'line'}:{mark.line + 1}" if mark is not None else name
    return PolicyError("policy", f"is not readable YAML ({problem})", source=source)


def _mark(node: Any, path: Path_, lines: dict[Path_, int]) -> None:
    if len(lines) > MOST_NODES:
        raise PolicyError("policy", f"must have at most {MOST_NODES} keys and values")
    if isinstance(node, MappingNode):
        for key, value in cast("Any", node).value:
            lines[*path, key.value] = key.start_mark.line + 1
            _mark(value, (*path, key.value), lines)
    elif isinstance(node, SequenceNode):
        for place, value in enumerate(cast("Any", node).value):
            lines[*path, place] = value.start_mark.line + 1
            _mark(value, (*path, place), lines)


def _json(text: str, name: str) -> tuple[Any, dict[Path_, int]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for place, (key, _) in enumerate(pairs):
            if key in dict(pairs[:place]):
                raise PolicyError("policy", "must not have a key twice", shown(key), source=name)
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        source = f"{name or 'line'}:{error.lineno}"
        raise PolicyError("policy", f"is not readable JSON ({error.msg})", source=source) from None
    except RecursionError:
        raise PolicyError("policy", "must not be nested so deeply", source=name) from None
    try:
        return data, _yaml(text, name)[1]  # JSON is YAML, and the YAML reader knows the lines
    except PolicyError:
        return data, {}


def _toml(text: str, name: str) -> tuple[Any, dict[Path_, int]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        source = f"{name or 'line'}:{found[1]}" if found else name
        raise PolicyError("policy", f"is not readable TOML ({error})", source=source) from None
    lines: dict[Path_, int] = {}
    table: Path_ = ()
    seen: dict[Path_, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = tuple(re.findall(r"[^.\s\"']+", header[2]))
            if header[1] == "[[":
                seen[table] = seen.get(table, -1) + 1
                table = (*table, seen[table])
            lines.setdefault(table, number)
        elif entry := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line):
            lines.setdefault((*table, entry[1]), number)
    return data, lines
