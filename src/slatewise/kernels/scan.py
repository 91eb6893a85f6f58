"""Scan the candidates of a JSON body into columns, without an object for any value.

One pass over the bytes: numbers become float64 (`kernels.decimals`), keys the codes of their distinct values, found in
a hash table of the places where each value stood first. What such a table tells apart are bytes, so that texts with
escapes, which have several spellings, are not read; neither is anything else that is out of the ordinary (unknown or
doubled fields, numbers of 20 digits, values of another kind). A scan that stops says nothing of what is wrong: whoever
reads the body then will say it. What it does read is what any reader of JSON would read.

Cost: O(bytes), about a nanosecond each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import inlined, kernel, leaf
from slatewise.kernels.decimals import number
from slatewise.kernels.member import cut, member, spaced
from slatewise.kernels.octets import (
    COLON,
    COMMA,
    LIST,
    LIST_END,
    OBJECT,
    OBJECT_END,
    PADDING,
    first,
    same,
    word,
)
from slatewise.kernels.scan_columns import (
    ID,
    Columns,
    count_wholes,
    know_items,
    know_lines,
    write_ids,
    write_texts,
)
from slatewise.kernels.tokens import no_tokens, token

NUMBER, KEY, FLAG = 0, 1, 2
"""Kinds of fields."""

START, STOP, KIND, PLACE, MAY_MISS = 0, 1, 2, 3, 4
"""Columns of `Form.fields`."""

_CANDIDATES = np.frombuffer(b'"candidates"' + bytes(PADDING), np.uint8)
_N, _T = 110, 116
_NULL, _TRUE, _FALSE = (np.uint64(int.from_bytes(text, "little")) for text in (b"null", b"true", b"false"))


class Form(NamedTuple):
    """What candidates look like: F fields, of which K are keys.

    Attributes:
        words: (bytes,) uint8, field names with their quotes, then lines without, one after the other; padded like
            bodies.
        fields: (F, 5) int64, where a field's name starts and stops in `words`, its kind, its place among those of its
            kind, and whether its value may be missing.
        lines: (L, 2) int64, where a line starts and stops in `words`.
        sizes: (3,) int64, how many fields there are of each kind.
        least: (2,) int64, bytes of a body that a candidate takes at least, as a row and in columns.
    """

    words: Any
    fields: Any
    lines: Any
    sizes: Any
    least: Any


class Scanned(NamedTuple):
    """Candidates as columns: n rows; n is 0 if the scan stopped, and the rest is void then.

    Attributes:
        n: Rows.
        start: Where the member `candidates` starts in the body, with the comma before it if none follows.
        stop: Where it stops, with the comma after it.
        numbers: (numbers, >= n) float64, NaN where a value is missing.
        codes: (K, >= n) int32, of values in the order in which they came first, -1 where one is missing; under `LINE`,
            the place of the line.
        flags: (flags, >= n) bool.
        ids: (n,) int64, ids that are whole numbers; none if they are text.
        items: (n,) int32, the last row of the same item.
        missing: (F,) int64, how many rows lack the field.
        distinct: (K,) int64, how many values a key has.
        wholes: (K,) int64, how many of them are whole numbers.
        text: (bytes,) uint8, each after a line break: the id of each row, unless they are whole numbers, then the
            distinct values of each key but the line; texts among values of which some are whole numbers begin with a
            quote.
    """

    n: int
    start: int
    stop: int
    numbers: Any
    codes: Any
    flags: Any
    ids: Any
    items: Any
    missing: Any
    distinct: Any
    wholes: Any
    text: Any


@kernel
def scanned(body: NDArray[np.uint8], form: Form, most: int, longest: int, largest: float) -> Scanned:
    """Return the candidates of a body.

    Args:
        body: (bytes,) uint8, followed by `octets.PADDING` bytes 0 that are none of its own.
        form: What candidates look like.
        most: Rows at most.
        longest: Bytes of a text at most.
        largest: Size of a number at most.
    """
    numbers, keys, flags = form.sizes
    start, value = member(body, _CANDIDATES)
    by_row = value >= 0 and body[value] == LIST
    by_column = value >= 0 and body[value] == OBJECT
    most = min(most, len(body) // form.least[0 if by_row else 1]) if by_row or by_column else 0
    columns = Columns(
        np.empty((numbers, most)), np.empty((keys, most), np.int32), np.empty((flags, most), np.bool_),
        np.zeros(len(form.fields), np.int64), no_tokens(keys, most),
    )  # fmt: skip
    distinct = columns.tokens.distinct
    items, wholes, text = np.empty(most, np.int32), np.zeros(keys, np.int64), np.empty(len(body), np.uint8)
    n, stop, written = 0, 0, 0
    if by_row:
        n, stop = _rows(body, value, form, columns, most, longest, largest)
    elif by_column:
        n, stop = _by_column(body, value, form, columns, most, longest, largest)
    if n > 0:
        start, stop = cut(body, start, stop)
        repeated = distinct[ID] if distinct[ID] < n else 0
        last = np.full((repeated, 1 + len(form.lines)), -1, np.int32)
        if stop < 0 or not (know_lines(body, form, columns, n) and know_items(columns, last, items, n)):
            n = 0
    ids = np.empty(n, np.int64)
    if n > 0:
        count_wholes(body, columns.tokens, wholes)
        if wholes[ID] == 0:
            ids = ids[:0]
        elif wholes[ID] < distinct[ID]:
            n = 0  # some ids are text, and some are not
        else:
            write_ids(body, columns, ids)
        written = write_texts(body, columns, n, wholes, text)
    return Scanned(
        n, start, stop, columns.numbers, columns.codes, columns.flags, ids, items[:n], columns.missing, distinct,
        wholes, text[:written],
    )  # fmt: skip


@inlined
def _field(body, at, form, guess, seen):
    """Return (the field whose name stands there, where its value begins); the field is -1 if it is none, or was seen.

    Args:
        body: The body.
        at: Where the name begins.
        form: What candidates look like.
        guess: The field that is tried first.
        seen: The fields that were there before, a bit each.
    """
    for turn in range(-1, len(form.fields)):
        field = guess if turn < 0 else turn
        start = form.fields[field, START]
        size = form.fields[field, STOP] - start
        if same(body, at, form.words, start, size):
            at = spaced(body, at + size)
            if body[at] != COLON or seen >> field & 1:
                break
            return field, spaced(body, at + 1)
    return -1, at


@leaf
def _rows(body, at, form, columns, most, longest, largest):
    """Return (n, the place after the rows), with rows that begin there written; n is 0 if they were not read."""
    fields, row = len(form.fields), 0
    required = np.int64(0)
    for field in range(fields):
        if form.fields[field, MAY_MISS] == 0:
            required |= np.int64(1) << field
    at = spaced(body, at + 1)
    while body[at] == OBJECT and row < most:
        seen, guess = np.int64(0), 0
        at = spaced(body, at + 1)
        while True:
            field, at = _field(body, at, form, guess, seen)
            if field < 0:
                return 0, -1
            seen |= np.int64(1) << field
            at = _value(body, at, form, field, row, columns, longest, largest)
            if at < 0:
                return 0, -1
            at = spaced(body, at)
            if body[at] != COMMA:
                break
            at = spaced(body, at + 1)
            guess = field + 1 if field + 1 < fields else 0
        if body[at] != OBJECT_END or seen & required != required:
            return 0, -1
        for field in range(fields):
            if not seen >> field & 1:
                _leave_out(form, field, row, columns)
        row += 1
        at = spaced(body, at + 1)
        if body[at] != COMMA:
            break
        at = spaced(body, at + 1)
        if body[at] != OBJECT:
            return 0, -1
    return (row, at + 1) if body[at] == LIST_END else (0, -1)


@leaf
def _by_column(body, at, form, columns, most, longest, largest):
    """Return (n, the place after the columns), as `_rows`."""
    fields, n = len(form.fields), -1
    seen, guess = np.int64(0), 0
    at = spaced(body, at + 1)
    while True:
        field, at = _field(body, at, form, guess, seen)
        if field < 0 or body[at] != LIST:
            return 0, -1
        seen |= np.int64(1) << field
        row = 0
        while True:
            if row >= most:
                return 0, -1
            at = _value(body, spaced(body, at + 1), form, field, row, columns, longest, largest)
            if at < 0:
                return 0, -1
            row += 1
            at = spaced(body, at)
            if body[at] != COMMA:
                break
        if body[at] != LIST_END or (n >= 0 and row != n):
            return 0, -1
        n = row
        at = spaced(body, at + 1)
        if body[at] != COMMA:
            break
        at = spaced(body, at + 1)
        guess = field + 1 if field + 1 < fields else 0
    for field in range(fields):
        if not seen >> field & 1:
            if form.fields[field, MAY_MISS] == 0:
                return 0, -1
            for row in range(n):
                _leave_out(form, field, row, columns)
    return (n, at + 1) if body[at] == OBJECT_END else (0, -1)


@inlined
def _leave_out(form, field, row, columns):
    """Write that a row lacks a field."""
    place = form.fields[field, PLACE]
    columns.missing[field] += 1
    if form.fields[field, KIND] == NUMBER:
        columns.numbers[place, row] = np.nan
    else:
        columns.codes[place, row] = -1


@inlined
def _value(body, at, form, field, row, columns, longest, largest):
    """Write the value that begins there, and return the place after it; -1 if it was not read."""
    kind, place = form.fields[field, KIND], form.fields[field, PLACE]
    if body[at] == _N:
        if form.fields[field, MAY_MISS] == 0 or first(word(body, at), 4) != _NULL:
            return -1
        _leave_out(form, field, row, columns)
        return at + 4
    if kind == NUMBER:
        columns.numbers[place, row], at = number(body, at)
        return at if abs(columns.numbers[place, row]) <= largest else -1
    if kind == KEY:
        columns.codes[place, row], at = token(body, at, columns.tokens, place, longest)
        return at
    columns.flags[place, row] = body[at] == _T
    if body[at] == _T:
        return at + 4 if first(word(body, at), 4) == _TRUE else -1
    return at + 5 if first(word(body, at), 5) == _FALSE else -1
