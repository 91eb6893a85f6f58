"""What a reader of a feed with ads does, slot by slot: which slots she sees, and what she clicks there."""

from __future__ import annotations

import math

import numpy as np

from slatewise.kernels.compiled import inlined, kernel


@inlined
def _chance(odds):
    """Return the probability of some log-odds."""
    return 1.0 / (1.0 + math.exp(-odds))


@kernel
def walked(pages, base, like, brand, annoyance, dullness, leaving, effects):
    """Return (b, k) how likely each slot is seen, and how likely it is clicked if it is.

    Args:
        pages: (b, k) rows in serving order.
        base: (n,) log-odds of a click on each row alone.
        like: (n, n) cosines.
        brand: (n,) whose ad a row is, -1 for a row that is none.
        annoyance: (n,) what a row adds to the log-odds of leaving if it is an ad that fits nowhere.
        dullness: (n,) what a row adds to them otherwise.
        leaving: Log-odds of leaving after a slot of no account.
        effects: Log-odds, in this order: of an ad below a row like it, of a row below one like it, what each ad above
            takes from rows, from ads, what each ad of the same brand above takes, what each ad so far adds to leaving.
    """
    related, repeated, fatigue, ad_fatigue, same_brand, weary = effects
    seen = np.empty(pages.shape)
    click = np.empty(pages.shape)
    for page in range(len(pages)):
        stays = 1.0
        ads = 0
        for slot in range(pages.shape[1]):
            row = pages[page, slot]
            odds = base[row]
            fit = like[row, pages[page, slot - 1]] if slot > 0 else 0.0
            leave = leaving + dullness[row]
            if brand[row] >= 0:
                odds += related * fit - ad_fatigue * ads
                for above in range(slot):
                    if brand[pages[page, above]] == brand[row]:
                        odds -= same_brand
                ads += 1
                leave += annoyance[row] * (1.0 - fit)
            else:
                odds -= repeated * max(fit, 0.0) + fatigue * ads
                if slot > 1:
                    odds -= 0.5 * repeated * max(like[row, pages[page, slot - 2]], 0.0)
            seen[page, slot] = stays
            click[page, slot] = _chance(odds)
            stays *= 1.0 - _chance(leave + weary * ads)
    return seen, click
