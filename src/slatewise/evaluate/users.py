"""From pages to a mean: whose pages count, how much, and who is not among them.

A mean over pages hides three decisions. What it runs over: users, each once, whoever comes often; requests; or
impressions. What becomes of users who were judged and got no page. And what becomes of pages that have no value, which
each metric's `empty` decides. `units` makes the numbers that are averaged and counts who is not among them; its values
and users go into `mean_by_cluster` as they are, so that the interval draws the unit that the mean is over.

Cost: O(requests log users), for impressions O(impressions).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.inputs import codes_of, floats_of, one_of

Missing: TypeAlias = Literal["error", "zero", "drop"]
Weight: TypeAlias = Literal["user", "request", "impression"]


class Units(NamedTuple):
    """What a mean runs over.

    Attributes:
        values: (c,) one number per unit; NaN where there is none.
        users: (c,) whose it is.
        empty: Requests without a value.
        missing: Judged users without a page.
        unjudged: Users with a page whom nobody judged; they are left out.
    """

    values: Numbers
    users: NDArray[Any]
    empty: int
    missing: int
    unjudged: int


def units(
    values: ArrayLike,
    users: ArrayLike,
    *,
    judged: ArrayLike | None = None,
    missing: Missing = "error",
    weight: Weight = "user",
    impressions: ArrayLike | None = None,
) -> Units:
    """Return the numbers that a mean runs over.

    Args:
        values: (n,) one number per request; NaN where there is none.
        users: (n,) who asked.
        judged: All users who count, each once; those with a page where it is not said.
        missing: What a judged user without a page is: a mistake, one unit that is worth 0, or left out.
        weight: What counts the same: users, requests, or impressions.
        impressions: (n,) how many impressions each request had; needed for `weight="impression"`.

    Examples:
        >>> values, users = [1.0, 0.0, 1.0], ["ann", "ann", "bob"]
        >>> [units(values, users, weight=weight).values.mean().round(4).item() for weight in ("user", "request")]
        [0.75, 0.6667]
        >>> all_three = ["ann", "bob", "eve"]
        >>> [units(values, users, judged=all_three, missing=missing).values.tolist() for missing in ("zero", "drop")]
        [[0.5, 1.0, 0.0], [0.5, 1.0]]
    """
    numbers, names = floats_of("values", values), np.asarray(users)
    if numbers.ndim != 1 or names.shape != numbers.shape:
        raise SlatewiseError("users", f"must be one per value, {numbers.shape}", shown(names.shape))
    if np.isinf(numbers).any():
        raise SlatewiseError("values", "must be finite, or NaN", shown(float(numbers[np.isinf(numbers)][0])))
    wanted = np.unique(names) if judged is None else _judged(judged)
    inside = np.isin(names, wanted)
    absent = wanted[~np.isin(wanted, names)]
    if one_of("missing", missing, ("error", "zero", "drop")) == "error" and len(absent):
        raise SlatewiseError("users", "must hold every judged user", f"{len(absent)} without a page", "see `missing`")
    made, whose = _weighed(numbers, names, inside, weight, impressions)
    if missing == "zero":
        made, whose = np.append(made, np.zeros(len(absent))), np.append(whose, absent)
    empty, unjudged = int(np.isnan(numbers[inside]).sum()), len(np.unique(names[~inside]))
    return Units(made, whose, empty, len(absent), unjudged)


def _weighed(
    values: Numbers, users: NDArray[Any], inside: NDArray[np.bool_], weight: Weight, impressions: ArrayLike | None
) -> tuple[Numbers, NDArray[Any]]:
    """Return values and users of units, of the requests inside."""
    match one_of("weight", weight, ("user", "request", "impression")):
        case "request":
            return values[inside], users[inside]
        case "user":
            return _per_user(values[inside], users[inside])
        case _:
            counts = codes_of("impressions", np.zeros(0) if impressions is None else impressions)[0]
            if counts.shape != values.shape or (counts < 0).any():
                rule = f"must be one number >= 0 per value, {values.shape}, for weight='impression'"
                raise SlatewiseError("impressions", rule, None if impressions is None else shown(counts.tolist()))
            return np.repeat(values[inside], counts[inside]), np.repeat(users[inside], counts[inside])


def _per_user(values: Numbers, users: NDArray[Any]) -> tuple[Numbers, NDArray[Any]]:
    names, codes = np.unique(users, return_inverse=True)
    there = ~np.isnan(values)
    counts = np.bincount(codes[there], minlength=len(names))
    totals = np.bincount(codes[there], values[there], minlength=len(names))
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan), names


def _judged(judged: ArrayLike) -> NDArray[Any]:
    names, counts = np.unique(np.asarray(judged), return_counts=True)
    if (counts > 1).any():
        raise SlatewiseError("judged", "must hold each user once", shown(names[counts > 1][0].item()))
    return names
