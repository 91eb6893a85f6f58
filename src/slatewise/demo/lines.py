"""Three lines that nominate articles for a visit, each in the unit that is natural to it.

| line | score | unit | rough range |
|---|---|---|---|
| `for_you` | similarity to what this reader opened lately, by co-reading | cosine | 0 to 0.5 |
| `trending` | clicks, plus a tenth of the shows, fading by half every two hours | clicks | 0 to 10 |
| `fresh` | 1 / (1 + hours since the article was first seen) | per hour | 0 to 1 |

The scores do not compare, and are not meant to: bringing them together is what the policies are for. An article may be
nominated by several lines. `for_you` knows the reader and leaves out what he or she opened; the others do not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Keys
from slatewise.demo.interests import Codes, Numbers
from slatewise.demo.records import Visit
from slatewise.demo.site import CLUSTERS, Site

LINES = ("for_you", "trending", "fresh")
MOST = 60
"""Articles that a line nominates, at most."""

LATELY = 20
"""Articles that a reader's interests are taken from: the last so many opened."""

CLUSTER_NAMES = tuple(f"c{number}" for number in range(1, CLUSTERS + 1))


class Nominations(NamedTuple):
    """What the lines put forward for one visit.

    Attributes:
        candidates: Rows with `score`, `opened` (the reader did, before) and `cluster` (of co-reading, if known).
        about: Ids of all articles of the window, whether nominated or not.
        age_h: Item id to hours since the article was first seen, for those nominated.
    """

    candidates: Candidates
    about: Codes
    age_h: dict[int, float]


def nominate(site: Site, visit: Visit) -> Nominations:
    """Return what the lines put forward; `site` has begun the visit and knows nothing of its outcome."""
    about = site.about()
    ids = site.ids(about)
    mine = site.opened(visit.reader)
    opened = np.isin(about, mine)
    age = site.age_h(about, visit.time)
    scores = {
        "for_you": np.where(opened, 0.0, site.interests.similarity(mine[-LATELY:], about)),
        "trending": site.heat(about, visit.time),
        "fresh": 1 / (1 + age),
    }
    picked = [_best(scores[line], ids) for line in LINES]
    rows = np.concatenate(picked)
    sizes = [len(part) for part in picked]
    candidates = Candidates.of(
        item_id=ids[rows],
        line=Keys(np.repeat(np.arange(len(LINES), dtype=np.int32), sizes), LINES),
        score=np.concatenate([scores[line][part] for line, part in zip(LINES, picked, strict=True)]),
        opened=opened[rows],
        cluster=Keys(site.interests.clusters(about)[rows], CLUSTER_NAMES),
    )
    return Nominations(candidates, ids, dict(zip(ids[rows].tolist(), age[rows].tolist(), strict=True)))


def _best(score: Numbers, ids: Codes) -> Codes:
    """Return the places of the best scores above 0, best first; ties go to the younger id."""
    order = np.lexsort((-ids, -score))[:MOST]
    return order[score[order] > 0]
