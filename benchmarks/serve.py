"""The service under load, beside its goals.

`python benchmarks/serve.py latency overload` prints some parts and writes nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module

from report import Row, publish, show

PARTS = ("wire", "latency", "peer", "overload", "state", "log", "drain", "swap", "hostile", "soak")


def rows_of(part: str) -> list[Row]:
    """Return the rows of a part; each loads only what it needs."""
    return import_module(f"serve_{part}").rows()


if __name__ == "__main__":
    if sys.argv[1:]:
        show([row for name in sys.argv[1:] for row in rows_of(name)])
    else:
        publish("serve", [row for part in PARTS for row in rows_of(part)])
