"""What a policy says of variety, bound to candidates and to what the session saw, as kernels read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.compose.terms import Balance, Similar, Spacing, Term
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Embedding, KeyLists, Keys, Numbers
from slatewise.core.constraints import members
from slatewise.core.errors import RequestError
from slatewise.core.exposure import exposure_of
from slatewise.core.variety import LIKENESSES, MEMORY, NEGATIVES, VARIANTS, Balances, Signals, Spacings, Terms

ALL = 1_000_000
"""Window of a term that looks at everything."""

NO_BALANCES = Balances(np.zeros((0, 0), np.int64), np.zeros(0, np.int32), np.zeros((0, 0)), np.zeros(0), np.zeros(0))


class Rows(NamedTuple):
    """Candidates, and after them what the session saw, oldest first.

    Attributes:
        candidates: n rows.
        past: h rows, None for none.
    """

    candidates: Candidates
    past: Candidates | None

    @property
    def seen(self) -> int:
        """How many rows the session saw: h."""
        return 0 if self.past is None else len(self.past)

    def keys(self, name: str) -> Codes:
        """Return (n + h,) codes of a key column; equal codes are equal values, -1 is none."""
        own = self.candidates.key(name)
        if self.past is None:
            return own.codes
        return np.concatenate([own.codes, _recoded(self.past.key(name), _places(own.names))])

    def lists(self, name: str) -> KeyLists:
        """Return the lists of a column of key lists, or of a key column as lists of one."""
        own = _lists_of(self.candidates, name)
        if self.past is None:
            return own
        past = _lists_of(self.past, name)
        places = _places(own.names)
        codes = np.concatenate([own.codes, _recoded(Keys(past.codes, past.names), places)])
        starts = np.concatenate([own.starts, own.starts[-1] + past.starts[1:]])
        return KeyLists(codes, starts, tuple(places))

    def numbers(self, name: str) -> Numbers:
        """Return (n + h,) numbers."""
        own = self.candidates.number(name)
        return own if self.past is None else np.concatenate([own, self.past.number(name)])

    def members(self, spacing: Spacing) -> Numbers:
        """Return (n + h,) how much of a class each row is."""
        if spacing.by is not None:
            numbers = self.numbers(spacing.by)
            return np.where(numbers > spacing.above, numbers, 0.0)
        own = members(spacing.group, self.candidates)
        inside = own if self.past is None else np.concatenate([own, members(spacing.group, self.past)])
        return inside.astype(np.float64)


def _places(names: Sequence[Any]) -> dict[Any, int]:
    return {name: code for code, name in enumerate(names)}


def _recoded(keys: Keys, places: dict[Any, int]) -> Codes:
    """Return codes by `places`, which new names are added to."""
    table = np.array([places.setdefault(name, len(places)) for name in keys.names] + [-1], dtype=np.int32)
    return table[keys.codes]


def _lists_of(candidates: Candidates, name: str) -> KeyLists:
    """Return a column of key lists, or a key column as lists of one."""
    if isinstance(candidates.columns.get(name), KeyLists):
        return candidates.key_lists(name)
    codes, names = candidates.key(name)
    here = codes >= 0
    starts = np.zeros(len(here) + 1, np.int32)
    np.cumsum(here, out=starts[1:])
    return KeyLists(codes[here], starts, names)


class _Builder:
    """Puts signals together."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.vectors: dict[str, int] = {}
        self.address: list[NDArray[np.int64]] = []
        self.scale: list[Numbers] = []
        self.codes: list[Codes] = []
        self.lists: list[Codes] = []
        self.starts: list[NDArray[np.int64]] = []
        self.seen: list[Numbers] = []
        self.signal: list[tuple[int, ...]] = []
        self.share: list[float] = []
        self.levels: list[Numbers] = []
        self.width = 0

    def add(self, similar: Similar, share: float) -> NDArray[np.bool_]:
        """Add a signal; return (n,) which candidates have a value under it."""
        n = len(self.rows.candidates)
        kind, column, own, start, stop = LIKENESSES.index(similar.likeness), 0, -1, self.width, self.width
        levels = np.zeros(0)
        if similar.cosine is not None:
            column = self._vectors(similar.cosine)
            there = self.address[column] != 0
            stop = self._seen(similar.cosine)
        elif similar.same is not None:
            codes = self.rows.keys(similar.same)
            column, there = self._key(codes), codes[:n] >= 0
        else:
            lists = self.rows.lists(similar.column)
            sizes = np.diff(lists.starts)
            there = sizes[:n] > 0
            if similar.overlap is not None:
                lists = _sorted_sets(lists)
            if similar.prefix is not None:
                longest = int(sizes.max(initial=0))
                levels = np.ones(longest) if similar.levels is None else np.asarray(similar.levels, dtype=np.float64)
                levels = levels / max(levels.sum(), 1e-300)
            if similar.linked is not None:
                own = self._key(self._names_in(lists))
            column = self._list(lists)
        self.signal.append((kind, NEGATIVES.index(similar.negative), column, own, start, stop))
        self.share.append(share)
        self.levels.append(levels)
        return there

    def _vectors(self, name: str) -> int:
        if name not in self.vectors:
            table, rows = self.rows.candidates.embedding(name)
            matrix = table.matrix
            scale = table.inverse[rows] if len(table.inverse) else np.zeros(len(rows))
            address = matrix.__array_interface__["data"][0] + rows * np.int64(matrix.strides[0])
            if name in self.rows.candidates.gaps:
                scale[rows < 0] = 0.0
                address[scale == 0.0] = 0
            self.vectors[name] = len(self.address)
            self.address.append(address)
            self.scale.append(scale)
        return self.vectors[name]

    def _seen(self, name: str) -> int:
        """Add the vectors of what the session saw; return where their dimensions end."""
        width = self.rows.candidates.embedding(name).table.matrix.shape[1]
        if self.rows.past is not None:
            table, rows = self.rows.past.embedding(name)
            self.seen.append(_units(Embedding(table, rows), name, width))
        self.width += width
        return self.width

    def _key(self, codes: Codes) -> int:
        self.codes.append(codes)
        return len(self.codes) - 1

    def _list(self, lists: KeyLists) -> int:
        self.starts.append(lists.starts.astype(np.int64) + sum(len(codes) for codes in self.lists))
        self.lists.append(lists.codes)
        return len(self.lists) - 1

    def _names_in(self, lists: KeyLists) -> Codes:
        """Return (n + h,) what each row is called in the lists, -1 if none names it."""
        places = _places(lists.names)
        ids = [*self.rows.candidates.item_id, *(self.rows.past.item_id if self.rows.past is not None else ())]
        return np.array([places.get(item, -1) for item in ids], dtype=np.int32)

    def signals(self) -> Signals:
        """Return what was added."""
        n, h = len(self.rows.candidates), self.rows.seen
        levels = np.zeros((len(self.levels), max(map(len, self.levels), default=0)))
        for place, own in enumerate(self.levels):
            levels[place, : len(own)] = own
        return Signals(
            signal=np.array(self.signal, dtype=np.int64).reshape(-1, 6),
            share=np.array(self.share, dtype=np.float64),
            levels=levels,
            address=_stacked(self.address, n, np.int64),
            scale=_stacked(self.scale, n, np.float64),
            seen=np.concatenate(self.seen, axis=1) if self.seen else np.zeros((h, self.width)),
            codes=_stacked(self.codes, n + h, np.int32),
            lists=np.concatenate(self.lists) if self.lists else np.zeros(0, np.int32),
            starts=_stacked(self.starts, n + h + 1, np.int64),
        )


def _stacked(parts: Sequence[NDArray[Any]], length: int, kind: Any) -> NDArray[Any]:
    return np.array(parts, dtype=kind) if parts else np.zeros((0, length), kind)


def _units(column: Embedding, name: str, width: int) -> Numbers:
    """Return (h, d) float64 unit vectors, zeros for none."""
    table, rows = column
    if not width or not table.inverse.any():
        return np.zeros((len(rows), width))
    if table.matrix.shape[1] != width:
        rule = f"must hold vectors of {width} numbers for `{name}`, as the candidates have"
        raise RequestError("state", rule, str(table.matrix.shape[1]))
    units = table.matrix[rows] * table.inverse[rows][:, None]
    units[rows < 0] = 0.0
    return units


def _sorted_sets(lists: KeyLists) -> KeyLists:
    """Return the lists sorted by code, without repeats."""
    sets, row = _sets(lists)
    return KeyLists(sets.codes[np.lexsort((sets.codes, row))], sets.starts, sets.names)


def _sets(lists: KeyLists) -> tuple[KeyLists, NDArray[np.int64]]:
    """Return (the lists without repeats, in the order given, the row of each value)."""
    row = np.repeat(np.arange(len(lists.starts) - 1), np.diff(lists.starts))
    order = np.lexsort((lists.codes, row))
    sorted_row, codes = row[order], lists.codes[order]
    first = np.ones(len(codes), np.bool_)
    first[order[1:]] = (codes[1:] != codes[:-1]) | (sorted_row[1:] != sorted_row[:-1])
    starts = np.zeros_like(lists.starts)
    np.cumsum(np.bincount(row[first], minlength=len(starts) - 1), out=starts[1:])
    return KeyLists(lists.codes[first], starts, lists.names), row[first]


def bound_signals(terms: Sequence[Term], rows: Rows) -> tuple[Signals, Numbers]:
    """Return (signals, (n,) what candidates are charged for lack of a value per unit of strength)."""
    builder = _Builder(rows)
    charge = np.zeros(len(rows.candidates))
    for term in terms:
        whole = sum(one.weight for one in term.similar)
        for one in sorted(term.similar, key=lambda one: one.cosine is None):  # cosines first
            there = builder.add(one, one.weight / whole)
            if one.missing:
                charge[~there] += term.weight * one.missing * one.weight / whole
    return builder.signals(), charge


def terms_for(terms: Sequence[Term], slots: int) -> Terms:
    """Return the terms for a page of `slots`."""
    fading = [term for term in terms if term.variant in ("gap", "spectrum")]
    longest = max([1, *(min(term.window or ALL, MEMORY + slots) for term in fading)])
    return Terms(
        variant=np.array([VARIANTS.index(term.variant) for term in terms], dtype=np.int64),
        spans=np.array([term.spans for term in terms], dtype=np.bool_),
        weight=np.array([term.weight for term in terms], dtype=np.float64),
        window=np.array([term.window or ALL for term in terms], dtype=np.int64),
        first=np.cumsum([0, *(len(term.similar) for term in terms)], dtype=np.int64),
        fade=np.array([exposure_of(term.fade, longest) for term in terms]).reshape(-1, longest),
        ridge=np.array([term.ridge if term.variant == "spectrum" else 0.0 for term in terms]),
        volume=np.ones(len(terms)),
    )


def spacings_for(spacings: Sequence[Spacing]) -> Spacings:
    """Return soft spacing over no rows yet."""
    longest = max([0, *(one.within for one in spacings)])
    fade = np.zeros((len(spacings), longest))
    for place, one in enumerate(spacings):
        fade[place, : one.within] = exposure_of(one.fade, one.within)
    return Spacings(np.zeros((len(spacings), 0)), np.array([one.weight for one in spacings], dtype=np.float64), fade)


def levels_of(spacings: Sequence[Spacing], rows: Rows) -> Numbers:
    """Return (C, n + h) how much of each class the rows are."""
    return _stacked([rows.members(one) for one in spacings], len(rows.candidates) + rows.seen, np.float64)


def bound_balances(balances: Sequence[Balance], rows: Rows, targets: Sequence[Mapping[Any, float]]) -> Balances:
    """Return balances over the rows, drawn towards these targets: shares, or amounts, by value."""
    if not balances:
        return NO_BALANCES
    lists = [_sets(rows.lists(one.column))[0] for one in balances]
    size = max(len(one.names) for one in lists)
    target = np.zeros((len(balances), size))
    starts, before = list[NDArray[np.int64]](), 0
    for place, (one, wanted) in enumerate(zip(lists, targets, strict=True)):
        whole = sum(wanted.values())
        target[place, : len(one.names)] = [wanted.get(name, 0.0) / whole if whole else 0.0 for name in one.names]
        starts.append(one.starts.astype(np.int64) + before)
        before += len(one.codes)
    return Balances(
        starts=_stacked(starts, len(rows.candidates) + rows.seen + 1, np.int64),
        values=np.concatenate([one.codes for one in lists]),
        target=target,
        mixing=np.array([one.mixing for one in balances], dtype=np.float64),
        weight=np.array([one.weight for one in balances], dtype=np.float64),
    )
