"""Scanned columns: what is made of them once all rows are read.

Codes of lines become places in the policy's list, rows of one item are found, and ids and distinct values are written
where one call turns all of them into objects.

Cost: O(rows + bytes of ids and distinct values).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from slatewise.kernels.compiled import leaf
from slatewise.kernels.octets import MINUS, QUOTE, same

ID, LINE = 0, 1
"""Places of item ids and lines among the keys."""


class Columns(NamedTuple):
    """What is written while rows are read; as in `scan.Scanned`.

    Attributes:
        tokens: Values of keys.
    """

    numbers: Any
    codes: Any
    flags: Any
    missing: Any
    tokens: Any


@leaf
def know_lines(body, form, columns, n):
    """Write the places of lines for their codes, and return whether all are known."""
    spans = columns.tokens.spans
    for code in range(columns.tokens.distinct[LINE]):
        start, stop = spans[LINE, code, 0] + 1, spans[LINE, code, 1] - 1
        if body[start - 1] != QUOTE:
            return False
        spans[LINE, code, 0] = -1
        for line in range(len(form.lines)):
            size = form.lines[line, 1] - form.lines[line, 0]
            if size == stop - start and same(body, start, form.words, form.lines[line, 0], size):
                spans[LINE, code, 0] = line
                break
        if spans[LINE, code, 0] < 0:
            return False
    for row in range(n):
        columns.codes[LINE, row] = spans[LINE, columns.codes[LINE, row], 0]
    return True


@leaf
def know_items(columns, last, items, n):
    """Write the item of each row, and return whether no line names one twice; `last` is -1, or empty if ids differ."""
    codes = columns.codes
    if not len(last):
        for row in range(n):
            items[row] = row
        return True
    for row in range(n):
        code, line = codes[ID, row], codes[LINE, row]
        if last[code, 1 + line] >= 0:
            return False
        last[code, 1 + line] = last[code, 0] = row
    for row in range(n):
        items[row] = last[codes[ID, row], 0]
    return True


@leaf
def count_wholes(body, tokens, wholes):
    """Write how many values of each key but the line are whole numbers."""
    for key in range(len(tokens.distinct)):
        for code in range(tokens.distinct[key]):
            wholes[key] += key != LINE and body[tokens.spans[key, code, 0]] != QUOTE


@leaf
def write_ids(body, columns, ids):
    """Write ids that are whole numbers."""
    for row in range(len(ids)):
        code = columns.codes[ID, row]
        at, stop = columns.tokens.spans[ID, code, 0], columns.tokens.spans[ID, code, 1]
        is_negative = body[at] == MINUS
        at += is_negative
        whole = 0
        while at < stop:
            whole = 10 * whole + body[at] - 48
            at += 1
        ids[row] = -whole if is_negative else whole


@leaf
def write_texts(body, columns, n, wholes, text):
    """Write ids that are text, and distinct values, and return how many bytes they are."""
    spans, at = columns.tokens.spans, 0
    for key in range(len(columns.tokens.distinct)):
        if key == LINE or (key == ID and wholes[ID] > 0):
            continue
        for place in range(n if key == ID else columns.tokens.distinct[key]):
            code = columns.codes[ID, place] if key == ID else place
            start, stop = spans[key, code, 0], spans[key, code, 1]
            if body[start] == QUOTE:
                start, stop = start + (wholes[key] == 0), stop - 1
            text[at] = 10
            at += 1
            for one in range(start, stop):
                text[at] = body[one]
                at += 1
    return at
