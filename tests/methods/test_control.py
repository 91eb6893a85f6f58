"""Controllers: the family, its guards, the delay rule, and signed prices on plants whose fixed point is known."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from scipy.optimize import minimize

from slatewise.methods.control import Gain, Law, Loop, aimed, damping, fair, stopped
from slatewise.methods.coordinate import NEVER, Prices, Pull, Wanted, coordinated
from slatewise.methods.loops import Loops, steered
from slatewise.methods.traffic import AVITO, DAY, EVEN, HOUR, weight

FAR = np.inf
ERRORS = [0.5, -0.25, 1.0, 0.125, -1.0]


def moved(law, errors=ERRORS, low=-100.0, high=100.0):
    return Loop().moved(law.row(low, high), errors).dual


@pytest.mark.parametrize("mirror_of", ["gradient", "average", "momentum", "optimistic", "pid"])
def test_a_law_is_a_weighted_sum_of_past_gradients(mirror_of):
    law = Law(kind=mirror_of, gain=0.5, decay=0.5, proportional=2.0, integral=0.25, derivative=0.5, most=100.0)
    weights = {
        "gradient": [1.0],
        "average": [0.5 * 0.5**age for age in range(5)],
        "momentum": [0.5**age for age in range(5)],
        "optimistic": [2.0, -1.0],
        "pid": [2.75, -3.0, 0.5],
    }[mirror_of]
    total = sum(weight * ERRORS[at - age] for at in range(5) for age, weight in enumerate(weights) if at - age >= 0)
    assert moved(law) == -0.5 * total


def test_a_pid_is_its_textbook_form():
    law = Law(kind="pid", gain=1.0, proportional=2.0, integral=0.25, derivative=0.5, most=100.0)
    textbook = 2.0 * ERRORS[-1] + 0.25 * sum(ERRORS) + 0.5 * (ERRORS[-1] - ERRORS[-2])
    assert moved(law) == -textbook


def test_a_loop_that_was_held_at_a_bound_leaves_it_at_once():
    law = Law(kind="momentum", gain=1.0, decay=0.5, most=100.0).row(-1.0, 1.0)
    assert Loop().moved(law, [-4.0, -4.0, -4.0]).dual == 1.0
    assert Loop().moved(law, [-4.0, -4.0, -4.0, 0.5]).dual == 0.5


def test_guards_hold():
    assert moved(Law(gain=10.0, most=0.25), [-1.0]) == 0.25
    assert moved(Law(gain=1.0, dead_band=0.5), [0.5, -0.5]) == 0.0
    assert moved(Law(gain=0.0)) == 0.0


def test_an_adaptive_step_needs_no_unit():
    law = Law(gain=1.0, memory=4, most=100.0)
    start = Loop(squares=0.0, count=0.0)
    many = [3.0, -1.0, 2.0, 2.0, -1.0, 0.5]
    one = start.moved(law.row(-100.0, 100.0), many)
    assert start.moved(law.row(-100.0, 100.0), [8.0 * error for error in many]).dual == pytest.approx(one.dual)
    # The sum of the last four or so: six gradients were seen, and each of the last two took a fifth off the sum.
    assert one.squares == pytest.approx(((9 + 1 + 4 + 4) * 0.8 + 1) * 0.8 + 0.25)


@pytest.mark.parametrize("lag", [0, 1, 3, 10])
def test_the_delay_rule_takes_half_the_step_at_which_a_loop_swings_for_ever(lag):
    law, gain = Law(gain=1e6, most=1e9), 4.0
    safe = damping(law, law.gain, gain, lag=lag) * law.gain * gain
    sizes = []
    for times in (1.0, 1.9, 2.1):
        level = [1.0] * (lag + 1)
        for _ in range(2_000):
            level.append(level[-1] - times * safe * level[-1 - lag])
        sizes.append(max(abs(one) for one in level[-50:]))
    assert sizes[0] < 1e-9
    assert sizes[1] < 1.0 < sizes[2]


def test_the_local_gain_is_found_from_moves_and_answers():
    gain, rng = Gain(guess=1.0), np.random.default_rng(0)
    for _ in range(200):
        dual = float(rng.normal(0, 0.5))
        gain = gain.seen(dual, 0.4 - 3.0 * dual + float(rng.normal(0, 0.01)))
    assert gain.estimate == pytest.approx(3.0, rel=0.02)


def test_signed_prices_stop_where_neither_floor_nor_cap_binds():
    assert stopped(Loop(dual=0.2), Loop(dual=-0.1)).dual == 0.0
    assert stopped(Loop(dual=0.2), Loop(dual=0.1)).dual == 0.1
    assert aimed(0.0, 0.05, 0.1, 0.3) == 0.1


def linear(price):
    """Return the share of a line whose rivals are worth 0 to 1 more, at a price."""
    return min(max(0.6 - price, 0.0), 1.0)


@pytest.mark.parametrize(
    ("floor", "cap", "loss", "price"),
    [(0.0, 0.25, FAR, 0.35), (0.75, 1.0, FAR, -0.15), (0.75, 1.0, 0.0625, -0.0625), (0.5, 0.75, FAR, 0.0)],
)
@pytest.mark.parametrize("lag", [0, 3])
def test_a_line_comes_to_the_price_that_holds_its_share(floor, cap, loss, price, lag):
    wanted = Wanted(np.array([floor, 0.0]), np.array([cap, 1.0]), np.array([loss, FAR]))
    loops, due = Loops.start(2), []
    for _ in range(600):
        share = linear(loops.duals[0])
        due.append(np.array([share, 1 - share]) * 500)
        loops = (
            steered(loops, due.pop(0), wanted, Law(gain=100.0), scale=1.0, lag=lag)
            if len(due) > lag
            else (loops.waiting())
        )
    assert loops.duals[0] == pytest.approx(price, abs=1e-3)


def test_the_coordinator_makes_good_what_a_line_was_kept_from():
    """A layout rule takes every fourth win of the first line: prices that split worths alone would leave it short."""
    rng = np.random.default_rng(3)
    wanted = Wanted(np.array([0.45, 0.0]), np.ones(2), np.full(2, FAR))
    totals = {}
    for catch_up in (0.0, 5_000.0):
        prices, won = Prices.start(2), 0
        for _ in range(120):
            worth = rng.random((500, 2))
            wins = np.flatnonzero(worth[:, 0] - prices.price[0] > worth[:, 1])
            mine = wins[np.arange(len(wins)) % 4 > 0]
            counts = np.array([len(mine), 500.0 - len(mine)])
            won += len(mine)
            prices = coordinated(prices, worth, counts, wanted, Pull(catch_up=catch_up))
        totals[catch_up] = won / 60_000
    assert totals[0.0] < 0.39
    assert totals[5_000.0] > 0.43


def test_prices_are_found_although_a_line_has_nothing_to_show():
    worth = np.array([[1.0, NEVER], [2.0, 1.5], [3.0, NEVER], [4.0, 1.0]])
    half = np.full(2, 0.5)
    found = coordinated(Prices.start(2), worth, np.zeros(2), Wanted(half, half, np.full(2, FAR), 0), Pull(trend=0.0))
    assert found.price[0] == 0.0
    assert np.argmax(worth - found.price, axis=1).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_fair_duals_are_the_nearest_in_their_domain(seed):
    rng = np.random.default_rng(seed)
    dual, loss = rng.normal(0, 2, 4), 1.0
    owed = {"type": "ineq", "fun": lambda y: loss - np.maximum(-y, 0).sum()}
    nearest = minimize(lambda y: np.square(y - dual).sum(), np.abs(dual), constraints=owed, tol=1e-12).x
    assert fair(dual, loss) == pytest.approx(nearest, abs=1e-4)


def test_traffic_adds_up():
    assert weight(0.0, DAY, AVITO) == pytest.approx(DAY)
    pieces = np.linspace(5_000.0, 5_000.0 + 2.3 * DAY, 40)
    parts = sum(weight(start, end, AVITO) for start, end in pairwise(pieces))
    assert weight(pieces[0], pieces[-1], AVITO) == pytest.approx(parts)
    assert weight(HOUR / 2, 3 * HOUR, EVEN) == 2.5 * HOUR


def test_loops_survive_json():
    loops = steered(
        Loops.start(2), np.array([3.0, 1.0]), Wanted(np.zeros(2), np.full(2, 0.5), np.ones(2)), Law(), scale=1
    )
    assert msgspec.json.decode(msgspec.json.encode(loops), type=Loops) == loops
