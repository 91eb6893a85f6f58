"""Mirror descent on a moving average of gradients: one step of a loop that steers a price.

    average_t = decay * average_{t-1} + now * g_t + last * g_{t-1} + before * g_{t-2}
    dual_t+1  = dual_t - step_t * average_t,  kept within [low, high]

A gradient is what was aimed at less what came, so that a price falls while there is room. The step is `gain`, or for an
adaptive law `gain / sqrt(sum of squared gradients)` over the last `memory` of them, which needs no unit. A loop that
stands at a bound and is pushed against it forgets its average, so that it leaves as soon as the push ends.

Cost: O(1) per step.

References:
    Balseiro, Lu & Mirrokni (2023), "The Best of Many Worlds: Dual Mirror Descent for Online Allocation Problems",
    Operations Research 71(1). Balseiro, Lu, Mirrokni & Sivan (2022), "Analysis of Dual-Based PID Controllers through
    Convolutional Mirror Descent", arXiv 2202.06152. Duchi, Hazan & Singer (2011), "Adaptive Subgradient Methods".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slatewise.kernels.compiled import kernel, leaf

DUAL, AVERAGE, LAST, BEFORE, SQUARES, COUNT = range(6)
"""What a loop remembers; `COUNT` is how many gradients `SQUARES` is a sum of."""
GAIN, DECAY, NOW, ONE_AGO, TWO_AGO, ADAPTIVE, MEMORY, DEAD, MOST, LOW, HIGH = range(11)
"""What a law says; `DEAD` is the size below which a gradient counts as 0, `MOST` the largest move of one step."""


@leaf
def step(loop: Any, law: Any, gradient: float, damping: float) -> None:
    """Move one loop by one gradient, in place.

    Args:
        loop: (6,) what it remembers.
        law: (11,) how it moves.
        gradient: What was aimed at less what came.
        damping: Part of the step that is taken, in [0, 1].
    """
    if abs(gradient) <= law[DEAD]:
        gradient = 0.0
    average = law[DECAY] * loop[AVERAGE] + law[NOW] * gradient + law[ONE_AGO] * loop[LAST] + law[TWO_AGO] * loop[BEFORE]
    size = law[GAIN]
    if law[ADAPTIVE] > 0:
        if loop[COUNT] >= law[MEMORY]:
            loop[SQUARES] *= law[MEMORY] / (loop[COUNT] + 1.0)
            loop[COUNT] = law[MEMORY] - 1.0
        loop[SQUARES] += gradient * gradient
        loop[COUNT] += 1.0
        size /= np.sqrt(loop[SQUARES]) if loop[SQUARES] > 0 else 1.0
    move = min(max(-damping * size * average, -law[MOST]), law[MOST])
    dual = loop[DUAL] + move
    loop[AVERAGE], loop[BEFORE], loop[LAST] = average, loop[LAST], gradient
    loop[DUAL] = min(max(dual, law[LOW]), law[HIGH])
    if loop[DUAL] != dual:
        loop[AVERAGE] = loop[LAST] = loop[BEFORE] = 0.0


@kernel
def follow(loop: Any, law: Any, gradients: Any, damping: float) -> None:
    """Move one loop by one gradient after the other, in place."""
    for at in range(len(gradients)):
        step(loop, law, gradients[at], damping)


@kernel
def buy(values: Any, prices: Any, targets: Any, budget: float, loop: Any, law: Any) -> tuple[Any, Any]:
    """Return what was spent on each request, and the multiplier asked for it, while the loop moves after each.

    A request is bought if its value is above multiplier times price, and there is money left.

    Args:
        values: (n,) what each request is worth.
        prices: (n,) what it costs.
        targets: (n,) what to spend on it, > 0.
        budget: What there is to spend.
        loop: (6,) moved in place; the multiplier is exp(dual).
        law: (11,) how it moves.
    """
    n = len(values)
    spent, asked = np.zeros(n), np.empty(n)
    for at in range(n):
        asked[at] = np.exp(loop[DUAL])
        if values[at] > asked[at] * prices[at] and prices[at] <= budget:
            spent[at] = prices[at]
            budget -= prices[at]
        step(loop, law, 1.0 - spent[at] / targets[at], 1.0)
    return spent, asked
