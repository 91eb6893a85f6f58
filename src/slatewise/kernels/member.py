"""Member: where one member of a JSON object stands, found without reading the others.

What stands before it is skipped, as far as it ends where values end; what stands after it is not looked at. Without the
member, a body that is an object is one still, so the others can be read by anybody, who refuses what is none.

Cost: O(bytes) up to the end of the member.
"""

from __future__ import annotations

from slatewise.kernels.compiled import inlined, leaf
from slatewise.kernels.octets import COLON, COMMA, ESCAPE, LIST, LIST_END, OBJECT, OBJECT_END, PADDING, QUOTE, same


@inlined
def spaced(body, at):
    """Return where the next byte is that is no space."""
    while body[at] <= 32 and (body[at] == 32 or body[at] == 10 or body[at] == 13 or body[at] == 9):
        at += 1
    return at


@leaf
def member(body, name):
    """Return (start of its name, start of its value) of a member; the value is -1 if there is none.

    Args:
        body: (bytes,) uint8, followed by `octets.PADDING` bytes 0 that are none of its own.
        name: (bytes,) uint8, the name with its quotes, padded like the body.
    """
    size = len(name) - PADDING
    at = spaced(body, 0)
    if body[at] != OBJECT:
        return 0, -1
    at = spaced(body, at + 1)
    while body[at] == QUOTE:
        begin = at
        at = _after_text(body, at)
        if at < 0:
            return 0, -1
        is_found = at - begin == size and same(body, begin, name, 0, size)
        at = spaced(body, at)
        if body[at] != COLON:
            return 0, -1
        at = spaced(body, at + 1)
        if is_found:
            return begin, at
        at = _after_value(body, at)
        if at < 0:
            return 0, -1
        at = spaced(body, at)
        if body[at] != COMMA:
            return 0, -1
        at = spaced(body, at + 1)
    return 0, -1


@leaf
def _after_text(body, at):
    """Return the place after a text that begins there, whatever is in it; -1 if it does not end."""
    at += 1
    while body[at] != QUOTE:
        if body[at] == ESCAPE:
            at += 1
        if body[at] == 0:
            return -1
        at += 1
    return at + 1


@leaf
def _after_value(body, at):
    """Return the place after a value of any kind; -1 if it does not end. Whether it is one, its reader will see."""
    depth = 0
    while True:
        byte = body[at]
        if byte == QUOTE:
            at = _after_text(body, at)
            if at < 0:
                return -1
        elif byte == 0:
            return -1
        elif byte == LIST or byte == OBJECT:
            depth += 1
            at += 1
        elif depth > 0:
            depth -= byte == LIST_END or byte == OBJECT_END
            at += 1
        elif byte == COMMA or byte == OBJECT_END or byte == LIST_END:
            return at
        else:
            at += 1
        if depth == 0 and (byte == QUOTE or byte == LIST_END or byte == OBJECT_END):
            return at


@leaf
def cut(body, start, stop):
    """Return where a member starts and stops, with one comma if there is one; the stop is -1 if it ends badly."""
    stop = spaced(body, stop)
    if body[stop] == COMMA:
        return (start, stop + 1) if body[spaced(body, stop + 1)] == QUOTE else (0, -1)
    if body[stop] != OBJECT_END:
        return 0, -1
    before = start - 1
    while before > 0 and body[before] != COMMA and body[before] != OBJECT:
        before -= 1
    return (before if body[before] == COMMA else start), stop
