"""Worker: what runs in each of several processes; `serve.workers` starts it, and is told when it is ready."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

import msgspec

from slatewise.core.errors import SlatewiseError
from slatewise.core.policy import Policy
from slatewise.serve.process.server import serve
from slatewise.serve.process.sharing import Seat, Tally
from slatewise.serve.process.workers import FAILED, Errand
from slatewise.stages import STAGES


def main() -> int:
    """Do the errand that stands on standard input, and return the exit code."""
    errand = msgspec.json.decode(sys.stdin.buffer.readline(), type=Errand)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        policy = Policy.load(errand.policy, STAGES)
        listener = socket.socket(fileno=errand.listener)
        seat = None if errand.place is None else Seat(Tally(errand.tally), errand.place)
        serve(
            policy, errand.settings, listener, accept=errand.accept, seat=seat, ready=lambda told: _tell(errand, told)
        )
    except SlatewiseError as error:
        print(error, file=sys.stderr)
        return FAILED
    return 0


def _tell(errand: Errand, policy: str) -> None:
    os.write(errand.told, policy.encode() + b"\n")
    os.close(errand.told)


def _end_with_parent() -> None:
    """Stop like on SIGTERM when the process above is gone, however it went."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
