"""Win probabilities of families, and the score that is best against them.

A family is a distribution of the best rival score z on the scale of logarithms,

    P(z < s) = G(u),   u = (log s - location) / scale,

| code | G(u) | z is |
|---|---|---|
| `POWER` | min(1, e^u) | uniform on [0, e^location] for scale 1, a power of it otherwise |
| `NORMAL` | the normal distribution | log-normal |
| `LOGISTIC` | 1 / (1 + e^-u) | log-logistic |
| `EXTREME` | 1 - exp(-e^u) | Weibull; exponential for scale 1 |

In all four log G is concave in u, so that against one family G(u) * (v - s) has one peak. With q = log(s / (v - s)) the
peak is where log(G'(u) / G(u)) - log(scale) - q = 0. The left side falls by at least 1 per unit of q, so that its value
says how far away the root can be: Newton steps, kept within that.

A mixture is rows of `parts`: family, location, scale and weight of each.
"""

from __future__ import annotations

import math

import numpy as np

from slatewise.kernels.compiled import inlined, kernel, leaf

POWER, NORMAL, LOGISTIC, EXTREME = range(4)
FAMILY, LOCATION, SCALE, WEIGHT = range(4)
"""Columns of `parts`."""
STEPS = 100
"""Steps after which a search ends; it needs about five."""
CLOSE = 1e-14
"""Relative size of a last step."""
CLOSE_ENOUGH = 1e-10
"""The same on top of a hump, where the surplus is flat."""
NEAR = 2e-3
"""Share of the best surplus on the grid by which a hump may be below it there, and above it when looked at closely."""
FARTHEST = 1e30
"""Where worth / rate ends."""
_LOG_ROOT = 0.5 * math.log(2.0 * math.pi)
_FAR = -30.0


@inlined
def share(family, unit):
    """Return G(u)."""
    if family == POWER:
        return math.exp(min(unit, 0.0))
    if family == NORMAL:
        return 0.5 * math.erfc(-unit / math.sqrt(2.0))
    if family == LOGISTIC:
        return 1.0 / (1.0 + math.exp(-unit)) if unit > 0.0 else math.exp(unit) / (1.0 + math.exp(unit))
    return -math.expm1(-math.exp(min(unit, 700.0)))


@inlined
def slope(family, unit):
    """Return G'(u)."""
    if family == POWER:
        return math.exp(unit) if unit <= 0.0 else 0.0
    if family == NORMAL:
        return math.exp(-0.5 * unit * unit - _LOG_ROOT)
    if family == LOGISTIC:
        under = math.exp(-abs(unit))
        return under / ((1.0 + under) * (1.0 + under))
    return math.exp(min(unit, 700.0) - math.exp(min(unit, 700.0)))


@inlined
def _hazard(family, unit):
    """Return log(G'(u) / G(u)) and how it changes with u."""
    if family == POWER:
        return 0.0, 0.0
    if family == NORMAL:
        if unit < _FAR:  # both are about to vanish: the ratio of the normal tail by its first terms
            ratio = -unit - 1.0 / unit
            return math.log(ratio), -unit - ratio
        cumulated = 0.5 * math.erfc(-unit / math.sqrt(2.0))
        level = -0.5 * unit * unit - _LOG_ROOT - math.log(cumulated)
        return level, -unit - math.exp(level)
    if family == LOGISTIC:
        over = math.exp(-abs(unit))
        if unit > 0.0:
            return -unit - math.log1p(over), -1.0 / (1.0 + over)
        return -math.log1p(over), -over / (1.0 + over)
    rate = math.exp(min(unit, 700.0))
    if rate < 1e-8:
        return -0.5 * rate, -0.5 * rate
    return min(unit, 700.0) - rate - math.log(-math.expm1(-rate)), 1.0 - rate / -math.expm1(-rate)


@leaf
def win(parts, score):
    """Return P(z < score), 0 for a score of 0 or less."""
    if score <= 0.0:
        return 0.0
    total = 0.0
    for one in range(len(parts)):
        unit = (math.log(score) - parts[one, LOCATION]) / parts[one, SCALE]
        total += parts[one, WEIGHT] * share(parts[one, FAMILY], unit)
    return min(total, 1.0)


@leaf
def density(parts, score):
    """Return the density of z at a score, 0 for a score of 0 or less."""
    if score <= 0.0:
        return 0.0
    total = 0.0
    for one in range(len(parts)):
        unit = (math.log(score) - parts[one, LOCATION]) / parts[one, SCALE]
        total += parts[one, WEIGHT] * slope(parts[one, FAMILY], unit) / (parts[one, SCALE] * score)
    return total


@kernel
def wins(parts, scores):
    """Return `win` of every score."""
    out = np.empty(len(scores))
    for at in range(len(scores)):
        out[at] = win(parts, scores[at])
    return out


@kernel
def densities(parts, scores):
    """Return `density` of every score."""
    out = np.empty(len(scores))
    for at in range(len(scores)):
        out[at] = density(parts, scores[at])
    return out


@leaf
def peak(family, location, scale, bar):
    """Return the score where G(u) * (bar - score) is largest, for one family; `bar` > 0."""
    start, level = math.log(bar) - location, math.log(scale)
    low, high, logit = -np.inf, np.inf, 0.0
    for _ in range(STEPS):
        left = -math.log1p(math.exp(-logit)) if logit > -700.0 else logit  # log(s / bar)
        height, change = _hazard(family, (start + left) / scale)
        off = height - level - logit
        if off > 0.0:
            low, high = max(low, logit), min(high, logit + off)
        else:
            low, high = max(low, logit + off), min(high, logit)
        above = 1.0 / (1.0 + math.exp(min(logit, 700.0)))  # (bar - s) / bar
        step = off / (1.0 - change * above / scale)
        following = logit + step
        if not low <= following <= high:
            following = 0.5 * (low + high)
        step, logit = following - logit, following
        if abs(step) <= CLOSE * max(1.0, abs(logit)):
            break
    score = bar / (1.0 + math.exp(-logit)) if logit > -700.0 else bar * math.exp(logit)
    return min(score, math.exp(location)) if family == POWER else score


@leaf
def below(parts, score, bar):
    """Return a score at most as large from which the surplus of a mixture rises."""
    for _ in range(STEPS):
        if density(parts, score) * (bar - score) > win(parts, score):
            break
        score *= 0.7
    return score


@leaf
def crest(parts, low, high, bar):
    """Return the score in [low, high] where the surplus of a mixture is largest, if it has one peak there."""
    first = density(parts, low) * (bar - low) - win(parts, low)
    last = density(parts, high) * (bar - high) - win(parts, high)
    if first <= 0.0 or low >= high:
        return low
    if last >= 0.0:
        return high
    side = 0
    for _ in range(STEPS):
        middle = high - last * (high - low) / (last - first)
        if not low < middle < high:
            middle = 0.5 * (low + high)
        at = density(parts, middle) * (bar - middle) - win(parts, middle)
        if at > 0.0:
            moved, low, first = middle - low, middle, at
            last *= 0.5 if side > 0 else 1.0  # an end that stays twice counts less
            side = 1
        else:
            moved, high, last = high - middle, middle, at
            first *= 0.5 if side < 0 else 1.0
            side = -1
        if moved <= CLOSE_ENOUGH * high or high - low <= CLOSE_ENOUGH * high:
            break
    return low if side > 0 else high


@leaf
def best(parts, knots, heights, worth, rate, most):
    """Return the score in [0, most] that is best for a mixture.

    `knots` are scores in rising order and `heights` the win probabilities there: fine enough to tell which humps of the
    surplus may be the highest. For a single family they are not looked at.
    """
    if worth <= 0.0:
        return 0.0
    bar = worth / rate if worth < rate * FARTHEST else FARTHEST
    if len(parts) == 1:
        return min(peak(parts[0, FAMILY], parts[0, LOCATION], parts[0, SCALE], bar), most)
    ceiling = min(bar, most)
    top, count = 0.0, 0
    while count < len(knots) and knots[count] < ceiling:
        top = max(top, heights[count] * (bar - knots[count]))
        count += 1
    found = ceiling
    highest = win(parts, ceiling) * (bar - ceiling)
    if count == 0:
        return crest(parts, below(parts, ceiling, bar), ceiling, bar)
    before = -np.inf
    for at in range(count):
        here = heights[at] * (bar - knots[at])
        after = heights[at + 1] * (bar - knots[at + 1]) if at + 1 < count else -np.inf
        if here >= before and here > after and here >= top * (1.0 - NEAR):
            low = knots[at - 1] if at > 0 else below(parts, knots[0], bar)
            score = crest(parts, low, min(knots[at + 1], ceiling) if at + 1 < len(knots) else ceiling, bar)
            surplus = win(parts, score) * (bar - score)
            if surplus > highest or (surplus == highest and score < found):
                found, highest = score, surplus
        before = here
    for one in range(len(parts)):  # where a power ends, the surplus may have an edge
        score = math.exp(parts[one, LOCATION])
        if parts[one, FAMILY] == POWER and score < ceiling:
            surplus = win(parts, score) * (bar - score)
            if surplus > highest:
                found, highest = score, surplus
    return found


@kernel
def best_of(parts, knots, heights, worths, rate, most):
    """Return `best` of every worth."""
    out = np.empty(len(worths))
    for at in range(len(worths)):
        out[at] = best(parts, knots, heights, worths[at], rate, most)
    return out
