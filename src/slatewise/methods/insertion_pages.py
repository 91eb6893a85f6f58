"""Lay out the pages into which ads are inserted: which rows they may show, and in which patterns.

Rows that cannot be on any such page are left out, so that nothing is asked about them. Cost: as `kernels.insertion`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from slatewise.core.columns import Codes, Flags, Numbers
from slatewise.core.constraints import Arrays
from slatewise.kernels.insertion import ORGANIC, Patterns, patterns
from slatewise.kernels.insertion_bounds import Tables
from slatewise.models.decoding import Prepared

MOST_NODES = 1 << 18
"""Nodes of patterns that are laid out; where there are more, pages are left out and nothing is proven."""


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """What decides which pages there are, besides the rules.

    Attributes:
        insert: Most ads.
        first: First slot of ads, from 0.
        last: The last one.
        window: (start, stop): organics from `start` up to `stop`, in their order, may change places.
    """

    insert: int
    first: int
    last: int
    window: tuple[int, int] = (0, 0)


@final
@dataclass(frozen=True, slots=True)
class Laid:
    """Pages into which ads are inserted.

    Attributes:
        rows: (n,) int32, the candidates that patterns number: organics in their order, then ads.
        is_ad: (n,) which of them are ads.
        patterns: The pages.
        slots: Slots of a page.
    """

    rows: Codes
    is_ad: Flags
    patterns: Patterns
    slots: int

    @property
    def is_whole(self) -> bool:
        """Whether these are all the pages there are."""
        return bool(self.patterns.whole[0])


def laid_out(order: Codes, is_ad: Flags, arrays: Arrays, slots: int, limits: Limits) -> Laid | None:
    """Return the pages of a length that break no rule; None if there is none.

    Args:
        order: (n,) int32, all rows, in the order that organics keep.
        is_ad: (n,) which rows are ads, by row.
        arrays: The rules.
        slots: Slots of a page.
        limits: What else decides.
    """
    ads = order[is_ad[order]]
    queue = np.concatenate([order[~is_ad[order]], ads])
    organics = len(queue) - len(ads)
    window = np.array(limits.window, np.int64)
    found = patterns(queue, arrays, organics, window, limits.first, limits.last, limits.insert, slots, MOST_NODES)
    if len(found.parent) == 1:
        return None
    shown = np.unique(found.row[1:][found.kind[1:] == ORGANIC])
    place = np.zeros(len(queue), np.int32)
    kept = np.concatenate([shown, np.arange(organics, len(queue))])
    place[kept] = np.arange(len(kept), dtype=np.int32)
    numbered = found._replace(row=place[found.row], members=place[found.members])
    return Laid(queue[kept], np.arange(len(kept)) >= len(shown), numbered, slots)


def tables_of(found: Prepared, worth: Numbers, charge: Numbers) -> Tables:
    """Return what rows are in each slot.

    Args:
        found: What a decoder says of them.
        worth: (n,) what a click on each is worth.
        charge: (n,) what it costs that each is looked at.
    """
    return Tables(*found[1:], worth, charge)
