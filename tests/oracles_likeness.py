"""How alike two things are, and what they are: slow, obvious twins that import nothing from the package.

A thing is a dictionary of plain values by column, None where one is missing; a term is one of `compose.spread`, as
plain data.
"""

from math import fsum, log, sqrt

import numpy as np

from oracles import members

SIGNALS = ("cosine", "same", "overlap", "prefix", "linked")


def shares(term):
    """List the signals of a term with their shares."""
    total = sum(signal.get("weight", 1.0) for signal in term["similar"])
    return [(signal, signal.get("weight", 1.0) / total) for signal in term["similar"]]


def column_of(signal):
    """Return (kind, column) of a signal."""
    return next((kind, signal[kind]) for kind in SIGNALS if kind in signal)


def has(signal, thing):
    """Tell whether a thing has a value for a signal."""
    kind, column = column_of(signal)
    value = thing[column]
    if kind == "cosine":
        return direction(value) is not None
    return value is not None if kind == "same" else bool(value)


def direction(vector):
    """Return the vector in float64 at length 1; None if it has no direction."""
    if vector is None or not np.any(vector):
        return None
    vector = np.array(vector, dtype=np.float64)
    return vector / sqrt(fsum(vector * vector))


def levels_of(signal, things):
    """List the shares of the levels of a prefix, from coarse to fine; by default as many as the longest list has."""
    if "prefix" not in signal:
        return []
    longest = max((len(thing[signal["prefix"]] or []) for thing in things), default=0)
    levels = signal.get("levels") or [1.0] * longest
    return [level / sum(levels) for level in levels]


def similarity(signal, one, other, levels):
    """Return what a signal says of two things, 0 where one has no value."""
    if not has(signal, one) or not has(signal, other):
        return 0.0
    kind, column = column_of(signal)
    a, b = one[column], other[column]
    match kind:
        case "cosine":
            cosine = 1.0 if one is other else float(np.dot(direction(a), direction(b)))
            how = {"keep": cosine, "clip": max(0.0, cosine), "shift": (1 + cosine) / 2}
            return how[signal.get("negative", "keep")]
        case "same":
            return float(a == b)
        case "overlap":
            return len({*a} & {*b}) / len({*a} | {*b})
        case "prefix":
            upto = range(1, min(len(a), len(b), len(levels)) + 1)
            return sum((levels[level - 1] for level in upto if list(a[:level]) == list(b[:level])), 0.0)
        case "linked":
            return float(other["item_id"] in a or one["item_id"] in b)


def likenesses(term, things):
    """Return the matrix of a term's likenesses between all things; on its diagonal, of each to itself."""
    total = np.zeros((len(things), len(things)))
    for signal, share in shares(term):
        levels = levels_of(signal, things)
        total += [[share * similarity(signal, one, other, levels) for other in things] for one in things]
    return total


def features(term, things):
    """Return vectors whose products are likenesses, by cosines as they are or shifted; what is missing is zeros."""
    blocks = []
    for signal, share in shares(term):
        shift = signal.get("negative", "keep") == "shift"
        vectors = [direction(thing[signal["cosine"]]) for thing in things]
        width = next((len(x) for x in vectors if x is not None), 0)
        whole = [sqrt(share / (1 + shift)) * np.append(x, [1.0] * shift) if x is not None else None for x in vectors]
        blocks.append([np.zeros(width + shift) if x is None else x for x in whole])
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def charge(term, thing):
    """Return what a thing is charged for values that it lacks."""
    return sum(share * (signal.get("missing") or 0.0) for signal, share in shares(term) if not has(signal, thing))


def level(one, thing):
    """Return how much a thing is of the group of a spacing."""
    if "by" in one:
        return thing[one["by"]] if thing[one["by"]] > one.get("above", 0.0) else 0.0
    return float(members(one, {name: [value] for name, value in thing.items()}, 0))


def values_of(thing, column):
    """List the distinct values of a thing in a column of keys or of lists of keys."""
    value = thing[column]
    return [] if value is None else sorted({*value}) if isinstance(value, list | tuple) else [value]


def balance(one, thing, things, history):
    """Return how much nearer to its target a thing brings the mix of everything placed."""
    column, mixing = one["column"], one.get("mixing", 0.01)
    target = one.get("target")
    if target is None:
        amounts = history.get(column, {})
        total = sum(amounts.values())
        target = {value: amount / total for value, amount in amounts.items()} if total else {}
    counts = dict.fromkeys(target, 0.0)
    for other in things:
        for value in values_of(other, column):
            counts[value] = counts.get(value, 0.0) + 1 / len(values_of(other, column))

    def share(value, more):
        return (1 - mixing) * (counts[value] + more) / (len(things) + 1) + mixing * target[value]

    own = values_of(thing, column)
    wanted = [value for value in own if target.get(value, 0) > 0]
    return sum(target[value] * log(share(value, 1 / len(own)) / share(value, 0)) for value in wanted)


def parameters(scale, values):
    """Return what a session keeps of its first pool, to scale utilities alike on later pages."""
    if not values or scale not in ("zscore", "minmax"):
        return () if values else None
    if scale == "minmax":
        return min(values), max(values)
    mean = fsum(values) / len(values)
    return mean, sqrt(fsum((value - mean) ** 2 for value in values) / len(values))


def scaled(scale, value, frozen, pool):
    """Return the relevance of a utility."""
    match scale:
        case "none":
            return value
        case "zscore":
            mean, deviation = frozen
            return (value - mean) / deviation if deviation else 0.0
        case "minmax":
            low, high = frozen
            return (value - low) / (high - low) if high > low else 0.0
        case "rank":
            return 1 - sum(other > value for other in pool) / len(pool)
        case "logit":
            return log(value / (1 - value))
