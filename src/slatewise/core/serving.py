"""Serving: what a policy says of how it is served: its time, what to do with less of it, and what is counted.

The full pipeline is the first rung of a ladder. A rung below it is the same policy with less work: stages left out,
settings that differ, fewer candidates, a page filled greedily. All hard rules hold on every rung.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, final

import msgspec
from msgspec import Meta

from slatewise.core.columns import LARGEST, Kind
from slatewise.core.rules import Match, kind_for

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Counted: TypeAlias = Literal["served", "impression", "click", "spend"]
"""What a cap counts: items when a page is served, or what events say of them."""


@final
class Rung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy with less work.

    Attributes:
        name: Name of the rung, as replies, logs and metrics have it.
        without: Sections that are left out, such as `score.predict`.
        settings: Section to the fields that differ there, such as `{compose.spread: {window: 4}}`.
        page: Who picks the page: the policy's own last stage, or `greedy` under the same rules.
        by: The number column that `greedy` maximises; that of the policy's last stage if not given.
        candidates: Most candidates of a line that are looked at, by `keep`, and those that floors need; None is all.
        keep: The number column of candidates by which they are kept, largest first.
        quality: The rung is taken while the quality factor is at least this and it fits the time that is left; the
            last one whatever the factor.
    """

    name: Name
    without: tuple[str, ...] = ()
    settings: dict[str, dict[str, Any]] = {}
    page: Literal["same", "greedy"] = "same"
    by: str | None = None
    candidates: Annotated[int, Meta(ge=1)] | None = None
    keep: str | None = None
    quality: Share = 0.0


@final
class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slow loop that moves between rungs: a factor that falls when pages are late, and rises when they are not.

    Attributes:
        target_ms: Latency that `percentile` of the pages should keep; None is a quarter of the budget.
        percentile: Of pages, in percent; between 0 and 100, both excluded.
        step: What a page in time adds to the factor; a late one takes percentile / (100 - percentile) times that.
        least: The factor's floor.
        full: The full pipeline is taken while the factor is at least this.
        calm_s: Seconds in which `percentile` of the pages must be in time before a higher rung is tried again.
    """

    target_ms: Annotated[float, Meta(gt=0, le=60_000)] | None = None
    percentile: Annotated[float, Meta(gt=0, lt=100)] = 95.0
    step: Annotated[float, Meta(gt=0, le=1)] = 0.01
    least: Share = 0.1
    full: Share = 0.5
    calm_s: Annotated[float, Meta(ge=0, le=3_600)] = 1.0


@final
class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of something may be shown within a span of time, counted over pages.

    A cap of a user is kept strictly: what is counted and what a page takes from it is one atomic step in the store,
    before the page is composed. A cap over all users is kept from local counts that are merged several times a second;
    what it may be exceeded by is workers x rate of a worker x staleness.

    Attributes:
        name: Name of the cap.
        group: Rows that it is about, as in a rule; empty means all.
        per: A key column: each of its values is capped by itself. None caps the group as a whole.
        scope: Of each `user`, or of `all` together.
        at_most: How many items; or how much of what `spend` events say, in currency.
        within_s: Length of the sliding span, in seconds.
        counts: What is counted; caps of users count items served, until an impression confirms or time releases them.
        failing: What is done while the store cannot be asked: `open` goes by local counts, `closed` shows none of it.

    Examples:
        >>> Cap(name="two a day", group={"line": "ads"}, per="item_id", at_most=2).uses
        (('line', 'key?'), ('item_id', 'key?'))
    """

    name: Name
    group: dict[str, Match] = {}
    per: str | None = None
    scope: Literal["user", "all"] = "user"
    at_most: Annotated[float, Meta(ge=0, le=LARGEST)]
    within_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 86_400.0
    counts: Counted = "served"
    failing: Literal["open", "closed"] = "open"

    def __post_init__(self) -> None:
        """Refuse a cap that contradicts itself."""
        if self.scope == "user" and self.counts != "served":
            raise ValueError(f"cap {self.name!r} is of each user, which counts `served` items, not {self.counts!r}")
        if self.counts != "spend" and self.at_most != int(self.at_most):
            raise ValueError(f"cap {self.name!r} counts items: at_most must be a whole number, got {self.at_most}")

    @property
    def uses(self) -> tuple[tuple[str, Kind], ...]:
        """Columns of candidates that the cap looks at, with the kind that each use asks for."""
        per: list[tuple[str, Kind]] = [(self.per, "key?")] if self.per is not None else []
        return (*((name, kind_for(match)) for name, match in self.group.items()), *per)


@final
class Logged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pages the decision log has, and how much of them; pages are sampled by the name of their request.

    Attributes:
        pages: Share of pages with a record.
        inputs: Share of records with the request as it came, from which the page can be composed again.
        traces: Share of records with a trace.
    """

    pages: Share = 1.0
    inputs: Share = 0.1
    traces: Share = 0.01


@final
class Serving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a policy is served.

    Attributes:
        budget_ms: Time for a page whose request names none, from its arrival to the reply.
        rungs: The rungs below the full pipeline, best first; none means one, `greedy`.
        quality: How the quality factor moves.
        caps: What may be shown over time.
        hold_s: Seconds after which what a page took from a user's cap is given back if no impression confirms it.
        log: What the decision log holds.
    """

    budget_ms: Annotated[float, Meta(gt=0, le=60_000)] = 40.0
    rungs: tuple[Rung, ...] = ()
    quality: Quality = Quality()
    caps: tuple[Cap, ...] = ()
    hold_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    log: Logged = Logged()
