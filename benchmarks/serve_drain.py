"""Stopped under load: no request that was sent on a connection is lost, with one worker and with two.

An open-loop client asks on while SIGTERM arrives. What it could not send, as nobody listened any more, would go to
another machine and is no failure; what it sent and got no reply to is.
"""

from __future__ import annotations

import signal
import time
import urllib.request

from load import LOST, SILENT, UNSENT, Offering, Plan
from report import Row, show
from serving import PACED, Server, paced_bodies

RATE, SECONDS, BEFORE_S, DRAIN_S = 100.0, 6.0, 2.0, 1.5


def metrics(root: str) -> str:
    """Return what a service has measured."""
    with urllib.request.urlopen(f"{root}/metrics", timeout=30) as reply:
        return reply.read().decode()


def rows() -> list[Row]:
    """Stop services under load."""
    bodies = paced_bodies(50)
    found: list[Row] = []
    for workers in (1, 2):
        server = Server(PACED, "--workers", str(workers), "--drain-s", str(DRAIN_S), core=None)
        try:
            server.until_ready()
            while f"slatewise_ready_workers {workers:.1f}" not in metrics(server.root):
                time.sleep(0.1)
            offering = Offering(Plan(url=server.url, bodies=bodies, rate=RATE, seconds=SECONDS, connections=32))
            time.sleep(BEFORE_S)
            server.process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            code = server.process.wait(60)
            took = time.monotonic() - asked
            came = offering.result()
        finally:
            server.stop()
        lost = int(((came.code == LOST) | (came.code == SILENT)).sum())
        pages, shed = int((came.code == 200).sum()), int((came.code == 503).sum())
        failed = int((came.code != UNSENT).sum()) - pages - shed - lost
        found.append(
            Row(
                f"SIGTERM under load, {workers} worker{'s' if workers > 1 else ''}",
                "0 dropped, 0 failed, code 0",
                f"{lost} dropped, {failed} failed, {shed} shed of {pages} pages; code {code} after {took:.1f} s",
                f"drains for {DRAIN_S} s at {RATE:g} requests/s",
                lost == 0 and failed == 0 and code == 0,
            )
        )
    return found


if __name__ == "__main__":
    show(rows())
