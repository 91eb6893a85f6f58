"""Allowance: what may be spent on finding out, one account for everything that explores.

    left = share * value served - spent

It is a value: a draw that is granted gives a new one. An empty account refuses, and that is no failure. What a purpose
found out is told as variance removed, so that purposes can be compared by what they paid for it.
"""

from __future__ import annotations

from math import fsum, inf

import msgspec

from slatewise.core.request import Request

KEEPER = "blend.govern"
"""Section of the stage that keeps the account."""


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """An account.

    Attributes:
        share: Most of the value served that may be spent, 0 to 1.
        value: Value served so far.
        spent: Purpose to what it has spent.
        learnt: Purpose to the variance that it has removed.

    Examples:
        >>> account = Allowance(share=0.01).earn(1000.0)
        >>> account, granted = account.draw("shade", 8.0)
        >>> granted, account.left
        (True, 2.0)
        >>> account.draw("weight", 3.0)[1]
        False
        >>> account.learn("shade", 4.0).price("shade")
        2.0
    """

    share: float
    value: float = 0.0
    spent: dict[str, float] = {}
    learnt: dict[str, float] = {}

    @property
    def left(self) -> float:
        """What may still be spent; never below zero."""
        return max(self.share * self.value - fsum(self.spent.values()), 0.0)

    def earn(self, value: float) -> Allowance:
        """Return the account after so much value was served; a loss adds nothing."""
        return msgspec.structs.replace(self, value=self.value + max(value, 0.0))

    def draw(self, purpose: str, cost: float) -> tuple[Allowance, bool]:
        """Return (the account after a draw, whether it was granted); one that was refused changes nothing."""
        if cost > self.left:
            return self, False
        return self.pay(purpose, cost), True

    def pay(self, purpose: str, cost: float) -> Allowance:
        """Return the account after something was spent, whatever is left."""
        return msgspec.structs.replace(self, spent={**self.spent, purpose: self.spent.get(purpose, 0.0) + cost})

    def learn(self, purpose: str, variance: float) -> Allowance:
        """Return the account after a purpose removed so much variance."""
        return msgspec.structs.replace(self, learnt={**self.learnt, purpose: self.learnt.get(purpose, 0.0) + variance})

    def price(self, purpose: str) -> float:
        """Return what a purpose paid per unit of variance removed; infinite as long as it removed none."""
        learnt = self.learnt.get(purpose, 0.0)
        return self.spent.get(purpose, 0.0) / learnt if learnt > 0 else inf


def allowance_of(request: Request) -> Allowance | None:
    """Return the account that a request comes with; None if nobody keeps one."""
    memory = None if request.control is None else request.control.memories.get(KEEPER)
    found = getattr(memory, "allowance", None)
    return found if isinstance(found, Allowance) else None
