"""Replies: what the service says, as types from which its description is made."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from slatewise.core.page import Page, PageDocument, RuleCost

Freshness: TypeAlias = Literal["fresh", "stale", "local"]


class Served(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a page was served.

    Attributes:
        page: Token of the page, for events about it and for asking about it later.
        rung: Name of the rung of the ladder that composed it; `full` is all of the policy.
        level: The same as a number; 0 is `full`.
        quality: The quality factor.
        variant: Whether the `active` policy served it or the `canary`.
        state: Whether shared state was `fresh`, `stale`, or only this process' own (`local`).
        state_version: Version of what control loops remember, with which it was composed.
        state_age_ms: Age of shared state, in milliseconds.
    """

    page: str
    rung: str = "full"
    level: int = 0
    quality: float = 1.0
    variant: Literal["active", "canary"] = "active"
    state: Freshness = "fresh"
    state_version: int = 0
    state_age_ms: float = 0.0


class ComposeReply(PageDocument, frozen=True, kw_only=True):
    """A page, and how it was served.

    Attributes:
        served: How it was served.
    """

    served: Served


def reply_of(page: Page, served: Served) -> bytes:
    """Return the bytes of a `ComposeReply`: those of the page, and before they end how it was served."""
    return b'%b,"served":%b}' % (page.encode()[:-1], msgspec.json.encode(served))


class ExplainReply(PageDocument, frozen=True, kw_only=True):
    """A page with its trace, composed by the full pipeline and not counted as served.

    Attributes:
        costs: What each rule costs the page; only if asked for.
    """

    costs: tuple[RuleCost, ...] | msgspec.UnsetType = msgspec.UNSET


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused.

    Attributes:
        code: HTTP status that says as much.
        where: Path of the field.
        rule: What would have been right.
        got: The offending value, shortened.
        hint: What to do, or the nearest valid name.
        message: All of it in one sentence.
    """

    code: int
    where: str
    rule: str
    got: str | None = None
    hint: str = ""
    message: str


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every reply that is no success.

    Attributes:
        error: Why.
    """

    error: Refusal


class BatchEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to one request of a batch: a page, or why there is none.

    Attributes:
        page: The page.
        error: Why there is none.
    """

    page: ComposeReply | msgspec.UnsetType = msgspec.UNSET
    error: Refusal | msgspec.UnsetType = msgspec.UNSET


class BatchReply(msgspec.Struct, frozen=True, kw_only=True):
    """The replies to a batch.

    Attributes:
        replies: One for each request, in their order.
    """

    replies: tuple[BatchEntry, ...]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That the service is up, or ready.

    Attributes:
        status: `ok`, or why it is not ready.
        policy: Content hash of the policy that it serves.
        version: Version of the software.
    """

    status: str
    policy: str
    version: str
