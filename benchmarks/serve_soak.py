"""Soaked: does a service that runs for long need more memory, files or threads, and does it ever stand still?

    python benchmarks/serve_soak.py --minutes 10

The service answers moderate load while its own `/metrics` are read every few seconds. Slopes are least squares over
what comes after the warm-up, the first fifth of the time.
"""

from __future__ import annotations

import argparse
import re
import time
import urllib.request
from collections import Counter

import numpy as np

from load import Offering, Plan
from report import Row, show
from serving import PACED, paced_bodies, serving

RATE, EVERY_S, WARM_SHARE, LONG_S = 100.0, 2.0, 0.2, "0.002"
SAMPLE = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


def read(root: str) -> dict[str, float]:
    """Return what a service has measured: every name, summed over all labels but bounds."""
    with urllib.request.urlopen(f"{root}/metrics", timeout=30) as reply:
        text = reply.read().decode()
    found: dict[str, float] = {}
    for name, labels, value in SAMPLE.findall(text):
        bound = re.search(r'le="([^"]+)"', labels)
        key = f"{name}|{bound[1]}" if bound else name
        found[key] = found.get(key, 0.0) + float(value)
    return found


def rows(minutes: float = 10.0) -> list[Row]:
    """Soak a service."""
    seconds = minutes * 60
    times: list[float] = []
    readings: list[dict[str, float]] = []
    with serving(PACED) as server:
        offering = Offering(Plan(url=server.url, bodies=paced_bodies(200), rate=RATE, seconds=seconds, connections=32))
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            readings.append(read(server.root))
            times.append(time.monotonic() - began)
            time.sleep(EVERY_S)
        came = offering.result()
    after = int(len(times) * WARM_SHARE)
    at, last, first = np.array(times[after:]), readings[-1], readings[after]

    def slope(name: str) -> float:
        """Return what is added in ten minutes."""
        return float(np.polyfit(at, [one[name] for one in readings[after:]], 1)[0]) * 600

    def gained(key: str) -> float:
        return last[key] - first[key]

    pauses = gained("slatewise_gc_pause_seconds_count")
    long = pauses - gained(f"slatewise_gc_pause_seconds_bucket|{LONG_S}")
    memory = slope("slatewise_memory_bytes") / 2**20
    files, threads = slope("slatewise_open_files"), slope("slatewise_threads")
    others = Counter(came.code[(came.code != 200) & (came.code != 503)].tolist())
    told = f"{minutes:g} min, {RATE:g} requests/s, {(came.code == 200).sum()} pages"
    size = last["slatewise_memory_bytes"] / 2**20
    return [
        Row("memory added in 10 minutes", "<= 1 MB", f"{memory:.2f} MB, of {size:.0f}", told, memory <= 1.0),
        Row("collections above 2 ms", "0", f"{long:.0f} of {pauses:.0f}", told, long == 0),
        Row("files, threads added in 10 minutes", "0", f"{files:.2f}, {threads:.2f}", told, files < 1 and threads < 1),
        Row("requests that failed", "0", f"{dict(others) or 0}, {(came.code == 503).sum()} shed", told, not others),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Soak a service.")
    parser.add_argument("--minutes", type=float, default=10.0)
    show(rows(parser.parse_args().minutes))
