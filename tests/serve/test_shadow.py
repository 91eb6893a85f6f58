"""Trying a policy on logged requests: what the report says, and what trying leaves alone."""

import asyncio
import json
import sys
import threading
import time
from math import log2

import msgspec
import pytest

from serve.policies import NO_AD_ON_TOP, PLAIN, ROWS, asked, body, changed, desk_of, policy_of, serving
from slatewise.core.artefact import Artefact
from slatewise.core.policy import Policy
from slatewise.evaluate.overlap import rank_biased_overlap
from slatewise.ladder import Conditions, Ladder
from slatewise.serve.rollout import aside
from slatewise.serve.rollout.offline import sides
from slatewise.serve.rollout.shadow import REST, Asked, Ring, shadowed
from slatewise.stages import STAGES

STRICT = changed(NO_AD_ON_TOP)
JSON = "application/json"


def compared(before, after, requests):
    return shadowed(requests, *sides(policy_of(before), policy_of(after)), clock=time.perf_counter)


def test_a_report_says_what_moved_and_what_it_is_worth_to_the_policy_before():
    report = compared(PLAIN, STRICT, asked(4))
    assert (report.requests, report.failed, report.skipped, report.equal) == (4, 0, 0, 0)
    assert report.overlap == 1.0
    assert report.moved == pytest.approx(2 / 3)  # two of three change places
    assert report.rbo == pytest.approx(rank_biased_overlap("abc", "bac"))
    assert report.statuses == {"optimal": (4, 4)}
    posts, ads = report.lines
    assert (posts.share, posts.load, posts.spacing) == (pytest.approx((2 / 3, 2 / 3)), (2.0, 2.0), (1.0, 2.0))
    assert (ads.share, ads.spacing) == (pytest.approx((1 / 3, 1 / 3)), (None, None))
    # exposure of slots 1, 2, 3 is 1, 1 / log2(3), 1 / 2
    assert report.worth == pytest.approx((4 + 3 / log2(3) + 1, 3 + 4 / log2(3) + 1))
    assert report.compared == 4
    assert len(report.examples) == 3
    assert [item.item_id for item in report.examples[0].before] == ["ad", "post 1", "post 2"]


def test_a_policy_beside_itself_changes_nothing():
    report = compared(STRICT, STRICT, asked(3))
    assert (report.equal, report.overlap, report.rbo, report.moved, report.examples) == (
        3,
        1.0,
        pytest.approx(1),
        0,
        (),
    )
    assert report.worth[0] == report.worth[1]


def test_rules_of_the_policy_before_that_the_other_breaks_are_counted():
    report = compared(STRICT, PLAIN, asked(3))
    assert report.broken == {"no ad on top": (0, 3)}
    assert report.relaxed == {}
    cannot = changed({"name": "all ads", "group": {"line": "ads"}, "at_least": 3})
    report = compared(PLAIN, cannot, asked(2))
    assert report.relaxed == {"all ads": (0, 2)}
    assert report.statuses == {"optimal": (2, 0), "relaxed": (0, 2)}


def test_the_worth_of_pages_that_go_on_with_a_session_is_not_compared():
    apart = changed({"name": "ads apart", "group": {"line": "ads"}, "every": 2, "at_most": 1})
    first, _ = sides(policy_of(apart), policy_of(apart))
    state = first.ladder.compose(first.wire.decode(body(slots=1)).request).state.token
    report = compared(apart, PLAIN, [*asked(1), Asked(body(state=state), JSON)])
    assert (report.requests, report.compared) == (2, 1)


def test_a_request_that_the_other_does_not_take_is_a_failure_with_its_reason():
    needs = changed(columns={"utility": "number", "price": "number"})
    with_price = Asked(body(9, candidates=[{**row, "price": 1.0} for row in ROWS]), JSON)
    report = compared(PLAIN, needs, [*asked(2), with_price])
    assert (report.requests, report.failed, report.equal) == (3, 2, 1)
    assert [(one.requests, one.example) for one in report.failures] == [(2, "r0")]
    assert "price" in report.failures[0].reason
    assert compared(needs, PLAIN, asked(2)).skipped == 2


def test_what_was_known_when_a_request_was_served_is_known_when_it_is_tried():
    seen = []

    class Seen:
        def __init__(self, side):
            self.policy, self.wire, self.ladder = side.policy, side.wire, self
            self._ladder = Ladder(side.policy)

        def compose(self, request, under):
            seen.append((under, request.control))
            return self._ladder.compose(request, under)

    under = Conditions(rung=1, quality=0.5, granted={"cap": {"": 1}}, time=7.0)
    pair = map(Seen, sides(policy_of(PLAIN), policy_of(STRICT)))
    shadowed([Asked(body(), JSON, under)], *pair, clock=time.perf_counter)
    assert [(one.rung, one.quality, one.granted, one.time) for one, _ in seen] == [(0, 1.0, {"cap": {"": 1}}, 7.0)] * 2


def test_the_service_has_a_rest_after_each_request():
    now, rests = [0.0], []

    def clock():
        now[0] += 1.0
        return now[0]

    shadowed(asked(3), *sides(policy_of(PLAIN), policy_of(STRICT)), clock=clock, rest=rests.append)
    assert rests == [REST * 5.0] * 3  # read five more times for each request


def test_the_ring_keeps_the_last_requests_apart_and_within_its_bytes():
    ring = Ring(most=3, most_bytes=100, apart_s=1.0)
    for number in range(10):
        now = number / 2
        if ring.wants(now):
            ring.add(Asked(b"%d" % number, JSON), now=now)
    assert [one.body for one in ring.last(9)] == [b"4", b"6", b"8"]
    ring.add(Asked(b"x" * 99, JSON), now=10.0)
    assert [len(one.body) for one in ring.last(9)] == [1, 99]
    assert ring.last(0) == []


def test_work_aside_gives_way_and_leaves_the_interpreter_as_it_was():
    before, inside = sys.getswitchinterval(), []

    async def twice():
        first = asyncio.create_task(aside.aside(lambda: (time.sleep(0.1), inside.append(sys.getswitchinterval()))))
        await asyncio.sleep(0)
        await aside.aside(lambda: inside.append(threading.current_thread() is threading.main_thread()))
        await first
        return inside

    assert sorted(asyncio.run(twice())) == [False, pytest.approx(aside.INTERVAL_S)]
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize(
    ("first", "second", "agreement"),
    [
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("ab", "ba", 0.9),
        ("a", "ab", 1.0),  # goes on as it began
        ("", "a", 0.0),
        # common 0, 1, 1 at depths 1, 2, 3
        ("abc", "xay", (0.1 / 0.9) * (0.81 / 2 + 0.729 / 3) + 0.729 / 3),
        ("ab", "abc", 1.0),
    ],
)
def test_rankings_agree_as_far_as_their_tops_do(first, second, agreement):
    assert rank_biased_overlap(first, second) == pytest.approx(agreement)
    assert rank_biased_overlap(first, second) == pytest.approx(rank_biased_overlap(second, first))


def test_a_model_goes_with_its_policy_and_one_that_was_changed_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    from slatewise.learn.export import weighted

    rows = [{**row, "score": row["utility"], "quality": place} for place, row in enumerate(ROWS)]
    with serving(desk_of()) as client:
        hashes = []
        for weight in (1.0, -1.0):
            model = msgspec.to_builtins(weighted({"quality": weight}))
            Artefact(section="compose.rerank", settings={"model": model, "passes": 1}).write(tmp_path / "model.json")
            rerank = {"from": "model.json", "by": "score"}
            columns = {"score": "number", "quality": "number"}
            document = changed(columns=columns, compose={"rerank": rerank, "solve": {}})
            (tmp_path / "policy.json").write_text(json.dumps(document))
            spelled_out = Policy.load(tmp_path / "policy.json", STAGES).document()
            pushed = client.post("/v1/policies", json=spelled_out).json()
            assert pushed["models"] == {"compose.rerank": model["digest"]}
            hashes.append(pushed["hash"])
        orders = []
        for policy in hashes:
            client.post(f"/v1/policies/{policy}/promote", json={"force": True})
            page = client.post("/v1/compose", content=body(candidates=rows)).json()
            assert page["policy"] == policy
            orders.append([item["item_id"] for item in page["items"]])
        assert orders == [["post 3", "post 2", "post 1"], ["ad", "post 1", "post 2"]]
        spelled_out["compose"]["rerank"]["model"]["digest"] = "0" * 64
        refused = client.post("/v1/policies", json=spelled_out)
        assert refused.status_code == 400
        assert "must have the digest of what it consists of" in refused.json()["error"]["message"]
