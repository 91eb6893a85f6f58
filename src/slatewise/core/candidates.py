"""Candidates: what the lines nominate for one request, as read-only columns over the same rows.

One row is one nomination: an item by a line. An item may be nominated by several lines (several rows with the same
`item_id`); a page shows it once. Columns are checked once, here; kernels trust them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast, final

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import (
    Codes,
    Column,
    Embedding,
    Flags,
    KeyLists,
    Keys,
    Kind,
    Numbers,
    absent,
    kind_of,
    length_of,
    require_present,
)
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.core.ids import are_distinct, ids_of, require_distinct, sorted_places, wholes_of
from slatewise.core.raw import columns_of, guess, store
from slatewise.kernels.untie import untied

_Scalar = TypeVar("_Scalar", bound=np.generic)

_NUMBER = np.dtype(np.float64)

ONLY_LINE = "all"
"""The line of candidates that name none."""


@final
class Candidates:
    """Read-only columns over n rows.

    Attributes:
        item_id: n ids, all text or all whole numbers; distinct within a line.
        columns: Name to stored column; `line` is always among them.
        gaps: Names of columns that may have missing values; of any other, no value is missing.
        items: (n,) code of each row's item, >= 0; rows of one item share a code.
        repeats: Whether some item may have several rows.

    Examples:
        >>> items = Candidates.of(item_id=["a", "b"], line=["posts", "ads"], score=[0.3, 0.9])
        >>> len(items), items.number("score").tolist(), items.key("line").names
        (2, [0.3, 0.9], ('posts', 'ads'))
        >>> Candidates.of(item_id=["a", "b"], score=[0.3])
        Traceback (most recent call last):
        slatewise.core.errors.RequestError: candidates.score: must have 2 rows like item_id, got 1
    """

    __slots__ = ("_conforms_to", "_rank", "_wholes", "columns", "gaps", "item_id", "items", "repeats")

    def __init__(
        self,
        item_id: Sequence[Any],
        columns: Mapping[str, Column],
        gaps: frozenset[str],
        items: Codes,
        repeats: bool,
        *,
        wholes: NDArray[np.int64] | None = None,
        conforms_to: tuple[object, object] = (None, None),
    ) -> None:
        """Take columns that were checked before; `Candidates.of` is the way in from raw data.

        `wholes` are the ids once more, if they are whole numbers and it is at hand; `conforms_to` are the kinds and
        lines of `conform` that the columns are known to keep to.
        """
        self.item_id = item_id
        self.columns = columns
        self.gaps = gaps
        self.items = items
        self.repeats = repeats
        self._wholes = wholes
        self._rank: Codes | None = None
        self._conforms_to = conforms_to

    @classmethod
    def of(cls, data: Any = None, /, *, kinds: Mapping[str, Kind] | None = None, **columns: Any) -> Candidates:
        """Check raw data and store it.

        Args:
            data: A mapping of lists or NumPy arrays, an Arrow table or record batch, or a Polars frame.
            kinds: Kinds of columns, as a policy declares them; kinds of others are taken from their values.
            columns: More columns by name. `item_id` defaults to the row number, `line` to a single line.

        Raises:
            RequestError: Columns differ in length, a value is not of its kind or not finite, a line names an id twice.
        """
        raw = {**(columns_of(data) if data is not None else {}), **columns}
        for name, values in raw.items():
            if isinstance(values, str) or not hasattr(values, "__len__"):
                raise RequestError(f"candidates.{name}", "must be one value per row", shown(values))
        given = raw.pop("item_id", None)
        ids = list(range(_rows_of(raw))) if given is None else ids_of(given)
        stored: dict[str, Column] = {}
        for name, values in raw.items():
            kind = (kinds or {}).get(name) or ("key" if name == "line" else guess(values))
            stored[name] = _read_only(store(f"candidates.{name}", values, kind))
            rows = length_of(stored[name])
            if rows != len(ids):
                raise RequestError(f"candidates.{name}", f"must have {len(ids)} rows like item_id", str(rows))
        if "line" not in stored:
            stored["line"] = _read_only(Keys(np.zeros(len(ids), dtype=np.int32), (ONLY_LINE,)))
        require_present("candidates.line", stored["line"])
        gaps = frozenset(name for name, column in stored.items() if absent(column).any())
        if given is None or are_distinct(given):
            return cls(ids, stored, gaps, np.arange(len(ids), dtype=np.int32), False)
        codes = dict(zip(ids, range(len(ids)), strict=True))
        if len(codes) == len(ids):
            return cls(ids, stored, gaps, np.arange(len(ids), dtype=np.int32), False)
        items = np.array([codes[item] for item in ids], dtype=np.int32)
        require_distinct(ids, cast("Keys", stored["line"]))
        return cls(ids, stored, gaps, items, True)

    def __len__(self) -> int:
        """Return n, the number of rows."""
        return len(self.item_id)

    def __repr__(self) -> str:
        """Show the size and the columns."""
        kinds = ", ".join(f"{name}: {kind_of(column)}" for name, column in self.columns.items())
        return f"Candidates({len(self)} rows; {kinds})"

    def number(self, name: str) -> Numbers:
        """Return a number column, (n,) float64."""
        return cast("Numbers", self.columns[name])

    def finite(self, name: str) -> Numbers:
        """Return a number column in which no value is missing or infinite.

        Raises:
            RequestError: Names the first row that has none, and how many there are.
        """
        values = self.number(name)
        is_finite = np.isfinite(values)
        if is_finite.all():
            return values
        wrong = np.flatnonzero(~is_finite)
        row = int(wrong[0])
        hint = f"{len(wrong)} rows have none, the first is {shown(self.item_id[row])}"
        raise RequestError(f"candidates.{name}[{row}]", "must be finite", shown(float(values[row])), hint)

    def flag(self, name: str) -> Flags:
        """Return a flag column, (n,) bool."""
        return cast("Flags", self.columns[name])

    def key(self, name: str) -> Keys:
        """Return a key column; `item_id` counts as one."""
        if name == "item_id":
            return Keys.of(self.item_id)
        return cast("Keys", self.columns[name])

    def key_lists(self, name: str) -> KeyLists:
        """Return a column of lists of keys."""
        return cast("KeyLists", self.columns[name])

    def embedding(self, name: str) -> Embedding:
        """Return an embedding column: row ids into a shared table."""
        return cast("Embedding", self.columns[name])

    @property
    def rank(self) -> Codes:
        """(n,) place of each row when sorted by (item_id, line): the same for any order of the rows."""
        if self._rank is None:
            rank = np.empty(len(self), dtype=np.int32)
            rank[self._by_name(np.arange(len(self)))] = np.arange(len(self), dtype=np.int32)
            self._rank = rank  # only when it is whole: another thread may be looking
        return self._rank

    def descending(self, values: Numbers, ties: Callable[[], NDArray[Any]] | None = None) -> Codes:
        """Return all rows, largest value first; equals by `ties` if given, then the smaller (item_id, line) first."""
        rising = values.argsort()
        if ties is None and len(wholes := self._whole_ids()):
            lines, names = self.key("line")
            return untied(rising, values, wholes, lines, sorted_places(names))
        order = rising[::-1].astype(np.int32)
        ranked = values.take(order)
        same = ranked[1:] == ranked[:-1]
        is_tied = np.zeros(len(order), np.bool_)
        is_tied[1:] = same
        is_tied[:-1] |= same
        tied = is_tied.nonzero()[0]
        if not len(tied):
            return order
        rows = self._by_name(order.take(tied))
        if ties is not None:
            rows = rows.take(ties().take(rows).argsort(kind="stable"))
        order[tied] = rows.take((-values.take(rows)).argsort(kind="stable"))
        return order

    def _by_name(self, rows: NDArray[np.integer]) -> NDArray[np.integer]:
        """Return rows sorted by (item_id, line): by line first, then by id, which leaves equal ids as they are."""
        if self.repeats:
            codes, names = self.key("line")
            rows = rows.take(sorted_places(names).take(codes.take(rows)).argsort(kind="stable"))
        if len(wholes := self._whole_ids()):
            return rows.take(wholes.take(rows).argsort(kind="stable")).astype(np.int32)
        return np.array(sorted(rows.tolist(), key=self.item_id.__getitem__), dtype=np.int32)

    def _whole_ids(self) -> NDArray[np.int64]:
        if self._wholes is None:
            self._wholes = wholes_of(self.item_id)
        return self._wholes

    def with_columns(self, new: Mapping[str, Column]) -> Candidates:
        """Return candidates with columns added or replaced; the rows stay as they are.

        Raises:
            RequestError: A column is not stored as columns are, or has another number of rows.
        """
        for name, column in new.items():
            if type(column) is not np.ndarray or column.dtype != _NUMBER or column.shape != self.items.shape:
                _require_stored(name, column, len(self))
        grown = Candidates(self.item_id, {**self.columns, **new}, self.gaps | new.keys(), self.items, self.repeats)
        grown._rank, grown._wholes = self._rank, self._wholes
        return grown

    def take(self, rows: NDArray[np.integer] | Sequence[int]) -> Candidates:
        """Return some rows, in the order given; a mask of all rows stands for those where it is true."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64)
        ids = [self.item_id[row] for row in rows.tolist()]
        wholes = self._wholes if self._wholes is None or not len(self._wholes) else self._wholes[rows]
        return Candidates(ids, _Taken(self.columns, rows), self.gaps, self.items[rows], self.repeats, wholes=wholes)

    def conform(self, kinds: Mapping[str, Kind], lines: Sequence[str]) -> Candidates:
        """Return candidates whose declared columns have their declared kinds and whose line codes index `lines`.

        Raises:
            RequestError: A declared column is absent or of another kind, lacks a value it must have, or a line
                is unknown.
        """
        if self._conforms_to[0] is kinds and self._conforms_to[1] is lines:
            return self
        changed: dict[str, Column] = {}
        for name, kind in kinds.items():
            column = self.columns.get(name)
            if column is None and (kind.endswith("?") or not len(self)):
                column = changed[name] = store(f"candidates.{name}", [None] * len(self), kind)
            if column is None:
                hint = did_you_mean(name, set(self.columns) - set(kinds) - {"line"})
                raise RequestError(f"candidates.{name}", "must be given", "nothing", hint)
            if kind_of(column) != kind.rstrip("?"):
                column = changed[name] = store(f"candidates.{name}", column, kind)
            if name in self.gaps and not kind.endswith("?"):
                require_present(f"candidates.{name}", column)
        own = self.key("line")
        if own.names != tuple(lines):
            changed["line"] = _known_lines(own, lines)
        conforming = self.with_columns(changed)
        conforming._conforms_to = kinds, lines
        return conforming


class _Taken(Mapping[str, Column]):
    """Some rows of each column, taken when the column is first asked for."""

    __slots__ = ("_done", "_rows", "_whole")

    def __init__(self, whole: Mapping[str, Column], rows: NDArray[np.integer]) -> None:
        self._whole, self._rows = whole, rows
        self._done: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        column = self._done.get(name)
        if column is None:
            whole = self._whole[name]
            if type(whole) is np.ndarray:
                column = whole[self._rows]
                column.flags.writeable = False
            else:
                column = _read_only(cast("Keys | KeyLists | Embedding", whole).take(self._rows))
            self._done[name] = column
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


def _require_stored(name: str, column: Any, rows: int) -> None:
    """Refuse what is no column; (n,) float64 was looked at before, because it is what stages write."""
    kind = str(cast("NDArray[Any]", column).dtype) if isinstance(column, np.ndarray) else type(column).__name__
    if kind not in ("float64", "bool", "Keys", "KeyLists", "Embedding"):
        rule = "must be a float64 or bool array, keys, lists of keys or an embedding"
        raise RequestError(f"candidates.{name}", rule, kind)
    if length_of(cast("Column", column)) != rows:
        got = str(length_of(cast("Column", column)))
        raise RequestError(f"candidates.{name}", f"must have {rows} rows like item_id", got)


def _rows_of(raw: Mapping[str, Any]) -> int:
    """Return how many rows the first column has."""
    first: Any = next(iter(raw.values()), ())
    return length_of(first) if isinstance(first, Keys | KeyLists | Embedding) else len(first)


def _known_lines(own: Keys, lines: Sequence[str]) -> Keys:
    if own.names == (ONLY_LINE,) and len(lines) == 1:
        return Keys(own.codes, tuple(lines))
    if own.names == (ONLY_LINE,) and ONLY_LINE not in lines:
        raise RequestError("candidates.line", "must be given where the policy has several lines", "nothing")
    places = {name: code for code, name in enumerate(lines)}
    lookup = np.array([places.get(name, -1) for name in own.names], dtype=np.int32)
    codes = lookup[own.codes]
    if codes.size and codes.min() < 0:
        row = int(codes.argmin())
        name = own.name(row)
        hint = did_you_mean(str(name), lines)
        raise RequestError(f"candidates.line[{row}]", "must be a line of the policy", shown(name), hint)
    return Keys(_locked(codes), tuple(lines))


def _read_only(column: Column) -> Column:
    """Return a view that cannot be written through; the caller's own array keeps its flags."""
    match column:
        case Keys(codes, names):
            return Keys(_locked(codes), names)
        case KeyLists(codes, starts, names):
            return KeyLists(_locked(codes), _locked(starts), names)
        case Embedding(table, rows):
            return Embedding(table, _locked(rows))
        case _:
            return cast("Column", _locked(cast("NDArray[Any]", column)))


def _locked(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    view = array.view()
    view.flags.writeable = False
    return view
