"""Events: what happened to pages after they were served, as callers tell it.

    {"events": [{"id", "source", "type", "time", "page", "item_id", "slot", "amount"}, ...]}

The names are those of CloudEvents 1.0, and an event may also come in its envelope, alone or in a batch, with what is
said of the page under `data`. `source` and `id` name an event: told again, it is not counted again. A body is checked
as a whole before anything of it is counted.

References:
    CloudEvents, Version 1.0.2 (2022), Cloud Native Computing Foundation: attributes, JSON format and HTTP batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Meta

from slatewise.core.columns import LARGEST
from slatewise.core.errors import RequestError, shown
from slatewise.serve import wire
from slatewise.serve.wire import JSON

CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
MOST = 1_000
"""Events of a body, at most."""

Kind: TypeAlias = Literal["impression", "click", "spend", "engagement"]
"""What happened: an item was seen, opened, paid for, or dealt with in any other way."""
Why: TypeAlias = Literal["late", "unknown"]
"""Why an event does not count: its time is outside the horizon, or its page is none of the service's."""

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=65_536)]
_Item: TypeAlias = Annotated[str, Meta(max_length=256)] | int
_Slot: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
_Amount: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)]
_Time: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)] | Annotated[datetime, Meta(tz=True)]


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Something that happened to an item on a page, or to the page.

    Attributes:
        id: Its name, distinct within its source.
        source: Who tells it, such as the name of an app.
        type: What happened.
        page: Token of the page, as `served.page` had it.
        item_id: The item; needed but for an engagement with the page as a whole.
        time: When it happened: seconds since 1970, or a date and time with its zone.
        slot: Where the item stood, from 1.
        amount: Of a `spend`, how much, in the policy's currency; else what it was worth, for whoever learns from it.
    """

    id: _Name
    source: _Name
    type: Kind
    time: _Time
    page: _Token
    item_id: _Item | None = None
    slot: _Slot | None = None
    amount: _Amount | None = None

    @property
    def key(self) -> str:
        """What tells it from every other event."""
        return f"{len(self.source)} {self.source} {self.id}"

    @property
    def seconds(self) -> float:
        """When it happened, in seconds since 1970."""
        return self.time.timestamp() if isinstance(self.time, datetime) else self.time


class EventBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events, in any order.

    Attributes:
        events: The events.
    """

    events: Annotated[list[Event], Meta(max_length=MOST)]


class EventData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What a CloudEvent says of a page.

    Attributes:
        page: Token of the page, as `served.page` had it.
        item_id: The item; the event's `subject` if not given.
        slot: Where the item stood, from 1.
        amount: As `Event.amount`.
    """

    page: _Token
    item_id: _Item | None = None
    slot: _Slot | None = None
    amount: _Amount | None = None


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the envelope of CloudEvents; other attributes of the envelope are carried by it and not looked at.

    Attributes:
        specversion: Version of the envelope.
        id: Its name, distinct within its source.
        source: Who tells it.
        type: What happened; of a dotted name the last part counts.
        time: When it happened.
        data: What it says of a page.
        subject: The item, unless `data` has it.
    """

    specversion: Literal["1.0"]
    id: _Name
    source: _Name
    type: Annotated[str, Meta(pattern=r"^(.{1,256}\.)?(impression|click|spend|engagement)$")]
    time: Annotated[datetime, Meta(tz=True)]
    data: EventData
    subject: Annotated[str, Meta(max_length=256)] | None = None

    def plain(self) -> Event:
        """Return the event without its envelope."""
        said = self.data
        return Event(
            id=self.id,
            source=self.source,
            type=cast("Kind", self.type.rpartition(".")[2]),
            time=self.time,
            page=said.page,
            item_id=self.subject if said.item_id is None else said.item_id,
            slot=said.slot,
            amount=said.amount,
        )


class Uncounted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event that does not count.

    Attributes:
        place: Its place in the body, from 0.
        id: Its name.
        why: Why it does not.
    """

    place: int
    id: str
    why: Why


class EventsReply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of some events.

    Attributes:
        accepted: Events that count, those that are `waiting` included.
        duplicates: Events that were told before.
        late: Events whose time is outside the horizon.
        unknown: Events about pages that this service did not serve, or too long ago.
        waiting: Accepted events that are counted once the store of shared state answers again.
        uncounted: Those that are late or unknown, one by one.
    """

    accepted: int = 0
    duplicates: int = 0
    late: int = 0
    unknown: int = 0
    waiting: int = 0
    uncounted: tuple[Uncounted, ...] = ()


TYPES: dict[str, Any] = {
    JSON: EventBatch,
    CLOUD_EVENT: CloudEvent,
    CLOUD_EVENTS: Annotated[list[CloudEvent], Meta(max_length=MOST)],
}
"""Media type to the type of a body."""
_DECODERS = {media: msgspec.json.Decoder(kind) for media, kind in TYPES.items()}


def decoded(body: bytes, media: str = JSON) -> Sequence[Event]:
    """Return the events of a body, all of them checked.

    Args:
        body: Its bytes.
        media: One of those of `TYPES`.

    Raises:
        RequestError: It is no JSON, or some field of some event does not fit; the path says which.

    Examples:
        >>> decoded(b'{"events":[{"id": "1", "source": "s", "type": "spend", "time": 1, "page": "x", "item_id": 7}]}')
        Traceback (most recent call last):
        slatewise.core.errors.RequestError: events[0].amount: must be given for a spend
    """
    found = wire.decoded(body, _DECODERS[media])
    if isinstance(found, EventBatch):
        events, where = found.events, "events[{}]."
    elif isinstance(found, CloudEvent):
        events, where = [found.plain()], "data."
    else:
        events, where = [one.plain() for one in found], "[{}].data."
    for place, event in enumerate(events):
        _check(event, where.format(place))
    return events


def _check(event: Event, where: str) -> None:
    if event.item_id is None and event.type != "engagement":
        raise RequestError(f"{where}item_id", f"must be given for {_a(event.type)}")
    if event.amount is None and event.type == "spend":
        raise RequestError(f"{where}amount", "must be given for a spend")
    if event.amount is not None and event.type in ("impression", "click"):
        raise RequestError(f"{where}amount", f"must be left out for {_a(event.type)}", shown(event.amount))


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
