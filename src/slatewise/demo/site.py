"""What is known of the site at a moment: which articles are about, how old and how hot they are, and who read what.

`Site` is told of visits in order of time and of nothing else, so that whatever it says at a visit was known before it.
Articles get codes 0, 1, 2, ... in the order in which they first appear. A visit costs time in proportion to what it
shows; a question costs O(articles of the window), however long the log is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np

from slatewise.demo.interests import Codes, Interests, Numbers
from slatewise.demo.records import History, Visit

HOUR_S = 3600.0
WINDOW_H = 12.0
"""Articles seen within this many hours are about."""

HALF_LIFE_H = 2.0
"""Hours after which a click or a show counts half."""

SHOW = 0.1
"""What a show counts, in clicks."""

CLUSTERS = 8
"""Clusters of articles by co-reading."""

NO_CODES: Codes = np.empty(0, np.int64)


class Site:
    """The state of the site.

    Attributes:
        interests: Who read what with what.
    """

    def __init__(self, histories: Iterable[History] = ()) -> None:
        """Start with what readers opened before the first visit."""
        self.interests = Interests()
        self._codes: dict[int, int] = {}
        self._ids = np.empty(1024, np.int64)
        self._first = np.full(1024, np.inf)
        self._last = np.full(1024, -np.inf)
        self._heat = np.zeros(1024)
        self._opened: dict[int, Codes] = {}
        self._day: int | None = None
        for history in histories:
            self._learn(history)
        known = np.argsort(self._last[: len(self._codes)], kind="stable")
        self._recent = OrderedDict.fromkeys(known.tolist())

    def begin(self, visit: Visit) -> None:
        """Move on to the time of a visit, and take in on which page the reader is; not what happens there."""
        horizon = visit.time - WINDOW_H * HOUR_S
        while self._recent and self._last[oldest := next(iter(self._recent))] <= horizon:
            del self._recent[oldest]
        day = int(visit.time // (24 * HOUR_S))
        if day != self._day:
            self._day = day
            self.interests.refresh(CLUSTERS, seed=day)
        if visit.reading is not None:
            self._open(visit.reader, self._coded([visit.reading]))

    def end(self, visit: Visit) -> None:
        """Take in what a visit showed and what was clicked."""
        shown, clicked = self._coded(visit.shown), self._coded(visit.clicked)
        self._first[shown] = np.minimum(self._first[shown], visit.time)
        for codes, counts in ((shown, SHOW), (clicked, 1.0)):
            self._heat[codes] = self._heat[codes] * _faded(visit.time - self._last[codes]) + counts
            self._last[codes] = visit.time
        for code in shown.tolist():
            self._recent[code] = None
            self._recent.move_to_end(code)
        self._open(visit.reader, clicked)

    def about(self) -> Codes:
        """Return the articles seen within the window, longest unseen first."""
        return np.fromiter(self._recent, np.int64, len(self._recent))

    def ids(self, articles: Codes) -> Codes:
        """Return the ids of articles."""
        return self._ids[articles]

    def age_h(self, articles: Codes, now: float) -> Numbers:
        """Return the hours since each article was first seen."""
        return (now - self._first[articles]) / HOUR_S

    def heat(self, articles: Codes, now: float) -> Numbers:
        """Return each article's clicks, plus `SHOW` per show, halved every `HALF_LIFE_H` hours."""
        return self._heat[articles] * _faded(now - self._last[articles])

    def opened(self, reader: int) -> Codes:
        """Return what a reader opened so far, in order, each article once."""
        return self._opened.get(reader, NO_CODES)

    def _learn(self, history: History) -> None:
        codes = self._coded(history.articles)
        times = np.array(history.times, np.float64)
        np.minimum.at(self._first, codes, times)
        np.maximum.at(self._last, codes, times)
        self._open(history.reader, codes)

    def _open(self, reader: int, codes: Codes) -> None:
        before = self.opened(reader)
        _, places = np.unique(codes, return_index=True)
        new = codes[np.sort(places)]
        new = new[~np.isin(new, before)]
        self._opened[reader] = np.concatenate([before, new])
        self.interests.open(reader, new)

    def _coded(self, ids: Iterable[int]) -> Codes:
        codes = self._codes
        wanted = np.array([codes.setdefault(one, len(codes)) for one in ids], np.int64)
        while len(codes) > len(self._ids):
            self._grow()
        self._ids[wanted] = list(ids)
        return wanted

    def _grow(self) -> None:
        more = len(self._ids)
        self._ids = np.concatenate([self._ids, np.empty(more, np.int64)])
        self._first = np.concatenate([self._first, np.full(more, np.inf)])
        self._last = np.concatenate([self._last, np.full(more, -np.inf)])
        self._heat = np.concatenate([self._heat, np.zeros(more)])


def _faded(seconds: Numbers) -> Numbers:
    return 0.5 ** (seconds / (HALF_LIFE_H * HOUR_S))
