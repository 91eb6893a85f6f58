"""The decoder: causal, the same in parts as in one, and bounded, for any weights.

What a page is worth is bounded under these assumptions, and the tests below hold the network to each: nothing above a
slot depends on what stands below it; context moves a logit by no more than its amplitude, whatever it is; the reward of
a slot rises with clicks, and what is below rises with staying (weights >= 0).
"""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from slatewise.models.decoder import Decoder
from slatewise.models.decoder_parts import FAR, MOST_ADS, STATES, Shape, states
from slatewise.models.inputs import Sizes
from slatewise.models.ple import Experts

SIZES = Sizes(numbers=3, keys=(5, 4), context=(3,), history=7, shared=-1, position=9)
SHAPE = Shape(slots=8, width=16, heads=2, bands=(2, 3), hidden=16, experts=2, crossed=2)
ROWS, SLOTS = 13, 8


def network(shape=SHAPE, *, seed=0, spread=1.0):
    """Return a network of random weights, larger ones than networks begin with."""
    torch.manual_seed(seed)
    made = Decoder(SIZES, shape)
    with torch.no_grad():
        for weights in made.parameters():
            weights.add_(spread * 0.3 * torch.randn_like(weights))
        made.scale[:] = torch.tensor([1.3, 0.7])
        made.shift.normal_()
    return made.eval()


def lists(count, *, seed=0, rows=ROWS, dtype=torch.float32):
    """Return lists of which pages have up to three ads."""
    rng = np.random.default_rng(seed)
    is_ad = np.arange(rows) >= rows - 4
    pages = []
    for _ in range(count):
        ads = rng.choice(np.flatnonzero(is_ad), size=rng.integers(4), replace=False)
        page = rng.permutation(np.flatnonzero(~is_ad))[: SLOTS - len(ads)]
        pages.append(np.insert(page, rng.integers(len(page) + 1, size=len(ads)), ads)[:SLOTS])
    return {
        "numbers": torch.from_numpy(rng.normal(size=(count, rows, 3))).to(dtype),
        "keys": torch.from_numpy(rng.integers(5, size=(count, rows, 2)).clip(max=[4, 3])),
        "context": torch.from_numpy(rng.integers(3, size=(count, 1))),
        "history": torch.from_numpy(rng.integers(7, size=(count, 4))),
        "is_ad": torch.from_numpy(np.tile(is_ad, (count, 1))),
        "mask": torch.ones(count, rows, dtype=torch.bool),
        "page": torch.from_numpy(np.stack(pages)),
    }


def in_parts(made, batch, cuts):
    """Return logits by `prepare`, and by `extend` from cut to cut."""
    at, page = made.prepare(batch), batch["page"]
    lists_, slots = torch.arange(len(page))[:, None], torch.arange(page.shape[1])
    keys, values = (one.expand(-1, len(page), -1, -1, -1) for one in made.nothing)
    context = []
    for start, end in pairwise((0, *cuts, page.shape[1])):
        token = at.token[lists_, page[:, start:end], slots[start:end]]
        found = made.extend(token, keys, values, made.mask(start, end - start))
        keys, values = torch.cat([keys, found.keys], dim=3), torch.cat([values, found.values], dim=3)
        context.append(torch.stack([found.click, found.leave]))
    state = states(batch["is_ad"].gather(1, page))
    above = [torch.cat([page[:, :1]] * step + [page[:, :-step]], dim=1) for step in (1, 2)]
    first, second = slots >= 1, slots >= 2
    click = at.click[lists_, page, slots, state] + first * at.pair_click[lists_, page, above[0]]
    click = click + second * at.pair_click_2[lists_, page, above[1]]
    leave = at.leave[lists_, page, slots, state] + first * at.pair_leave[lists_, page, above[0]]
    click_context, leave_context = made.bounded(torch.cat(context, dim=2))
    return (
        click + at.click_amplitude[lists_, page, slots] * click_context,
        leave + at.leave_amplitude[lists_, page, slots] * leave_context,
    )


def test_states_count_ads_above_and_the_slots_since():
    assert states(torch.tensor([[0, 1, 0, 0, 1, 1, 0, 1, 0]])).tolist() == [[0, 0, 1, 2, 3, 7, 13, 14, 13]]
    alone = states(torch.tensor([[1] + [0] * 8]))[0].tolist()
    assert alone == [0, *range(1, FAR + 1), FAR, FAR]
    assert int(states(torch.ones(1, 9)).max()) == 1 + (MOST_ADS - 1) * FAR < STATES


def test_heads_look_at_what_is_above_and_within_their_window():
    seen = (network(SHAPE._replace(heads=1, bands=(2,))).mask(1, 2) == 0).int()
    assert seen.tolist() == [[[[1, 1, 0], [1, 1, 1]], [[1, 1, 0], [0, 1, 1]]]]


@torch.no_grad()
def test_nothing_above_a_slot_depends_on_what_stands_in_it():
    made, batch = network(), lists(6)
    before = made(batch)
    for slot in range(1, SLOTS):
        page = batch["page"].clone()
        unused = [min(set(range(ROWS)) - set(row.tolist())) for row in page]
        page[:, slot] = torch.tensor(unused)
        after = made({**batch, "page": page})
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[:, :slot], new[:, :slot])
        assert not torch.allclose(before.click[:, slot], after.click[:, slot])


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(), (3,), (1, 2, 5)])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_pages_in_parts_are_pages_in_one(cuts, dtype, within):
    made, batch = network().to(dtype), lists(5, dtype=dtype)
    whole = made(batch)
    click, leave = in_parts(made, batch, cuts)
    assert (whole.click - click).abs().max() < within
    assert (whole.leave - leave).abs().max() < within


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {"bands": ()},
        {"experts": 0},
        {"around": 0},
        {"crossed": 0},
        {"ranks": 3},
        {"layers": 1},
        {"bound": float("inf")},
    ],
    ids=lambda one: next(iter(one)),
)
def test_parts_can_be_left_out_and_it_is_the_same_in_parts_as_in_one(changes):
    made, batch = network(SHAPE._replace(**changes)).double(), lists(3, dtype=torch.float64)
    whole = made(batch)
    click, leave = in_parts(made, batch, (2,))
    assert (whole.click - click).abs().max() < 1e-12
    assert (whole.leave - leave).abs().max() < 1e-12


@torch.no_grad()
def test_pages_that_share_a_prefix_are_asked_below_it_together():
    made, batch = network().double(), lists(1, dtype=torch.float64)
    at, chain = made.prepare(batch), batch["page"][0]
    slots = torch.arange(SLOTS)
    top = made.extend(at.token[:, chain[:3], slots[:3]], *made.nothing, made.mask(0, 3))
    tails = torch.stack([chain[3:], chain[3:].flip(0), chain[3:].roll(1)])
    together = made.extend(at.token[0][tails, slots[3:]], top.keys, top.values, made.mask(3, SLOTS - 3))
    for tail, click, leave in zip(tails, together.click, together.leave, strict=True):
        page = torch.cat([chain[:3], tail])
        alone = made.extend(at.token[:, page, slots], *made.nothing, made.mask(0, SLOTS))
        assert (alone.click[0, 3:] - click).abs().max() < 1e-12
        assert (alone.leave[0, 3:] - leave).abs().max() < 1e-12


@torch.no_grad()
def test_candidates_in_any_order_and_rows_that_fill_up_change_nothing():
    made, batch = network().double(), lists(4, dtype=torch.float64)
    whole = made(batch)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    moved = {name: batch[name][:, order] for name in ("numbers", "keys", "is_ad", "mask")}
    page = torch.argsort(order)[batch["page"]]
    assert torch.allclose(made({**batch, **moved, "page": page}).click, whole.click, atol=1e-12)
    filled = {name: torch.cat([batch[name], batch[name][:, :3]], dim=1) for name in moved}
    filled["mask"][:, ROWS:] = False
    assert torch.allclose(made({**batch, **filled}).click, whole.click, atol=1e-12)


@torch.no_grad()
def test_an_infinite_bound_says_what_a_finite_one_may_not():
    free = network(SHAPE._replace(bound=float("inf")), spread=3.0)
    tight = network(SHAPE._replace(bound=0.5), spread=3.0)
    batch = lists(30)
    moved = [(one.click - one.click_ground).abs() for one in (free(batch), tight(batch))]
    assert moved[0].max() > 0.5
    assert moved[1].max() <= 0.5 * 1.3 + 1e-4  # as the scale is 1.3


def rewards(click, leave, worth, cost):
    """Return (b, k) what slots add to a page."""
    stay = np.cumprod(1 - leave, axis=1)
    seen = np.concatenate([np.ones((len(stay), 1)), stay[:, :-1]], axis=1)
    return seen * (click * worth - cost)


def ceiling(found, prefix, worth, cost):
    """Return (b,) the most that pages may be worth below a prefix, slot by slot from the last: max over [low, high]."""

    def chance(logit):
        return logit.double().sigmoid().numpy()

    click, leave = chance(found.click), chance(found.leave)
    high, low = (chance(found.click_ground + sign * found.click_amplitude) for sign in (1, -1))
    stays = [1 - chance(found.leave_ground + sign * found.leave_amplitude) for sign in (1, -1)]
    below = np.zeros(len(click))
    for slot in range(click.shape[1] - 1, prefix - 1, -1):
        here = np.maximum(high[:, slot] * worth[:, slot], low[:, slot] * worth[:, slot]) - cost[:, slot]
        below = here + np.maximum(stays[0][:, slot] * below, stays[1][:, slot] * below)
    above = rewards(click, leave, worth, cost)[:, :prefix].sum(axis=1)
    seen = np.prod(1 - leave[:, :prefix], axis=1)
    return above + seen * below


@torch.no_grad()
@pytest.mark.parametrize(("seed", "spread"), [(0, 0.1), (1, 0.3), (2, 0.6), (3, 1.0)])
def test_no_page_is_worth_more_than_its_bound_below_any_prefix(seed, spread):
    made = network(seed=seed, spread=spread)
    rng = np.random.default_rng(seed)
    batch = lists(3200, seed=seed)
    found = made(batch)
    is_ad = np.take_along_axis(batch["is_ad"].numpy(), batch["page"].numpy(), 1)
    worth = rng.lognormal(size=is_ad.shape) * np.where(is_ad, 3.0, 1.0)
    cost = 0.3 * is_ad * rng.random(is_ad.shape)
    chances = (one.double().sigmoid().numpy() for one in (found.click, found.leave))
    reward = rewards(*chances, worth, cost).sum(axis=1)
    for prefix in range(SLOTS):  # 4 * 3,200 * 8 pairs of a prefix and what follows
        bound = ceiling(found, prefix, worth, cost)
        assert (bound >= reward - 1e-6).all()
    assert np.abs(bound - reward).mean() < np.abs(ceiling(found, 0, worth, cost) - reward).mean()


@torch.no_grad()
def test_experts_are_mixed_by_their_gates():
    torch.manual_seed(0)
    experts, hidden = Experts(6, each=2, inner=3), torch.randn(5, 6)
    click, leave = experts.gated(hidden)
    assert (click.shape, leave.shape) == ((5, 4), (5, 6))
    assert torch.allclose(click.sum(dim=1), torch.ones(5))
    given = torch.relu(experts.experts(hidden)).reshape(5, 6, 3)
    mixed = torch.stack([sum(click[row, j] * given[row, j] for j in range(4)) for row in range(5)])
    assert torch.allclose(experts(hidden)[0], experts.click(mixed)[:, 0], atol=1e-6)


@torch.no_grad()
def test_entropies_are_one_for_even_gates_and_none_for_collapsed_ones():
    experts = Experts(4, each=2)
    experts.gates.weight.zero_()
    experts.gates.bias.zero_()
    assert [float(one) for one in experts.entropies(torch.randn(4))] == pytest.approx([1.0, 1.0])
    experts.gates.bias[:] = torch.tensor([99.0, 0, 0, 0, 0, 99.0, 0, 0, 0, 0])
    assert [float(one) for one in experts.entropies(torch.randn(4))] == pytest.approx([0.0, 0.0], abs=1e-6)
