"""`blend.merge`: queues merged by their heads."""

from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise import Candidates, Constrain, Feed, Layout, Merge, Policy, PolicyError, Request, Rule, Solve
from slatewise.core.constraints import Constraints
from slatewise.testing.checks import check_selector

LAYOUT = {"ads": Layout(first_slot=2, min_gap=2, page_cap=3), "live": Layout(page_cap=1)}
NEAR = Layout(gap_effect=(0.25, 0.5))
FLOORED = {
    "ads": Layout(first_slot=2, min_gap=1, page_cap=2, gap_effect=(0.25, 0.5, 0.5)),
    "live": Layout(page_floor=2, gap_effect=(0.5,)),
    "posts": Layout(gap_effect=(0.5, 0.25, 0.5)),
}
CURVES = ["flat", "reciprocal", [0.5, 1.0, 0.0, 2.0]]


@st.composite
def queues(draw):
    """Draw candidates of four lines whose competing values need not follow their own order."""
    n = draw(st.integers(0, 25))
    values = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=n, max_size=n)
    line = draw(st.lists(st.sampled_from(["posts", "ads", "live", "shop"]), min_size=n, max_size=n))
    return Candidates.of(
        item_id=[f"i{row:02d}" for row in range(n)], line=line, score=draw(values), utility=draw(values)
    )


@given(queues(), st.integers(1, 12), st.integers(0, 5))
def test_keeps_the_promises_of_a_selector(items, slots, seed):
    check_selector(Merge(layout=LAYOUT), Request(candidates=items, slots=slots, seed=seed))


@given(queues(), st.integers(1, 12))
def test_keeps_each_lines_own_order(items, slots):
    merge = Merge(layout=LAYOUT)
    rows = merge.select(items, slots, constraints=Constraints(merge.hard_rules, items, slots)).rows
    lines = items.key("line")
    for code in range(len(lines.names)):
        mine = [row for row in rows.tolist() if lines.codes[row] == code]
        queue = sorted(
            np.flatnonzero(lines.codes == code).tolist(),
            key=lambda row: (-items.number("score")[row], items.item_id[row]),
        )
        assert mine == queue[: len(mine)]


@given(queues(), st.integers(1, 12))
def test_takes_the_best_head_that_the_layout_allows(items, slots):
    """A slow twin: slot by slot, over the heads of the lines."""
    merge = Merge(layout=LAYOUT)
    rows = merge.select(items, slots, constraints=Constraints(merge.hard_rules, items, slots)).rows.tolist()
    lines = [items.key("line").name(row) for row in range(len(items))]
    waiting = {
        line: sorted(
            (row for row in range(len(items)) if lines[row] == line),
            key=lambda row: (-items.number("score")[row], items.item_id[row]),
        )
        for line in set(lines)
    }
    placed = []
    for slot in range(1, min(slots, len(items)) + 1):
        heads = [queue[0] for queue in waiting.values() if queue]
        allowed = []
        for row in heads:
            layout = LAYOUT.get(lines[row], Layout())
            slots_of_line = [at for at, other in enumerate(placed, 1) if lines[other] == lines[row]]
            early = slot < layout.first_slot
            close = slots_of_line and slot - slots_of_line[-1] <= layout.min_gap
            full = layout.page_cap is not None and len(slots_of_line) >= layout.page_cap
            if not (early or close or full):
                allowed.append(row)
        row = rows[slot - 1]
        if allowed:
            assert items.number("utility")[row] == max(items.number("utility")[one] for one in allowed)
            assert row in allowed
        placed.append(row)
        waiting[lines[row]].remove(row)


def test_a_row_waits_for_the_whole_queue_before_it():
    """Item b is placed for the ads, where it is worth most; in the posts' queue, c still stands behind a."""
    items = Candidates.of(
        item_id=["a", "b", "c", "b"],
        line=["posts", "posts", "posts", "ads"],
        score=[3.0, 2.0, 1.0, 1.0],
        utility=[1.0, 2.0, 5.0, 9.0],
    )
    assert Merge().select(items, 3).rows.tolist() == [3, 0, 2]


@pytest.mark.parametrize(("depth", "page"), [(None, ["p", "a"]), (1, [])])
def test_passes_every_row_on_unless_told_otherwise(depth, page):
    """With only two ads to choose from, and none allowed, there is no page."""
    items = Candidates.of(item_id=["a", "b", "p"], line=["ads", "ads", "posts"], score=[3.0, 2.0, 1.0])
    top = Rule(name="no ad on top", group={"line": "ads"}, first=1, at_most=0, priority="contractual")
    policy = Policy.of(
        Merge(by="score", depth=depth), Constrain(rules=(top,)), Solve(by="score"),
        lines=["posts", "ads"], columns={"score": "number"}, slots=2,
    )  # fmt: skip
    assert Feed(policy).compose(Request(candidates=items)).item_ids == page


def test_items_go_on_with_all_their_nominations():
    items = Candidates.of(item_id=["x", "x", "y"], line=["ads", "posts", "posts"], score=[9.0, 5.0, 4.0])
    rule = Rule(name="no ads", group={"line": "ads"}, at_most=0, priority="contractual")
    policy = Policy.of(
        Merge(by="score", depth=1), Constrain(rules=(rule,)), Solve(by="score"),
        lines=["posts", "ads"], columns={"score": "number"}, slots=2,
    )  # fmt: skip
    assert Feed(policy).compose(Request(candidates=items)).item_ids == ["x", "y"]


def test_ties_favour_no_line():
    items = Candidates.of(line=["ads", "posts"], score=[1.0, 1.0], utility=[1.0, 1.0])
    firsts = [
        int(Merge().select(items, 1, request=Request(candidates=items, id=str(one))).rows[0]) for one in range(400)
    ]
    assert 140 < sum(firsts) < 260
    again = [
        int(Merge().select(items, 1, request=Request(candidates=items, id=str(one))).rows[0]) for one in range(400)
    ]
    assert firsts == again


def test_an_item_of_two_lines_is_shown_once_and_blocks_neither():
    items = Candidates.of(
        item_id=["a", "a", "b", "c"],
        line=["posts", "ads", "ads", "posts"],
        score=[3.0, 2.0, 1.0, 0.5],
        utility=[3.0, 2.0, 1.0, 0.5],
    )
    assert Merge().select(items, 4).rows.tolist() == [0, 2, 3]


def test_gaps_give_way_before_page_caps():
    items = Candidates.of(line=["ads"] * 3 + ["live"] * 3, score=[6.0, 5, 4, 3, 2, 1], utility=[6.0, 5, 4, 3, 2, 1])
    merge = Merge(layout={"ads": Layout(page_cap=1), "live": Layout(min_gap=2)})
    rows = merge.select(items, 3, constraints=Constraints(merge.hard_rules, items, 3)).rows
    assert rows.tolist() == [0, 3, 4]


def merged(merge, items, slots, **known):
    """Return a merge's solution under its own limits, and these."""
    constraints = Constraints(merge.hard_rules, items, slots, **known)
    return merge.select(items, slots, constraints=constraints, request=Request(candidates=items))


def templates(merge, items, slots):
    """A slow twin: yield (value, rows) of every page that keeps each line's order and every limit that can be kept."""
    lines = [items.key("line").name(row) for row in range(len(items))]
    score, utility, ids = items.number("score").tolist(), items.number("utility").tolist(), items.item_id
    length = min(slots, len(set(ids)))
    curve = {"flat": [1.0] * 12, "reciprocal": [1 / slot for slot in range(1, 13)]}
    exposure = [*curve[merge.exposure]] if isinstance(merge.exposure, str) else merge.exposure
    queues = {
        line: sorted((row for row in range(len(items)) if lines[row] == line), key=lambda row: (-score[row], ids[row]))
        for line in set(lines)
    }

    def longer(rows, parts):
        slot = len(rows)
        if slot == length:
            counts = [(sum(lines[row] == line for row in rows), one) for line, one in merge.layout.items()]
            asked = [min(one.page_floor, lines.count(line)) for line, one in merge.layout.items()]
            if all(low <= count for (count, _), low in zip(counts, asked, strict=True)):
                yield fsum(parts), rows
            return
        for line, queue in queues.items():
            layout, own = merge.layout.get(line, Layout()), [at for at in range(slot) if lines[rows[at]] == line]
            free = [row for row in queue if ids[row] not in {ids[one] for one in rows}]
            gap = slot - own[-1] if own else 99
            full = layout.page_cap is not None and len(own) == layout.page_cap
            if free and slot + 1 >= layout.first_slot and gap > layout.min_gap and not full:
                near = gap <= len(layout.gap_effect) and utility[free[0]] > 0
                worth = utility[free[0]] * (layout.gap_effect[gap - 1] if near else 1)
                yield from longer([*rows, free[0]], [*parts, worth * exposure[min(slot, len(exposure) - 1)]])

    yield from longer([], [])


def short_queues():
    """Draw up to ten candidates of three lines, some items perhaps twice; values are exact in binary."""
    return st.integers(0, 100_000).map(_short)


def _short(seed):
    drawn = np.random.default_rng(seed)
    n, distinct = int(drawn.integers(1, 11)), bool(drawn.integers(2))
    item = drawn.choice(12 if distinct else 6, n, replace=not distinct).tolist()
    named = drawn.choice(["posts", "ads", "live"], n).tolist()
    pairs = sorted(set(zip(item, named, strict=True)))
    item, line = zip(*pairs, strict=True)
    score, utility = drawn.choice([-1.0, 0.0, 0.5, 1.0, 2.0, 4.0], (2, len(item)))
    return Candidates.of(item_id=item, line=line, score=score, utility=utility)


@settings(max_examples=400)
@given(short_queues(), st.integers(1, 7), st.sampled_from(CURVES), st.sampled_from([{}, LAYOUT, FLOORED]))
def test_a_wide_beam_finds_the_best_template_and_proves_it(items, slots, exposure, layout):
    merge = Merge(beam=1000, exposure=exposure, layout=layout)
    found, best = merged(merge, items, slots), max(templates(merge, items, slots), default=None)
    if best is None:
        assert found.rows.tolist() == merged(Merge(exposure=exposure, layout=layout), items, slots).rows.tolist()
        return
    assert found.value == pytest.approx(best[0], abs=1e-12)
    assert found.rows.tolist() in [rows for value, rows in templates(merge, items, slots) if value >= best[0] - 1e-12]
    assert found.is_proven


@given(short_queues(), st.integers(1, 5), st.sampled_from(CURVES), st.sampled_from([{}, LAYOUT, FLOORED]))
def test_a_narrow_beam_is_no_worse_than_heads_and_never_claims_too_much(items, slots, exposure, layout):
    merge = Merge(beam=1, exposure=exposure, layout=layout)
    found, heads = merged(merge, items, slots), merged(Merge(exposure=exposure, layout=layout), items, slots)
    values = {tuple(rows): value for value, rows in templates(merge, items, slots)}
    if tuple(heads.rows.tolist()) in values:
        assert found.value >= heads.value - 1e-12
    if tuple(found.rows.tolist()) in values:
        assert found.value == pytest.approx(values[tuple(found.rows.tolist())], abs=1e-12)
        assert found.bound >= max(values.values()) - 1e-12


@given(
    short_queues(), st.integers(1, 5), st.integers(0, 5), st.sampled_from([0, 2]), st.sampled_from(["head", "prefix"])
)
def test_gaps_beams_and_prefixes_keep_the_promises_of_a_selector(items, slots, seed, beam, compete):
    merge = Merge(layout=FLOORED, beam=beam, compete=compete, exposure="log")
    check_selector(merge, Request(candidates=items, slots=slots, seed=seed))
    rows = merged(merge, items, slots).rows.tolist()
    before = merge.predecessors(items)
    for row in rows:
        others = {items.item_id[one] for one in rows[: rows.index(row)]}
        assert before[row] < 0 or items.item_id[before[row]] in others


@given(short_queues(), st.integers(1, 4))
def test_heads_are_exact_where_weights_fall_and_lines_are_sorted(items, slots):
    items = items.with_columns({"score": items.number("utility")})
    if len(set(items.item_id)) == len(items):
        best = max(value for value, _ in templates(Merge(exposure="reciprocal"), items, slots))
        assert merged(Merge(exposure="reciprocal"), items, slots).value == pytest.approx(best, abs=1e-12)


@given(short_queues())
def test_prefixes_are_exact_where_weights_fall_evenly_to_zero(items):
    """Weights linear in the slot, every row placed: the order by largest prefix mean is the best of all templates."""
    n = len(items)
    if n > 6 or len(set(items.item_id)) < n:
        return
    merge = Merge(compete="prefix", exposure=[float(n - slot) for slot in range(n)])
    best = max(value for value, _ in templates(merge, items, n))
    assert merged(merge, items, n).value == pytest.approx(best, abs=1e-12)


def test_an_ad_soon_after_an_ad_counts_for_less():
    """Slot 2: 0.25 * 8 < 3. Slot 3: 0.5 * 8 > 2.5. Slot 4: 0.25 * 7 < 2.5. Then posts have run out."""
    items = Candidates.of(line=["ads"] * 3 + ["posts"] * 2, score=[3.0, 2, 1, 2, 1], utility=[9.0, 8.0, 7.0, 3.0, 2.5])
    found = merged(Merge(layout={"ads": NEAR}), items, 5)
    assert found.rows.tolist() == [0, 3, 1, 4, 2]
    assert found.value == 9 + 3 + 0.5 * 8 + 2.5 + 0.5 * 7


def test_the_order_in_which_an_ad_is_asked():
    """First slot, then gap, then the comparison: an ad that is worth most waits for both."""
    items = Candidates.of(line=["ads"] * 2 + ["posts"] * 3, score=[9.0, 8, 3, 2, 1], utility=[9.0, 8, 3, 2, 1])
    layout = {"ads": Layout(first_slot=2, min_gap=1, gap_effect=(0.0, 0.125))}
    assert merged(Merge(layout=layout), items, 4).rows.tolist() == [2, 0, 3, 4]
    assert merged(Merge(layout={"ads": Layout(first_slot=2, min_gap=1)}), items, 4).rows.tolist() == [2, 0, 3, 1]


def test_gaps_reach_back_into_the_page_before():
    policy = Policy.of(
        Merge(by="score", layout={"ads": NEAR}), lines=["posts", "ads"], columns={"score": "number"}, slots=1
    )
    items = Candidates.of(item_id=["a", "b", "p"], line=["ads", "ads", "posts"], score=[9.0, 8.0, 3.0])
    page = Feed(policy).compose(Request(candidates=items))
    assert page.item_ids == ["a"]
    assert Feed(policy).compose(Request(candidates=items, state=page.state)).item_ids == ["p"]


def test_a_floor_is_forced_when_it_can_only_be_met_now():
    items = Candidates.of(line=["posts"] * 4 + ["local"] * 2, score=[6.0, 5, 4, 3, 2, 1], utility=[6.0, 5, 4, 3, 2, 1])
    assert merged(Merge(layout={"local": Layout(page_floor=2)}), items, 4).rows.tolist() == [0, 1, 4, 5]


def test_a_beam_keeps_limits_that_heads_run_into():
    """Ads on top leave two of them in a row; begun with a post, the page keeps the gap."""
    items = Candidates.of(line=["ads", "ads", "posts"], score=[9.0, 8.0, 1.0], utility=[9.0, 8.0, 1.0])
    layout = {"ads": Layout(min_gap=1), "posts": Layout(first_slot=2)}
    late = Candidates.of(line=["ads", "ads", "posts"], score=[3.0, 2.0, 1.0], utility=[3.0, 2.0, 4.0])
    assert merged(Merge(layout={"ads": Layout(min_gap=1)}), late, 3).rows.tolist() == [2, 0, 1]
    assert merged(Merge(layout={"ads": Layout(min_gap=1)}, beam=4), late, 3).rows.tolist() == [0, 2, 1]
    assert merged(Merge(layout=layout, beam=4), items, 3).is_proven


def test_a_floor_that_a_line_is_too_short_for_hinders_no_search():
    """One live item for a floor of two: the gap of ads is kept all the same, and no page breaks less."""
    items = Candidates.of(line=["ads", "ads", "live"], score=[3.0, 2.0, 4.0], utility=[3.0, 2.0, 4.0])
    layout = {"ads": Layout(min_gap=1), "live": Layout(page_floor=2)}
    found = merged(Merge(layout=layout, beam=4), items, 3)
    assert (found.rows.tolist(), found.is_proven) == ([0, 2, 1], True)


def test_refuses_a_floor_above_the_cap():
    layout = {"ads": Layout(page_cap=1, page_floor=2)}
    with pytest.raises(PolicyError, match=r"blend.merge.layout.ads.page_floor: must be <= page_cap 1, got 2"):
        Policy.of(Merge(by="score", layout=layout), lines=["ads"], columns={"score": "number"})


@pytest.mark.parametrize(
    ("rows", "layout", "slots", "best"),
    [
        # Once b stands for B, line A goes on from a to c: the mean of a, b and c is no bound of what A brings.
        ("A a 0; A b -1; A c 4; B b 1.5; C d 1; C e 1", {}, 3, 5.5),
        # x by A is worth more, but only x by B serves B's floor without b2: both have passed by the same rows.
        ("A x 2; A a 1; B x 1; B b 1; B b2 -10; C c 1", {"B": Layout(page_floor=2), "C": Layout(first_slot=4)}, 4, 4.0),
    ],
)
def test_a_beam_knows_items_that_two_lines_bring(rows, layout, slots, best):
    line, item, utility = zip(*(row.split() for row in rows.split(";")), strict=True)
    score = [float(-row) for row in range(len(item))]
    items = Candidates.of(item_id=item, line=line, score=score, utility=[float(one) for one in utility])
    found = merged(Merge(layout=layout, beam=1000), items, slots)
    assert found.value == best
    assert found.is_proven
