"""Governance of lines: what becomes of scores under two ways of charging, and whether ledgers add up.

    python benchmarks/blend_govern.py

prints the table and redraws docs/pictures/deflation.svg. Values are drawn from histograms of market prices of five
campaigns, found below `SLATEWISE_DATA`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from math import fsum
from pathlib import Path

import numpy as np

from report import Row, show
from slatewise import Candidates, Feed, Govern, Layout, Merge, Policy, Request, Weight
from slatewise.blend.govern import Plan
from slatewise.core.ledger import Ledger
from slatewise.evaluate.deflation import Rounds, drawn, responses
from slatewise.pictures.deflation import picture

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SLATEWISE_DATA", ROOT.parent / "shared" / "data"))
CAMPAIGNS = (1458, 2259, 2261, 2821, 2997)
ARMS = {
    "own score, rate 1": {"accounting": "own"},
    "own score, rate 1.5": {"accounting": "own", "rate": 1.5},
    "the same, one line truthful": {"accounting": "own", "rate": 1.5, "anchor": 0},
    "displacement, rate 1": {"accounting": "displacement"},
    "displacement, rate 1.5": {"accounting": "displacement", "rate": 1.5},
}
SEEDS = (0, 1, 2)
PAGES = 10_000
LINES = ["posts", "videos", "live", "shop", "ads"]
LAYOUT = {"ads": Layout(first_slot=2, min_gap=2, page_cap=3), "live": Layout(page_floor=2, gap_effect=(0.5, 0.8))}


def rows() -> list[Row]:
    """Return what was measured."""
    return [*deflation(), *ledgers()]


def arms(seed: int) -> dict[str, Rounds]:
    """Return what becomes of scores in each arm."""
    histograms = [
        json.loads((DATA / "ipinyou" / "histograms" / f"info_{campaign}.json").read_text())["price_counter_train"]
        for campaign in CAMPAIGNS
    ]
    values = drawn(histograms, pages=PAGES, seed=seed)
    return {name: responses(values, **settings) for name, settings in ARMS.items()}  # type: ignore[arg-type]


def deflation() -> Iterator[Row]:
    """Yield the rows on scores."""
    if not (DATA / "ipinyou" / "histograms").is_dir():
        return
    runs = [arms(seed) for seed in SEEDS]
    goals = ((0, "lower"), (1, "-61 %"), (2, "0.937 of the value"), (3, "within 1 %, 0.999 of the value"), (4, "-33 %"))
    for place, goal in goals:
        name = [*ARMS][place]
        found = [run[name] for run in runs]
        drift = np.array([one.drift for one in found])
        welfare, low = (np.array([getattr(one, field)[-1] for one in found]) for field in ("welfare", "low"))
        ok = {
            0: drift.max() < -0.3,
            1: round(drift.mean(), 2) == -0.61,
            2: abs(welfare.mean() - 0.937) < 0.005,
            3: abs(drift).max() <= 0.01 and welfare.min() >= 0.999,
            4: abs(drift + 1 / 3).max() < 0.01,
        }[place]
        spread = f"{100 * drift.min():+.1f} to {100 * drift.max():+.1f}"
        told = f"{100 * drift.mean():+.1f} % ({spread}), value {welfare.mean():.3f}"
        yield Row(f"mean top score after 25 rounds, {name}", goal, told, f"low {100 * low.mean():.0f} %", bool(ok))


def ledgers(pages: int = 300) -> Iterator[Row]:
    """Yield the rows on ledgers: pages of five lines, under limits and without."""
    plans = {
        "launch": Plan(lines={"live": 0.2}, budget=1e9),
        "sale": Plan(lines={"shop": 0.1, "ads": 0.05}, budget=1e9),
    }
    head = {"lines": LINES, "columns": {"score": "number", "value": "number"}, "slots": 20}
    feeds = {
        "by heads": Feed(Policy.of(Weight(lines={"ads": 0.8}), Govern(plans=plans), Merge(exposure="log"), **head)),
        "under limits": Feed(
            Policy.of(Weight(lines={"ads": 0.8}), Govern(plans=plans), Merge(exposure="log", layout=LAYOUT), **head)
        ),
    }
    for name, feed in feeds.items():
        terms = charges = negative = same = 0.0
        draws = np.random.default_rng(0)
        control = feed.init()
        for page in range(pages):
            request = Request(id=str(page), candidates=_candidates(draws), control=control)
            ledger = feed.account(request)
            terms = max(terms, *(abs(fsum([one.value, *one.terms.values(), -one.score])) for one in ledger))
            charges = max(charges, _by_composing(feed, request, ledger))
            negative += sum(one.charge < -1e-9 for one in ledger)
            control = feed.advance(control, [ledger])
            again = Request(id="next", candidates=request.candidates, control=feed.restore(control.snapshot()))
            kept = Request(id="next", candidates=request.candidates, control=control)
            same += feed.compose(again).encode() == feed.compose(kept).encode()
        slots = pages * feed.policy.head.slots
        yield Row(f"terms of a score, {name}", "sum within 1e-9", f"{terms:.0e}", f"{slots} slots", terms <= 1e-9)
        peer = f"{negative / slots:.1%} of charges below 0"
        yield Row(f"charges, {name}", "as composing again, 1e-9", f"{charges:.0e}", peer, charges <= 1e-9)
        yield Row(f"snapshot, restore, {name}", "identical pages", f"{same:.0f} of {pages}", "", same == pages)


def _candidates(draws: np.random.Generator) -> Candidates:
    n = 120
    value = draws.lognormal(0.0, 0.5, n)
    score = value * draws.lognormal(0.0, 0.2, n)  # queues that are not quite sorted by value
    return Candidates.of(line=draws.choice(LINES, n).tolist(), score=score, value=value)


def _by_composing(feed: Feed, request: Request, ledger: Ledger) -> float:
    """Return how far the charges of a line are from what others lose by it, at most."""
    weights = {entry.slot: 1 / np.log2(1 + entry.slot) for entry in ledger}
    lines = np.array(request.candidates.key("line").names)[request.candidates.key("line").codes]
    worst = 0.0
    for line in {entry.line for entry in ledger}:
        others = request.candidates.take(np.flatnonzero(lines != line))
        alone = feed.compose(Request(id=request.id, candidates=others, control=request.control)).value
        kept = fsum(weights[entry.slot] * entry.score for entry in ledger if entry.line != line)
        worst = max(worst, abs(fsum(one.charge for one in ledger if one.line == line) - (alone - kept)))
    return worst


if __name__ == "__main__":
    show(rows())
    (ROOT / "docs" / "pictures" / "deflation.svg").write_text(picture(arms(SEEDS[0])), encoding="utf-8")
