"""Wire: requests as JSON, in rows or in columns, or as Arrow, checked against the policy while they are decoded.

The types are made from the policy's own columns, so a body is refused by the first field that does not fit, and the
service can describe exactly what it takes. All forms give the same request, and so the same page.

Most JSON bodies are ordinary, and their candidates are scanned straight into columns (`core.scanned`); the types judge
the rest of such a body, and the whole of any other one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Optional, TypeAlias, final

import msgspec
from msgspec import Meta
from msgspec.structs import astuple

from slatewise.core import scanned
from slatewise.core.candidates import Candidates
from slatewise.core.columns import LARGEST, Column, KeyLists, Keys, Kind
from slatewise.core.decoded import candidates_of
from slatewise.core.document import spelled
from slatewise.core.errors import RequestError, shown
from slatewise.core.faults import find_fault
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.state import State
from slatewise.serve.arrow import ARROW, Streams
from slatewise.serve.limits import UNLIMITED, Limits

JSON = "application/json"

BUDGET = "X-Slatewise-Budget-Ms"
"""Header of a request: its time, in milliseconds from its arrival to the reply."""

START = "X-Slatewise-Start"
"""Header of a request: when the first proxy had it, in milliseconds since 1970."""

POLICY = "X-Slatewise-Policy"
"""Header of a reply: hash of the policy that served the page."""

RUNG = "X-Slatewise-Rung"
"""Header of a reply: name of the rung that composed the page."""

_Amount: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)]
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")


class Order(NamedTuple):
    """What a body asks for.

    Attributes:
        request: The request.
        trace: Whether the page is to come with its trace.
    """

    request: Request
    trace: bool


@final
class Wire:
    """Decodes requests for a policy.

    Attributes:
        kinds: The policy's columns.
        lines: The policy's lines.
        body: The type of a body; its candidates are a list of `row` or one `columns`.
        row: The type of a candidate.
        columns: The type of all candidates, column by column.
        rest: The type of everything else, which an Arrow stream has in its schema.
    """

    def __init__(self, policy: Policy, limits: Limits = UNLIMITED, *, ignored: Iterable[str] = ()) -> None:
        """Make the types for the policy's columns, within the limits; columns that are `ignored` may come, too."""
        text = Annotated[str, Meta(max_length=limits.text)]
        fields = _fields(policy, limits)
        self.kinds, self.lines = policy.head.columns, policy.head.lines
        left_out = self._ignored = [name for name in ignored if name not in fields]
        # Attributes are numbered, so that a column may have any name.
        self._names = {f"c{place}": name for place, name in enumerate([*fields, *left_out])}
        unread = [(f"c{place}", Any, None) for place in range(len(fields), len(self._names))]
        self.row = msgspec.defstruct(
            "CandidateRow",
            [*(_field(f"c{place}", kind, kind) for place, kind in enumerate(fields.values())), *unread],
            rename=self._names,
            forbid_unknown_fields=True,
            frozen=True,
            gc=False,
            namespace={"__doc__": "One candidate: an item nominated by a line, with the policy's columns."},
        )
        many = Meta(max_length=limits.candidates)
        self.columns = msgspec.defstruct(
            "CandidateColumns",
            [
                *(_field(f"c{place}", kind, Annotated[list[kind], many]) for place, kind in enumerate(fields.values())),
                *unread,
            ],
            rename=self._names,
            forbid_unknown_fields=True,
            frozen=True,
            namespace={"__doc__": "All candidates, column by column; lists of equal length."},
        )
        rest: list[Any] = [
            ("request_id", text, ""),
            ("user", text, ""),
            ("slots", Optional[Annotated[int, Meta(ge=1, le=limits.slots)]], None),
            ("context", dict[text, text], msgspec.field(default_factory=dict)),
            ("time", float, 0.0),
            ("seed", Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)], 0),
            ("state", str | None, None),
            ("history", dict[text, dict[text | int, _Amount]], msgspec.field(default_factory=dict)),
            ("trace", bool, False),
        ]
        self.body = msgspec.defstruct(
            "ComposeRequest",
            [("candidates", Annotated[list[self.row], many] | self.columns), *rest],
            forbid_unknown_fields=True,
            frozen=True,
            kw_only=True,
            namespace={"__doc__": "A page asked for: candidates as rows or as columns, and who asks."},
        )
        self.rest = msgspec.defstruct(
            "StreamMetadata",
            rest,
            forbid_unknown_fields=True,
            frozen=True,
            kw_only=True,
            namespace={"__doc__": "What the schema of an Arrow stream says besides: who asks for a page."},
        )
        self._limits = limits
        self._decoder = msgspec.json.Decoder(self.body)
        self._rest_decoder = msgspec.json.Decoder(self.rest)
        self._fields = tuple(fields)
        self._scanner = scanned.Scanner(self.kinds, self.lines, most=limits.candidates, longest=limits.text)

    def decode(self, body: bytes, media: str = JSON) -> Order:
        """Read a body.

        Args:
            body: Its bytes.
            media: Its media type.

        Raises:
            RequestError: It is not of its media type, or some field does not fit; the path says which.
        """
        if media == ARROW:
            return self._from_stream(body)
        if media != JSON:
            raise RequestError("content-type", f"must be {JSON} or {ARROW}", shown(media))
        return self._scanned(body) or self._decoded(body)

    def convert(self, plain: Mapping[str, Any]) -> Order:
        """Read a body that is plain data already.

        Raises:
            RequestError: Some field does not fit; the path says which.
        """
        try:
            asked: Any = msgspec.convert(plain, self.body, strict=True)
        except msgspec.ValidationError as error:
            raise _refusal(str(error), plain, self.body) from None
        return self._order(asked, self._candidates(asked.candidates))

    def _scanned(self, body: bytes) -> Order | None:
        """Read a body whose candidates are ordinary; None if it has to be read value by value."""
        found = self._scanner.read(body)
        if found is None:
            return None
        candidates, rest = found
        try:
            return self._order(self._rest_decoder.decode(rest), candidates)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _decoded(self, body: bytes) -> Order:
        asked = decoded(body, self._decoder)
        return self._order(asked, self._candidates(asked.candidates))

    @cached_property
    def _streams(self) -> Streams:
        return Streams(self.kinds, self._limits, ignored=self._ignored)

    def warm(self) -> None:
        """Compile what bodies are scanned with, and load what streams are read with, if it is there.

        Both take longer than a request may.
        """
        scanned.warm()
        with suppress(ModuleNotFoundError):
            _ = self._streams

    def _from_stream(self, body: bytes) -> Order:
        try:
            streams = self._streams
        except ModuleNotFoundError as error:
            hint = f"{error.name} is not installed: pip install 'slatewise[parquet]'"
            raise RequestError("content-type", f"must be {JSON} here", ARROW, hint) from None
        columns, rest = streams.read(body)
        asked = decoded(rest, self._rest_decoder)
        return self._order(asked, Candidates.of(columns, kinds=self.kinds).conform(self.kinds, self.lines))

    def _order(self, asked: Any, candidates: Candidates) -> Order:
        request = Request(
            candidates=candidates,
            slots=asked.slots,
            id=asked.request_id,
            user=asked.user,
            context=asked.context,
            time=asked.time,
            seed=asked.seed,
            state=None if asked.state is None else State.from_token(asked.state),
            history={name: _keyed(amounts, candidates.columns.get(name)) for name, amounts in asked.history.items()},
        )
        return Order(request, asked.trace)

    def _candidates(self, sent: Any) -> Candidates:
        by_row = isinstance(sent, list)
        columns = list(zip(*map(astuple, sent), strict=True)) or [()] * len(self._names) if by_row else astuple(sent)
        # What is ignored comes last.
        data = {name: values for name, values in zip(self._fields, columns, strict=False) if values is not None}
        try:
            return candidates_of(data, self.kinds, self.lines)
        except RequestError as error:
            if not by_row:
                raise
            # Whoever sent rows is told of a row: candidates.line[3] is candidates[3].line to them.
            where = re.sub(r"^candidates\.(.+)\[(\d+)\]$", r"candidates[\2].\1", error.where)
            raise RequestError(where, error.rule, error.got, error.hint) from None


def decoded(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Return what a body holds.

    Raises:
        RequestError: It is no JSON, or some field does not fit; the path says which.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), _plain(body), decoder.type) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("body", f"must be JSON ({error})") from None


def _refusal(message: str, plain: Any, into: Any) -> RequestError:
    fault = find_fault(message, plain, into)
    return RequestError(spelled(fault.path) or "body", fault.rule, fault.got, fault.hint)


def _keyed(amounts: dict[str | int, float], column: Column | None) -> dict[str | int, float]:
    """Return what a user looked at by the values of a column: keys of a JSON object are text, also for numbers."""
    names = set(column.names) if isinstance(column, Keys | KeyLists) else set()
    if not any(isinstance(name, int) for name in names):
        return amounts
    return {
        int(value) if value not in names and _WHOLE.fullmatch(str(value)) else value: amount
        for value, amount in amounts.items()
    }


def _plain(body: bytes) -> Any:
    """Read a body that msgspec refused, numbers out of range included; None if nothing can."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _field(name: str, kind: Any, held: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    """Return a field that holds `held`; one whose values may be missing may be left out."""
    return (name, Optional[held], None) if type(None) in getattr(kind, "__args__", ()) else (name, held)


def _fields(policy: Policy, limits: Limits) -> dict[str, Any]:
    """Return the type of each column's values; optional ones come last, as structs want them."""
    text = Annotated[str, Meta(max_length=limits.text)]
    key = text | int
    keys = Annotated[list[key], Meta(min_length=1, max_length=limits.keys)]
    keys_or_none = Annotated[list[key], Meta(max_length=limits.keys)]
    vector = Annotated[list[float], Meta(min_length=1, max_length=limits.dimensions)]
    types: dict[Kind, Any] = {
        "number": float,
        "number?": float | None,
        "key": key,
        "key?": key | None,
        "keys": keys,
        "keys?": Optional[keys_or_none],
        "flag": bool,
        "embedding": vector,
        "embedding?": Optional[vector],
    }
    fields: dict[str, Any] = {"item_id": key, "line": text}
    columns = sorted(policy.head.columns.items(), key=lambda column: column[1].endswith("?"))
    return fields | {name: types[kind] for name, kind in columns}
