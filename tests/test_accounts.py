"""Ledgers: what a slot was given to, what its score was made of, and what it took from the others."""

from math import fsum
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise import Candidates, Feed, Govern, Layout, Merge, Policy, Request, Shade, Solve, Weight
from slatewise.accounts import displaced, displaced_by_rank, is_separable
from slatewise.blend.govern import Governed, Plan
from slatewise.core.control import Control
from slatewise.core.stage import Annotator

LINES = ["posts", "ads", "live"]
PLANS = {"launch": Plan(lines={"live": 0.75}, budget=100.0), "fair": Plan(lines={"ads": 0.1}, budget=100.0)}
LAYOUT = {"ads": Layout(first_slot=2, min_gap=1), "live": Layout(page_cap=2, page_floor=1, gap_effect=(0.5,))}
HEAD = {"lines": LINES, "columns": {"score": "number", "value": "number"}}


class Toll(Annotator, frozen=True):
    """A price by line, as a stage that paces would write it."""

    section: ClassVar[str] = "blend.pace"

    @property
    def reads(self):
        return {"utility": "number"}

    @property
    def writes(self):
        return {"price": "number", "utility": "number"}

    def annotate(self, candidates, request):
        price = np.array([0.3, -0.2, 0.1])[candidates.key("line").codes]
        return {"price": price, "utility": candidates.number("utility") - price}


@st.composite
def pages(draw):
    """Draw candidates of three lines, some items twice, with values that are exact in binary."""
    drawn = np.random.default_rng(draw(st.integers(0, 100_000)))
    n = int(drawn.integers(0, 13))
    item, line = drawn.integers(0, 10, n).tolist(), drawn.integers(0, 3, n).tolist()
    pairs = sorted(set(zip(item, line, strict=True)))
    item, line = [one for one, _ in pairs], [LINES[one] for _, one in pairs]
    score, value = drawn.choice([-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 4.0], (2, len(item)))
    return Request(
        id=f"r{draw(st.integers(0, 9))}",
        candidates=Candidates.of(item_id=item, line=line, score=score, value=value),
        slots=draw(st.integers(1, 6)),
    )


def feed(*stages, **head):
    return Feed(Policy.of(*stages, **{**HEAD, **head}))


POLICIES = {
    "plain": feed(Merge(by="value", exposure="reciprocal")),
    "gaps": feed(Merge(by="value", layout={"live": Layout(gap_effect=(0.25,))})),
    "searched": feed(Merge(by="value", exposure="reciprocal", beam=8)),
    "limits": feed(Weight(lines={"ads": 0.5}), Toll(), Govern(plans=PLANS), Merge(layout=LAYOUT, exposure="log")),
    "queues": feed(Weight(lines={"live": 2.0}), Govern(plans=PLANS), Merge(layout=LAYOUT, compete="prefix", beam=8)),
    "solved": feed(Weight(), Govern(plans=PLANS), Merge(depth=2, layout=LAYOUT), Solve(method="greedy")),
}


@pytest.mark.parametrize("policy", POLICIES)
@given(pages())
def test_terms_add_up_to_what_the_page_went_by(policy, request_):
    served, ledger = POLICIES[policy].compose(request_), POLICIES[policy].account(request_)
    assert [(entry.slot, entry.item_id, entry.line) for entry in ledger] == [
        (item.slot, item.item_id, item.line) for item in served.items
    ]
    for entry, item in zip(ledger, served.items, strict=True):
        assert fsum([entry.value, *entry.terms.values()]) == pytest.approx(entry.score, abs=1e-9)
        own = fsum([entry.score, *(-entry.terms.get(name, 0.0) for name in ("gap", "queue"))])
        assert own == pytest.approx(item.utility, abs=1e-9)
        assert entry.heads[entry.line].score == entry.score


@pytest.mark.parametrize("policy", POLICIES)
@given(pages())
def test_a_line_is_charged_what_the_others_lose_by_it(policy, request_):
    """A slow twin: compose the page once more from the candidates of the other lines."""
    one = POLICIES[policy]
    served, ledger = one.compose(request_), one.account(request_)
    for line in {entry.line for entry in ledger}:
        charged = fsum(entry.charge for entry in ledger if entry.line == line)
        others = request_.candidates.conform(HEAD["columns"], LINES)
        if policy == "solved":
            continue  # what the first selector passes on would change, too
        others = others.take(others.key("line").codes != LINES.index(line))
        alone = one.compose(Request(id=request_.id, candidates=others, slots=request_.slots))
        assert charged == pytest.approx(alone.value - kept(one, served, ledger, line), abs=1e-9)


def kept(one, served, ledger, line):
    """Return what lines but one bring to a page: exposure times score, without what a queue adds to it."""
    exposure = {"reciprocal": lambda k: 1 / k, "log": lambda k: 1 / np.log2(1 + k), "flat": lambda k: 1.0}
    weigh = exposure[one.policy.stages[-1].exposure]
    return fsum(
        weigh(entry.slot) * (entry.score - entry.terms.get("queue", 0.0)) for entry in ledger if entry.line != line
    )


@given(pages(), st.sampled_from(["flat", "reciprocal", [1.0, 0.25, 0.5]]))
def test_the_formula_for_ranks_is_what_composing_gives(request_, exposure):
    merge = Merge(by="value", exposure=exposure)
    one = feed(merge)
    page = one._chosen(one.policy.admit(request_), one._plan, trace=True)
    if not is_separable(merge, page.candidates, page.constraints):
        assert page.candidates.repeats
        return
    codes, gains = page.candidates.key("line").codes, merge.gains(page.candidates, page.solution.rows, page.constraints)
    for line in set(codes[page.solution.rows].tolist()):
        slots = np.flatnonzero(codes[page.solution.rows] == line)
        assert displaced_by_rank(page, line, slots) == pytest.approx(displaced(page, line, slots, gains), abs=1e-12)


@given(pages())
def test_charges_are_what_they_should_be_for_one_slot(request_):
    """One slot, one winner: the second highest head, as in an auction of that kind."""
    request_ = Request(candidates=request_.candidates.with_columns({"score": request_.candidates.number("value")}))
    one = feed(Merge(by="value"), slots=1)
    for entry in one.account(request_):
        rivals = [head.score for line, head in entry.heads.items() if line != entry.line]
        if not request_.candidates.repeats:
            assert entry.charge == max(rivals, default=0.0)
            assert entry.margin == (entry.score - max(rivals) if rivals else 0.0)


def test_an_entry_by_hand():
    """Ads: 4 * 0.5 - (-0.2) + 0.1 = 2.3; live: 1.5 - 0.1 + 0.75 = 2.15, without its plan 1.4; posts: 2 - 0.3 = 1.7."""
    items = Candidates.of(
        item_id=["a", "p", "v"], line=["ads", "posts", "live"], score=[1.0, 1.0, 1.0], value=[4.0, 2.0, 1.5]
    )
    one = feed(Weight(lines={"ads": 0.5}), Toll(), Govern(plans=PLANS), Merge(), slots=2)
    first, second = one.account(Request(id="r", time=7.0, candidates=items))
    assert (first.line, first.runner_up, first.value, first.request, first.time) == ("ads", "live", 4.0, "r", 7.0)
    assert first.terms == pytest.approx({"weight": -2.0, "price": 0.2, "boost.fair": 0.1})
    assert first.margin == pytest.approx(2.3 - 2.15)
    assert first.charge == pytest.approx(2.15 + 1.7 - 2.15)
    assert first.without == {}
    assert second.without == {"launch": "posts"}
    assert second.heads.keys() == {"live", "posts"}
    assert (second.heads["posts"].value, second.heads["posts"].worth) == (2.0, 2.0)
    assert second.heads["posts"].score == pytest.approx(1.7)
    assert second.charge == pytest.approx(1.7)


def test_a_rule_that_decided_shows_as_a_negative_margin():
    items = Candidates.of(item_id=["a", "p"], line=["ads", "posts"], score=[9.0, 1.0], value=[9.0, 1.0])
    one = feed(Merge(by="value", layout={"ads": Layout(first_slot=2)}), slots=2)
    first, _ = one.account(Request(candidates=items))
    assert (first.line, first.runner_up, first.margin) == ("posts", "ads", -8.0)


def test_a_plan_took_the_slot_from_a_line_that_may_have_it():
    """Ads are worth most, and may not stand on top: without the plan for live, posts would."""
    items = Candidates.of(
        item_id=["a", "p", "v"], line=["ads", "posts", "live"], score=[1.0] * 3, value=[9.0, 2.0, 1.5]
    )
    plans = {"launch": PLANS["launch"]}
    one = feed(Weight(), Govern(plans=plans), Merge(layout={"ads": Layout(first_slot=2)}), slots=1)
    assert one.account(Request(candidates=items))[0].without == {"launch": "posts"}


def test_charges_know_the_page_before():
    """Ads were last: without the live item, the gap would leave slot 1 to posts, and an ad in slot 2."""
    items = Candidates.of(
        item_id=["x", "a", "p", "v"], line=["ads", "ads", "posts", "live"], score=[9.0, 8.0, 1.0, 5.0]
    )
    merge = Merge(by="score", layout={"ads": Layout(min_gap=1)}, exposure=[1.0, 0.5])
    one = feed(merge, columns={"score": "number"}, slots=2)
    state = one.compose(Request(candidates=items.take([0]), slots=1)).state
    first, second = one.account(Request(candidates=items, state=state))
    assert (first.line, second.line) == ("live", "ads")
    assert first.charge == (1.0 + 8.0 / 2) - 8.0 / 2


def test_charges_know_that_others_may_change_their_order():
    """With live on top the best template goes on with p and a; without it, a goes first, for the sake of a2."""
    items = Candidates.of(
        item_id=["a", "a2", "p", "v"], line=["ads", "ads", "posts", "live"],
        score=[2.0, 1.0, 1.0, 1.0], value=[0.0, 4.0, 1.0, 3.5],
    )  # fmt: skip
    one = feed(Merge(by="value", beam=8, exposure=[1.0, 1.0, 0.0]), slots=3)
    ledger = one.account(Request(candidates=items))
    assert {entry.line: entry.charge for entry in ledger}["live"] == (0.0 + 4.0) - (1.0 + 0.0)


def test_own_scores_are_charged_where_the_policy_says_so():
    items = Candidates.of(item_id=["a", "p"], line=["ads", "posts"], score=[9.0, 1.0], value=[9.0, 1.0])
    for said in (Govern(accounting="own"), Shade(accounting="own")):
        one = feed(Weight(), said, Merge(exposure=[1.0, 0.5]), slots=2)
        assert [entry.charge for entry in one.account(Request(candidates=items))] == [9.0, 0.5]


@given(pages(), st.floats(0, 200))
def test_pages_are_the_same_after_a_snapshot(request_, spent):
    one = POLICIES["limits"]
    control = Control({"blend.govern": Governed(spent={"launch": spent})})
    control = one.advance(control, [one.account(request_)])
    again = one.restore(control.snapshot())
    assert again == control
    before, after = (Request(id="r", candidates=request_.candidates, control=each) for each in (control, again))
    assert one.compose(before, trace=True).encode() == one.compose(after, trace=True).encode()
    assert one.account(before) == one.account(after)
