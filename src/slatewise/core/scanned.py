"""Scanned: candidates straight from the bytes of a JSON body.

`kernels.scan` reads what is ordinary, in a pass over the bytes; what it does not read, and everything that is wrong, is
left to whoever reads bodies value by value. So a body is never refused here, and what is found here is what
`core.decoded` would have made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any, final

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import LARGEST, Column, Keys, Kind
from slatewise.kernels import scan
from slatewise.kernels.octets import PADDING
from slatewise.kernels.scan import FLAG, KEY, NUMBER, Form
from slatewise.kernels.scan_columns import ID, LINE

KINDS: Mapping[Kind, int] = {"number": NUMBER, "number?": NUMBER, "key": KEY, "key?": KEY, "flag": FLAG}
"""Kinds of columns that are scanned."""

MOST_FIELDS = 62
"""Fields of a row that a mask of bits tells apart."""

LEAST: Mapping[int, int] = {NUMBER: 2, KEY: 2, FLAG: 5}
"""Bytes that a value of each kind takes at least, with what parts it from the next."""

_PADDING = bytes(PADDING)


@final
class Scanner:
    """Scans bodies for the candidates of a policy.

    Examples:
        >>> scanner = Scanner({"score": "number"}, ["posts", "ads"], most=100, longest=20)
        >>> body = b'{"slots": 1, "candidates": {"item_id": [7, 8], "line": ["ads", "ads"], "score": [0.5, 1]}}'
        >>> candidates, rest = scanner.read(body)
        >>> candidates, candidates.item_id, rest
        (Candidates(2 rows; line: key, score: number), [7, 8], b'{"slots": 1}')
    """

    def __init__(self, kinds: Mapping[str, Kind], lines: Sequence[str], *, most: int, longest: int) -> None:
        """Prepare for the columns and lines of a policy.

        Args:
            kinds: The columns.
            lines: The lines.
            most: Candidates of a request.
            longest: Characters of a text; what has more bytes is left to others.
        """
        self._kinds, self._lines, self._most, self._longest = kinds, lines, most, longest
        fields: dict[str, Kind] = {"item_id": "key", "line": "key", **kinds}
        self._is_able = len(fields) <= MOST_FIELDS and all(
            kind in KINDS and dumps(name, ensure_ascii=False) == f'"{name}"' for name, kind in fields.items()
        )
        if self._is_able:
            self._form, self._places = _laid_out(fields, lines)
            self._names = tuple(lines)

    def read(self, body: bytes) -> tuple[Candidates, bytes] | None:
        """Return (the candidates, the body without them), or None if somebody else has to read the body."""
        if not self._is_able:
            return None
        found = scan.scanned(np.frombuffer(body + _PADDING, np.uint8), self._form, self._most, self._longest, LARGEST)
        n = found.n
        if n == 0:
            return None
        try:
            texts = found.text.tobytes().decode().split("\n")
        except UnicodeDecodeError:
            return None
        for matrix in (found.numbers, found.codes, found.flags):
            matrix.setflags(write=False)
        distinct, wholes = found.distinct.tolist(), found.wholes.tolist()
        ids: list[Any] = found.ids.tolist() or texts[1 : n + 1]
        columns: dict[str, Column] = {"line": Keys(found.codes[LINE, :n], self._names)}
        at, gaps = 1 if wholes[ID] else n + 1, list[str]()
        for (name, kind, place), missing in zip(self._places, found.missing.tolist(), strict=True):
            if missing:
                gaps.append(name)
            if kind == NUMBER:
                columns[name] = found.numbers[place, :n]
            elif kind == FLAG:
                columns[name] = found.flags[place, :n]
            elif place > LINE:
                names = texts[at : at + distinct[place]]
                at += distinct[place]
                columns[name] = Keys(found.codes[place, :n], tuple(map(_value, names) if wholes[place] else names))
        known = self._kinds, self._lines
        candidates = Candidates(
            ids, columns, frozenset(gaps), found.items, distinct[ID] < n, wholes=found.ids, conforms_to=known
        )
        return candidates, body[: found.start] + body[found.stop :]


def warm() -> None:
    """Compile what bodies are scanned with."""
    Scanner({}, ("a",), most=1, longest=1).read(b'{"candidates":[{"item_id":1,"line":"a"}]}')


def _value(text: str) -> str | int:
    """Return one of several values of which some are whole numbers."""
    return text[1:] if text[0] == '"' else int(text)


def _laid_out(fields: Mapping[str, Kind], lines: Sequence[str]) -> tuple[Form, list[tuple[str, int, int]]]:
    """Return what candidates look like, and (name, kind, place among its kind) of each field."""
    words, sizes, places = b"", [0, 0, 0], list[tuple[str, int, int]]()
    table, spans = np.empty((len(fields), 5), np.int64), np.empty((len(lines), 2), np.int64)
    for row, (name, declared) in enumerate(fields.items()):
        spelled, kind = f'"{name}"'.encode(), KINDS[declared]
        table[row] = len(words), len(words) + len(spelled), kind, sizes[kind], declared.endswith("?")
        places.append((name, kind, sizes[kind]))
        sizes[kind] += 1
        words += spelled
    for row, line in enumerate(lines):
        spans[row] = len(words), len(words) + len(line.encode())
        words += line.encode()
    required = {name: LEAST[KINDS[kind]] for name, kind in fields.items() if not kind.endswith("?")}
    values = sum(required.values())
    names = sum(len(f'"{name}":') for name in required)
    least = np.array([values + names, values])
    return Form(np.frombuffer(words + _PADDING, np.uint8), table, spans, np.array(sizes), least), places
