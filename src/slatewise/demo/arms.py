"""The policies that are compared, and what their lines' scores turned out to be worth.

The three policies lie in `policies/` as documents. Their calibration factors are refitted every morning, from the days
before and nothing else:

    factor_line = (clicks + 1) / (sum of scores + 1 / guess)

over everything that the line nominated so far, where `guess` is the factor in the document: the mean of a Gamma
posterior whose prior is worth one click (clicks as Poisson counts in proportion to the score). On the first day it is
the guess itself.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.document import Document
from slatewise.core.policy import Policy
from slatewise.demo.records import Visit
from slatewise.feed import Feed
from slatewise.stages import STAGES

POLICIES = Path(__file__).parent / "policies"
ARMS = ("raw", "blended", "ruled")
DAY_S = 86_400


class Ledger:
    """What each line put forward and what was clicked of it, up to a moment.

    Attributes:
        clicks: Line to clicks on what it nominated.
        scores: Line to the sum of the scores of what it nominated.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.clicks: Counter[str] = Counter()
        self.scores: dict[str, float] = {}

    def add(self, candidates: Candidates, clicked: tuple[int, ...]) -> None:
        """Take in what was nominated for a visit and what was clicked there."""
        lines = candidates.key("line")
        hits = np.isin(np.array(candidates.item_id, np.int64), clicked)
        clicks = np.bincount(lines.codes[hits], minlength=len(lines.names)).tolist()
        scores = np.bincount(lines.codes, candidates.number("score"), len(lines.names)).tolist()
        for line, count, total in zip(lines.names, clicks, scores, strict=True):
            self.clicks[line] += count
            self.scores[line] = self.scores.get(line, 0.0) + total

    def factor(self, line: str, guess: float) -> float:
        """Return clicks per unit of the line's score.

        >>> Ledger().factor("fresh", guess=0.02)
        0.02
        """
        return (self.clicks[line] + 1) / (self.scores.get(line, 0.0) + 1 / guess)


class Arms:
    """The policies as they stand on the day of a visit.

    Attributes:
        feeds: Arm to its feed: the three policies.
        without: Rule to the feed of the ruled policy without it.
        rules: Names of the ruled policy's rules.
        factors: Day (since 1970) to line to factor, for every day so far.
    """

    def __init__(self) -> None:
        """Read the documents."""
        self.feeds: dict[str, Feed] = {}
        self.without: dict[str, Feed] = {}
        self.factors: dict[int, dict[str, float]] = {}
        self._documents = {arm: Document.read(POLICIES / f"{arm}.yaml") for arm in ARMS}
        self._ledger = Ledger()
        rules: Any = self._documents["ruled"].data["compose"]["constrain"]["rules"]
        self.rules: tuple[str, ...] = tuple(rule["name"] for rule in rules)

    def begin(self, visit: Visit) -> None:
        """Refit the policies if the visit is the first of its day."""
        day = visit.time // DAY_S
        if day not in self.factors:
            guesses: Any = self._documents["blended"].data["blend"]["calibrate"]["lines"]
            self.factors[day] = {line: self._ledger.factor(line, one["factor"]) for line, one in guesses.items()}
            self.feeds = {arm: Feed(self._policy(arm, self.factors[day])) for arm in ARMS}
            self.without = {rule: Feed(self._policy("ruled", self.factors[day], rule)) for rule in self.rules}

    def end(self, candidates: Candidates, visit: Visit) -> None:
        """Take in what was nominated and clicked."""
        self._ledger.add(candidates, visit.clicked)

    def _policy(self, arm: str, factors: Mapping[str, float], left_out: str = "") -> Policy:
        written = self._documents[arm]
        data: Any = copy.deepcopy(dict(written.data))
        for line, one in data["blend"].get("calibrate", {}).get("lines", {}).items():
            one["factor"] = factors[line]
        if left_out:
            constrain = data["compose"]["constrain"]
            constrain["rules"] = [rule for rule in constrain["rules"] if rule["name"] != left_out]
        return Policy.parse(Document(data, written.name, written.lines), STAGES)
