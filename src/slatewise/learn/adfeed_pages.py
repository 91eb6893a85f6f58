"""Pages of the feed with ads by what they are truly worth, beside the best of all.

Each request of a log is composed again by a decoder, and what comes of every page is computed and not drawn:

    R = sum_t seen_t * (click_t * (bid_t + engagement * value_t) - load_price * cost_t)

`best` is the page of largest R that the rules of the feed allow, found by looking at all of them; so nothing can be
above it, and a page that is not among them breaks a rule. Cost: some 20 ms a request, most of them to decode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, final

import msgspec
import numpy as np

from slatewise.compose.decode import Decode, Reward
from slatewise.core.columns import Numbers
from slatewise.core.constraints import Constraints
from slatewise.core.errors import RequestError
from slatewise.core.request import Request
from slatewise.core.rules import Rule
from slatewise.evaluate.adfeed import AdRequest, Rows, allowed, optimum, parts, patterns, requested, reward, truth
from slatewise.evaluate.adworld import AdWorld, Catalogue
from slatewise.evaluate.intervals import Interval, mean_by_cluster
from slatewise.feed import Feed
from slatewise.kernels.insertion_search import Asked, gains_of
from slatewise.learn.adfeed import item_name, request_of
from slatewise.learn.pages import Pages
from slatewise.methods.insertion_pages import tables_of
from slatewise.models.decoding import Prefixes, prepared
from slatewise.models.model import Model

NAMED = "adfeed-"
"""How the log's requests are named, up to their number."""
BEST, DECODED, STAGED, NONE, LOGGED = "best of all", "exact", "staged", "no ads", "as logged"
THOUSAND = 1_000
RESAMPLES = 999
TOGETHER = 64
"""Pages that are asked side by side."""


@final
class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """What pages of one kind are truly worth, each figure a mean over requests.

    Attributes:
        reward: R, with an interval over readers.
        of_best: R in all, as a share of that of the best pages.
        promised: What the decoder took them to be worth; None where it was not asked.
        ctr: Clicks on slots that are seen.
        rpm: What clicks are paid, of a thousand pages.
        engagement: Of a page.
        ads: On a page.
        broken: Pages that the rules of the feed do not allow.
    """

    reward: Interval
    of_best: float
    promised: float | None
    ctr: float
    rpm: float
    engagement: float
    ads: float
    broken: int


@final
class AdFeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """What pages of the feed with ads are truly worth.

    Attributes:
        requests: How many were composed.
        orders: Kind of page to what these are worth; `best of all` is the most there is.
    """

    requests: int
    orders: dict[str, Worth]


class Landscape(NamedTuple):
    """What the pages of one request are worth, by the slots of their ads: the best ads for each.

    Attributes:
        slots: Slots that ads may have, from 1.
        predicted: (m, m) what a decoder expects: above the diagonal of two ads, by their slots; on it of one; NaN where
            no page is.
        true: (m, m) likewise, what it truly is; the ads are those that are truly best.
        without: What the page without ads is worth: expected, and truly.
        marks: What was served, or would be best, to the slots of its ads, what is expected of it, and what it is worth.
    """

    slots: tuple[int, ...]
    predicted: Numbers
    true: Numbers
    without: tuple[float, float]
    marks: Mapping[str, tuple[tuple[int, ...], float, float]]


class Outcome(NamedTuple):
    """What truly comes of a page.

    Attributes:
        paid: What its clicks are paid.
        engagement: What they are to the reader.
        cost: What showing its ads takes, in units of `load_price`.
        clicks: How many there are.
        seen: Slots that are seen.
    """

    paid: float
    engagement: float
    cost: float
    clicks: float
    seen: float


def is_adfeed(pages: Pages, world: AdWorld, stock: Catalogue) -> bool:
    """Return whether a log is of the feed with ads, as it is here: same requests, same scores."""
    if not all(name.startswith(NAMED) and name.removeprefix(NAMED).isdigit() for name in pages.request.tolist()):
        return False
    own = np.sort(requested(world, stock, numbers_of(pages)[0]).score)
    logged = np.sort(pages.numbers["score"][: pages.lengths[0]])
    return len(own) == len(logged) and bool(np.allclose(own, logged, rtol=1e-6))


def numbers_of(pages: Pages) -> list[int]:
    """Return the numbers of the requests of a log of the feed with ads."""
    return [int(name.removeprefix(NAMED)) for name in pages.request.tolist()]


def stage_of(model: Model, world: AdWorld, **fields: object) -> Decode:
    """Return a decoder's stage with the prices and slots of the feed."""
    paid = Reward(engagement="value", cost="cost", engagement_weight=world.engagement, ad_weight=world.load_price)
    told = {"insert": world.most, "positions": (world.first, world.last), "reward": paid, "by": "score"}
    return Decode(model=model, **{**told, **fields})  # pyright: ignore[reportArgumentType]


def rules_of(stage: Decode, world: AdWorld, request: Request) -> Constraints:
    """Return the rules of the feed on a request: where a decoder's stage has ads, and how far apart they stand."""
    apart = Rule(name="ads apart", group={"line": "ads"}, every=world.gap, at_most=1)
    return Constraints([*stage.hard_rules, apart], request.candidates, world.length)


def worths(
    model: Model, pages: Pages, *, world: AdWorld, stock: Catalogue, feed: Feed | None = None, seed: int = 0
) -> AdFeedReport:
    """Return what pages are truly worth.

    Args:
        model: A decoder.
        pages: A log of the feed with ads, whose requests are composed again.
        world: What the feed is made of.
        stock: Its readers, posts and ads.
        feed: A policy whose pages to look at as well; it may have other weights and rules.
        seed: Root of the draws of intervals.

    Raises:
        RequestError: The log is of another feed.
    """
    if not is_adfeed(pages, world, stock):
        raise RequestError("pages.request", "must be those of the feed with ads", str(pages.request[0]))
    legal = {page.tobytes() for page in allowed(world)}
    found: dict[str, list[list[float]]] = {}
    for place, number in enumerate(numbers_of(pages)):
        asked, request = requested(world, stock, number), request_of(world, stock, number)
        served = _served(model, world, asked, request, feed)
        served[LOGGED] = _logged(world, stock, pages, place, asked), None
        for kind, (rows, promised) in served.items():
            found.setdefault(kind, []).append(_figures(world, asked, rows, promised, rows.tobytes() in legal))
    best = sum(row[0] for row in found[BEST])
    return AdFeedReport(
        requests=len(pages),
        orders={kind: _worth(np.array(rows), pages, best, seed) for kind, rows in found.items()},
    )


def landscape(model: Model, number: int, *, world: AdWorld, stock: Catalogue) -> Landscape:
    """Return what the pages of one request are worth.

    Args:
        model: A decoder.
        number: The request's.
        world: What the feed is made of.
        stock: Its readers, posts and ads.
    """
    asked, request = requested(world, stock, number), request_of(world, stock, number)
    pages = allowed(world)
    ad = pages >= world.length
    worth, expects = reward(world, asked, pages), expected(model, asked, request, pages, world=world)
    slots = tuple(range(world.first, world.last + 1))
    predicted, true = np.full((2, len(slots), len(slots)), np.nan)
    for some in (one for ads in range(1, min(world.most, 2) + 1) for one in patterns(world, ads)):
        at = some[0] + 1 - world.first, some[-1] + 1 - world.first
        there = (ad.sum(axis=1) == len(some)) & ad[:, list(some)].all(axis=1)
        predicted[at], true[at] = expects[there].max(), worth[there].max()
    marks = {
        kind: (_slots(world, rows), promised, float(reward(world, asked, rows[None])[0]))
        for kind, (rows, promised) in _served(model, world, asked, request, None).items()
        if kind != NONE and promised is not None
    }
    return Landscape(slots, predicted, true, (float(expects[0]), float(worth[0])), marks)


def outcome_of(world: AdWorld, asked: AdRequest, rows: Rows) -> Outcome:
    """Return what truly comes of a page.

    Args:
        world: What the feed is made of.
        asked: The request.
        rows: (k,) rows of it in serving order.
    """
    seen, click = truth(world, asked, rows[None])
    paid, engagement, cost = parts(world, asked, rows[None])[0].tolist()
    return Outcome(paid, engagement, cost, clicks=float((seen * click).sum()), seen=float(seen.sum()))


def expected(model: Model, asked: AdRequest, request: Request, pages: Rows, *, world: AdWorld) -> Numbers:
    """Return (b,) what a decoder takes pages to be worth, each of them asked.

    Args:
        model: A decoder.
        asked: The request, as the feed has it.
        request: The same, as a policy takes it.
        pages: (b, k) rows of it in serving order.
        world: What the feed is made of.
    """
    rows = np.arange(len(asked.items), dtype=np.int32)
    is_ad = rows >= world.length
    found = prepared(model, request.candidates, request, rows, is_ad)
    tables = tables_of(found, asked.bid + world.engagement * asked.value, world.load_price * asked.cost)
    network, worth = Prefixes(model, found.token), np.empty(len(pages))
    for start in range(0, len(pages), TOGETHER):
        some = pages[start : start + TOGETHER]
        at = np.arange(some.size, dtype=np.int32).reshape(some.shape)
        nothing, first = np.full(some.shape, -1, np.int32), np.zeros(len(some), np.int64)
        click, leave = network.ask(Asked(some, at, nothing, first, first + some.shape[1]))
        for place, page in enumerate(some):
            one = slice(place, place + 1)
            worth[start + place] = gains_of(page, is_ad, tables, click[one], leave[one]).sum()
    return worth


def _served(
    model: Model, world: AdWorld, asked: AdRequest, request: Request, feed: Feed | None
) -> dict[str, tuple[Rows, float | None]]:
    """Return pages of one request, and what the decoder takes them to be worth."""
    exact = stage_of(model, world, deadline_ms=1e6)
    best = optimum(world, asked)[0]
    rules = rules_of(exact, world, request)
    promised = float(exact.gains(request.candidates, best, rules, request=request).sum())
    without = np.arange(world.length, dtype=np.int32)
    found: dict[str, tuple[Rows, float | None]] = {
        BEST: (best, promised),
        DECODED: _decoded(exact, world, request),
        STAGED: _decoded(stage_of(model, world, method="staged"), world, request),
        NONE: (without, float(exact.gains(request.candidates, without, rules, request=request).sum())),
    }
    if feed is not None:
        rows = {item: row for row, item in enumerate(request.candidates.item_id)}
        page = feed.compose(request)
        found["policy"] = np.array([rows[item] for item in page.item_ids], np.int32), page.value
    return found


def _decoded(stage: Decode, world: AdWorld, request: Request) -> tuple[Rows, float]:
    rules = rules_of(stage, world, request)
    found = stage.select(request.candidates, world.length, constraints=rules, request=request)
    return found.rows, float(found.value)


def _logged(world: AdWorld, stock: Catalogue, pages: Pages, place: int, asked: AdRequest) -> Rows:
    """Return the rows of a page as it was shown."""
    posts = len(stock.bid) - world.ads
    row = {item_name(item, posts): number for number, item in enumerate(asked.items.tolist())}
    own = np.arange(pages.starts[place], pages.starts[place + 1])
    own = own[pages.slot[own] > 0]
    return np.array([row[str(pages.keys["item"].name(at))] for at in own[np.argsort(pages.slot[own])]], np.int32)


def _figures(world: AdWorld, asked: AdRequest, rows: Rows, promised: float | None, legal: bool) -> list[float]:
    came = outcome_of(world, asked, rows)
    worth, ads = float(reward(world, asked, rows[None])[0]), float((rows >= world.length).sum())
    expected = np.nan if promised is None else promised
    return [worth, expected, came.clicks, came.seen, came.paid, came.engagement, ads, float(not legal)]


def _worth(figures: Numbers, pages: Pages, best: float, seed: int) -> Worth:
    worth, promised, clicks, seen, paid, engagement, ads, broken = figures.T
    return Worth(
        reward=mean_by_cluster(worth, pages.user, resamples=RESAMPLES, seed=seed),
        of_best=float(worth.sum() / best),
        promised=None if np.isnan(promised).any() else float(promised.mean()),
        ctr=float(clicks.sum() / seen.sum()),
        rpm=THOUSAND * float(paid.mean()),
        engagement=float(engagement.mean()),
        ads=float(ads.mean()),
        broken=int(broken.sum()),
    )


def _slots(world: AdWorld, rows: Rows) -> tuple[int, ...]:
    """Return the slots of a page's ads, from 1."""
    return tuple(slot + 1 for slot in np.flatnonzero(rows >= world.length).tolist())
