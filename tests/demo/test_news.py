"""The demo from end to end, on the first visits."""

import re
from io import StringIO
from itertools import pairwise
from math import comb, log2
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from slatewise.core.errors import SlatewiseError
from slatewise.demo import news, outcome, replay, report
from slatewise.demo.arms import ARMS, PACED, WINDOW
from slatewise.demo.records import shipped_histories, shipped_visits
from slatewise.demo.site import Site

FIRST = 220
"""Visits; the second day begins at number 138."""


@pytest.fixture(scope="module")
def done():
    made = []

    class Kept(replay.Replay):
        def _compose(self, arm, request):
            page = super()._compose(arm, request)
            made.append((arm, request.candidates, page))
            return page

    kept = Kept(Site(shipped_histories()))
    kept.run(list(shipped_visits())[:FIRST])
    return SimpleNamespace(replay=kept, made=made, outcome=outcome.conclude(kept))


def test_ruled_pages_keep_their_rules(done):
    pages = [(candidates, page) for arm, candidates, page in done.made if arm == "ruled"]
    assert len(pages) == FIRST
    for candidates, page in pages:
        lines = [item.line for item in page.items]
        assert not candidates.flag("opened")[page.slate.rows].any()
        relaxed = {one.rule for one in page.status.relaxed}
        if "something fresh on top" not in relaxed:
            assert "fresh" in lines[:5]
        if "no three in a row" not in relaxed:
            assert all(len(set(lines[slot : slot + 3])) > 1 for slot in range(len(lines) - 2))
        if "three interests" not in relaxed:
            assert len(set(candidates.key("cluster").codes[page.slate.rows].tolist()) - {-1}) >= 3
        if len(lines) == 10:
            assert len(set(page.item_ids)) == 10


def test_blending_never_reorders_a_line(done):
    for arm, candidates, page in done.made:
        if arm == "blended":
            for line in {item.line for item in page.items}:
                rows = [row for row in page.slate.rows if candidates.key("line").name(row) == line]
                scores = candidates.number("score")[rows]
                assert (np.diff(scores) <= 0).all()


def test_maps_are_guesses_first_and_then_fitted_on_the_days_before(done):
    told = done.outcome.mornings
    first, second = told[:3], told[3:6]
    assert [(one.map, one.fitted) for one in first] == [("ratio", False)] * 3
    assert all(one.fitted for one in second)
    clicks, scores = 0, 0.0
    visits = list(shipped_visits())[:138]
    for visit, (_, candidates, _) in zip(visits, done.made[:: len(ARMS)], strict=False):
        here = candidates.key("line").codes == candidates.key("line").names.index("trending")
        clicks += np.isin(np.array(candidates.item_id)[here], visit.clicked).sum()
        scores += candidates.number("score")[here].sum()
    trending = next(one for one in first if one.line == "trending")
    assert trending.ratio.estimate == pytest.approx(0.02 * scores / clicks)


def test_a_subsidy_brings_the_paced_line_towards_its_floor(done):
    moves = done.outcome.moves
    assert len(moves) == 138 // WINDOW + (138 % WINDOW > 0) + (FIRST - 138) // WINDOW  # a window ends with its day
    share = {arm: next(line.share for line in done.outcome.summaries[arm].lines if line.line == PACED) for arm in ARMS}
    assert 3 * share["ruled"] < share["paced"] < 1.5 * done.outcome.floor
    assert min(move.subsidy for move in moves) >= 0
    for before, after in pairwise(moves):
        if before.share == after.share == 0.0:
            assert after.subsidy > before.subsidy


@pytest.mark.parametrize(("size", "right"), [(12, 1), (12, 2), (40, 2), (8, 1), (11, 2)])
def test_random_order_by_counting(size, right):
    log = SimpleNamespace(sizes=[size], nominated=[True])
    hits, gain = outcome._random(log, np.array([right]))
    k = min(10, size)
    assert hits[0] == pytest.approx(1 - comb(size - right, k) / comb(size, k))
    ideal = sum(1 / log2(rank + 1) for rank in range(1, right + 1))
    assert gain[0] == pytest.approx(right / size * sum(1 / log2(rank + 1) for rank in range(1, k + 1)) / ideal)
    assert outcome._random(SimpleNamespace(sizes=[size], nominated=[False]), np.array([right]))[0][0] == 0


def test_figures_agree_with_each_other(done):
    found = done.outcome
    rates = {one.name: one.hit_rate.estimate for one in found.measured}
    assert max(rates.values()) <= found.ceiling_nominated.estimate <= found.ceiling_about.estimate <= 1
    for one in found.compared:
        assert one.hit_rate.estimate == pytest.approx(rates[one.name] - rates[one.baseline])
    for one in found.measured:
        assert one.ndcg.low <= one.ndcg.estimate <= one.ndcg.high
        assert one.ndcg.estimate <= one.hit_rate.estimate
    assert found.curve["ruled"][-1] == pytest.approx(rates["ruled"])
    clicked = [
        bool(set(page.item_ids) & set(visit.clicked))
        for visit, (_, _, page) in zip(shipped_visits(), done.made[:: len(ARMS)], strict=False)
    ]
    assert rates["raw"] == pytest.approx(np.mean(clicked))


def test_the_report_needs_nothing_else_and_is_the_same_twice(done, tmp_path):
    text = report.render(done.outcome)
    assert text == report.render(done.outcome)
    assert not re.search(r"<script|<link|<img|@import|url\((?!#)|src=|https?://(?!www\.w3\.org/)", text)
    assert "nan" not in re.sub(r"<[^>]*>", " ", text).split()
    for name in ("nothing opened before", "(a) raw scores merged", "prefers-color-scheme"):
        assert name in text


def test_run_prints_and_writes(tmp_path):
    console = Console(file=StringIO(), width=100)
    found = news.run(None, tmp_path / "new" / "out", visits=3, console=console)
    printed = console.file.getvalue()
    assert found.visits == 3
    assert (tmp_path / "new" / "out" / "report.html").stat().st_size > 20_000
    assert "Was the article that was really clicked on the page?" in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_refusals(tmp_path):
    with pytest.raises(SlatewiseError, match=r"^visits: must be >= 1, got 0$"):
        news.run(None, tmp_path, visits=0)
    pytest.importorskip("pyarrow")
    with pytest.raises(SlatewiseError, match=r"^data: must be a directory with behaviors\.parquet, got "):
        news.run(tmp_path, tmp_path)
