"""Harm done to a whole service under load: what fails, and which rules and caps break?

    python benchmarks/chaos.py
    python benchmarks/chaos.py --workers 2 --only store

`slatewise serve` with one worker and with two, a Redis server, a decision log on a disk of its own, a policy with
rungs, caps and paces; an open-loop client asks on while things are killed, hung, filled, swapped and stopped. Every
page is checked by `chaos_check.py`, and caps are counted over all pages of a trial. What is shed by a budget is not a
failure under overload; anywhere else it is, and budgets are wide there. A worker that is killed takes the requests with
it that it was answering: these may be lost, and are counted. Ends with 1 if anything else fails.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

import serve_hostile
from chaos_check import Shown, broken, most_of_a_user, most_within
from chaos_ground import POLICY, RATE, Ground, capacity_of, grounds, ready, until
from load import LOST, UNSENT, Offered, Offering, Plan
from serve_state import FAULTS, Fault, Redis
from serve_swap import ask, swaps

SECONDS, BEGIN_S, END_S = 7.0, 1.5, 4.0
"""Of a trial: how long, and from when to when harm is done."""
PATIENT = {"x-slatewise-budget-ms": "10000"}
APART_S = 1.0
"""Seconds after which a user comes back: longer than what a page does not use stays on hold."""
FRESH_S = 2.0
"""Until pages know of the others again."""

ARTICLES, TRENDS_OF_A_USER, TRENDS = POLICY["serve"]["caps"]


class Seen(NamedTuple):
    """What came of a trial.

    Attributes:
        run: Request by request.
        pages: The replies that are pages, by place.
        ended: When harm ended, in seconds after the start.
    """

    run: Offered
    pages: dict[int, dict[str, Any]]
    ended: float


class Lives(NamedTuple):
    """How many times of a cap may be shown.

    Attributes:
        open: Of one that is `failing: open`: whenever a call of the store is late, on a busy machine without any harm
            done, each worker goes by what it knows of, and the store is told a moment later.
        closed: Of one that is `failing: closed`: once, but a store that lost everything begins anew.
        stale_s: Time in which a cap over all users may be exceeded.
        holds: Whether all pages tell the store what they did not use. Those of a worker that was killed do not, and
            their users' next pages have less to choose from: rules may give way there, if the page says so.
    """

    open: int
    closed: int = 1
    stale_s: float = 0.4
    holds: Literal["told", "lost"] = "told"


class Trial(NamedTuple):
    """One kind of harm.

    Attributes:
        what: What is done.
        harm: Does it on entry, and undoes it on exit; between the two, time passes.
        figure: Says what else was seen, and whether that is well.
        lives: What caps promise.
        plan: What differs from the usual load.
        excused: Codes that are no failure here.
    """

    what: str
    harm: Callable[[Ground], AbstractContextManager[object]]
    figure: Callable[[Ground, Seen], tuple[str, bool]]
    lives: Lives
    plan: dict[str, Any] = {}
    excused: tuple[int, ...] = ()


def main() -> int:
    """Do harm, print a line for each trial, and return the exit code."""
    parser = argparse.ArgumentParser(description="Do harm to a service under load.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="a part of the names of trials")
    asked, began, good = parser.parse_args(), time.monotonic(), True
    for workers in asked.workers:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            ground = stack.enter_context(grounds(workers, Path(folder)))
            for trial in _trials(ground):
                good &= asked.only not in trial.what or _tried(ground, trial)
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if good else 1


def _trials(ground: Ground) -> list[Trial]:
    """Return the trials, the last of which ends the service."""
    many = ground.workers + 1
    kept, away, anew = Lives(many), Lives(many, stale_s=1.0), Lives(many, closed=2, stale_s=1.0)
    trials = [Trial("nothing", _nothing, _tail, kept)]
    for name, fault in (FAULTS | {"all its keys lost": Fault(lambda one: one.ask("FLUSHALL"), _quiet)}).items():
        lives = anew if "empty" in name or "lost" in name else away
        trials.append(Trial(f"store {name}", partial(_fault, fault), _fresh, lives))
    if ground.workers > 1:
        trials.append(Trial("a worker killed", _worker_killed, _replaced, kept._replace(holds="lost"), excused=(LOST,)))
    trials += [
        Trial("the log's disk full", _disk_full, _logged, kept),
        Trial("policies swapped back and forth", _swapped, _tail, kept),
        Trial("a canary, taken back", _canary, _taken_back, kept),
        Trial("1000 hostile requests", _hostile, _tail, kept),
    ]
    capacity = capacity_of(ground)
    for times in (3, 10):
        load = {"rate": times * capacity, "seconds": 3.0, "connections": 256, "headers": {}}
        trials.append(Trial(f"{times} times {capacity:.0f} pages/s", _nothing, _good, away, plan=load, excused=(503,)))
    return [*trials, Trial("SIGTERM", _terminated, _drained, kept, excused=(503, UNSENT))]


def _tried(ground: Ground, trial: Trial) -> bool:
    """Carry out a trial, print its line, and tell whether all was well."""
    plan = Plan(
        url=ground.server.url, bodies=[], order="listed", rate=RATE, seconds=SECONDS, connections=32, keep=True,
        headers=PATIENT,
    )  # fmt: skip
    plan = msgspec.structs.replace(plan, **trial.plan)
    count = int(plan.rate * plan.seconds)
    users = int(plan.rate * APART_S)
    tag = secrets.token_hex(4)
    plan.bodies.extend(
        b'{"request_id":"%s-%d","user":"%s-%d",%s'
        % (tag.encode(), place, tag.encode(), place % users, ground.bodies[place % len(ground.bodies)])
        for place in range(count)
    )
    said = ground.server.said().count("Traceback")
    offering = Offering(plan, core=None if ground.workers > 1 else 1)
    time.sleep(max(offering.began + BEGIN_S - time.monotonic(), 0))
    with trial.harm(ground):
        time.sleep(max(offering.began + min(END_S, plan.seconds) - time.monotonic(), 0))
    ended = time.monotonic() - offering.began
    run = offering.result()
    pages = {
        place: msgspec.json.decode(content)
        for place, (content, code) in enumerate(zip(run.content, run.code.tolist(), strict=True))
        if code == 200
    }
    figure, fine = trial.figure(ground, Seen(run, pages, ended))
    faults = _faults(ground, trial.lives, run, pages, users)
    said = ground.server.said().count("Traceback") - said
    if said and trial.harm is not _disk_full:  # whose warning says where it comes from
        faults["tracebacks"] += said
    codes = Counter(run.code.tolist())
    failed = {code: many for code, many in codes.items() if code != 200 and code not in trial.excused}
    fine = fine and not failed and not faults and bool(pages)
    rest = f"; {dict(faults)}" if faults else ""
    print(
        f"{ground.workers} worker{'s' if ground.workers > 1 else ' '}  {trial.what:32} offered {count:5}, pages "
        f"{len(pages):5}, failed {sum(failed.values())}{failed or ''}, broken {sum(faults.values())}{rest}; {figure}  "
        f"{'ok' if fine else 'short'}",
        flush=True,
    )
    return fine


def _faults(ground: Ground, lives: Lives, run: Offered, pages: dict[int, dict[str, Any]], users: int) -> Counter[str]:
    """Return what pages broke: rules page by page, and caps over all of them."""
    found, shown = Counter[str](), list[Shown]()
    for place, page in pages.items():
        rows = ground.rows[place % len(ground.rows)]
        rules = ground.rules.get(page["policy"]) or POLICY["compose"]["constrain"]["rules"]
        faults = broken(page, rows, 20, rules)
        said = {one["rule"] for one in page["status"]["relaxed"]} if lives.holds == "lost" else set[str]()
        if lives.holds == "lost" and page["status"]["missing"]:
            said.add("is shorter than asked for")
        found.update(fault for fault in faults if fault not in said)
        if not any(fault.startswith("shows what") for fault in faults):
            keys = [(str(item["item_id"]), item["line"]) for item in page["items"]]
            at = float(run.due[place] + run.latency_s[place])
            shown.append(Shown(at, str(place % users), [rows[key] for key in keys]))
    for cap, allowed in ((ARTICLES, lives.open), (TRENDS_OF_A_USER, lives.closed)):
        if (most := most_of_a_user(shown, cap)) > cap["at_most"] * allowed:
            found[f"cap {cap['name']}: {most} of {cap['at_most']}"] += 1
    most, meanwhile = most_within(shown, TRENDS, 0.9 * TRENDS["within_s"]), most_within(shown, TRENDS, lives.stale_s)
    if most > TRENDS["at_most"] * lives.closed + meanwhile:
        found[f"cap {TRENDS['name']}: {most} of {TRENDS['at_most']}, {meanwhile} in {lives.stale_s} s"] += 1
    return found


def _quiet(redis: Redis) -> None:
    """Leave a store alone."""


@contextmanager
def _nothing(ground: Ground) -> Iterator[None]:
    yield


@contextmanager
def _fault(fault: Fault, ground: Ground) -> Iterator[None]:
    fault.begin(ground.redis)
    yield
    fault.end(ground.redis)


@contextmanager
def _worker_killed(ground: Ground) -> Iterator[None]:
    os.kill(ground.server.pids[1], signal.SIGKILL)
    yield


@contextmanager
def _disk_full(ground: Ground) -> Iterator[None]:
    """Fill the disk of the log, or, where it has none of its own, let no process write longer files."""
    ballast, pids = ground.log / "ballast", ground.server.pids
    if os.path.ismount(ground.log):
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    else:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    yield
    ballast.unlink(missing_ok=True)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def _swapped(ground: Ground) -> Iterator[None]:
    swaps(ground.server, ground.token, ground.policies, until=time.monotonic() + END_S - BEGIN_S)
    yield


@contextmanager
def _canary(ground: Ground) -> Iterator[None]:
    policy = next(iter(ground.rules))
    ask(ground.server, ground.token, f"/{policy}/canary", {"share": 0.5, "force": True})
    yield
    ask(ground.server, ground.token, "/rollback", {"of": policy})


@contextmanager
def _hostile(ground: Ground) -> Iterator[None]:
    codes = asyncio.run(serve_hostile.attacked(ground.server.port, 1000))
    if any(isinstance(code, int) and code >= 500 and code != 503 for code in codes):
        raise RuntimeError(f"hostile requests made the service fail: {codes}")
    yield


@contextmanager
def _terminated(ground: Ground) -> Iterator[None]:
    ground.server.process.send_signal(signal.SIGTERM)
    yield


def _tail(ground: Ground, seen: Seen) -> tuple[str, bool]:
    return f"P99 {seen.run.percentile_ms(99):.0f} ms", True


def _fresh(ground: Ground, seen: Seen) -> tuple[str, bool]:
    """Tell how long after the harm pages knew of the others again."""
    due = seen.run.due
    late = [due[place] for place, page in seen.pages.items() if page["served"]["state"] != "fresh"]
    back = max([one - seen.ended for one in late], default=0.0)
    alone = f"{len(late)} pages without the store, fresh {max(back, 0):.1f} s after"
    return f"{_tail(ground, seen)[0]}, {alone}", back <= FRESH_S


def _replaced(ground: Ground, seen: Seen) -> tuple[str, bool]:
    """Tell what was lost, and whether another worker took the place."""
    lost = seen.run.due[seen.run.code == LOST]
    there = until(lambda: len(ground.server.pids) == 1 + ground.workers and ready(ground.server) == ground.workers)
    near = all(abs(due - BEGIN_S) < 1.0 for due in lost)
    return f"{len(lost)} lost with their connection, {'replaced' if there else 'not replaced'}", near and there


def _logged(ground: Ground, seen: Seen) -> tuple[str, bool]:
    """Tell how many pages of the trial the log has in the end."""
    from pyarrow import parquet

    wanted = {page["request_id"] for page in seen.pages.values()}
    found = set[str]()

    def complete() -> bool:
        for path in (ground.log / "decisions").glob("*.parquet"):
            found.update(parquet.read_table(path, columns=["request"]).column(0).to_pylist())
        return wanted <= found

    there = until(complete)
    return f"{len(wanted & found)} pages in the log", there


def _taken_back(ground: Ground, seen: Seen) -> tuple[str, bool]:
    """Tell how many pages the canary had, and that none came of it once it was taken back."""
    due = [seen.run.due[place] for place, page in seen.pages.items() if page["served"]["variant"] == "canary"]
    back = max(due, default=0.0) - seen.ended
    return f"{len(due)} pages of the canary, the last {max(back, 0):.1f} s after it was taken back", back < FRESH_S


def _good(ground: Ground, seen: Seen) -> tuple[str, bool]:
    rungs = Counter(page["served"]["rung"] for page in seen.pages.values())
    shed = int((seen.run.code == 503).sum())
    return f"{seen.run.goodput():.0%} good within 50 ms, {shed} shed, pages by rung {dict(rungs)}", True


def _drained(ground: Ground, seen: Seen) -> tuple[str, bool]:
    code = ground.server.process.wait(60)
    counts = [int((seen.run.code == code).sum()) for code in (503, UNSENT)]
    return f"code {code}, {counts[0]} turned away, {counts[1]} found nobody", code == 0


if __name__ == "__main__":
    sys.exit(main())
