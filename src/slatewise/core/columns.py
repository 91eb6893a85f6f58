"""Columns: what a candidate may carry, and how it is stored.

| kind | stored as | missing (only with `?`) |
|---|---|---|
| `number` | (n,) float64, finite | NaN |
| `key` | `Keys`: (n,) int32 codes and the names they stand for | code -1 |
| `keys` | `KeyLists`: int32 codes of all rows, where each row starts, and the names | an empty list |
| `flag` | (n,) bool | not possible |
| `embedding` | `Embedding`: a shared float32 table and (n,) row ids | row id -1, or a row of zeros |

A kind with a question mark (`number?`) may have missing values; a stage that reads it says what it does with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, count
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, final, get_args

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.errors import RequestError, shown
from slatewise.kernels.vectors import inverse_lengths

Kind: TypeAlias = Literal["number", "number?", "key", "key?", "keys", "keys?", "flag", "embedding", "embedding?"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LARGEST_WHOLE = 2**53
"""Largest whole number up to which float64 holds every one."""

LARGEST = 1e30
"""Largest size of a number in a column or a policy: products of a few of them are still finite."""

Signed: TypeAlias = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Positive: TypeAlias = Annotated[float, Meta(gt=0, le=LARGEST)]

Numbers: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Codes: TypeAlias = NDArray[np.int32]


class Keys(NamedTuple):
    """A categorical column.

    Attributes:
        codes: (n,) index into `names`, -1 where the value is missing.
        names: Distinct values, in no particular order.
    """

    codes: Codes
    names: tuple[Any, ...]

    @classmethod
    def of(cls, values: Iterable[Any]) -> Keys:
        """Encode values; None is missing.

        >>> Keys.of(["ads", "posts", "ads", None]).codes.tolist()
        [0, 1, 0, -1]
        """
        values = list(values)
        places: defaultdict[Any, int] = defaultdict(count().__next__, {None: -1})  # a new value gets the next code
        codes = np.fromiter(map(places.__getitem__, values), np.int32, len(values))
        del places[None]
        return cls(codes, tuple(places))

    def name(self, row: int) -> Any:
        """Return the value of one row, None where it is missing."""
        code = self.codes[row]
        return self.names[code] if code >= 0 else None

    def take(self, rows: NDArray[np.integer]) -> Keys:
        """Return the column of some rows."""
        return Keys(self.codes[rows], self.names)


class KeyLists(NamedTuple):
    """A column of lists of keys: tags, genres, the tokens of a semantic id from coarse to fine.

    Attributes:
        codes: (total,) index into `names`, one row after the other, in the order given; repeats are kept.
        starts: (n + 1,) row i has codes[starts[i]:starts[i + 1]]; a row without any has no value.
        names: Distinct values, in no particular order.
    """

    codes: Codes
    starts: Codes
    names: tuple[Any, ...]

    @classmethod
    def of(cls, lists: Iterable[Sequence[Any] | None]) -> KeyLists:
        """Encode lists of values; None is an empty one.

        >>> genres = KeyLists.of([["drama", "crime"], None, ["crime"]])
        >>> genres.codes.tolist(), genres.starts.tolist(), genres.names
        ([0, 1, 1], [0, 2, 2, 3], ('drama', 'crime'))
        """
        filled = [values or () for values in lists]
        return cls.joined(chain.from_iterable(filled), [len(values) for values in filled])

    @classmethod
    def joined(cls, values: Iterable[Any], sizes: Sequence[int]) -> KeyLists:
        """Encode lists that stand one after the other, of these sizes."""
        codes, names = Keys.of(values)
        return cls(codes, np.fromiter(accumulate(sizes, initial=0), np.int32, len(sizes) + 1), names)

    def row(self, row: int) -> tuple[Any, ...]:
        """Return the values of one row, in the order given."""
        codes = self.codes[self.starts[row] : self.starts[row + 1]]
        return tuple(self.names[code] for code in codes.tolist())

    def take(self, rows: NDArray[np.integer]) -> KeyLists:
        """Return the column of some rows.

        >>> genres = KeyLists.of([["drama", "crime"], None, ["crime"]]).take(np.array([2, 0]))
        >>> genres.row(0), genres.row(1)
        (('crime',), ('drama', 'crime'))
        """
        sizes = np.diff(self.starts)[rows]
        starts = np.zeros(len(sizes) + 1, dtype=np.int32)
        np.cumsum(sizes, out=starts[1:])
        moved = np.repeat(self.starts[:-1][rows] - starts[:-1], sizes)
        return KeyLists(self.codes[np.arange(starts[-1]) + moved], starts, self.names)


@final
class EmbeddingTable:
    """A matrix of embeddings that many requests share; checked once, never copied.

    Attributes:
        matrix: (m, d) float32, finite, read-only.
        inverse: (m,) float64, 1 / length of each row, 0 for a row of zeros, which has no direction; read-only.
    """

    __slots__ = ("inverse", "matrix")

    def __init__(self, matrix: Any) -> None:
        values = np.asarray(matrix)
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise RequestError(
                "embedding table", "must be a matrix of numbers", f"{values.dtype} of shape {values.shape}"
            )
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
            self.matrix: NDArray[np.float32] = np.ascontiguousarray(values, dtype=np.float32).view()
        self.inverse: Numbers = inverse_lengths(self.matrix)
        if not np.isfinite(self.inverse).all():
            row, place = np.argwhere(~np.isfinite(self.matrix))[0].tolist()
            rule = f"must be finite, at most {np.finfo(np.float32).max:.1e} in size"
            raise RequestError(f"embedding table[{row}][{place}]", rule, shown(values[row, place].item()))
        self.matrix.setflags(write=False)
        self.inverse.setflags(write=False)


class Embedding(NamedTuple):
    """An embedding column: row ids into a shared table.

    Attributes:
        table: The shared matrix.
        rows: (n,) row of each candidate in the table, -1 where it has none.
    """

    table: EmbeddingTable
    rows: Codes

    def take(self, rows: NDArray[np.integer]) -> Embedding:
        """Return the column of some rows; the table is shared."""
        return Embedding(self.table, self.rows[rows])


Column: TypeAlias = Numbers | Flags | Keys | KeyLists | Embedding


def kind_of(column: Column) -> Kind:
    """Return the kind of a stored column, without its question mark."""
    if isinstance(column, Keys):
        return "key"
    if isinstance(column, KeyLists):
        return "keys"
    if isinstance(column, Embedding):
        return "embedding"
    return "flag" if column.dtype == np.bool_ else "number"


def length_of(column: Column) -> int:
    """Return n, the number of rows."""
    match column:
        case Keys():
            return len(column.codes)
        case KeyLists():
            return len(column.starts) - 1
        case Embedding():
            return len(column.rows)
        case _:
            return len(column)


def absent(column: Column) -> Flags:
    """Return (n,) bool: which rows have no value."""
    if isinstance(column, Keys):
        return column.codes < 0
    if isinstance(column, KeyLists):
        return column.starts[1:] == column.starts[:-1]
    if isinstance(column, Embedding):
        inverse = column.table.inverse
        return (column.rows < 0) | (inverse[column.rows] == 0) if len(inverse) else column.rows < 0
    return np.isnan(column)


def require_present(where: str, column: Column) -> None:
    """Refuse a column with missing values.

    Raises:
        RequestError: Names the first row that lacks a value.
    """
    without = absent(column)
    if without.any():
        kind = kind_of(column)
        hint = f"declare the column with a question mark ('{kind}?') if values may be missing"
        hint = "" if where == "candidates.line" else hint
        row = int(without.argmax())
        rule, got = "must have at least one key" if kind == "keys" else "must have a value", "none"
        if isinstance(column, Embedding) and column.rows[row] >= 0:
            rule, got = "must have a direction", "zeros"
        raise RequestError(f"{where}[{row}]", rule, got, hint)
