"""What a page must keep, counted from the reply and the request alone: nothing here knows how pages are composed.

A rule is counted in every window that it is about. One that gave way is broken all the same, whatever the page says of
it: the requests are such that all rules can hold. A cap is counted over the replies of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]


class Shown(NamedTuple):
    """A page as a client got it.

    Attributes:
        at: When, in seconds after the start of the run.
        user: For whom.
        rows: The candidates that it shows, first slot first.
    """

    at: float
    user: str
    rows: list[Row]


def rows_of(columns: dict[str, list[Any]]) -> dict[tuple[str, str], Row]:
    """Return the candidates of a request that brings columns, by item and line."""
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return {(str(row["item_id"]), row["line"]): row for row in rows}


def broken(page: dict[str, Any], rows: dict[tuple[str, str], Row], slots: int, rules: Iterable[Row]) -> list[str]:
    """Return what a page breaks: rules of its policy, or what any page must be."""
    keys = [(str(item["item_id"]), item["line"]) for item in page["items"]]
    if any(key not in rows for key in keys):
        return ["shows what nobody nominated"]
    found = [] if len({item for item, _ in keys}) == len(keys) else ["shows an item twice"]
    if len(keys) != slots:
        found.append("is shorter than asked for")
    return found + [rule["name"] for rule in rules if _breaks([rows[key] for key in keys], rule)]


def most_of_a_user(pages: Iterable[Shown], cap: Row) -> int:
    """Return the most that any user was shown of what a cap counts, of any one of its values."""
    counts = Counter((page.user, value) for page in pages for value in _counted(page.rows, cap))
    return max(counts.values(), default=0)


def most_within(pages: Iterable[Shown], cap: Row, seconds: float) -> int:
    """Return the most that all users were shown of what a cap counts, in any span of time."""
    times = sorted(page.at for page in pages for _ in _counted(page.rows, cap))
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def _counted(rows: Sequence[Row], cap: Row) -> list[Any]:
    inside = [row for row in rows if _belongs(row, cap.get("group", {}))]
    per = cap.get("per")
    return [None] * len(inside) if per is None else [row[per] for row in inside if row[per] is not None]


def _belongs(row: Row, group: Row) -> bool:
    return all(row[name] in (wanted if isinstance(wanted, list) else [wanted]) for name, wanted in group.items())


def _breaks(rows: Sequence[Row], rule: Row) -> bool:
    """Tell whether a rule is broken in any of its windows."""
    length = min(rule.get("every", rule.get("first", len(rows))), len(rows))
    starts = range(len(rows) - length + 1) if "every" in rule else range(1)
    for window in (rows[start : start + length] for start in starts):
        if "distinct" in rule:
            counts = [len({row[rule["distinct"]] for row in window} - {None})]
        else:
            counts = list(Counter(_counted(window, rule)).values()) or [0]
        if max(counts) > rule.get("at_most", len(rows)) or min(counts) < rule.get("at_least", 0):
            return True
    return False
