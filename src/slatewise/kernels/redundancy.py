"""How much of a row a window of placed items has shown already: the redundancy terms.

Seats are numbered through the session and the page; before seat p is taken, the window of a term holds the seats from
max(0, p - window) to p - 1. With s_j the likeness of the row and seat j, and every D = 0 while the window is empty:

| form | variants | D |
|---|---|---|
| `MAX` | mmr | max_j s_j |
| `FADED` | gap | max_j s_j * fade(p - j) |
| `SUM` | msd_sum, msd_mean | -sum_j (1 - s_j), or that over the seats in the window |
| `BASES` | projection, ssd_star, ssd_volume, dpp | link of what is left of the row after its projection on bases |
| `ITEMS` | the same on a span; spectrum | the same, by the likenesses alone |

What is left, r, is 1 - sum_j e_j^2. `BASES` keeps the part of each placed item that the window before it did not span,
as a unit vector q_j, and e_j = <x, q_j>. `ITEMS` solves with the Cholesky factor of the likenesses inside the window.
Links: 1 - r (projection, spectrum), 1 - sqrt(r) (ssd_star), volume * (1 - sqrt(r)) (ssd_volume), -log(r) / 2 (dpp).

A candidate's D is evaluated one seat at a time. What is known so far gives a lower bound (`low`), which is enough to
see that most rows are not the best. Cosines are taken in float32 for that, with room for rounding; `exactly` decides
between rows that are near each other, in float64 and from the beginning.

Arrays are those of `kernels.likeness`, and

| name | shape | what |
|---|---|---|
| `term` | (T, 11) int64 | columns `FORM` ... `COARSE` |
| `size` | (T, 5) float64 | columns `WEIGHT` ... `VOLUME` |
| `root` | (S,) float64 | what vectors are scaled by for `BASES`: the root of the share, of half of it if shifted |
| `fade` | (T, W) float64 | what an item 1, 2, ... slots above counts, for gap and spectrum |
| `upto` | (T, n) int32 | seats of the window before this one were evaluated |
| `run` | (T, n) float64 | maximum or sum of what was evaluated, where windows forget nothing |
| `low` | (T, n) float64 | lower bound of D, where it cannot fall again |
| `ring` | float64 | what was evaluated, seat by seat, for windows that forget and for `ITEMS` |
| `near`, `glass` | [1 + a] | bases of a term; their last S columns are of the constant that shifted cosines add |
| `fixed` | (F, H, n) float64 | how alike candidates and seats are under signals that are no cosines |
| `gram` | (T, H, H) float64 | likeness of seats, for `ITEMS` |
| `factor` | (T, H, H) float64 | its Cholesky factor inside the window, oldest seat first |
| `scratch` | (H + 1,) float64 | to write in |

References:
    Carbonell & Goldstein (1998), "The use of MMR"; Chen, Zhang & Zhou (2018), "Fast greedy MAP inference for DPP";
    Huang et al. (2021), "Sliding spectrum decomposition"; Hemmi et al. (2022), "Lazy and fast greedy MAP inference".
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined, kernel, leaf
from slatewise.kernels.likeness import (
    COSINE,
    KEEP,
    KIND,
    NEGATIVE,
    SHIFT,
    START,
    STOP,
    rounding,
)

MMR, GAP, MSD_SUM, MSD_MEAN, PROJECTION, SSD_STAR, SSD_VOLUME, DPP, SPECTRUM = range(9)
"""Variants, as `core.variety.VARIANTS` has them."""
MAX, FADED, SUM, BASES, ITEMS = range(5)
"""Forms of a term."""

FORM, VARIANT, MOVES, RINGS, WIDE, BEGIN, FIRST, PLAIN, LAST, FIXED, COARSE = range(11)
"""Columns of `term`: form; variant; whether a candidate's bound may fall again as the window moves on; whether its ring
is used for sums and maxima; seats in the window; where its ring begins; its first signal, its first that is no cosine,
and the one after its last; its place in `fixed`, -1 if all are cosines; its place in `grains` of `kernels.coarse`, -1
if rows are looked at one by one."""

WEIGHT, LEAST, PAD, RIDGE, VOLUME = range(5)
"""Columns of `size`: weight; the least that two rows are alike; by how much a float32 likeness may be off; ridge of
spectrum; volume of ssd_volume."""

EXHAUSTED = 1e-6
"""Of a row of length 1, as much is nothing: the row is exhausted, and no base is made of it."""
SAME_SUM = 1e-9
"""Sums of products that are taken in another order differ by less."""
AGAIN = 0.01
"""A base of which a smaller share is left is orthogonalised a second time; of others, once is right to 1e-13."""


@kernel
def lay_out(signal, share, variant, spans, weight, window, first, ridge, volume, n, seats):
    """Return (term, size, root, length of the ring) for n candidates."""
    many, dimensions = len(variant), signal[-1, STOP] if len(signal) else 0
    term, size = np.zeros((many, 11), np.int64), np.zeros((many, 5))
    ring, fixed, coarse = 0, 0, 0
    for a in range(many):
        form = _form(variant[a], spans[a])
        wide = min(window[a], seats)
        moves = wide < seats or form == FADED or form == SUM or variant[a] == SPECTRUM or variant[a] == SSD_VOLUME
        rings = wide < seats or form == FADED
        term[a, FORM], term[a, VARIANT], term[a, MOVES], term[a, RINGS] = form, variant[a], moves, rings
        term[a, WIDE], term[a, BEGIN] = wide, ring
        term[a, FIRST], term[a, PLAIN], term[a, LAST], term[a, FIXED] = first[a], first[a], first[a + 1], -1
        size[a, WEIGHT], size[a, RIDGE], size[a, VOLUME] = weight[a], ridge[a], volume[a]
        for one in range(first[a], first[a + 1]):
            if signal[one, KIND] == COSINE:
                term[a, PLAIN] = one + 1
                size[a, PAD] += share[one] * rounding(signal[one, STOP] - signal[one, START])
                if signal[one, NEGATIVE] == KEEP:
                    size[a, LEAST] -= share[one]
        if form == BASES:
            size[a, PAD] = rounding(dimensions)
        if term[a, PLAIN] < term[a, LAST]:
            term[a, FIXED] = fixed
            fixed += 1
        term[a, COARSE] = -1
        keeps = (signal[first[a] : first[a + 1], NEGATIVE] == KEEP).all() and term[a, FIXED] < 0
        if form == SUM and not rings and keeps:
            term[a, COARSE], term[a, MOVES] = coarse, False
            coarse += 1
        if rings or form == ITEMS:
            ring += wide * n
    root = np.sqrt(share * np.where(signal[:, NEGATIVE] == SHIFT, 0.5, 1.0))
    return term, size, root, ring


@leaf
def _form(variant, spans):
    if variant == MMR:
        return MAX
    if variant == GAP:
        return FADED
    if variant == MSD_SUM or variant == MSD_MEAN:
        return SUM
    return ITEMS if spans or variant == SPECTRUM else BASES


@inlined
def link(variant, volume, left):
    """Return D of a row of which so much is left."""
    if variant == DPP:
        return -0.5 * np.log(max(left, EXHAUSTED))
    if left <= EXHAUSTED:
        left = 0.0  # what is left is rounding, which must not decide
    if variant == SSD_STAR or variant == SSD_VOLUME:
        return volume * (1.0 - np.sqrt(left))
    return 1.0 - left


@inlined
def left_at(variant, volume, most):
    """Return a number so that D exceeds `most` for every row of which less is left, with room for rounding."""
    if variant == DPP:
        left = np.exp(-2.0 * most)
        return left * (1.0 - 1e-12) if left > EXHAUSTED else -1.0
    if variant == SSD_STAR or variant == SSD_VOLUME:
        root = 1.0 - most / volume if volume > 0.0 else -1.0
        return root * root * (1.0 - 1e-12) if root > 0.0 else -1.0
    return 1.0 - most - 1e-12


@leaf
def most_gain(term, size, fade, p, moves):
    """Return the most that terms together can add to the utility of a row for seat p: all, or (1) those that move."""
    total = 0.0
    for a in range(len(term)):
        if term[a, MOVES] >= moves:
            total -= size[a, WEIGHT] * least_of(term, size, fade, a, p)
    return total


@leaf
def least_of(term, size, fade, a, p):
    """Return what D of a term is at least for seat p, of whatever row."""
    inside = min(p, term[a, WIDE])
    if inside == 0:
        return 0.0
    if term[a, FORM] == SUM:
        return -(1.0 - size[a, LEAST]) * (1.0 if term[a, VARIANT] == MSD_MEAN else inside)
    if term[a, FORM] == MAX:
        return size[a, LEAST]
    most = 0.0
    for place in range(fade.shape[1] if term[a, FORM] == FADED else 0):
        most = max(most, fade[a, place])
    return size[a, LEAST] * most


@inlined
def faded(fade, a, distance):
    """Return what an item at a distance counts."""
    return fade[a, min(distance, fade.shape[1]) - 1]


@inlined
def sum_bound(term, size, known, done, first, a, p):
    """Return a lower bound of D of `SUM` for seat p, of which seats `first` to `done` - 1 make up `known`."""
    most = known + (p - done) * (1.0 - size[a, LEAST]) + (done - first) * size[a, PAD]
    return -most / (p - first) if term[a, VARIANT] == MSD_MEAN else -most


@inlined
def after(spot, wide):
    """Return the spot of a ring that is next."""
    return spot + 1 if spot + 1 < wide else 0


@inlined
def ringed(ring, start, wide, first, done):
    """Return the sum of what a ring holds of seats `first` to `done` - 1."""
    total, spot = 0.0, first % wide
    for _ in range(first, done):
        total += ring[start + spot]
        spot = after(spot, wide)
    return total


@inlined
def moving_bound(term, size, fade, upto, run, ring, a, pos, p):
    """Return a lower bound of a candidate's D for seat p, for a term that moves; evaluates nothing."""
    form, variant, wide = term[a, FORM], term[a, VARIANT], term[a, WIDE]
    first = max(0, p - wide)
    done = max(upto[a, pos], first)
    start = term[a, BEGIN] + pos * wide
    if p == 0 or form == ITEMS:
        return 0.0
    if form == MAX or form == FADED:
        best = least_of(term, size, fade, a, p)
        spot = first % wide
        for at in range(first, done):
            value = ring[start + spot]
            best = max(best, (value * faded(fade, a, p - at) if form == FADED else value) - size[a, PAD])
            spot = after(spot, wide)
        return best
    known = ringed(ring, start, wide, first, done) if term[a, RINGS] else run[a, pos]
    if form == SUM:
        return sum_bound(term, size, known, done, first, a, p)
    left = 1.0 - known + 2.0 * size[a, PAD] * np.sqrt(done - first)
    return max(0.0, link(variant, size[a, VOLUME], left))


@inlined
def root_at(term, fade, a, distance):
    """Return the root of what a seat at a distance counts under spectrum; 1 for other variants."""
    return np.sqrt(faded(fade, a, distance)) if term[a, VARIANT] == SPECTRUM else 1.0
