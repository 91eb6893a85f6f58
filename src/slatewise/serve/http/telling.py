"""Telling: the route by which callers tell what happened to pages.

`POST /v1/events` takes events as JSON, or in the envelope of CloudEvents, and says what became of them. 202 says that
some of them are counted later, when the store of shared state answers again; 503, that there is no room for them until
then, and that none was taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slatewise.core.errors import shown
from slatewise.serve.events.events import CLOUD_EVENT, JSON, TYPES, CloudEvent, EventBatch, EventsReply, decoded
from slatewise.serve.events.intake import FullError, Intake
from slatewise.serve.http.openapi import PACKED, Operation

PATH = "/v1/events"
EXAMPLE = {
    "events": [
        {"id": "e-1", "source": "app", "type": "click", "time": 1.8e9, "page": "served.page", "item_id": "item-1"},
    ]
}


def routes(
    intake: Intake, *, read: Callable[[Request], Awaitable[bytes]], authorised: Callable[[Request], object]
) -> list[Route]:
    """Return the route.

    Args:
        intake: Counts the events.
        read: Reads a body, and stops where it is too long.
        authorised: Raises unless the request may tell events.
    """

    async def tell(request: Request) -> Response:
        authorised(request)
        media = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
        if media not in TYPES:
            raise HTTPException(415, f"content-type: must be one of {', '.join(TYPES)}, got {shown(media)}")
        events = decoded(await read(request), media)
        try:
            reply = await intake.take(events)
        except FullError as error:
            headers = {"retry-after": str(max(round(error.retry_s), 1))}
            raise HTTPException(503, f"events: {error}", headers) from None
        return Response(msgspec.json.encode(reply), 202 if reply.waiting else 200, media_type=JSON)

    return [Route(PATH, tell, methods=["POST"])]


def operations() -> list[Operation]:
    """Return the route as it is described; without batches of CloudEvents, as clients made by tools stumble over them.

    They are taken, and `CloudEvent` says what is in them.
    """
    asks = {JSON: EventBatch, CLOUD_EVENT: CloudEvent}
    return [
        Operation(
            PATH,
            "post",
            "events",
            "Tell what happened to pages; 202 if some of it is counted later",
            EventsReply,
            asks,
            codes=(200, 202),
            refusals=(400, 401, 403, 405, 406, 413, 415, 503),
            parameters=[PACKED],
            examples={"click": EXAMPLE},
            token="events",
        )
    ]
