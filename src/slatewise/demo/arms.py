"""The policies that are compared, as they stand on the day of a visit.

The four policies lie in `policies/` as documents. Their calibration is fitted afresh every morning, from the days
before and nothing else (`demo.mornings`), and the prices of the paced one move every `WINDOW` visits, from the ledgers
of the pages that it served.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from slatewise.blend.maps import Map
from slatewise.core.document import Document
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.demo.lines import Nominations
from slatewise.demo.mornings import DAY_S, Mornings
from slatewise.demo.records import Visit
from slatewise.evaluate.loops import Loops
from slatewise.feed import Feed
from slatewise.stages import STAGES

POLICIES = Path(__file__).parent / "policies"
ARMS = ("raw", "blended", "ruled", "paced")
PACED = "for_you"
"""The line with a floor."""

WINDOW = 10
"""Visits between two moves of prices."""


class Move(msgspec.Struct, frozen=True):
    """A control window of the paced policy.

    Attributes:
        time: When it ended.
        share: Share of slots that the line with a floor had in it.
        subsidy: What its rows were lifted by from then on, in clicks per showing.
    """

    time: int
    share: float
    subsidy: float


class Arms:
    """The policies as they stand on the day of a visit.

    Attributes:
        feeds: Arm to its feed: the four policies.
        without: Rule to the feed of the ruled policy without it.
        rules: Names of the ruled policy's rules.
        floor: Share of slots that the line with a floor is to get.
        mornings: What the lines' scores turned out to be worth.
        moves: Control windows of the paced policy so far.
    """

    def __init__(self) -> None:
        """Read the documents."""
        self.feeds: dict[str, Feed] = {}
        self.without: dict[str, Feed] = {}
        self.moves: list[Move] = []
        self._documents = {arm: Document.read(POLICIES / f"{arm}.yaml") for arm in ARMS}
        self._day = -1
        self._loops: Loops | None = None
        self._waiting: list[Request] = []
        rules: Any = self._documents["ruled"].data["compose"]["constrain"]["rules"]
        self.rules: tuple[str, ...] = tuple(rule["name"] for rule in rules)
        self.floor: float = self._documents["paced"].data["blend"]["pace"]["lines"][PACED]["floor"]
        guesses: Any = self._documents["blended"].data["blend"]["calibrate"]["lines"]
        self.mornings = Mornings(msgspec.convert(guesses, dict[str, Map]))

    def begin(self, visit: Visit) -> None:
        """Fit the policies anew if the visit is the first of its day."""
        if visit.time // DAY_S == self._day:
            return
        self._move()  # the day's last window is accounted for by the policy that served it
        self._day = visit.time // DAY_S
        maps = self.mornings.begin(self._day)
        self.feeds = {arm: Feed(self._policy(arm, maps)) for arm in ARMS}
        self.without = {rule: Feed(self._policy("ruled", maps, rule)) for rule in self.rules}
        control = None if self._loops is None else self._loops.control
        self._loops = Loops(self.feeds["paced"], window=WINDOW, control=control)

    def request(self, arm: str, request: Request) -> Request:
        """Return the request as an arm is to see it: with what its control loops remember."""
        return self._loops.steered(request) if arm == "paced" and self._loops else request

    def end(self, request: Request, nominations: Nominations, visit: Visit) -> None:
        """Take in what was nominated and clicked, and move prices at the end of a window."""
        self.mornings.end(nominations.candidates, visit)
        self._waiting.append(request)
        if len(self._waiting) == WINDOW:
            self._move()

    def _move(self) -> None:
        if self._loops is None or not self._waiting:
            return
        self._loops.move(self._waiting)
        lines = [entry.line for ledger in self._loops.ledgers for entry in ledger]
        memory = self._loops.control.memories["blend.pace"]
        self.moves.append(Move(int(self._waiting[-1].time), lines.count(PACED) / len(lines), -memory.price[0]))
        self._waiting.clear()

    def _policy(self, arm: str, maps: Mapping[str, Map], left_out: str = "") -> Policy:
        written = self._documents[arm]
        data: Any = copy.deepcopy(dict(written.data))
        if "calibrate" in data["blend"]:
            data["blend"]["calibrate"]["lines"] = msgspec.to_builtins(maps)
        if left_out:
            constrain = data["compose"]["constrain"]
            constrain["rules"] = [rule for rule in constrain["rules"] if rule["name"] != left_out]
        return Policy.parse(Document(data, written.name, written.lines), STAGES)
