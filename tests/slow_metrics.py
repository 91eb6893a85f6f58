"""Slow, obvious twins of the metrics: one page at a time, plain lists and loops. They import nothing of the package."""

from itertools import combinations, pairwise, permutations
from math import inf, log, log2, nan, sqrt


def worth(y, gain):
    if gain == "linear":
        return y
    return 2**y - 1 if gain == "exp2" else gain[int(y)]


def discount(r, kind):
    """What slot r, from 1, is worth; a number is a persistence."""
    if kind == "log2":
        return 1 / log2(r + 1)
    if kind == "none":
        return 1.0
    return kind ** (r - 1) if isinstance(kind, float) else kind[r - 1]


def dcg(page, k, gain, kind):
    return sum(worth(y, gain) * discount(r, kind) for r, y in enumerate(page[:k], 1))


def ndcg(page, pool, k, gain="linear", kind="log2", empty=nan):
    """Compare with every order of the pool, filled up with nothing."""
    if not any(worth(y, gain) for y in pool):
        return empty
    best = max(dcg(order, k, gain, kind) for order in set(permutations([*pool] + [0] * max(0, k - len(pool)))))
    return dcg(page, k, gain, kind) / best if best else 0.0


def ndcg_mean(relevance, scores, k, gain="linear", kind="log2"):
    """Mean over all orders of the candidates that no score contradicts."""
    rows = range(len(scores))
    orders = [o for o in permutations(rows) if all(scores[a] >= scores[b] for a, b in pairwise(o))]
    values = [ndcg([relevance[row] for row in order], relevance, k, gain, kind) for order in orders]
    return sum(values) / len(values)


def precision(page, k, served=None):
    return sum(y > 0 for y in page[:k]) / (k if served is None else max(1, min(k, served)))


def recall(page, pool, k):
    return sum(y > 0 for y in page[:k]) / sum(y > 0 for y in pool)


def reciprocal_rank(page, k):
    return next((1 / r for r, y in enumerate(page[:k], 1) if y > 0), 0.0)


def average_precision(page, pool, k, denominator):
    relevant, hits, total = sum(y > 0 for y in pool), 0, 0.0
    for r, y in enumerate(page[:k], 1):
        if y > 0:
            hits += 1
            total += hits / r
    parts = {"R": relevant, "min(R,k)": min(relevant, k), "hits": hits}[denominator]
    return total / parts if parts else 0.0


def rbp(page, k, persistence, gain="linear"):
    return (1 - persistence) * sum(persistence ** (r - 1) * worth(y, gain) for r, y in enumerate(page[:k], 1))


def err(page, k, highest):
    still_looking, total = 1.0, 0.0
    for r, y in enumerate(page[:k], 1):
        satisfied = (2**y - 1) / 2**highest
        total += still_looking * satisfied / r
        still_looking *= 1 - satisfied
    return total


def alpha_gain(row, above, alpha):
    return sum((1 - alpha) ** sum(other[c] for other in above) for c in range(len(row)) if row[c])


def alpha_dcg(page, k, alpha, kind="log2"):
    return sum(alpha_gain(page[r], page[:r], alpha) * discount(r + 1, kind) for r in range(min(k, len(page))))


def greedy_page(pool, k, alpha):
    left, page = list(pool), []
    while left and len(page) < k:
        gains = [alpha_gain(row, page, alpha) for row in left]
        page.append(left.pop(gains.index(max(gains))))
    return page


def alpha_ndcg(page, pool, k, alpha):
    best = alpha_dcg(greedy_page(pool, k, alpha), k, alpha)
    return alpha_dcg(page, k, alpha) / best if best else nan


def subtopic_recall(page, pool, k):
    there = {c for row in pool for c, on in enumerate(row) if on}
    return len({c for row in page[:k] for c, on in enumerate(row) if on}) / len(there) if there else nan


def cosine_distance(one, other):
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return 1 - dot / sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def pair_distances(vectors, missing, served):
    """List the distances of the known pairs; a vector of None is missing."""
    found = []
    for one, other in combinations(vectors[:served], 2):
        if one is not None and other is not None:
            found.append(cosine_distance(one, other))
        elif missing == "unlike":
            found.append(1.0)
    return found


def amounts(page, names, weights):
    """Sum the weights of each name; a slot holds a set of names."""
    return [sum(w / len(slot) for slot, w in zip(page, weights, strict=True) if name in slot) for name in names]


def entropy(values, norm):
    parts = [value / sum(values) for value in values if value]
    spread = -sum(part * log(part) for part in parts)
    kinds = {"none": 0, "catalogue": len(values), "page": len(parts)}[norm]
    return spread / log(kinds) if kinds > 1 else spread


def divergence(wanted, shown, smoothing):
    total = 0.0
    for p, q in zip(wanted, shown, strict=True):
        p, q = p / sum(wanted), q / sum(shown)
        mixed = (1 - smoothing) * q + smoothing * p
        total += 0.0 if p == 0 else inf if mixed == 0 else p * log(p / mixed)
    return total


def repeats(page, window):
    """Count slots that share a name with one of those above; a slot holds a set of names."""
    return sum(any(page[r] & page[s] for s in range(max(0, r - window), r)) for r in range(len(page)))


def longest_run(page):
    best = 0
    for name in set().union(*page) if page else ():
        run = 0
        for slot in page:
            run = run + 1 if name in slot else 0
            best = max(best, run)
    return best


def gini(values):
    """Mean difference of all pairs, over twice the mean."""
    size, total = len(values), sum(values)
    return sum(abs(a - b) for a in values for b in values) / (2 * size * total) if total else nan


def overlap(one, other, persistence, depths):
    """Sum the agreement of prefixes down to some depth; pages that have ended stay as they are."""
    total = 0.0
    for d in range(1, depths + 1):
        total += (1 - persistence) * persistence ** (d - 1) * len(set(one[:d]) & set(other[:d])) / d
    return total


def overlap_extrapolated(one, other, p):
    """Equation 32 of Webber, Moffat & Zobel (2010), term by term."""
    one, other = sorted((one, other), key=len)
    s, l = len(one), len(other)  # noqa: E741
    agreed = [len(set(one[:d]) & set(other[:d])) for d in range(l + 1)]
    x_s, x_l = agreed[s], agreed[l]
    first = sum(agreed[d] / d * p**d for d in range(1, l + 1))
    second = sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1)) if s else 0.0
    rate = x_s / s if s else 0.0
    return (1 - p) / p * (first + second) + ((x_l - x_s) / l + rate) * p**l
