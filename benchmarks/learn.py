"""Learned pages beside their goals: losses, listwise scorers, evaluators and generators, the decoder and its search.

`python benchmarks/learn.py decode network` prints some parts and writes nothing. The large table is `table.py`.
"""

from __future__ import annotations

import sys

import learn_decode
import learn_losses
import learn_network
import learn_propose
import learn_rerank
from report import publish, show

PARTS = {
    "losses": learn_losses,
    "rerank": learn_rerank,
    "propose": learn_propose,
    "network": learn_network,
    "decode": learn_decode,
}

if __name__ == "__main__":
    if sys.argv[1:]:
        show([row for name in sys.argv[1:] for row in PARTS[name].rows()])
    else:
        publish("learn", [row for part in PARTS.values() for row in part.rows()])
