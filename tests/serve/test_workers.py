"""Several processes: one is lost and nobody notices, all are replaced and nobody notices, all end together."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from serve.living import BODY, POLICY, Hammer, Living, patient, wait_for

TWO = ("--workers", "2", "--drain-s", "0.5")


@pytest.fixture(scope="module")
def served():
    with Living(*TWO) as living:
        yield living.until_up()


def gone(pid):
    """Tell whether a process is no more."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def said(living, text):
    return [line for line in living.lines() if text in line["message"]]


def test_both_workers_serve_and_either_answers_for_both(served):
    with Hammer(served, clients=8) as hammer:
        pids = served.children()
        before = {pid: busy(pid) for pid in pids}
        pages = hammer.pages
        wait_for(lambda: hammer.pages > pages + 400, "pages")
        assert all(busy(pid) > before[pid] for pid in pids), "both have work"
    assert not hammer.failures
    wait_for(lambda: total(metrics(served), "slatewise_pages_total") == hammer.pages, "all pages to be counted")
    for text in [metrics(served) for _ in range(8)]:
        assert "slatewise_ready_workers 2.0" in text
        assert total(text, "slatewise_pages_total") == hammer.pages
    assert said(served, "share state in a file that is gone with them")


def busy(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def metrics(served):
    return served.ask("/metrics")[2].decode()


def total(text, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


def test_pages_counted_are_not_lost_with_the_worker_that_served_them_and_another_takes_its_place(served):
    pages = total(metrics(served), "slatewise_pages_total")
    victim, other = served.children()
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: gone(victim), "the end of a worker")
    assert served.ask("/v1/compose", BODY)[0] == 200, "the other one serves on"
    successor = wait_for(lambda: set(served.children()) - {victim, other}, "a successor")
    wait_for(lambda: f"(process {min(successor)}) is ready" in served.said(), "its readiness")
    wait_for(lambda: "slatewise_ready_workers 2.0" in metrics(served), "two that are ready")
    wait_for(lambda: total(metrics(served), "slatewise_pages_total") == pages + 1, "no page to be lost")
    assert said(served, "ended with code -9; it is started again in 0 s")


def test_workers_are_replaced_under_load_and_no_request_fails(served):
    old = set(served.children())
    with Hammer(served) as hammer:
        served.process.send_signal(signal.SIGHUP)
        codes = [200]

        def replaced():
            codes.append(served.ask("/v1/compose", BODY)[0])
            return not old & set(served.children()) and len(served.children()) == 2

        wait_for(replaced, "two new workers")
        hammer.until_moved_on()
    assert set(codes) == {200}, "a worker accepts nobody before it is ready"
    assert not hammer.failures
    assert hammer.moved_on == 6, "whoever was on an old worker was told to go elsewhere"


def test_workers_that_are_to_be_replaced_while_they_are_replaced_have_one_successor_each(served):
    old = set(served.children())
    served.process.send_signal(signal.SIGHUP)
    first = wait_for(lambda: set(served.children()) - old, "a successor")
    served.process.send_signal(signal.SIGHUP)
    gone = old | first
    wait_for(lambda: not gone & set(served.children()) and len(served.children()) == 2, "two workers, both new")


def test_all_workers_end_together_under_load_and_no_request_fails(served):
    with Hammer(served, clients=8) as hammer:
        children = served.children()
        served.process.send_signal(signal.SIGTERM)
        hammer.until_moved_on()
        assert served.process.wait(60) == 0
    assert not hammer.failures
    assert hammer.moved_on == 8
    assert all(gone(pid) for pid in children)
    assert not [
        line for line in served.lines() if line["level"] == "ERROR" and "ended with code -9" not in line["message"]
    ]


def test_workers_are_replaced_again_while_those_before_still_drain():
    with Living("--workers", "2", "--drain-s", "60") as living:
        living.until_up()
        for ready in (4, 6):
            living.process.send_signal(signal.SIGHUP)
            wait_for(lambda ready=ready: living.said().count(" is ready") >= ready, "two new workers")
        assert len(living.children()) == 6
        assert living.ask("/v1/compose", BODY)[0] == 200
        assert living.stop(signal.SIGINT) == 0


def test_workers_end_when_the_process_above_them_is_killed():
    with Living(*TWO) as living:
        children = living.until_up().children()
        living.process.kill()
        wait_for(lambda: all(gone(pid) for pid in children), "the end of all workers")


def test_what_the_first_worker_refuses_is_refused_once(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(Path(POLICY).read_text().replace("first_slot", "first_slt"))
    with Living(*TWO, policy=policy) as living:
        assert living.process.wait(120) == 1
        assert living.said().count("did you mean 'first_slot'?") == 1
        assert not said(living, "is started again")


def test_a_worker_whose_successor_fails_stays(tmp_path):
    policy = patient(tmp_path)
    with Living(*TWO, policy=policy) as living:
        old = living.until_up().children()
        policy.write_text("nonsense: 1")
        living.process.send_signal(signal.SIGHUP)
        wait_for(lambda: said(living, "the old workers stay"), "the refusal")
        assert living.children() == old
        assert json.loads(living.ask("/v1/compose", BODY)[2])["items"]
        assert living.stop() == 0
