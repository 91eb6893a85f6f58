"""Calls: the other side of the wire. What a client sends, and what it makes of the reply; nothing here is sent yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, cast, final

import msgspec
import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Column, Embedding, KeyLists, Keys
from slatewise.core.errors import RequestError, SlatewiseError, shown
from slatewise.core.request import Request
from slatewise.serve.arrow import ARROW, METADATA
from slatewise.serve.http.replies import BatchReply, ComposeReply, ErrorReply, Refusal
from slatewise.serve.wire import BUDGET, JSON

Encoding: TypeAlias = Literal["columns", "arrow"]
Depth: TypeAlias = Literal["trace", "costs"]

_T = TypeVar("_T")


class Fields(TypedDict, total=False):
    """Fields of a request."""

    candidates: Candidates | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    slots: int
    request_id: str
    user: str
    context: Mapping[str, str]
    time: float
    seed: int
    state: str
    history: Mapping[str, Mapping[str | int, float]]
    trace: bool


@final
class Refused(SlatewiseError):  # noqa: N818 - it says what happened
    """The service refused a request.

    Attributes:
        code: HTTP status.
    """

    def __init__(self, where: str, rule: str, got: str | None = None, hint: str = "", code: int = 400) -> None:
        """Take what the service said."""
        self.code = code
        super().__init__(where, rule, got, hint)

    @classmethod
    def of(cls, refusal: Refusal) -> Refused:
        """Return it as the service says it."""
        return cls(refusal.where, refusal.rule, refusal.got, refusal.hint, refusal.code)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way between processes."""
        return type(self), (self.where, self.rule, self.got, self.hint, self.code)


@final
class Busy(Exception):  # noqa: N818 - it says what happened
    """The service has no time, and when it may be asked again is too late for this request.

    Attributes:
        retry_s: When that is, in seconds from now.
    """

    def __init__(self, retry_s: float) -> None:
        """Say when."""
        super().__init__(retry_s)
        self.retry_s = retry_s

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"service: must have time for the request; ask again in {self.retry_s:g} s"


@final
class Unreachable(Exception):  # noqa: N818 - it says what happened
    """The service did not answer, or not in time, or what answered is no such service."""


class Call(NamedTuple, Generic[_T]):
    """What is sent, and what comes back.

    Attributes:
        path: Route of the service.
        into: Type of a success.
        body: What is sent; None for a GET.
        media: Media type of the body.
        budget_ms: Time for it; None takes the policy's.
    """

    path: str
    into: type[_T]
    body: bytes | None = None
    media: str = JSON
    budget_ms: float | None = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "GET" if self.body is None else "POST"

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the request."""
        sent = {} if self.body is None else {"content-type": self.media}
        return sent if self.budget_ms is None else {**sent, BUDGET: f"{self.budget_ms:g}"}


class Reply(NamedTuple):
    """What came back.

    Attributes:
        code: HTTP status.
        headers: Its headers.
        body: Its body.
    """

    code: int
    headers: Mapping[str, str]
    body: bytes


@final
class Patience(Generic[_T]):
    """What becomes of one call: a result, an error, or another try."""

    def __init__(self, call: Call[_T], timeout_s: float, clock: Callable[[], float]) -> None:
        """Begin to wait; `clock` is monotonic, in seconds."""
        self._call, self._clock = call, clock
        left_s = timeout_s if call.budget_ms is None else min(timeout_s, call.budget_ms / 1e3)
        self._due = clock() + left_s

    def pause_s(self, reply: Reply) -> float | None:
        """Return how long to wait before the next try; None if the reply is a success.

        Raises:
            Refused: The service refused the request.
            Busy: It has no time, and will have none before the time of the call is over.
            Unreachable: The reply is none of the service.
        """
        if reply.code < 400:
            return None
        refusal = _read(reply, ErrorReply).error
        if reply.code != 503:
            raise Refused.of(refusal)
        after = reply.headers.get("retry-after", "")
        retry_s = float(after) if after.isdigit() else 1.0
        if self._clock() + retry_s >= self._due:
            raise Busy(retry_s)
        return retry_s

    def result(self, reply: Reply) -> _T:
        """Return what a success holds."""
        return _read(reply, self._call.into)


def page_call(
    path: str, into: type[_T], request: Request | None, fields: Fields, encoding: Encoding = "columns"
) -> Call[_T]:
    """Return the call for one page.

    Raises:
        RequestError: There are no candidates, or a column cannot be sent as Arrow.
    """
    rest, candidates = _parts(request, fields)
    if encoding == "arrow":
        return Call(path, into, _stream(_by_column(candidates), rest), ARROW)
    return Call(path, into, msgspec.json.encode({**rest, "candidates": candidates}, enc_hook=_plain))


def batch_call(requests: Sequence[Request | Fields]) -> Call[BatchReply]:
    """Return the call for many pages."""
    parts = [_parts(one, {}) if isinstance(one, Request) else _parts(None, one) for one in requests]
    bodies = [{**rest, "candidates": candidates} for rest, candidates in parts]
    return Call("/v1/compose/batch", BatchReply, msgspec.json.encode({"requests": bodies}, enc_hook=_plain))


def entries(reply: BatchReply) -> list[ComposeReply | Refused]:
    """Return for each request of a batch its page, or why there is none."""
    return [
        entry.page if isinstance(entry.page, ComposeReply) else Refused.of(cast("Refusal", entry.error))
        for entry in reply.replies
    ]


def _read(reply: Reply, into: type[_T]) -> _T:
    try:
        return msgspec.json.decode(reply.body, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        got = shown(reply.body[:200])
        raise Unreachable(f"reply: must be one of the service ({error}), got {reply.code} {got}") from None


def _parts(request: Request | None, fields: Fields) -> tuple[dict[str, Any], Any]:
    """Return a request as its plain fields and its candidates, by row or by column."""
    rest: dict[str, Any] = {}
    if request is not None:
        rest = {
            "request_id": request.id,
            "user": request.user,
            "context": request.context,
            "time": request.time,
            "seed": request.seed,
            "history": {name: {str(key): one for key, one in seen.items()} for name, seen in request.history.items()},
            "candidates": request.candidates,
        }
        rest |= {} if request.slots is None else {"slots": request.slots}
        rest |= {} if request.state is None else {"state": request.state.token}
    rest |= fields
    if "candidates" not in rest:
        raise RequestError("candidates", "must be given")
    candidates = rest.pop("candidates")
    if isinstance(candidates, Candidates):
        columns = {name: _values(column) for name, column in candidates.columns.items()}
        candidates = {"item_id": list(candidates.item_id), **columns}
    return rest, candidates


def _by_column(candidates: Any) -> dict[str, Any]:
    """Return candidates column by column."""
    if isinstance(candidates, Mapping):
        return dict(cast("Mapping[str, Any]", candidates))
    rows = cast("Sequence[Mapping[str, Any]]", candidates)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _values(column: Column) -> list[Any]:
    """Return a stored column as plain values, None where one is missing."""
    match column:
        case Keys(codes, names):
            return [None if code < 0 else names[code] for code in codes.tolist()]
        case KeyLists(_, starts, _):
            return [column.row(row) for row in range(len(starts) - 1)]
        case Embedding(table, rows):
            return [None if row < 0 else table.matrix[row].tolist() for row in rows.tolist()]
        case _:
            return [None if value != value else value for value in column.tolist()]


def _stream(columns: Mapping[str, Any], rest: Mapping[str, Any]) -> bytes:
    """Return a request as an Arrow stream."""
    import pyarrow
    from pyarrow import ipc

    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        try:
            arrays[name] = pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError, ValueError) as error:
            rule = "must be all of one type to be sent as Arrow"
            raise RequestError(f"candidates.{name}", rule, hint=str(error).partition("\n")[0]) from None
    told = {METADATA: msgspec.json.encode(rest, enc_hook=_plain)}
    batch: Any = pyarrow.record_batch(arrays).replace_schema_metadata(told)
    sink: Any = pyarrow.BufferOutputStream()
    with ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _plain(value: Any) -> Any:
    """Return NumPy's values as Python's."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    raise TypeError(f"cannot send {type(value).__name__}")
