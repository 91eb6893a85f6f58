"""Control loops: what they remember is a value that comes with a request, and nothing else."""

from typing import ClassVar

import msgspec
import pytest

from slatewise import Candidates, Feed, Policy, Request, RequestError, Solve, Weight
from slatewise.core.control import Control
from slatewise.core.ledger import Entry
from slatewise.core.stage import Controller
from slatewise.testing.checks import check_controller


class Count(msgspec.Struct, frozen=True):
    slots: int = 0


class Tire(Controller, frozen=True, kw_only=True):
    """Take as much from every row as slots were seen."""

    section: ClassVar[str] = "blend.tire"
    memory: ClassVar[type[msgspec.Struct]] = Count

    @property
    def reads(self):
        return {"utility": "number"}

    @property
    def writes(self):
        return {"utility": "number"}

    def init(self):
        return Count()

    def annotate(self, candidates, request):
        return {"utility": candidates.number("utility") - self.recall(request).slots}

    def advance(self, memory, ledgers):
        return Count(memory.slots + sum(map(len, ledgers)))


ITEMS = Candidates.of(item_id=["p", "a"], line=["posts", "ads"], value=[0.5, 1.0])
LEDGER = (Entry(request="r", time=0.0, slot=1, line="ads", item_id="a", value=1.0, score=1.0),)


@pytest.fixture
def feed():
    return Feed(Policy.of(Weight(), Tire(), Solve(), lines=["posts", "ads"], columns={"value": "number"}, slots=1))


def test_a_loop_moves_with_ledgers_and_with_nothing_else(feed):
    control = feed.init()
    assert feed.compose(Request(candidates=ITEMS)).value == 1.0  # without control it is at its start
    assert [feed.compose(Request(candidates=ITEMS, control=control)).value for _ in range(2)] == [1.0, 1.0]
    moved = feed.advance(control, [LEDGER, LEDGER])
    assert feed.compose(Request(candidates=ITEMS, control=moved)).value == 1.0 - 2
    assert feed.compose(Request(candidates=ITEMS, control=control)).value == 1.0


def test_a_control_restored_gives_the_same_pages(feed):
    moved = feed.advance(feed.init(), [LEDGER])
    again = feed.restore(moved.snapshot())
    assert again == moved
    pages = [feed.compose(Request(candidates=ITEMS, control=one)).document() for one in (moved, again)]
    assert pages[0] == pages[1]


def test_a_loop_that_is_new_in_a_policy_starts_at_its_start(feed):
    assert feed.advance(Control(), [LEDGER]) == feed.advance(feed.init(), [LEDGER])


def test_a_memory_without_a_halfway_is_kept_until_it_has_faded():
    assert [Tire().faded(Count(3), share) for share in (0.0, 0.875, 1.0)] == [Count(3), Count(3), Count(0)]


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        ("page", "control: must be a snapshot of control loops, got 'page'"),
        ('{"version": 9, "memories": {}}', "control: must be of version 1, got 9"),
        ('{"version": 1, "memories": {"blend.pac": {}}}', "control.blend.pac: is no control loop of the policy"),
        ('{"version": 1, "memories": {"blend.tire": {"slots": "x"}}}', "control.blend.tire: must be a memory of this"),
    ],
)
def test_refuses_what_is_no_snapshot_of_its_loops(feed, snapshot, message):
    with pytest.raises(RequestError) as caught:
        feed.restore(snapshot)
    assert str(caught.value).startswith(message)


def test_refuses_what_is_no_control(feed):
    with pytest.raises(RequestError, match=r"control: must be a Control, got dict; start with Feed.init\(\)"):
        feed.compose(Request(candidates=ITEMS, control={}))
    with pytest.raises(RequestError, match=r"control.blend.tire: must be a Count, got int"):
        feed.compose(Request(candidates=ITEMS, control=Control({"blend.tire": 1})))


def test_the_conformance_check_finds_a_loop_that_keeps_something_itself():
    items = Candidates.of(item_id=["a"], utility=[1.0])
    check_controller(Tire(), Request(candidates=items), [LEDGER])
    calls: list[int] = []

    class Keeps(Tire, frozen=True):
        def advance(self, memory, ledgers):
            calls.append(1)
            return Count(len(calls))

    with pytest.raises(AssertionError, match="advancing twice"):
        check_controller(Keeps(), Request(candidates=items), [LEDGER])
