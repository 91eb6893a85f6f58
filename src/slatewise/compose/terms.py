"""What a policy says of variety: how rows are alike, what that costs, and what else counts beside utility."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias, final

import msgspec
from msgspec import Meta

from slatewise.core.columns import Kind, Positive
from slatewise.core.exposure import Curve
from slatewise.core.rules import GIVEN, Match, kind_for
from slatewise.core.variety import Likeness, Negative, Variant

Weight: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Within: TypeAlias = Annotated[int, Meta(ge=1, le=1_000)]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]

RESIDUAL: tuple[Variant, ...] = ("projection", "ssd_star", "ssd_volume", "dpp", "spectrum")
"""Variants that ask what of a row the window does not span; their likeness must be positive semidefinite."""


@final
class Similar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which rows are alike, from 0 (not at all; -1 for opposite vectors) to 1.

    Attributes:
        cosine: An embedding column: cosine of the vectors.
        same: A key column: 1 for equal values, else 0.
        overlap: A column of key lists: keys that both have, of all that either has.
        prefix: A column of key lists, from coarse to fine: how many of the first keys agree.
        linked: A column of key lists that hold item ids: 1 if one row names the other, else 0.
        weight: What it counts beside the others of its term, > 0; weights of a term are scaled to add up to 1.
        negative: What becomes of negative cosines: `keep`, `clip` to 0, or `shift` every cosine c to (1 + c) / 2.
        missing: What a row without a value is charged, >= 0, in likeness; None refuses columns that may lack values.
        levels: For `prefix`: what each level that agrees counts, scaled to add up to 1; None for all the same.
    """

    cosine: str | None = None
    same: str | None = None
    overlap: str | None = None
    prefix: str | None = None
    linked: str | None = None
    weight: Positive = 1.0
    negative: Negative = "keep"
    missing: Weight | None = None
    levels: Annotated[list[Weight], Meta(min_length=1, max_length=32)] | None = None

    def __post_init__(self) -> None:
        """Refuse what names no column, or several."""
        named = [kind for kind in ("cosine", "same", "overlap", "prefix", "linked") if getattr(self, kind) is not None]
        if len(named) != 1:
            got = " and ".join(f"`{kind}`" for kind in named) or "none"
            raise ValueError(f"must name one of `cosine`, `same`, `overlap`, `prefix` and `linked`, got {got}")
        if self.negative != "keep" and self.cosine is None:
            raise ValueError("`negative` is for `cosine`")
        if self.levels is not None and (self.prefix is None or sum(self.levels) <= 0):
            raise ValueError("`levels` is for `prefix`, and must not be all 0")

    @property
    def likeness(self) -> Likeness:
        """Which likeness it is."""
        kinds: tuple[Likeness, ...] = ("cosine", "same", "overlap", "prefix", "linked")
        return next(kind for kind in kinds if getattr(self, kind) is not None)

    @property
    def column(self) -> str:
        """The column that it looks at."""
        return getattr(self, self.likeness)

    @property
    def kind(self) -> Kind:
        """The kind of that column."""
        kinds: dict[Likeness, Kind] = {"cosine": "embedding", "same": "key"}
        kind = kinds.get(self.likeness, "keys")
        return kind if self.missing is None else _optional(kind)


def _optional(kind: Kind) -> Kind:
    optional: dict[Kind, Kind] = {"embedding": "embedding?", "key": "key?", "keys": "keys?", "number": "number?"}
    return optional[kind]


@final
class Term(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row is charged for what the rows above it have shown already.

    Attributes:
        name: What people call it; unique in the stage.
        variant: How likeness becomes a charge: `mmr`, `gap`, `msd_sum`, `msd_mean`, `projection`, `ssd_star`,
            `ssd_volume`, `dpp` or `spectrum`.
        similar: How rows are alike.
        weight: What the charge counts, >= 0.
        window: How many earlier items count, those of the session included; None for all.
        given: For variants that ask what the window does not span: its `items`, or the `bases` that each item left when
            it was placed. None takes items for `dpp` and `spectrum`, else bases.
        fade: For `gap` and `spectrum`: what an item counts 1, 2, ... slots above.
        ridge: For `spectrum`: what is added to the likeness of an item with itself, > 0.
    """

    name: Annotated[str, Meta(min_length=1)]
    variant: Variant
    similar: Annotated[tuple[Similar, ...], Meta(min_length=1)]
    weight: Weight = 1.0
    window: Within | None = None
    given: Literal["items", "bases"] | None = None
    fade: Curve = "reciprocal"
    ridge: Annotated[float, Meta(gt=0, le=1e6)] = 0.1

    def __post_init__(self) -> None:
        """Refuse a term that contradicts itself."""
        for problem in self._problems():
            raise ValueError(f"term {self.name!r} {problem}")

    def _problems(self) -> Iterator[str]:
        if self.given is not None and self.variant not in RESIDUAL:
            yield f"has `given`, which is not for {self.variant}"
        if self.variant == "spectrum" and self.given == "bases":
            yield "is of `spectrum`, which looks at the items"
        if self.variant == "ssd_volume" and self.given == "items":
            yield "is of `ssd_volume`, which multiplies what bases left"
        for one in self.similar if self.variant in RESIDUAL else ():
            if one.negative == "clip":
                yield f"clips cosines, which {self.variant} cannot do with: not positive semidefinite; shift them"
            if one.likeness == "linked":
                yield f"asks for links, which {self.variant} cannot do with: not positive semidefinite"
            if one.likeness != "cosine" and not self.spans:
                yield f"makes bases, which `{one.likeness}` has none for; say `given: items`, or make it its own term"

    @property
    def spans(self) -> bool:
        """Whether it conditions on the items of the window rather than on their bases."""
        return (self.given or ("items" if self.variant in ("dpp", "spectrum") else "bases")) == "items"


@final
class Spacing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A class of rows that should not stand close together, but may.

    Attributes:
        name: What people call it; unique in the stage.
        group: Which rows are of the class, as in a rule's `group`; or
        by: a number column: how much of the class a row is, where it is
        above: more than this, >= 0.
        within: How many slots a row of the class is felt below it.
        fade: What it counts 1, 2, ... slots below.
        weight: Utility that a row of the class is charged for one right above it, >= 0.
    """

    name: Annotated[str, Meta(min_length=1)]
    group: dict[str, Match] = {}
    by: str | None = None
    above: Weight = 0.0
    within: Within = 5
    fade: Curve = "reciprocal"
    weight: Weight

    def __post_init__(self) -> None:
        """Refuse a class that nothing or two things define."""
        if bool(self.group) == (self.by is not None):
            raise ValueError(f"spacing {self.name!r} must have `group` or `by`, one of them")

    @property
    def uses(self) -> dict[str, Kind]:
        """Columns that it looks at."""
        if self.by is not None:
            return {self.by: "number"}
        return {name: kind_for(match) for name, match in self.group.items()}

    @property
    def reads(self) -> dict[str, Kind]:
        """Columns that candidates have to bring for it."""
        return {name: kind for name, kind in self.uses.items() if name not in GIVEN}


@final
class Balance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mix that the page, with what the session saw before, is drawn towards.

    Attributes:
        column: A key column, or one of key lists; a row of several values counts as an equal part of each.
        weight: Utility per unit of divergence that a row takes away, >= 0.
        target: Value to its share, > 0, scaled to add up to 1; empty takes the request's `history` of the column.
        mixing: Share of the target that is mixed into the page's shares, above 0, at most 1; without it, a value not
            shown yet would be infinitely far from its target.
    """

    column: str
    weight: Weight
    target: dict[str, Positive] = {}
    mixing: Share = 0.01


@final
class Fresh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row is worth for being new: `weight` when it appears, half of it after every half-life.

    Attributes:
        by: A number column: when the item appeared, in seconds, on the clock of the request's `time`.
        half_life_s: Seconds after which half is left, > 0.
        weight: Utility of an item that appears now, >= 0.
    """

    by: str
    half_life_s: Positive
    weight: Weight


@final
class Novel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row is worth for being little known: `weight` times the bits of surprise, -log2 of its popularity.

    Attributes:
        by: A number column: the share of users, or of views, that the item has, above 0, at most 1.
        weight: Utility per bit, >= 0.
    """

    by: str
    weight: Weight
