"""Admission: what a policy says of requests, and the checks at the edge that hold them to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, cast

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import LARGEST, Kind
from slatewise.core.control import Control
from slatewise.core.errors import RequestError, did_you_mean, nearest, shown
from slatewise.core.request import Request
from slatewise.core.rules import GIVEN, LONGEST_PAGE
from slatewise.core.serving import Serving
from slatewise.core.state import State

Name: TypeAlias = Annotated[str, Meta(min_length=1)]
Feature: TypeAlias = list[str] | str


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a policy says before its stages.

    Attributes:
        version: Version of the policy language; 1.
        lines: Business lines that nominate candidates.
        columns: What every candidate carries besides `item_id` and `line`, and of what kind.
        context: Features of a request that segments may look at, with their values; `any` for free text.
        slots: Page size of requests that name none.
        serve: How the policy is served.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    lines: Annotated[list[Name], Meta(min_length=1)]
    columns: dict[str, Kind]
    context: dict[str, Feature] = {}
    slots: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] = 20
    serve: Serving = Serving()


def admitted(request: Request, head: Head, memories: Mapping[str, type[msgspec.Struct]]) -> Request:
    """Return the request with its page size set and its candidates as the policy declares them.

    Raises:
        RequestError: Names the field, the rule and the value.
    """
    slots = head.slots if request.slots is None else request.slots
    if isinstance(cast("object", slots), bool) or not isinstance(cast("object", slots), (int, np.integer)):
        raise RequestError("slots", "must be a whole number", shown(slots))
    if not 1 <= slots <= LONGEST_PAGE:
        raise RequestError("slots", "must be >= 1" if slots < 1 else f"must be <= {LONGEST_PAGE}", shown(slots))
    if not isinstance(cast("object", request.context), Mapping):
        raise RequestError("context", "must be a mapping", shown(request.context))
    for name, value in request.context.items():
        _check_feature(head, name, value)
    _check_history(head, request.history)
    if request.state is not None and not isinstance(cast("object", request.state), State):
        hint = "read a token with State.from_token(...)"
        raise RequestError("state", "must be a State", type(request.state).__name__, hint)
    _check_control(request.control, memories)
    if not isinstance(cast("object", request.candidates), Candidates):
        got = type(request.candidates).__name__
        raise RequestError("candidates", "must be Candidates", got, "make them with Candidates.of(...)")
    candidates = request.candidates.conform(head.columns, head.lines)
    return msgspec.structs.replace(request, candidates=candidates, slots=int(slots))


def _check_feature(head: Head, name: str, value: object) -> None:
    allowed = head.context.get(name)
    if allowed is None:
        hint = did_you_mean(str(name), head.context) or "the policy declares no `context`"
        raise RequestError(f"context.{name}", "is no feature of the policy's `context`", hint=hint)
    if not isinstance(value, str):
        raise RequestError(f"context.{name}", "must be text", shown(value))
    if allowed != "any" and value not in allowed:
        rule = "must be one of " + ", ".join(map(repr, allowed))
        raise RequestError(f"context.{name}", rule, shown(value), nearest(value, allowed))


def _check_control(control: object, memories: Mapping[str, type[msgspec.Struct]]) -> None:
    if control is None:
        return
    if not isinstance(control, Control):
        raise RequestError("control", "must be a Control", type(control).__name__, "start with Feed.init()")
    for section, memory in memories.items():
        found = control.memories.get(section)
        if found is not None and not isinstance(found, memory):
            raise RequestError(f"control.{section}", f"must be a {memory.__name__}", type(found).__name__)


def _check_history(head: Head, history: object) -> None:
    if not isinstance(history, Mapping):
        raise RequestError("history", "must be a mapping", shown(history))
    for name, amounts in cast("Mapping[str, object]", history).items():
        kind = "key" if name in GIVEN else head.columns.get(name)
        if kind is None:
            keys = [name for name, kind in head.columns.items() if kind.startswith("key")]
            raise RequestError(
                f"history.{name}", "is no column of the policy", hint=did_you_mean(str(name), [*keys, *GIVEN])
            )
        if not kind.startswith("key"):
            raise RequestError(f"history.{name}", "must be a column of kind key or keys", shown(kind))
        _check_amounts(f"history.{name}", amounts)


def _check_amounts(where: str, amounts: object) -> None:
    if not isinstance(amounts, Mapping):
        raise RequestError(where, "must be a mapping of values to numbers", shown(amounts))
    for value, amount in cast("Mapping[object, Any]", amounts).items():
        if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
            raise RequestError(where, "must have text or whole numbers as values", shown(value))
        if isinstance(amount, bool) or not isinstance(amount, int | float | np.integer | np.floating):
            raise RequestError(f"{where}.{value}", "must be a number", shown(amount))
        if amount < 0:
            raise RequestError(f"{where}.{value}", "must be >= 0", shown(cast("object", amount)))
        if not amount <= LARGEST:  # nor is NaN
            raise RequestError(
                f"{where}.{value}", f"must be finite, at most {LARGEST:g}", shown(cast("object", amount))
            )
