"""Frames: what an Arrow IPC stream says of itself, looked at before anything is allocated for it.

A stream is a row of messages, each a length, a flatbuffer and a body:

    0xFFFFFFFF  int32 length  flatbuffer  body   ...   0xFFFFFFFF 0

A reader of Arrow trusts what the flatbuffers declare: it allocates what a compressed buffer says it will become, and
goes on for as long as there are messages. So they are counted here first, by the standard library alone: streams that
are compressed, cut off, foreign-endian or longer than the limits are refused. Cost: about 2 us a message.

References:
    Apache Arrow, "Arrow Columnar Format", section "Serialization and Interprocess Communication (IPC)".
"""

from __future__ import annotations

from struct import Struct, error

from slatewise.core.errors import RequestError, shown
from slatewise.serve.limits import Limits

MOST_MESSAGES = 256
"""Messages of a stream: its schema, dictionaries and record batches."""

_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_MARK = 0xFFFFFFFF
_HEAD = Struct("<II")
_OFFSET, _BACK, _SHORT, _FOUR, _LONG = Struct("<I"), Struct("<i"), Struct("<H"), Struct("<4H"), Struct("<q")


def survey(stream: bytes, limits: Limits) -> None:
    """Refuse a stream that is no whole, plain one, or that declares more than the limits.

    Raises:
        RequestError: It is cut off, compressed, of foreign byte order or too long, or goes on after its end.
    """
    try:
        _survey(stream, limits)
    except (error, IndexError):
        raise _malformed("an offset points outside") from None


def _survey(stream: bytes, limits: Limits) -> None:
    place = messages = rows = 0
    view = memoryview(stream)
    while True:
        if place + _HEAD.size > len(stream):
            raise _malformed("it is cut off: there is no mark of its end")
        mark, length = _HEAD.unpack_from(stream, place)
        place += _HEAD.size
        if mark != _MARK:
            raise _malformed(f"there is no message at byte {place - _HEAD.size}")
        if length == 0:
            break
        messages += 1
        if messages > MOST_MESSAGES:
            raise RequestError("body", f"must have at most {MOST_MESSAGES} messages", f"{MOST_MESSAGES + 1} or more")
        kind, declared, body = _message(view[place : place + length], messages)
        place += length + body
        rows += declared if kind == _BATCH else 0
        if kind == _DICTIONARY and declared > limits.candidates:
            hint = "send the column without a dictionary"
            raise RequestError("body", f"must have dictionaries of at most {limits.candidates} values", hint=hint)
        if rows > limits.candidates:
            raise RequestError("candidates", f"must be of length <= {limits.candidates}", str(rows))
    if place != len(stream):
        raise _malformed(f"it goes on after its end at byte {place}")


def _message(data: memoryview, number: int) -> tuple[int, int, int]:
    """Return of a message its kind, the rows it declares and the length of its body."""
    _version, kind_at, header_at, body_at = _fields(data, _OFFSET.unpack_from(data, 0)[0])
    kind = data[kind_at] if kind_at else 0
    if (kind == _SCHEMA) != (number == 1) or kind not in (_SCHEMA, _DICTIONARY, _BATCH) or not header_at:
        raise _malformed("it must be a schema, then dictionaries and record batches")
    header = _target(data, header_at)
    if kind == _SCHEMA:
        order_at, *_ = _fields(data, header)
        if order_at and _SHORT.unpack_from(data, order_at)[0]:
            raise RequestError("body", "must be of little-endian byte order", "big-endian")
        declared = 0
    else:
        batch = header if kind == _BATCH else _target(data, _fields(data, header)[1])
        length_at, _nodes, _buffers, compression_at = _fields(data, batch)
        declared = _LONG.unpack_from(data, length_at)[0] if length_at else 0
        if compression_at:
            raise RequestError("body", "must not have compressed buffers", hint="compress the whole body if at all")
    body = _LONG.unpack_from(data, body_at)[0] if body_at else 0
    if declared < 0 or body < 0:
        raise _malformed(f"message {number} declares a length below 0")
    return kind, declared, body


def _fields(data: memoryview, table: int) -> tuple[int, int, int, int]:
    """Return where the first four fields of a table stand, 0 for those it does not have."""
    vtable = table - _BACK.unpack_from(data, table)[0]
    if vtable < 0:  # to Python, that would count from the end
        raise _malformed("an offset points outside")
    size = _SHORT.unpack_from(data, vtable)[0]
    if size >= _FOUR.size + 4:
        first, second, third, fourth = _FOUR.unpack_from(data, vtable + 4)
    else:
        few = [_SHORT.unpack_from(data, vtable + at)[0] for at in range(4, size - 1, 2)]
        first, second, third, fourth = [*few, 0, 0, 0, 0][:4]
    return (
        first and table + first,
        second and table + second,
        third and table + third,
        fourth and table + fourth,
    )


def _target(data: memoryview, at: int) -> int:
    """Return where the table stands that a field points to."""
    return at + _OFFSET.unpack_from(data, at)[0]


def _malformed(why: str) -> RequestError:
    return RequestError("body", "must be an Arrow IPC stream", hint=shown(why).strip("'\""))
