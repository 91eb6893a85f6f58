"""Replay the log: for every visit, nominate, compose a page by each policy, and note where the clicked article stands.

    site begins -> lines nominate -> policies compose -> pages are judged -> site and policies learn what happened

Nothing that a visit showed or that its reader clicked is known to anything before the last step.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import fsum
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.core.page import Page
from slatewise.core.request import Request
from slatewise.demo.arms import ARMS, Arms
from slatewise.demo.lines import LINES, Nominations, nominate
from slatewise.demo.records import Visit
from slatewise.demo.showcase import Showcase, exhibit
from slatewise.demo.site import Site
from slatewise.evaluate.replay import Tally

SLOTS = 10

Flags = NDArray[np.bool_]


class Replay:
    """What came of the visits so far.

    Attributes:
        arms: The policies.
        tallies: Arm to what its lines and rules did.
        hits: Page maker (arm, line alone, or arm without a rule) to one row of `SLOTS` per visit: 1 where clicked.
        in_view: Arm to the number of its page's articles that the reader was really shown.
        values: Arm, or rule left out, to the value of each page.
        readers: Whose visit it was.
        times: When it was.
        clicks: How many articles were clicked.
        about: Whether a clicked article was about.
        nominated: Whether a clicked article was nominated.
        sizes: Number of distinct articles nominated.
        showcase: The visit to show in full; None if there is none worth it.
    """

    def __init__(self, site: Site) -> None:
        """Start before the first visit."""
        self.arms = Arms()
        self.tallies: dict[str, Tally] = {}
        self.hits = {maker: bytearray() for maker in (*ARMS, *LINES, *self.arms.rules)}
        self.in_view = {arm: array("B") for arm in ARMS}
        self.values = {maker: array("d") for maker in (*ARMS, *self.arms.rules)}
        self.readers, self.times = array("q"), array("q")
        self.clicks, self.sizes = array("H"), array("H")
        self.about, self.nominated = array("B"), array("B")
        self.showcase: Showcase | None = None
        self._site = site

    def run(self, visits: Iterable[Visit]) -> None:
        """Replay visits, which are in order of time."""
        for visit in visits:
            self._site.begin(visit)
            self.arms.begin(visit)
            nominations = nominate(self._site, visit)
            self.arms.end(self._judge(visit, nominations), nominations, visit)
            self._site.end(visit)

    def _judge(self, visit: Visit, nominations: Nominations) -> Request:
        """Compose the pages for a visit and note what they found; return the request."""
        candidates = nominations.candidates
        items = np.array(candidates.item_id, np.int64)
        self.readers.append(visit.reader)
        self.times.append(visit.time)
        self.clicks.append(len(visit.clicked))
        self.about.append(bool(np.isin(visit.clicked, nominations.about).any()))
        self.nominated.append(bool(np.isin(visit.clicked, items).any()))
        self.sizes.append(len(np.unique(items)))
        for code, line in enumerate(LINES):
            self._note(line, items[candidates.key("line").codes == code][:SLOTS].tolist(), visit)
        request = Request(candidates=candidates, id=str(visit.id), user=str(visit.reader), time=visit.time)
        pages = {arm: self._compose(arm, self.arms.request(arm, request)) for arm in ARMS}
        for arm, page in pages.items():
            self._note(arm, page.item_ids, visit)
            self.in_view[arm].append(len(set(page.item_ids) & set(visit.shown)))
            self.values[arm].append(fsum(item.utility for item in page.items))
        for rule, feed in self.arms.without.items():
            page = feed.compose(request)
            self._note(rule, page.item_ids, visit)
            self.values[rule].append(fsum(item.utility for item in page.items))
        self.showcase = exhibit(visit, self.arms.mornings.days, nominations, pages, self.showcase)
        return request

    def _compose(self, arm: str, request: Request) -> Page:
        """Return the page with its trace; timed without it, on candidates as they arrive, as it would be served."""
        feed = self.arms.feeds[arm]
        tally = self.tallies.get(arm)
        if tally is None:
            tally = self.tallies[arm] = Tally(feed.policy)
            feed.warm()  # compiling is not the time of a page
        again = _arrived(request)
        start = perf_counter()
        feed.compose(again)
        seconds = perf_counter() - start
        page = feed.compose(request, trace=True)
        tally.add(page, seconds)
        return page

    def _note(self, maker: str, served: list[int], visit: Visit) -> None:
        row = bytearray(SLOTS)
        for slot, item in enumerate(served):
            row[slot] = item in visit.clicked
        self.hits[maker] += row


def _arrived(request: Request) -> Request:
    """Return the request with candidates of which nothing is worked out yet."""
    fresh = request.candidates.take(np.arange(len(request.candidates)))
    return msgspec.structs.replace(request, candidates=fresh)
