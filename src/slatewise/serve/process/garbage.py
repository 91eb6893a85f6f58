"""Garbage: Python's collector of cycles, kept out of the way of requests.

Policies, kernels and libraries are many objects that stay; a full collection would look at each, for tens of
milliseconds. They are frozen once, when everything is loaded, and later collections look only at what came after. A
policy that is put in while serving stays unfrozen, so that it is freed when its time is over.
"""

from __future__ import annotations

import gc
from collections import deque
from time import perf_counter
from typing import Any, NamedTuple, final

THRESHOLDS = (10_000, 20, 100)
"""New objects that set off a collection of the youngest, and how many of those set off one of the older."""
MOST_PAUSES = 10_000
"""Pauses that are remembered until they are asked for."""


def settle() -> None:
    """Freeze what is there, after everything was loaded and warmed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def sweep() -> None:
    """Free a policy that was replaced; only what came after `settle` is looked at."""
    gc.collect()


class Pause(NamedTuple):
    """One collection.

    Attributes:
        generation: 0 for the youngest objects, 2 for all that are not frozen.
        seconds: How long everything else stood still.
    """

    generation: int
    seconds: float


@final
class Pauses:
    """Listens to the collector.

    It may call in the middle of anything, so what it says is only put down, and counted by whoever takes it.
    """

    def __init__(self) -> None:
        """Put down nothing yet."""
        self._began = 0.0
        self._put_down: deque[Pause] = deque(maxlen=MOST_PAUSES)

    def listen(self) -> None:
        """Begin."""
        gc.callbacks.append(self._called)

    def stop(self) -> None:
        """End."""
        gc.callbacks.remove(self._called)

    def take(self) -> list[Pause]:
        """Return the pauses since this was asked last."""
        return [self._put_down.popleft() for _ in range(len(self._put_down))]

    def _called(self, phase: str, told: dict[str, Any]) -> None:
        if phase == "start":
            self._began = perf_counter()
        else:
            self._put_down.append(Pause(told["generation"], perf_counter() - self._began))
