"""Lists of a log as requests to a policy: what was asked once is asked again.

A request has the rows of a list, in the order of the first stage, with the columns that the policy declares; who asked,
when, and what is known of it. What was shown and what became of it is left behind. Cost: O(rows * columns).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slatewise.core.admission import Head
from slatewise.core.columns import Keys
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.learn.pages import Pages


def bodies(pages: Pages, head: Head) -> list[dict[str, Any]]:
    """Return requests as a service takes them, candidates column by column.

    Args:
        pages: The lists.
        head: What the policy declares.

    Raises:
        RequestError: The log does not have a column that the policy declares.
    """
    columns: dict[str, list[Any]] = {"item_id": _texts(pages.keys["item"]), "line": _texts(pages.keys["line"])}
    for name, kind in head.columns.items():
        have: Mapping[str, Any] = pages.numbers if kind.startswith("number") else pages.keys
        if name not in have:
            raise RequestError("pages", f"must have the column, a {kind}", shown(name), did_you_mean(name, have))
        columns[name] = _numbers(have[name]) if kind.startswith("number") else _texts(have[name])
    context = {name: _texts(column) for name, column in pages.context.items() if name in head.context}
    return [_body(pages, number, columns, context) for number in range(len(pages))]


def _body(
    pages: Pages, number: int, columns: Mapping[str, list[Any]], context: Mapping[str, list[Any]]
) -> dict[str, Any]:
    start, end = pages.starts[number : number + 2].tolist()
    known = {name: values[number] for name, values in context.items() if values[number] is not None}
    past: dict[str, dict[str, float]] = {}
    for name, lists in pages.histories.items():
        codes = lists.codes[lists.starts[number] : lists.starts[number + 1]].tolist()
        named = [str(lists.names[code]) for code in codes]
        served = "item_id" if name == "item" else name
        past[served] = {one: float(len(named) - place) for place, one in reversed([*enumerate(named)])}
    return {
        "request_id": str(pages.request[number]),
        "user": str(pages.user[number]),
        "time": float(pages.time[number]),
        "context": known,
        "history": past,
        "candidates": {name: values[start:end] for name, values in columns.items()},
    }


def _texts(column: Keys) -> list[str | None]:
    names = [*map(str, column.names), None]
    return [names[code] for code in column.codes.tolist()]


def _numbers(column: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in column.tolist()]
