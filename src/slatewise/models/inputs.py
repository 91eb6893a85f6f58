"""What a network reads: columns of rows, features of the request and its history, as arrays of numbers and codes.

A network is fitted on one numbering of names and one scale of numbers, and has to be served with the same. So both are
part of it: the names it knows in order, and the mean and the scale of each number.

    number = (value - mean) / scale, 0 where it is missing,    code = 1 + place of the name, 0 where it is not known

Numbers are cut at `FARTHEST`, so that no network leaves single precision over one of them. Names are compared as text,
as logs hold them. The same declarations make the arrays of a request and those of a log, so that no network is served
anything else than it was fitted on. Cost: O(n * columns).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import KeyLists, Keys, Kind, Signed
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.core.request import Request
from slatewise.core.rules import GIVEN

SCORE = "score"
"""The column of what a first stage gave."""
LONGEST_HISTORY = 20
"""How much of a history a network reads."""
FARTHEST = 1e9
"""Scales from the mean at which a number is cut."""

_C = TypeVar("_C")
Arrays = dict[str, NDArray[Any]]


class Lists(Protocol):
    """A log of lists, as `learn.pages` holds it."""

    @property
    def keys(self) -> Mapping[str, Keys]:
        """Columns of rows."""
        ...

    @property
    def numbers(self) -> Mapping[str, NDArray[np.float64]]:
        """Columns of rows."""
        ...

    @property
    def context(self) -> Mapping[str, Keys]:
        """Columns of lists."""
        ...

    @property
    def histories(self) -> Mapping[str, KeyLists]:
        """Columns of lists, most recent first."""
        ...

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the rows of each list begin."""
        ...

    def mask(self, length: int) -> NDArray[np.bool_]:
        """Return where there is a row."""
        ...

    def padded(self, column: NDArray[Any], length: int, fill: float = 0.0) -> NDArray[Any]:
        """Return rows of each list, side by side."""
        ...


class Sizes(NamedTuple):
    """How large a network's inputs are.

    Attributes:
        numbers: Columns of numbers.
        keys: Codes of each column of keys, 0 included.
        context: Codes of each feature of the request.
        history: Codes of the history; 0 without one.
        shared: Which column of keys has the names of the history; -1 if none has.
        position: Places that are told apart.
        first: Which column of numbers is `score`, what a first stage gave; -1 if none is.
    """

    numbers: int
    keys: tuple[int, ...]
    context: tuple[int, ...]
    history: int
    shared: int
    position: int
    first: int = -1


@final
class Number(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of numbers.

    Attributes:
        name: The column.
        mean: What becomes 0, and stands for values that are missing.
        scale: What becomes 1, above the mean, > 0.
    """

    name: str
    mean: Signed = 0.0
    scale: Annotated[float, Meta(gt=0)] = 1.0


@final
class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A column of keys.

    Attributes:
        name: The column.
        names: Values that are told apart, in the order of their codes.
    """

    name: str
    names: tuple[str, ...]

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names, 1)}

    def code(self, value: object) -> int:
        """Return the code of a value; 0 if it is not known, or None, which is missing.

        >>> Key(name="line", names=("ads", "posts")).code("posts"), Key(name="line", names=("ads",)).code("shop")
        (2, 0)
        """
        return 0 if value is None else self._codes.get(str(value), 0)

    def codes(self, column: Keys) -> NDArray[np.int64]:
        """Return the codes of a column."""
        known = np.array([*map(self.code, column.names), 0], np.int64)
        return known[column.codes]


@final
class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network reads, in order.

    Attributes:
        numbers: Columns of rows.
        keys: Columns of rows; `item_id` and `line` are always there.
        context: Features of the request.
        history: What the user looked at, of which values it knows the 20 of largest amount count; None for nothing.
        position: Longest list that it was fitted on; places beyond it count as this one, >= 1.

    Examples:
        >>> inputs = Inputs(numbers=(Number(name="score", mean=1.0, scale=2.0),), position=10)
        >>> items = Candidates.of(score=[3.0, 1.0, -1.0])
        >>> inputs.of(items, Request(candidates=items), np.array([0, 2]))["numbers"].tolist()
        [[1.0], [-1.0]]
    """

    numbers: tuple[Number, ...] = ()
    keys: tuple[Key, ...] = ()
    context: tuple[Key, ...] = ()
    history: Key | None = None
    position: Annotated[int, Meta(ge=1)]

    @property
    def sizes(self) -> Sizes:
        """How large all of it is."""
        history = self.history
        names = () if history is None else history.names
        shared = next((at for at, key in enumerate(self.keys) if history and key.names == names), -1)
        return Sizes(
            numbers=len(self.numbers),
            first=next((at for at, one in enumerate(self.numbers) if one.name == SCORE), -1),
            keys=tuple(len(key.names) + 1 for key in self.keys),
            context=tuple(len(key.names) + 1 for key in self.context),
            history=0 if history is None else len(names) + 1,
            shared=shared,
            position=self.position,
        )

    @property
    def reads(self) -> Mapping[str, Kind]:
        """Columns of rows and their kinds, for what a stage declares; any may be missing."""
        kinds: dict[str, Kind] = {one.name: "number?" for one in self.numbers}
        kinds.update({one.name: "key?" for one in self.keys if one.name not in GIVEN})
        return kinds

    def of(self, candidates: Candidates, request: Request, rows: NDArray[np.integer]) -> Arrays:
        """Return the arrays of one list.

        Args:
            candidates: With the columns in `reads`.
            request: With context and history.
            rows: (n,) the list, in order.

        Returns:
            `numbers` (n, f) float32, `keys` (n, m), `context` (c,) and `history` (20,) int64, 0 where nothing is known.
        """
        numbers = np.zeros((len(rows), len(self.numbers)), np.float32)
        for place, one in enumerate(self.numbers):
            numbers[:, place] = _scaled(candidates.number(one.name)[rows], one)
        keys = np.zeros((len(rows), len(self.keys)), np.int64)
        for place, one in enumerate(self.keys):
            keys[:, place] = [one.code(value) for value in _values(candidates, one.name, rows)]
        context = np.array([one.code(request.context.get(one.name)) for one in self.context], np.int64)
        return {"numbers": numbers, "keys": keys, "context": context, "history": self._history(request)}

    def of_pages(self, pages: Lists) -> Arrays:
        """Return the arrays of all lists of a log, padded to the longest.

        Returns:
            `numbers` (b, l, f) float32, `keys` (b, l, m), `context` (b, c) and `history` (b, 20) int64, and `mask`
            (b, l) bool, which says where there is a row.
        """
        length = _longest(pages)
        mask = pages.mask(length)
        numbers = np.zeros((*mask.shape, len(self.numbers)), np.float32)
        for place, one in enumerate(self.numbers):
            numbers[:, :, place] = pages.padded(_scaled(pages.numbers[one.name], one), length)
        keys = np.zeros((*mask.shape, len(self.keys)), np.int64)
        for place, one in enumerate(self.keys):
            keys[:, :, place] = pages.padded(one.codes(pages.keys[_logged(one.name)]), length)
        context = np.zeros((len(mask), len(self.context)), np.int64)
        for place, one in enumerate(self.context):
            context[:, place] = one.codes(pages.context[one.name])
        history = np.zeros((len(mask), 0 if self.history is None else LONGEST_HISTORY), np.int64)
        if self.history is not None:
            known = np.array([*map(self.history.code, pages.histories[_logged(self.history.name)].names), 0], np.int64)
            for place, codes in enumerate(_lists(pages.histories[_logged(self.history.name)])):
                found = known[codes]
                found = found[found > 0][:LONGEST_HISTORY]
                history[place, : len(found)] = found
        return {"numbers": numbers, "keys": keys, "context": context, "history": history, "mask": mask}

    @classmethod
    def known(
        cls,
        pages: Lists,
        *,
        numbers: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
        context: Sequence[str] | None = None,
        history: str | None = None,
        seen: int = 5,
    ) -> Inputs:
        """Return what may be read of a log: the scale of its numbers, and the names that it has seen.

        Args:
            pages: What a network is fitted on.
            numbers: Columns; all where not said.
            keys: Columns; all where not said. One of which no two names were seen says nothing, and is left out.
            context: Features; all where not said.
            history: Column of the history.
            seen: Rows that a name needs to be known.

        Raises:
            RequestError: The log has no such column.
        """
        wanted = [_served(name) for name in pages.keys] if keys is None else keys
        columns = [(name, _of_log("keys", pages.keys, _logged(name))) for name in wanted]
        told = pages.context if context is None else context
        features = [(name, _of_log("context", pages.context, name)) for name in told]
        found = [_known(name, column.codes, column.names, seen) for name, column in columns]
        same = {one.name: one for one in found}
        past = None
        if history is not None:
            lists = _of_log("histories", pages.histories, _logged(history))
            past = same.get(history) or _known(history, lists.codes, lists.names, seen)
        return cls(
            numbers=tuple(
                _number(name, _of_log("numbers", pages.numbers, name))
                for name in (pages.numbers if numbers is None else numbers)
            ),
            keys=tuple(one for one in found if len(one.names) > 1),
            context=tuple(
                one
                for one in (_known(name, column.codes, column.names, seen) for name, column in features)
                if len(one.names) > 1
            ),
            history=past,
            position=_longest(pages),
        )

    def _history(self, request: Request) -> NDArray[np.int64]:
        """Return codes by descending amount; of equals, the first as given."""
        if self.history is None:
            return np.zeros(0, np.int64)
        amounts = request.history.get(self.history.name, {})
        ranked = sorted(amounts.items(), key=lambda entry: -entry[1])
        codes = [code for value, _ in ranked if (code := self.history.code(value))][:LONGEST_HISTORY]
        return np.array(codes + [0] * (LONGEST_HISTORY - len(codes)), np.int64)


def _longest(pages: Lists) -> int:
    return int(np.diff(pages.starts).max(initial=1))


def _scaled(values: NDArray[np.float64], number: Number) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        found = np.clip((values - number.mean) / number.scale, -FARTHEST, FARTHEST)
    found[np.isnan(found)] = 0.0
    return found.astype(np.float32)


def _values(candidates: Candidates, name: str, rows: NDArray[np.integer]) -> Iterator[Any]:
    if name == "item_id":
        return (candidates.item_id[row] for row in rows.tolist())
    column = candidates.key(name)
    names = (*column.names, None)
    return (names[code] for code in column.codes[rows].tolist())


def _lists(column: KeyLists) -> Iterator[NDArray[np.int32]]:
    return (column.codes[a:b] for a, b in zip(column.starts, column.starts[1:], strict=False))


def _logged(name: str) -> str:
    """Return what a log calls a column of candidates."""
    return "item" if name == "item_id" else name


def _served(name: str) -> str:
    """Return what candidates call a column of a log."""
    return "item_id" if name == "item" else name


def _number(name: str, values: NDArray[np.float64]) -> Number:
    there = values[~np.isnan(values)]
    scale = float(there.std()) if len(there) else 0.0
    return Number(name=name, mean=float(there.mean()) if len(there) else 0.0, scale=scale if scale > 0 else 1.0)


def _of_log(where: str, columns: Mapping[str, _C], name: str) -> _C:
    if name not in columns:
        raise RequestError(f"pages.{where}", "must have the column", shown(name), did_you_mean(name, columns))
    return columns[name]


def _known(name: str, codes: NDArray[np.int32], names: Sequence[Any], seen: int) -> Key:
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    return Key(name=name, names=tuple(sorted(str(names[code]) for code in np.flatnonzero(counts >= seen).tolist())))
