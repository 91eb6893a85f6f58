"""How much of a candidate was shown already, evaluated seat by seat: until it is known, or known to be too much.

Arrays are those of `kernels.redundancy`; `four` is (8,) float64 to write in, `pile` as in `kernels.coarse`.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined, leaf
from slatewise.kernels.likeness import COLUMN, NEGATIVE, SHIFT, STOP, alike, components, decide, glance
from slatewise.kernels.redundancy import (
    BASES,
    BEGIN,
    COARSE,
    DPP,
    EXHAUSTED,
    FADED,
    FIRST,
    FIXED,
    FORM,
    ITEMS,
    LAST,
    LEAST,
    MOVES,
    MSD_MEAN,
    PAD,
    PLAIN,
    RINGS,
    SAME_SUM,
    SUM,
    VARIANT,
    VOLUME,
    WIDE,
    after,
    faded,
    left_at,
    link,
    ringed,
    root_at,
)


@inlined
def refine_max(
    signal, share, address, scale, glass, there, fixed, term, size, fade, upto, run, low, ring,
    a, pos, row, p, most, four,
):  # fmt: skip
    """Evaluate D of `MAX` and `FADED` for seat p until it is known or known to exceed `most`.

    Returns (lower bound, upper bound, infinite if it was given up; seats evaluated), as the functions below.
    """
    wide, pad, fades = term[a, WIDE], size[a, PAD], term[a, FORM] == FADED
    first = max(0, p - wide)
    done = max(upto[a, pos], first)
    begun, start = done, term[a, BEGIN] + pos * wide
    best = run[a, pos] if not term[a, RINGS] and done > 0 else -np.inf
    if term[a, RINGS]:
        spot = first % wide
        for at in range(first, done):
            value = ring[start + spot]
            best = max(best, value * faded(fade, a, p - at) if fades else value)
            spot = after(spot, wide)
    while done < p and best - pad <= most:
        glance(signal, share, address, scale, glass, there, term[a, FIRST], term[a, PLAIN], row, done, four)
        many = min(4, p - done)
        for place in range(many if term[a, FIXED] >= 0 else 0):
            four[place] += fixed[term[a, FIXED], done + place, pos]
        for place in range(many if term[a, RINGS] else 0):
            ring[start + (done + place) % wide] = four[place]
        for place in range(many if fades else 0):
            four[place] *= faded(fade, a, p - done - place)
        for place in range(many):
            best = max(best, four[place])
        done += many
    upto[a, pos] = done
    run[a, pos] = best
    low[a, pos] = best - pad
    return best - pad, best + pad if done == p else np.inf, done - begun


@inlined
def refine_sum(
    signal, share, address, scale, glass, pile, there, fixed, term, size, upto, run, ring, a, pos, row, p, most, four
):
    """As `refine_max`, for `SUM`."""
    if term[a, COARSE] >= 0:
        total = -p / (p if term[a, VARIANT] == MSD_MEAN else 1.0)
        for one in range(term[a, FIRST], term[a, LAST]):
            value = decide(signal, address, scale, pile, 0, one, row, 0)
            total += share[one] * value / (p if term[a, VARIANT] == MSD_MEAN else 1.0)
        return total - SAME_SUM, total + SAME_SUM, 1
    wide, pad, widest = term[a, WIDE], size[a, PAD], 1.0 - size[a, LEAST]
    first = max(0, p - wide)
    done = max(upto[a, pos], first)
    begun, start = done, term[a, BEGIN] + pos * wide
    part = 1.0 / (p - first) if term[a, VARIANT] == MSD_MEAN else 1.0
    known = ringed(ring, start, wide, first, done) if term[a, RINGS] else run[a, pos]
    while done < p and -(known + (p - done) * widest + (done - first) * pad) * part <= most:
        glance(signal, share, address, scale, glass, there, term[a, FIRST], term[a, PLAIN], row, done, four)
        many = min(4, p - done)
        for place in range(many if term[a, FIXED] >= 0 else 0):
            four[place] += fixed[term[a, FIXED], done + place, pos]
        for place in range(many if term[a, RINGS] else 0):
            ring[start + (done + place) % wide] = 1.0 - four[place]
        for place in range(many):
            known += 1.0 - four[place]
        done += many
    upto[a, pos] = done
    run[a, pos] = known
    under = -(known + (p - done) * widest + (done - first) * pad) * part
    return under, -(known - (done - first) * pad) * part if done == p else np.inf, done - begun


@inlined
def refine_bases(signal, root, address, scale, glass, term, size, upto, run, low, ring, a, pos, row, p, most, four):
    """As `refine_max`, for `BASES`."""
    variant, volume, wide, pad = term[a, VARIANT], size[a, VOLUME], term[a, WIDE], size[a, PAD]
    first = max(0, p - wide)
    done = max(upto[a, pos], first)
    begun, start = done, term[a, BEGIN] + pos * wide
    known = ringed(ring, start, wide, first, done) if term[a, RINGS] else run[a, pos]
    enough = np.inf  # the last four seats are looked at whatever comes of them
    if p - done > 4:
        enough = 1.0 - left_at(variant, volume, most) + 2.0 * pad * np.sqrt(p - first)
    while done < p and known <= enough:
        components(signal, root, address, scale, glass, 1 + a, term[a, FIRST], term[a, LAST], row, done, four)
        many = min(4, p - done)
        for place in range(4):
            four[place] *= four[place]
        for place in range(many if term[a, RINGS] else 0):
            ring[start + (done + place) % wide] = four[place]
        for place in range(many):
            known += four[place]
        done += many
    upto[a, pos] = done
    run[a, pos] = known
    room = 2.0 * pad * np.sqrt(done - first)
    left = 1.0 - known - room
    under = max(0.0, link(variant, volume, left + 2.0 * room))
    low[a, pos] = under
    if done < p:
        return under, np.inf, done - begun
    if variant == DPP and left > EXHAUSTED:
        return under, under + room / left, done - begun  # log(1 + x) <= x
    return under, link(variant, volume, left), done - begun


@inlined
def refine_items(
    signal, share, address, scale, near, there, fixed, term, size, fade, upto, run, low, ring, factor, scratch,
    a, pos, row, p, most,
):  # fmt: skip
    """As `refine_max`, for `ITEMS`; the ring keeps likenesses or, where windows forget nothing, coefficients."""
    variant, volume, wide, moves = term[a, VARIANT], size[a, VOLUME], term[a, WIDE], term[a, MOVES]
    first = max(0, p - wide)
    done = max(upto[a, pos], first)
    begun, start = done, term[a, BEGIN] + pos * wide
    enough = 1.0 - left_at(variant, volume, most)
    known = 0.0 if moves else run[a, pos]
    at = first if moves else done
    while at < p and known <= enough:
        if at >= done:
            value = alike(signal, share, address, scale, near, there, term[a, FIRST], term[a, PLAIN], row, at)
            if term[a, FIXED] >= 0:
                value += fixed[term[a, FIXED], at, pos]
            ring[start + at % wide] = value
            done = at + 1
        value = ring[start + at % wide] * root_at(term, fade, a, p - at)
        line = at - first
        for other in range(line):
            value -= factor[a, line, other] * (scratch[other] if moves else ring[start + other])
        value = value / factor[a, line, line] if factor[a, line, line] > 0.0 else 0.0
        if moves:
            scratch[line] = value
        else:
            ring[start + at] = value
        known += value * value
        at += 1
    upto[a, pos] = done
    run[a, pos] = known
    under = max(0.0, link(variant, volume, 1.0 - known))
    low[a, pos] = under
    return under, under if at == p else np.inf, done - begun


@leaf
def exactly(
    signal, share, root, address, scale, near, there, fixed, term, size, fade, factor, scratch, a, pos, row, p, by
):
    """Return a candidate's D for seat p in float64 and from the beginning.

    `by` is (H,) float64 to write in how much of D is due to each seat, or empty.
    """
    form, variant, volume = term[a, FORM], term[a, VARIANT], size[a, VOLUME]
    first = max(0, p - term[a, WIDE])
    total, best, whose = 0.0, -np.inf, -1
    before = 0.0
    for at in range(first, p):
        if form == BASES:
            value = _component(signal, root, address, scale, near, term, a, row, at)
        else:
            value = alike(signal, share, address, scale, near, there, term[a, FIRST], term[a, PLAIN], row, at)
            if term[a, FIXED] >= 0:
                value += fixed[term[a, FIXED], at, pos]
        if form == ITEMS:
            line = at - first
            value *= root_at(term, fade, a, p - at)
            for other in range(line):
                value -= factor[a, line, other] * scratch[other]
            value = value / factor[a, line, line] if factor[a, line, line] > 0.0 else 0.0
            scratch[line] = value
        if form == SUM:
            value = (value - 1.0) / (p - first if variant == MSD_MEAN else 1.0)
            total += value
        elif form == BASES or form == ITEMS:
            total += value * value
            after = max(0.0, link(variant, volume, 1.0 - total))
            value, before = after - before, after
        else:
            value = value * faded(fade, a, p - at) if form == FADED else value
            if value > best:
                best, whose = value, at
            value = 0.0
        if len(by):
            by[at] = value
    if p == first:
        return 0.0
    if form == SUM:
        return total
    if form == BASES or form == ITEMS:
        return before
    if len(by):
        by[whose] = best
    return best


@leaf
def _component(signal, root, address, scale, near, term, a, row, at):
    """Return the product of a candidate and a base, in float64."""
    value = 0.0
    for one in range(term[a, FIRST], term[a, LAST]):
        part = decide(signal, address, scale, near, 1 + a, one, row, at)
        if signal[one, NEGATIVE] == SHIFT and address[signal[one, COLUMN], row] != 0:
            part += near[1 + a, at, signal[-1, STOP] + one]
        value += root[one] * part
    return value
