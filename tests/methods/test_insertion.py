"""Insertions: every page is counted, none is worth more than its bound, and the search finds the best.

The network here is any function of the rows down to a slot, with no structure to exploit: what the theorem asks for is
that it is causal and that its context is bounded by an amplitude.
"""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles_insertion import pages, reward
from slatewise import Candidates, Rule
from slatewise.core.constraints import Constraints
from slatewise.kernels import audit
from slatewise.kernels.insertion_bounds import Tables, bounds_of, every_page, pages_below
from slatewise.methods.insertion import Insertions, beam, exact, staged
from slatewise.methods.insertion_pages import Limits, laid_out

STATES = 19


class Anything:
    """A network whose contexts are drawn for each prefix of rows, from -3 to 3."""

    def __init__(self, context):
        self.context, self.prefix = context, {}

    def ask(self, asked):
        answers = np.zeros((2, *asked.row.shape), np.float32)
        for one, (first, count) in enumerate(zip(asked.first, asked.length, strict=True)):
            rows = self.prefix[asked.above[one, first - 1]] if first else ()
            assert len(rows) == first
            for step in range(count):
                rows = (*rows, int(asked.row[one, step]))
                self.prefix[asked.at[one, step]] = rows
                answers[:, one, step] = self.context(rows)
        return answers[0], answers[1]


def drawn(seed, *, bound=3.0):
    """Return contexts drawn by prefix."""

    @cache
    def context(rows):
        return tuple(np.random.default_rng([seed, *rows]).uniform(-bound, bound, 2).astype(np.float32).tolist())

    return context


def tables(seed, n, slots, *, amplitude):
    rng = np.random.default_rng([7, seed])
    return Tables(
        rng.normal(-1, 1, (n, slots, STATES)).astype(np.float32),
        rng.normal(-1, 1, (n, slots, STATES)).astype(np.float32),
        rng.uniform(0, amplitude, (n, slots)).astype(np.float32),
        rng.uniform(0, amplitude, (n, slots)).astype(np.float32),
        *(rng.normal(0, 0.5, (n, n)).astype(np.float32) for _ in range(3)),
        rng.normal(0.5, 1, n),  # a click may cost more than it pays
        np.maximum(rng.normal(0, 0.3, n), 0),
    )


def problem(posts, ads, slots, *, rules=(), most=2, window=(0, 0), columns=None):
    items = Candidates.of(
        line=["posts"] * posts + ["ads"] * ads, rank=np.arange(posts + ads, 0.0, -1.0), **(columns or {})
    )
    constraints = Constraints(rules, items, slots)
    is_ad = np.arange(posts + ads) >= posts
    limits = Limits(insert=most, first=0, last=slots, window=window)
    order = items.descending(items.number("rank"))
    return laid_out(order, is_ad, constraints.arrays, slots, limits), constraints


def searched(laid, seed, *, amplitude=1.0, context=None, tokens=1 << 30, **fields):
    own = tables(seed, len(laid.rows), laid.slots, amplitude=amplitude)
    context = context or drawn(seed)
    return Insertions(laid.patterns, own, lambda: Anything(context), laid.slots, tokens, **fields), context


APART = Rule(name="ads apart", group={"line": "ads"}, every=3, at_most=1)


def gap(width):
    return Rule(name="gap", group={"line": "ads"}, every=width, at_most=1)


def test_there_are_as_many_pages_as_the_formula_says():
    for m, g, most, ads in product(range(1, 13), range(1, 6), range(4), range(1, 7)):
        laid, _ = problem(m, ads, m, rules=[gap(g)], most=most)
        ways = pages_below(laid.patterns)[laid.patterns.slot == m - 1].sum()
        wanted = [math.perm(ads, k) * math.comb(max(m - (k - 1) * (g - 1), 0), k) for k in range(1, most + 1)]
        assert ways == 1 + sum(wanted), (m, g, most, ads)
        if m <= 5 and ads <= 3:
            every = every_page(laid.patterns, m)
            assert len(np.unique(every, axis=0)) == len(every) == ways


@pytest.mark.parametrize(
    ("slots", "first", "last", "width", "ads", "count", "tokens"),
    [
        (12, 2, 11, 4, 20, 8_181, 30_572),
        (12, 3, 11, 4, 20, 5_881, 20_092),
        (12, 2, 11, 3, 20, 10_841, 43_872),
        (12, 2, 11, 4, 10, 1_991, 7_592),
        (20, 3, 19, 5, 20, 29_981, 171_380),
    ],
)
def test_pages_that_share_their_first_slots_share_tokens(slots, first, last, width, ads, count, tokens):
    where = [
        Rule(name="from", group={"line": "ads"}, first=first - 1, at_most=0),
        Rule(name="to", group={"line": "ads"}, slots=(last + 1, slots), at_most=0),
    ]
    laid, _ = problem(slots, ads, slots, rules=[gap(width), *where[: 1 if last == slots else 2]])
    ways = pages_below(laid.patterns)
    assert ways[laid.patterns.slot == slots - 1].sum() == count
    assert ways.sum() - 1 == tokens


RULES = {
    "none": [],
    "apart": [APART],
    "advertisers": [Rule(name="often", per="advertiser", at_most=1), APART],
    "large": [Rule(name="load", weight="size", at_most=2.0), Rule(name="near", weight="size", every=3, at_most=2.0)],
    "authors": [Rule(name="authors", per="author", every=2, at_most=1)],
    "floor": [Rule(name="some", group={"line": "ads"}, first=3, at_least=1)],
    "values": [Rule(name="many", distinct="author", at_least=2)],
}


@settings(max_examples=120)
@given(
    seed=st.integers(0, 10_000),
    rules=st.sampled_from(sorted(RULES)),
    amplitude=st.sampled_from([0.0, 0.3, 2.0]),
    wide=st.integers(1, 9),
    long=st.integers(1, 4),
)
def test_the_best_page_of_all_is_found(seed, rules, amplitude, wide, long):
    """The theorem: a search that leaves only what is bounded below the best page finds the best of all."""
    rng = np.random.default_rng(seed)
    posts, ads, slots = int(rng.integers(3, 7)), int(rng.integers(1, 5)), 5
    columns = {
        "advertiser": [None] * posts + [f"a{rng.integers(3)}" for _ in range(ads)],
        "author": [f"b{rng.integers(3)}" for _ in range(posts + ads)],
        "size": [0.0] * posts + [float(rng.choice([1, 1, 2])) for _ in range(ads)],
        "item_id": [*range(posts), *(int(rng.choice([100 + ad, ad])) for ad in range(ads))],  # an ad for a post
    }
    slots = min(slots, posts)
    laid, constraints = problem(posts, ads, slots, rules=RULES[rules], columns=columns)
    every = pages(
        range(posts),
        range(posts, posts + ads),
        constraints.arrays.items.tolist(),
        slots,
        2,
        lambda page: not audit.broken(np.array(page, np.int32), constraints.arrays).any(),
    )
    if not every:
        assert laid is None
        return
    assert sorted(map(tuple, laid.rows[every_page(laid.patterns, slots)].tolist())) == sorted(every)
    page, context = searched(laid, seed, amplitude=amplitude, wide=wide, long=long)
    place = {row: at for at, row in enumerate(laid.rows.tolist())}
    numbered = [tuple(place[row] for row in one) for one in every]
    worth = [reward(one, laid.is_ad, page.tables, context) for one in numbered]
    low, high = bounds_of(np.array(numbered, np.int32), laid.is_ad, page.tables).T
    assert (low <= np.array(worth) + 1e-9).all()
    assert (high >= np.array(worth) - 1e-9).all()
    found, all_asked = exact(page), exact(page, margin=np.inf)
    assert found.value == pytest.approx(max(worth), abs=1e-6)
    assert found.bound == found.value
    assert worth[numbered.index(tuple(found.rows.tolist()))] == pytest.approx(found.value, abs=1e-9)
    assert found.rows.tolist() == all_asked.rows.tolist()
    assert (all_asked.decoding.evaluated, all_asked.decoding.pages) == (len(every), len(every))
    assert all_asked.decoding.tokens == all_asked.decoding.shared >= found.decoding.tokens
    for other in (staged(page), beam(page, width=2), beam(page, width=1 << 20)):
        assert other.value <= found.value + 1e-9
        assert other.bound >= found.value - 1e-9
    assert beam(page, width=1 << 20).value == pytest.approx(found.value, abs=1e-6)
    for tokens in (0, 3 * slots, 10 * slots):
        early, _ = searched(laid, seed, amplitude=amplitude, wide=wide, long=long, tokens=tokens)
        some = exact(early)
        assert some.decoding.tokens <= tokens
        assert (
            some.value - 1e-9
            <= worth[numbered.index(tuple(some.rows.tolist()))]
            <= found.value + 1e-6
            <= some.bound + 2e-6
        )


def test_the_best_ad_alone_may_be_on_no_best_page():
    """Increments 1.0 for a, 0.9 for b and c, 1.7 for b with c, and nothing more with a: a saturates the reader."""
    laid, _ = problem(4, 3, 4, rules=[gap(2)])
    is_ad = laid.is_ad
    a, b, c = np.flatnonzero(is_ad).tolist()
    alone = {a: 1.0, b: 0.9, c: 0.9}
    own = tables(0, len(laid.rows), 4, amplitude=0.0)
    own = own._replace(**dict.fromkeys(("pair_click", "pair_leave", "pair_click_2"), np.zeros((7, 7), np.float32)))
    own.click[:], own.leave[:], own.charge[:] = 0.0, -60.0, 0.0
    own.worth[:] = np.where(is_ad, 1.0, 0.0)
    own.click_amplitude[is_ad] = 8.0

    def context(rows):
        ads = [row for row in rows if is_ad[row]]
        if not is_ad[rows[-1]]:
            return 0.0, 0.0
        gained = alone[rows[-1]] if len(ads) == 1 else 0.8 if a not in ads else 0.001
        return math.atanh(min(math.log(gained / (1 - gained)), 7.9) / 8) if gained < 1 else 9.0, 0.0

    page, _ = searched(laid, 0, context=context)
    page = Insertions(laid.patterns, own, page.network, 4, page.tokens)
    best, published, wider = exact(page), staged(page), staged(page, width=20)
    assert sorted(best.rows[is_ad[best.rows]].tolist()) == [b, c]
    assert best.value == pytest.approx(1.7, abs=1e-3)
    assert a in published.rows
    assert published.value == pytest.approx(1.0, abs=2e-3)
    assert published.bound >= best.value
    assert wider.value == pytest.approx(best.value)


@pytest.mark.parametrize("seed", range(5))
def test_the_first_bound_is_the_best_bound_of_all_pages(seed):
    """With one ad nothing is taken for more than it is; without amplitude, bounds are what pages are worth."""
    laid, _ = problem(6, 4, 5, most=1)
    for amplitude in (1.0, 0.0):
        page, _ = searched(laid, seed, amplitude=amplitude)
        low, high = bounds_of(every_page(laid.patterns, 5), laid.is_ad, page.tables).T
        found = exact(page)
        assert found.decoding.first_bound == pytest.approx(high.max())
        assert found.decoding.first_value <= low.max() + 1e-9
        assert amplitude > 0 or found.value == pytest.approx(high.max())


def test_of_equal_pages_that_with_fewer_ads_is_served():
    laid, _ = problem(3, 2, 3)
    own = tables(0, len(laid.rows), 3, amplitude=0.0)
    own = own._replace(**dict.fromkeys(("pair_click", "pair_leave", "pair_click_2"), np.zeros((5, 5), np.float32)))
    own.click[:], own.leave[:], own.charge[:], own.worth[:] = 0.0, -1.0, 0.0, 1.0
    page = Insertions(laid.patterns, own, lambda: Anything(drawn(0)), 3, 1 << 30)
    assert exact(page).rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_organics_of_a_window_change_places_in_every_way(seed):
    laid, _ = problem(5, 2, 5, rules=[gap(2)], window=(1, 4))
    every = every_page(laid.patterns, 5)
    plain = every_page(problem(5, 2, 5, rules=[gap(2)])[0].patterns, 5)
    organics = [tuple(row for row in page if row < 5) for page in every.tolist()]
    assert len(np.unique(every, axis=0)) == len(every)
    for page in plain.tolist():
        rows = [row for row in page if row < 5]
        inside = [row for row in rows if 1 <= row < 4]
        if len(inside) == 3:  # all of the window are on the page: in any order
            like = sum(sorted(one) == sorted(rows) and one[0] == 0 and one[4:] == tuple(rows[4:]) for one in organics)
            assert like % 6 == 0
    assert {one[0] for one in organics} == {0}
    page, context = searched(laid, seed)
    worth = [reward(one, laid.is_ad, page.tables, context) for one in map(tuple, every.tolist())]
    assert exact(page).value == pytest.approx(max(worth), abs=1e-6)
    assert exact(page, margin=np.inf).decoding.evaluated == len(every)
