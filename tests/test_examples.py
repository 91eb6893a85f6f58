"""Examples do what they say; those that need data of their own say so where it is not there."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slatewise import Candidates, Feed, Request
from slatewise.evaluate.loops import Loops

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_movielens_without_its_data_says_what_is_missing_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "movielens.py"), "out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "SLATEWISE_DATA": str(tmp_path)},
    )
    assert done.returncode == 0
    assert "no MovieLens-1M" in done.stderr
    assert not list(tmp_path.iterdir())


ROWS = {"posts": (12, 4, 6), "live": (6, 2, 8), "ads": (6, 2, 30)}
"""Line to how many rows a request has, and the beta distribution of their scores."""
WINDOW = 10


def requests(count):
    rng = np.random.default_rng(5)
    line = [line for line, (rows, _, _) in ROWS.items() for _ in range(rows)]
    for number in range(count):
        score = np.concatenate([rng.beta(low, high, rows) for rows, low, high in ROWS.values()])
        yield Request(
            candidates=Candidates.of(item_id=np.arange(len(line)), line=line, score=score),
            id=f"r{number}",
            user=f"u{number % 20}",
            time=600.0 * number,
            context={"scene": ("day", "night")[number % 2], "tenure": ("new", "settled")[number // 2 % 2]},
        )


def replayed(feed, control, asked):
    """Return the pages of each window, its ledgers, and what the loops remember after it."""
    loops = Loops(feed, window=WINDOW, control=control)
    for start in range(0, len(asked), WINDOW):
        window = asked[start : start + WINDOW]
        pages = [feed.compose(loops.steered(request)) for request in window]
        loops.move(window)
        yield pages, loops.ledgers, loops.control


@pytest.fixture(scope="module")
def blended():
    feed, asked = Feed.load(EXAMPLES / "blend.yaml"), list(requests(60))
    return feed, asked, list(replayed(feed, feed.init(), asked))


def test_each_line_keeps_its_own_order_on_every_page(blended):
    _, asked, windows = blended
    pages = [page for pages, _, _ in windows for page in pages]
    for request, page in zip(asked, pages, strict=True):
        score, line = request.candidates.number("score"), np.repeat(list(ROWS), [rows for rows, _, _ in ROWS.values()])
        for name in ROWS:
            own = [row for row in np.argsort(-score) if line[row] == name]
            shown = [item.item_id for item in page.items if item.line == name]
            assert shown == own[: len(shown)]


def test_every_term_of_a_score_is_in_the_ledger(blended):
    _, _, windows = blended
    entries = [entry for _, ledgers, _ in windows for ledger in ledgers for entry in ledger]
    assert {name for entry in entries for name in entry.terms} == {"weight", "price", "shade", "boost.launch"}
    assert max(abs(entry.value + sum(entry.terms.values()) - entry.score) for entry in entries) < 1e-9


def test_prices_move_and_go_on_from_a_snapshot_as_they_would_have(blended):
    feed, asked, windows = blended
    moves = [control.memories["blend.pace"].price for _, _, control in windows]
    assert len(set(map(tuple, moves))) == len(moves)
    again = list(replayed(feed, feed.restore(windows[2][2].snapshot()), asked[3 * WINDOW :]))
    for (pages, _, control), (kept, _, moved) in zip(windows[3:], again, strict=True):
        assert [page.item_ids for page in pages] == [page.item_ids for page in kept]
        assert [page.value for page in pages] == [page.value for page in kept]
        assert control.snapshot() == moved.snapshot()


def test_the_policy_of_the_tutorial_is_the_one_among_the_examples():
    tutorial = (EXAMPLES.parent / "docs" / "tutorial.md").read_text(encoding="utf-8")
    policy = tutorial.partition("```yaml adfeed.yaml\n")[2].partition("```\n")[0]
    assert policy == (EXAMPLES / "adfeed.yaml").read_text(encoding="utf-8")
