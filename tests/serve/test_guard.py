"""Policies that are taken back without anybody being asked."""

import pytest

from serve.policies import (
    NO_AD_ON_TOP,
    PLAIN,
    body,
    changed,
    compose,
    desk_of,
    policy_of,
    push,
    serving,
    until,
)
from slatewise.serve.limits import Limits
from slatewise.serve.rollout.guard import Guard, Outcomes, Rails, broken
from slatewise.serve.rollout.rollout import Deployed, Standing

STRICT = changed(NO_AD_ON_TOP)


def outcomes(pages, **counts):
    found = Outcomes()
    found.pages, found.latency_s = pages, counts.pop("latency_s", pages * 0.002)
    for name, count in counts.items():
        setattr(found, name, count)
    return found


@pytest.mark.parametrize(
    ("new", "other", "told"),
    [
        (outcomes(100), outcomes(100), ""),
        (outcomes(99, failed=100), outcomes(100), "failed"),
        (outcomes(50, failed=49), outcomes(100), ""),  # too few
        (outcomes(99, failed=1), outcomes(100), ""),  # 1 % is twice the least
        (outcomes(97, failed=3), outcomes(100), "failed"),
        (outcomes(97, failed=3), outcomes(98, failed=2), ""),
        (outcomes(100, relaxed=4), outcomes(100), ""),
        (outcomes(100, relaxed=5), outcomes(100), "relaxed"),
        (outcomes(100, reduced=11), outcomes(100), "reduced"),
        (outcomes(100, latency_s=0.41), outcomes(100), "latency_ms"),
        (outcomes(100, latency_s=0.41), outcomes(100, latency_s=0.21), ""),
    ],
)
def test_a_policy_is_taken_back_when_it_does_a_multiple_worse(new, other, told):
    assert broken(Rails(requests=100), new.rates(), other.rates()).partition(":")[0] == told


def test_a_window_that_is_over_begins_again_and_watching_ends():
    old, new = (Deployed(policy_of(document), Limits()) for document in (PLAIN, STRICT))
    before, after = Standing(old), Standing(new, previous=old)
    guard = Guard(Rails(requests=100, window_s=60.0, watch_s=100.0))
    new.outcomes.pages = new.outcomes.relaxed = 500  # from when it served before
    guard.swapped(before, after, now=0.0)
    assert guard.look(after, now=1.0) is None
    new.outcomes.pages = 100
    assert guard.look(after, now=59.0) is None
    assert new.outcomes.pages == 100
    assert guard.look(after, now=60.0) is None
    assert new.outcomes.pages == 0
    new.outcomes.pages = new.outcomes.relaxed = 100
    assert guard.look(after, now=99.0) == (new.hash, "relaxed: 1, more than 2 times 0.02")
    assert guard.look(after, now=100.0) is None
    new.outcomes.clear()
    guard.swapped(after, before, now=99.0)
    old.outcomes.pages = old.outcomes.relaxed = 100
    assert guard.look(before, now=99.0) is None  # what was rolled back to is trusted


RELAXED = changed({"name": "all ads", "group": {"line": "ads"}, "at_least": 3})
NEEDY = changed(columns={"utility": "number", "price": "number"})


@pytest.mark.parametrize(
    ("step", "asked_for"), [("canary", {"share": 0.5, "force": True}), ("promote", {"force": True})]
)
@pytest.mark.parametrize(("bad", "why"), [(RELAXED, "relaxed: 1, more than 2 times 0.02"), (NEEDY, "failed: ")])
def test_a_policy_that_does_worse_is_taken_back_and_the_audit_says_why(bad, why, step, asked_for):
    with serving(desk_of(rails=Rails(requests=20, latency_ms=60_000.0), every_s=0.05)) as client:
        start, policy = compose(client)["policy"], push(client, bad)
        for number in range(30):
            compose(client, number)
        assert client.post(f"/v1/policies/{policy}/{step}", json=asked_for).status_code == 200

        def gone():
            for number in range(10):
                client.post("/v1/compose", content=body(number))
            record = client.get("/v1/policies").json()["record"]
            return record if (record["active"], record["canary"]) == (start, None) else None

        entry = until(gone)["audit"][0]
        assert (entry["who"], entry["what"], entry["policy"]) == ("guard", "rollback", policy)
        assert entry["why"].startswith(why)
        assert compose(client)["policy"] == start
