"""Documents: YAML, TOML or JSON text as plain data that still knows on which line each key stands.

YAML is read as version 1.2 (`no` and `on` are text), without tags, and with no key twice. Errors that msgspec finds in
the data are told in the project's form: path, rule, value, the nearest valid name, and `file:line`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, final

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

from slatewise.core.errors import PolicyError, SlatewiseError, shown
from slatewise.core.faults import Path as Keys
from slatewise.core.faults import find_fault

_T = TypeVar("_T")
_E = TypeVar("_E", bound=SlatewiseError)

MOST_NODES = 20_000
"""Keys and values that a document may have, aliases written out."""
LONGEST_WRITTEN = 200_000
"""Characters of JSON up to which lines are looked for; what is longer holds models, and was written by no one."""


@final
class Document:
    """Plain data and where it stands.

    Attributes:
        data: The document, a mapping.
        name: File name for messages, empty if there is no file.
        lines: Path of a key to its line, from 1.
        adopted: Path of a key that another file says, to that file.
    """

    __slots__ = ("adopted", "data", "lines", "name")

    def __init__(
        self, data: Mapping[str, Any], name: str, lines: Mapping[Keys, int], adopted: Mapping[Keys, str] | None = None
    ) -> None:
        self.data = data
        self.name = name
        self.lines = lines
        self.adopted = adopted or {}

    @classmethod
    def read(cls, path: str | Path) -> Document:
        """Read a file; its ending says the format.

        Raises:
            PolicyError: The file is not there, of no known format, or malformed.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8"
            raise PolicyError("policy", "must be a readable text file", f"{path} ({why})") from None
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
        _require_text(data, (), name)
        return cls(cast("dict[str, Any]", data), name, lines)

    def adopt(self, path: Sequence[str | int], keys: Iterable[str], name: str) -> Document:
        """Return the document with these keys below `path` known to be said by another file."""
        return Document(self.data, self.name, self.lines, {**self.adopted, **{(*path, key): name for key in keys}})

    def error(self, kind: type[_E], path: Sequence[str | int], rule: str, got: str | None = None, hint: str = "") -> _E:
        """Return an error about `path`, with the line of the nearest key that the document has."""
        place = tuple(path)
        while place and place not in self.lines:
            if place in self.adopted:
                return kind(spelled(path), rule, got, hint, self.adopted[place])
            place = place[:-1]
        line = self.lines.get(place)
        source = self.name if line is None else f"{self.name or 'line'}:{line}"
        return kind(spelled(path) or "policy", rule, got, hint, source)

    def find(self, path: Sequence[str | int], name: str) -> Keys:
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


def _places(data: Any, path: Keys, name: str) -> Iterator[Keys]:
    if isinstance(data, dict):
        for key, value in cast("dict[str, Any]", data).items():
            if name in (key, value):
                yield (*path, key)
            yield from _places(value, (*path, key), name)
    elif isinstance(data, list):
        for place, value in enumerate(cast("list[Any]", data)):
            yield from _places(value, (*path, place), name)


def _require_text(data: Any, path: Keys, name: str) -> None:
    """Refuse keys that are no text, and text that no file could hold."""
    if isinstance(data, dict):
        for key, value in cast("dict[Any, Any]", data).items():
            if not isinstance(key, str):
                raise PolicyError(spelled(path) or "policy", "must have text as keys", shown(key), source=name)
            _require_text(key, path, name)
            _require_text(value, (*path, key), name)
    elif isinstance(data, list):
        for place, value in enumerate(cast("list[Any]", data)):
            _require_text(value, (*path, place), name)
    elif isinstance(data, str) and not data.isascii():
        try:
            data.encode()
        except UnicodeEncodeError:
            raise PolicyError(spelled(path) or "policy", "must be valid text", ascii(data), source=name) from None


def _yaml(text: str, name: str) -> tuple[Any, dict[Keys, int]]:
    try:
        reader: Any = YAML(typ="safe", pure=True)
        data, tree = reader.load(text), reader.compose(text)
    except YAMLError as error:
        raise _malformed(name, error) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise PolicyError("policy", f"is not readable YAML ({error})", source=name) from None
    lines: dict[Keys, int] = {}
    if tree is not None:
        try:
            _mark(tree, (), lines, name)
        except (RecursionError, TypeError):
            raise PolicyError("policy", "must not contain itself, nor have lists as keys", source=name) from None
    return ({} if data is None else data), lines


def _malformed(name: str, error: YAMLError) -> PolicyError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    source = f"{name or 'line'}:{mark.line + 1}" if mark is not None else name
    return PolicyError("policy", f"is not readable YAML ({problem})", source=source)


def _mark(node: Any, path: Keys, lines: dict[Keys, int], name: str) -> None:
    if len(lines) > MOST_NODES:
        raise PolicyError("policy", f"must have at most {MOST_NODES} keys and values", source=name)
    if isinstance(node, MappingNode):
        for key, value in cast("Any", node).value:
            lines[*path, key.value] = key.start_mark.line + 1
            _mark(value, (*path, key.value), lines, name)
    elif isinstance(node, SequenceNode):
        for place, value in enumerate(cast("Any", node).value):
            lines[*path, place] = value.start_mark.line + 1
            _mark(value, (*path, place), lines, name)


def _json(text: str, name: str) -> tuple[Any, dict[Keys, int]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in found if keys.count(key) > 1)
            raise PolicyError("policy", "must not have a key twice", shown(twice), source=name)
        return found

    try:
        data = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        source = f"{name or 'line'}:{error.lineno}"
        raise PolicyError("policy", f"is not readable JSON ({error.msg})", source=source) from None
    except (ValueError, RecursionError) as error:
        raise PolicyError("policy", f"is not readable JSON ({error})", source=name) from None
    if len(text) > LONGEST_WRITTEN:
        return data, {}
    try:
        return data, _yaml(text, name)[1]  # JSON is YAML, and the YAML reader knows the lines
    except PolicyError:
        return data, {}


def _toml(text: str, name: str) -> tuple[Any, dict[Keys, int]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        source = f"{name or 'line'}:{found[1]}" if found else name
        raise PolicyError("policy", f"is not readable TOML ({error})", source=source) from None
    except (ValueError, RecursionError) as error:
        raise PolicyError("policy", f"is not readable TOML ({error})", source=name) from None
    lines: dict[Keys, int] = {}
    table: Keys = ()
    seen: dict[Keys, int] = {}
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
