"""Pages: logs of lists, as what learns from whole pages takes them.

A log holds b lists and N rows, the rows of list r at `starts[r]:starts[r + 1]`. They stand in the order in which a
first stage ranked them, the largest score first. Where scores tie, and where there are none, the order is drawn by item
and request: it is the same in every process, and says nothing of where a row was shown or what became of it. A log of
pages keeps where rows were shown apart, as `slot`.

A file has one row for each row of a list, in any order (`learn.pages_parquet`). Cost: O(N log N) to put rows in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slatewise.core.columns import Codes, Flags, KeyLists, Keys, Numbers
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.learn import pages_columns as columns
from slatewise.learn.pages_columns import Places, Texts, Words

ONE_LINE = "items"
"""The line of rows of which nothing is said."""
MOST_NAMED = 40
"""Columns that are told when a log is printed."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Pages:
    """Lists of rows, and what became of them.

    Attributes:
        request: (b,) text, each once.
        user: (b,) text; empty where nobody knows.
        time: (b,) seconds, or anything that rises with time.
        starts: (b + 1,) where the rows of each list begin.
        keys: Per row, columns of text; always `item` and `line`.
        numbers: Per row, columns of numbers, NaN where missing; always `score`, what the first stage gave.
        slot: (N,) slot that a row was shown in, from 1; 0 for a candidate that was not shown.
        feedback: Per row, what became of it, such as `click`, `exposed`, `rating`; NaN where it was not observed.
        propensity: (N,) how likely the row was to be shown in its slot, in (0, 1]; NaN where unknown.
        context: Per list, columns of text.
        histories: Per list, what the user looked at before, most recent first, at most 20; column by column.

    Examples:
        >>> pages = Pages.of(
        ...     request=["morning", "noon"],
        ...     lists=[0, 0, 1],
        ...     keys={"item": ["a", "b", "a"]},
        ...     numbers={"score": [0.2, 0.7, 0.5]},
        ...     feedback={"click": [1, 0, np.nan]},
        ... )
        >>> len(pages), pages.lengths.tolist(), [pages.keys["item"].name(row) for row in range(3)]
        (2, [2, 1], ['b', 'a', 'a'])
        >>> pages.padded(pages.labels("click"), 3).tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    request: Texts
    user: Texts
    time: Numbers
    starts: Places
    keys: Mapping[str, Keys]
    numbers: Mapping[str, Numbers]
    slot: Codes
    feedback: Mapping[str, Numbers]
    propensity: Numbers
    context: Mapping[str, Keys] = field(default_factory=dict)
    histories: Mapping[str, KeyLists] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        request: Sequence[str] | Texts,
        lists: ArrayLike,
        keys: Mapping[str, Words],
        numbers: Mapping[str, ArrayLike] | None = None,
        user: Sequence[str] | Texts | None = None,
        time: ArrayLike | None = None,
        slot: ArrayLike | None = None,
        feedback: Mapping[str, ArrayLike] | None = None,
        propensity: ArrayLike | None = None,
        context: Mapping[str, Words] | None = None,
        histories: Mapping[str, KeyLists | Sequence[Sequence[str]]] | None = None,
    ) -> Pages:
        """Check columns, and put the rows in the order of the first stage.

        Args:
            request: (b,) names of the requests.
            lists: (N,) list of each row, from 0; rows may come in any order.
            keys: Columns of rows; `line` may be left out.
            numbers: Columns of rows; without a `score`, rows come in an order that is drawn.
            user: (b,) who asked.
            time: (b,) when.
            slot: (N,) where rows were shown.
            feedback: Columns of rows.
            propensity: (N,) of being shown there.
            context: Columns of lists.
            histories: Columns of lists; what is beyond 20 is left out.

        Raises:
            RequestError: Names the column, the row (from 1) and the value.
        """
        size, rows = len(request), np.size(lists)
        of = columns.whole("lists", lists, rows).astype(np.int64)
        columns.refuse("lists", of >= size, of, f"must be < {size}, the number of requests")
        found = cls(
            request=columns.texts("request", request, size),
            user=columns.texts("user", [""] * size if user is None else user, size),
            time=columns.present("time", columns.numbers("time", np.zeros(size) if time is None else time, size)),
            starts=np.concatenate([[0], np.cumsum(np.bincount(of, minlength=size))]),
            keys=columns.named({"line": Keys(np.zeros(rows, np.int32), (ONE_LINE,)), **keys}, columns.keys, rows),
            numbers=columns.named({"score": np.zeros(rows), **(numbers or {})}, columns.numbers, rows),
            slot=columns.whole("slot", np.zeros(rows) if slot is None else slot, rows),
            feedback=columns.named(feedback or {}, columns.numbers, rows),
            propensity=columns.numbers("propensity", np.full(rows, np.nan) if propensity is None else propensity, rows),
            context=columns.named(context or {}, columns.keys, size),
            histories=columns.named(histories or {}, columns.recent, size),
        )
        found._check(of)
        return found._rows_taken(found._first_stage(of), found.starts)

    def __len__(self) -> int:
        """Return b, the number of lists."""
        return len(self.request)

    def __repr__(self) -> str:
        """Tell how large the log is, and its columns; of many, the first."""
        names = [*self.keys, *self.numbers, *self.feedback, *self.context, *self.histories]
        more = ", ..." if len(names) > MOST_NAMED else ""
        return f"Pages({len(self)} lists, {len(self.slot)} rows, {', '.join(names[:MOST_NAMED])}{more})"

    @cached_property
    def lengths(self) -> Places:
        """(b,) rows of each list."""
        return np.diff(self.starts)

    @cached_property
    def lists(self) -> Places:
        """(N,) list of each row."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def rows(self, lists: ArrayLike) -> Places:
        """Return the rows of some lists, list by list."""
        chosen = np.asarray(lists, np.int64)
        sizes = self.lengths[chosen]
        ends = np.cumsum(sizes)
        return np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[chosen] - ends + sizes, sizes)

    def take(self, lists: ArrayLike) -> Pages:
        """Return some lists, in the order given."""
        chosen = np.asarray(lists)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        return replace(
            self._rows_taken(self.rows(chosen), starts),
            request=self.request[chosen],
            user=self.user[chosen],
            time=self.time[chosen],
            context={name: column.take(chosen) for name, column in self.context.items()},
            histories={name: column.take(chosen) for name, column in self.histories.items()},
        )

    def where(self, feature: str, value: str) -> Pages:
        """Return the lists whose context has a value, such as those of one part of a data set.

        Raises:
            RequestError: There is no such feature.
        """
        if feature not in self.context:
            hint = did_you_mean(feature, self.context)
            raise RequestError("pages.context", "must have the feature", shown(feature), hint)
        codes, names = self.context[feature]
        return self.take(codes == names.index(value) if value in names else np.zeros(len(self), np.bool_))

    def scored(self, score: ArrayLike, **numbers: ArrayLike) -> Pages:
        """Return the lists with another first stage's scores, in its order, and with more columns of numbers.

        Args:
            score: (N,) its scores.
            numbers: (N,) other columns.
        """
        rows = len(self.slot)
        new = columns.named({"score": score, **numbers}, columns.numbers, rows)
        columns.present("score", new["score"])
        found = replace(self, numbers={**self.numbers, **new})
        return found._rows_taken(found._first_stage(self.lists), self.starts)

    def labels(self, name: str) -> Numbers:
        """Return (N,) a column of feedback, with 0 where it was not observed.

        Raises:
            RequestError: There is no such feedback.
        """
        if name not in self.feedback:
            raise RequestError("pages.feedback", "must have the column", shown(name), did_you_mean(name, self.feedback))
        return np.nan_to_num(self.feedback[name], nan=0.0)

    def mask(self, length: int) -> Flags:
        """Return (b, length) where there is a row."""
        return np.arange(length) < self.lengths[:, None]

    def padded(self, column: NDArray[Any], length: int, fill: float = 0.0) -> NDArray[Any]:
        """Return (b, length) the first rows of each list, and `fill` where a list is shorter.

        Args:
            column: (N,) values of rows.
            length: Rows of a list that are kept.
            fill: What is written where there is no row.
        """
        mask = self.mask(length)
        found = np.full(mask.shape, fill, column.dtype)
        found[mask] = column[(self.starts[:-1, None] + np.arange(length))[mask]]
        return found

    def split_by_time(self, shares: Sequence[float]) -> tuple[Pages, ...]:
        """Return parts, the earliest first; lists of one time are in one part.

        Args:
            shares: Of each part, > 0, with a sum of 1.

        Raises:
            RequestError: The shares are not of that kind.
        """
        times = np.sort(self.time)
        cuts = [times[cut] if cut < len(self) else np.inf for cut in columns.cuts(shares, len(self))]
        part = np.searchsorted(cuts[1:-1], self.time, side="right")
        return tuple(self.take(part == place) for place in range(len(shares)))

    def split_by_user(self, shares: Sequence[float], *, seed: int) -> tuple[Pages, ...]:
        """Return parts of whole users, who are drawn; a list of nobody's is one user's.

        Args:
            shares: Of the users in each part, > 0, with a sum of 1.
            seed: Root of the draw.

        Raises:
            RequestError: The shares are not of that kind.
        """
        who = np.where(self.user == "", self.request, self.user)
        users = sorted(set(who.tolist()), key=lambda user: columns.draw(f"{seed}\0{user}"))
        cuts = columns.cuts(shares, len(users))
        parts = [set(users[start:end]) for start, end in pairwise(cuts)]
        return tuple(self.take(np.array([user in part for user in who], np.bool_)) for part in parts)

    @property
    def digest(self) -> str:
        """Sha-256 of what the log says; however names are numbered."""
        found = sha256()
        for one in fields(self):
            value = getattr(self, one.name)
            for name, column in sorted(value.items()) if isinstance(value, Mapping) else [("", value)]:
                found.update(f"{one.name}\0{name}\0".encode())
                for part in columns.content(column):
                    found.update(part)
        return found.hexdigest()

    @classmethod
    def read(cls, path: str | Path) -> Pages:
        """Read a Parquet file.

        Raises:
            RequestError: Names the file, the column, the row (from 1) and the value.
        """
        from slatewise.learn.pages_parquet import read_columns

        path = Path(path)
        try:
            return cls.of(**read_columns(path))
        except RequestError as error:
            raise RequestError(error.where, error.rule, error.got, error.hint, str(path)) from None

    def write(self, path: str | Path) -> None:
        """Write a Parquet file; it is there whole, or not at all.

        Raises:
            RequestError: There can be no such file.
        """
        from slatewise.learn.pages_parquet import write_columns

        write_columns(self, Path(path))

    def _first_stage(self, lists: Places) -> Places:
        """Return all rows, list by list, largest score first; ties as drawn."""
        drawn = np.zeros(len(lists), np.uint64)
        for name in ("item", "line"):
            codes, names = self.keys[name]
            drawn = columns.mixed(drawn ^ columns.draws(names)[codes])
        return np.lexsort((columns.mixed(drawn ^ columns.draws(self.request)[lists]), -self.numbers["score"], lists))

    def _rows_taken(self, rows: Places, starts: Places) -> Pages:
        """Return the same lists with other rows."""
        return replace(
            self,
            starts=starts,
            keys={name: column.take(rows) for name, column in self.keys.items()},
            numbers={name: column[rows] for name, column in self.numbers.items()},
            slot=self.slot[rows],
            feedback={name: column[rows] for name, column in self.feedback.items()},
            propensity=self.propensity[rows],
        )

    def _check(self, lists: Places) -> None:
        """Refuse what no log can say; rows are still in the order in which they came."""
        if len(self.starts) != len(self) + 1 or not self.lengths.all():
            raise RequestError("pages.request", "must have rows, each of them")
        if "item" not in self.keys:
            raise RequestError("pages.item", "must be a column of the log")
        for name in ("item", "line"):
            columns.refuse(name, self.keys[name].codes < 0, self.keys[name].codes, "must not be missing")
        columns.present("score", self.numbers["score"])
        repeated = np.ones(len(self), np.bool_)
        repeated[np.unique(self.request.astype(str), return_index=True)[1]] = False
        columns.refuse("request", repeated | (self.request == ""), self.request, "must be a name of its own")
        wrong = (self.propensity <= 0) | (self.propensity > 1)
        columns.refuse("propensity", wrong, self.propensity, "must be in (0, 1]")
        order = np.lexsort((self.slot, lists))
        same = (np.diff(lists[order]) == 0) & (np.diff(self.slot[order]) == 0) & (self.slot[order][1:] > 0)
        twice = np.zeros(len(lists), np.bool_)
        twice[order[1:][same]] = True
        columns.refuse("slot", twice, self.slot, "must be given to one row of a list")
