"""`blend.pace`: shares and budgets held by prices, in closed loop with plants whose fixed point is known."""

import math

import msgspec
import numpy as np
import pytest

from slatewise import Calibrate, Candidates, Control, Feed, Merge, Pace, Policy, PolicyError, Request, Weight
from slatewise.blend.pace import Memory, PacedLine
from slatewise.core.ledger import Entry, Head
from slatewise.methods.control import Law
from slatewise.testing.checks import check_controller

LINES = {"ads": PacedLine(floor=0.3, cap=0.5), "live": PacedLine(floor=0.1, loss=0.25)}
ITEMS = Candidates.of(line=["ads", "posts", "live", "ads"], utility=[0.5, 0.25, 1.0, -0.25])


def entry(line, heads, *, time=0.0, charge=0.0):
    shown = {name: Head(worth, worth, worth) for name, worth in heads.items()}
    worth = heads[line]
    return Entry(
        request="", time=time, slot=1, line=line, item_id="i", value=worth, score=worth, charge=charge, heads=shown
    )


def window(pace, memory, worths, *, time=0.0):
    """Return the ledgers of pages of one slot each, given to the largest worth less price."""
    prices = dict(zip(pace.lines, memory.price, strict=True))
    pages = []
    for heads in worths:
        line = max(heads, key=lambda name: heads[name] - prices.get(name, 0.0))
        pages.append((entry(line, heads, time=time),))
    return pages


def uniform(n, seed):
    """Return pages on which ads are worth 0 to 1, and posts the same."""
    return [{"ads": a, "posts": b} for a, b in np.random.default_rng(seed).random((n, 2)).tolist()]


@pytest.mark.parametrize("method", ["coordinator", "loops"])
def test_keeps_the_promises_of_a_controller(method):
    pace = Pace(lines=LINES, method=method)
    pages = window(pace, pace.init(), uniform(40, 0))
    check_controller(pace, Request(candidates=ITEMS), pages)


def test_a_price_is_the_lines_and_keeps_its_order():
    pace = Pace(lines=LINES)
    memory = pace.advance(pace.init(), window(pace, pace.init(), uniform(100, 0)))
    written = pace.annotate(ITEMS, Request(candidates=ITEMS, control=Control({"blend.pace": memory})))
    price = dict(zip(LINES, memory.price, strict=True))
    assert written["price"].tolist() == [price["ads"], 0.0, price["live"], price["ads"]]
    assert written["utility"].tolist() == [0.5 - price["ads"], 0.25, 1.0 - price["live"], -0.25 - price["ads"]]
    assert written["rate"].tolist() == [1.0] * 4


def test_a_line_without_anything_asked_is_left_alone():
    pace = Pace(lines={"ads": PacedLine()})
    assert pace.advance(pace.init(), window(pace, pace.init(), uniform(100, 0))).price == (0.0,)


@pytest.mark.parametrize("method", ["coordinator", "loops"])
@pytest.mark.parametrize(("line", "price"), [(PacedLine(cap=0.125), 0.5), (PacedLine(floor=0.875), -0.5)])
def test_prices_come_to_where_shares_hold(method, line, price):
    """P(a - nu > b) = (1 - nu)^2 / 2 for uniform a and b, so 1/8 of the slots are won at nu = 1/2."""
    pace = Pace(lines={"ads": line}, method=method, law=Law(gain=2.0), slots=2_000)
    memory, seen = pace.init(), []
    for step in range(60):
        memory = pace.advance(memory, window(pace, memory, uniform(500, step)))
        seen.append(memory.price[0])
    assert np.mean(seen[30:]) == pytest.approx(price, abs=0.03)


def test_a_floor_that_cannot_be_met_costs_its_loss():
    pace = Pace(lines={"live": PacedLine(floor=0.5, loss=0.25)})
    memory = pace.init()
    for _ in range(5):
        memory = pace.advance(memory, window(pace, memory, [{"live": 0.0, "posts": 1.0}] * 50))
    assert memory.price == (-0.25,)


def rate(pace, memory):
    control = Control({"blend.pace": memory})
    return pace.annotate(ITEMS, Request(candidates=ITEMS, control=control))["rate"][0]


def test_a_rate_comes_to_where_a_budget_holds():
    """Spending is what shading by the rate would spend, 2 / rate per page: 1 per page is due at a rate of 2."""
    pace = Pace(lines={"ads": PacedLine(budget=2_400.0)}, period_s=86_400.0)
    memory, seen = pace.init(), []
    for step in range(400):
        charge = 2.0 / rate(pace, memory)
        time = 360.0 * (step + 1)
        pages = [(entry("ads", {"ads": 1.0}, time=time, charge=charge),)] * 10
        if memory.spent[0] + 10 * charge > 2_400.0:
            pages = [(entry("ads", {"ads": 1.0}, time=time, charge=0.0),)] * 10
        memory = pace.advance(memory, pages)
        seen.append(math.exp(memory.budgets[0].dual))
    assert np.mean(seen[100:200]) == pytest.approx(2.0, rel=0.05)


def test_a_budget_that_is_spent_ends_spending_until_the_next_period():
    pace = Pace(lines={"ads": PacedLine(budget=5.0)}, period_s=1_000.0)
    memory = pace.advance(pace.init(), [(entry("ads", {"ads": 1.0}, time=10.0, charge=5.0),)])
    assert rate(pace, memory) == 1e4
    memory = pace.advance(memory, [(entry("ads", {"ads": 1.0}, time=1_001.0, charge=0.0),)])
    assert rate(pace, memory) < 10.0


def test_prices_and_rates_fade_to_neutral_and_spent_budgets_too():
    pace = Pace(lines={"ads": PacedLine(cap=0.125, budget=5.0), "live": PacedLine(budget=50.0)}, period_s=1_000.0)
    memory = pace.advance(pace.init(), [(entry("ads", {"ads": 1.0, "live": 0.5}, time=10.0, charge=5.0),)] * 20)
    found = []
    for share in (0.0, 0.25, 0.5, 1.0):
        request = Request(candidates=ITEMS, control=Control({"blend.pace": pace.faded(memory, share)}))
        written = pace.annotate(ITEMS, request)
        found.append((written["price"][0] / memory.price[0], written["rate"][0], written["rate"][2]))
    assert memory.price[0] > 0.1
    assert [price for price, _, _ in found] == pytest.approx([1.0, 0.75, 0.5, 0.0])
    assert [rate for _, rate, _ in found] == pytest.approx([1e4, 1e3, 1e2, 1.0])
    assert [rate for _, _, rate in found] == [1.0] * 4


def standing(page, pages):
    return tuple(msgspec.structs.replace(one, pages=pages) for one in page)


@pytest.mark.parametrize("method", ["coordinator", "loops"])
def test_a_page_that_stands_for_three_has_spent_and_shown_as_much_as_three(method):
    pace = Pace(lines={"ads": PacedLine(cap=0.5, budget=9.0)}, method=method)
    won, lost = ((entry(line, {"ads": 1.0, "posts": 0.5}, charge=0.5),) for line in ("ads", "posts"))
    fair, over = (pace.advance(pace.init(), [standing(won, pages), lost]) for pages in (1.0, 3.0))
    assert (fair.spent, over.spent) == ((0.5,), (1.5,))
    assert fair.shares.loops[0].dual == 0.0
    assert over.shares.loops[0].dual > 0.0 if method == "loops" else over.short[1] < fair.short[1] == (0.0,)


@pytest.mark.parametrize("method", ["coordinator", "loops"])
def test_shares_of_a_sample_are_no_surer_for_what_the_sample_stands_for(method):
    pace = Pace(lines={"ads": PacedLine(cap=0.25)}, method=method)
    sample = window(pace, pace.init(), uniform(100, 0))
    alone, standing_in = (pace.advance(pace.init(), [standing(page, pages) for page in sample]) for pages in (1.0, 8.0))
    assert standing_in == alone


@pytest.mark.parametrize("size", [1, 10])
def test_a_rate_is_right_however_irregular_arrivals_are(size):
    """The same plant with random gaps between pages, and windows as short as a page."""
    rng = np.random.default_rng(0)
    pace = Pace(lines={"ads": PacedLine(budget=24_000.0)})
    memory, seen, time = pace.init(), [], 0.0
    for _ in range(18_000 // size):
        charge, pages = 2.0 / rate(pace, memory), []
        for gap in rng.exponential(3.6, size).tolist():
            time += gap
            pages.append((entry("ads", {"ads": 1.0}, time=time, charge=charge),))
        memory = pace.advance(memory, pages)
        seen.append(math.exp(memory.budgets[0].dual))
    assert np.mean(seen[len(seen) // 2 :]) == pytest.approx(2.0, rel=0.08)


def test_what_is_remembered_stays_finite_whatever_comes():
    pace = Pace(lines={"ads": PacedLine(floor=0.25, cap=0.5, budget=1e-300)})
    memory = pace.init()
    for time, charge, heads in [(1e5, 1.0, {"ads": 1.0}), (1e5 + 1e-10, 1e30, {"ads": 1e30}), (2e5, 1e30, {})]:
        one = entry("ads", heads or {"ads": 1.0}, time=time, charge=charge)
        memory = pace.advance(memory, [(msgspec.structs.replace(one, heads=one.heads if heads else {}),)])
        control = Control({"blend.pace": memory})
        assert Control.restore(control.snapshot(), {"blend.pace": Memory}) == control


def test_pages_that_come_in_late_do_not_begin_a_period_again():
    pace = Pace(lines={"ads": PacedLine(budget=5.0)}, period_s=1_000.0)
    memory = pace.init()
    for time, charge in [(999.0, 3.0), (1_001.0, 4.0), (998.0, 3.0), (1_002.0, 0.5)]:
        memory = pace.advance(memory, [(entry("ads", {"ads": 1.0}, time=time, charge=charge),)])
    assert memory.spent == (4.5,)
    both = [(entry("ads", {"ads": 1.0}, time=time, charge=1.0),) for time in (2_001.0, 1_999.0)]
    assert pace.advance(memory, both).spent == (1.0,)


@pytest.mark.parametrize("method", ["coordinator", "loops"])
def test_a_snapshot_of_other_lines_keeps_each_lines_own(method):
    old = Pace(lines={"ads": PacedLine(cap=0.25), "live": PacedLine(floor=0.5)}, method=method)
    memory = old.advance(old.init(), window(old, old.init(), uniform(300, 1)))
    price = dict(zip(old.lines, memory.price, strict=True))
    for names in (["live", "ads"], ["shop", "ads"], ["ads"], ["shop", "live", "ads"]):
        new = Pace(lines={name: PacedLine(floor=0.1) for name in names}, method=method)
        control = Control.restore(Control({"blend.pace": memory}).snapshot(), {"blend.pace": Memory})
        items = Candidates.of(line=names, utility=[0.0] * len(names))
        written = new.annotate(items, Request(candidates=items, control=control))
        assert written["price"].tolist() == [price.get(name, 0.0) for name in names]
        check_controller(new, Request(candidates=items), window(new, new.init(), uniform(40, 0)))
        moved = new.advance(control.memories["blend.pace"], window(new, new.init(), uniform(40, 0)))
        assert moved.lines == tuple(names)
        assert len(moved.price) == len(names)


@pytest.mark.parametrize(
    ("less", "aid", "line"),
    [
        (0.6, 0.4, PacedLine(floor=0.4)),
        (0.3, -0.4, PacedLine(floor=0.3)),
        (0.3, 0.4, PacedLine(cap=0.4)),
        (0.3, -0.1, PacedLine(cap=0.1)),
    ],
)
def test_shares_hold_where_pages_answer_otherwise_than_worths_say(less, aid, line):
    """Pages favour a line, or pass over it, for reasons that no head's worth tells."""
    pace = Pace(lines={"ads": line})
    memory, won = pace.init(), []
    for step in range(80):
        price, pages = memory.price[0], []
        for heads in uniform(500, step):
            ads = heads["ads"] - less
            pages.append((entry("ads" if ads + aid - price > heads["posts"] else "posts", {**heads, "ads": ads}),))
        won.append(sum(page[0].line == "ads" for page in pages) / 500)
        memory = pace.advance(memory, pages)
    assert np.mean(won[40:]) == pytest.approx(line.floor or line.cap, abs=0.02)


@pytest.mark.parametrize("later", [5.0, 10.0, 100_010.0])
def test_a_clock_that_jumps_moves_no_rate(later):
    pace = Pace(lines={"ads": PacedLine(budget=500.0)})
    memory = pace.advance(pace.init(), [(entry("ads", {"ads": 1.0}, time=10.0, charge=1.0),)])
    after = pace.advance(memory, [(entry("ads", {"ads": 1.0}, time=later, charge=1.0),)])
    assert after.budgets == memory.budgets


def test_a_quiet_hour_is_not_made_up_for():
    """The same spending in the same time: at night it is too much for the traffic, at noon too little."""
    pace = Pace(lines={"ads": PacedLine(budget=2_400.0)}, hours="avito")
    moved = {}
    for hour in (3, 12):
        first = pace.advance(pace.init(), [(entry("ads", {"ads": 1.0}, time=3_600.0 * hour, charge=0.0),)])
        pages = [(entry("ads", {"ads": 1.0}, time=3_600.0 * hour + 360.0, charge=1.0),)] * 10
        moved[hour] = rate(pace, pace.advance(first, pages))
    assert moved[3] > 1.0 > moved[12]


def test_a_restored_snapshot_gives_the_same_pages():
    pace = Pace(lines={"ads": PacedLine(cap=0.25)})
    policy = Policy.of(
        Calibrate(lines={}), Weight(), pace, Merge(), lines=["ads", "posts"], columns={"score": "number"}, slots=2
    )
    items = Candidates.of(item_id=["a", "b", "c"], line=["ads", "posts", "ads"], score=[0.75, 0.5, 0.625])
    control = Control({"blend.pace": pace.advance(pace.init(), window(pace, pace.init(), uniform(300, 1)))})
    again = Feed(policy).restore(control.snapshot())
    pages = [Feed(policy).compose(Request(candidates=items, control=one)).encode() for one in (control, again)]
    assert pages[0] == pages[1]
    assert pages[0] != Feed(policy).compose(Request(candidates=items)).encode()


@pytest.mark.parametrize(
    ("pace", "message"),
    [
        (Pace(lines={"add": PacedLine()}), r"pace.lines.add: must be a line .* did you mean 'ads'"),
        (Pace(lines={"ads": PacedLine(floor=0.5, cap=0.25)}), r"pace.lines.ads.floor: must be <= cap = 0.25, got 0.5"),
        (Pace(lines={"ads": PacedLine(budget=5.0)}), r"pace.lines.ads.budget: must be 0, got 5.0; rates are for"),
        (Pace(lines={"ads": PacedLine(cap=0.5), "posts": PacedLine(cap=0.25)}), r"pace.lines: must have caps of at"),
        (Pace(lines={"ads": PacedLine(floor=0.75), "posts": PacedLine(floor=0.5)}), r"pace.lines: must have floors"),
        (Pace(lines={"ads": PacedLine()}, anchor="posts"), r"pace.anchor: must be a line in `lines`, got 'posts'"),
    ],
)
def test_refuses(pace, message):
    with pytest.raises(PolicyError, match=message):
        Policy.of(pace, Merge(), lines=["ads", "posts"], columns={"utility": "number"})
