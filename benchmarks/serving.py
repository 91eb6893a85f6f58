"""A service to measure: `slatewise serve` in a process and on a core of its own, and requests as the demo has them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

PACED = Path(__file__).parents[1] / "src/slatewise/demo/policies/paced.yaml"
"""The demo's full policy."""


class Server:
    """`slatewise serve` in a process of its own, on one core."""

    def __init__(
        self, policy: Path | str, *options: str, core: int | None = 0, env: dict[str, str] | None = None
    ) -> None:
        """Start it; `until_ready` waits."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/v1/compose"
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "slatewise.cli", "serve", str(policy), "--port", str(self.port), *options]
        pinned = command if core is None else ["taskset", "-c", str(core), *command]
        self.process = subprocess.Popen(pinned, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})})

    def until_ready(self, seconds: float = 120.0) -> None:
        """Wait until it says that it is ready, or, of a version that says nothing of it, that it is up.

        Raises:
            RuntimeError: It ended, or took too long.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.root}/readyz", timeout=5):
                    return
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the service did not come up: {self.said()}")

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu_s(self) -> float:
        """Return the processor time it has taken, its children's included."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Return its resident memory, its children's included."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def said(self) -> str:
        """Return what it wrote to its standard streams."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self, seconds: float = 30.0) -> int:
        """Ask it to end, insist if it does not, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def serving(policy: Path | str, *options: str, **where: Any) -> Iterator[Server]:
    """Run a server that is ready, and stop it in the end."""
    server = Server(policy, *options, **where)
    try:
        server.until_ready()
        yield server
    finally:
        server.stop()


def paced_bodies(count: int, *, form: Literal["rows", "columns"] = "rows", slots: int = 20) -> list[bytes]:
    """Return requests for the demo's policies: visits of its sample for which lines nominate 300 candidates."""
    from slatewise.core.columns import Keys
    from slatewise.demo import lines, records
    from slatewise.demo.site import Site

    site, bodies = Site(records.shipped_histories()), list[bytes]()
    lines.MOST = 100
    for visit in records.shipped_visits():
        site.begin(visit)
        candidates = lines.nominate(site, visit).candidates
        if len(candidates) == 300:
            columns = {"item_id": candidates.item_id} | {
                name: [column.name(row) for row in range(300)] if isinstance(column, Keys) else column.tolist()
                for name, column in candidates.columns.items()
            }
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            plain = {"request_id": str(visit.id), "user": str(visit.reader), "time": visit.time, "slots": slots}
            bodies.append(msgspec.json.encode({**plain, "candidates": rows if form == "rows" else columns}))
        if len(bodies) == count:
            return bodies
        site.end(visit)
    return [bodies[place % len(bodies)] for place in range(count)]
