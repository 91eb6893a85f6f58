"""A slow, obvious twin of `compose.spread`, in float64, from its formulas alone.

It imports nothing from the package. Policies are plain dictionaries, as a policy file has them; columns are lists, with
None where a value is missing. Slot by slot it takes the row, of those allowed, with the largest

    (1 - strength) * relevance - strength * (redundancy + charges for missing values)
        - spacing + balance + freshness + novelty
"""

from math import log, log2, sqrt

import numpy as np

from oracles import discounts
from oracles_likeness import balance, charge, features, level, likenesses, parameters, scaled

LEAST = 1e-6
"""What is left of an item counts as nothing from here on down."""

REMEMBERED = 200
"""Items that a session remembers."""

BY_BASES = ("projection", "ssd_star", "ssd_volume")
NEW = {"items": (), "shown": (), "scale": None, "pool": (), "volumes": {}}
"""What a session remembers before its first page."""


def spread(policy, columns, slots, **session):
    """Return the rows of a page, and what the session remembers after it; `session` as in `Twin`."""
    twin = Twin(policy, columns, **session)
    while len(twin.page) < slots and (best := twin.best()) is not None:
        twin.place(best)
    return twin.page, twin.remembered()


def shortfalls(policy, columns, page, **session):
    """List by how much each row of a page is worse than the best that its slot could have had; infinite if forbidden.

    A page that took another row of two almost equal ones is followed, so that one such slot does not spoil the rest.
    """
    twin, found = Twin(policy, columns, **session), []
    for row in page:
        found.append(twin.worth(twin.best()) - twin.worth(row) if row in twin.free() else float("inf"))
        twin.place(row)
    return found


class Twin:
    """A page in the making.

    Args:
        policy: The section of a policy, as plain data.
        columns: Lists by name: `item_id`, `line` (optional), the utility, and what the policy reads.
        memory: What `remembered` gave after the page before; None starts a session.
        mask: Tells of (row, page, past) whether the rules allow the row in the next slot; `past` are things.
        history: What the user looked at before: column to value to how much.
        time: When the page was asked for, in seconds.
        context: Features of the request, for segments.
    """

    def __init__(self, policy, columns, *, memory=None, mask=None, history=None, time=0.0, context=None):
        self.policy, self.mask, self.history, self.time = policy, mask, history or {}, time
        self.memory, self.n = memory or NEW, len(columns["item_id"])
        columns = {"line": ["all"] * self.n, **columns}
        rows = [{name: values[row] for name, values in columns.items()} for row in range(self.n)]
        self.things = [*rows, *self.memory["items"]]  # rows first, so that a row is its own number
        self.page, self.before = [], list(range(self.n, len(self.things)))
        self.bases = {number: thing["bases"] for number, thing in enumerate(self.things) if "bases" in thing}
        self.terms = policy.get("terms", [])
        self.alike = [likenesses(term, self.things) for term in self.terms]
        self.features = [features(t, self.things) if given(t) == "bases" else None for t in self.terms]
        self.volumes = [self.memory["volumes"].get(number, 1.0) for number in range(len(self.terms))]
        self.strength = policy.get("strength", 0.3)
        for segment in reversed(policy.get("segments", [])):
            if all((context or {}).get(name) in listed(wanted) for name, wanted in segment["when"].items()):
                self.strength = segment["strength"]
        self.scale_rows()

    def scale_rows(self):
        """Compute the relevance of every row, by what the session knows of its first pool."""
        by, scale = self.policy.get("by", "utility"), self.policy.get("scale", "none")
        values = [thing[by] for thing in self.things[: self.n]]
        unseen = [value for row, value in enumerate(values) if self.things[row]["item_id"] not in self.memory["shown"]]
        pool, self.frozen = [*self.memory["pool"], *unseen], self.memory["scale"]
        if self.frozen is None:
            self.frozen = parameters(scale, pool)
        self.relevance = [scaled(scale, value, self.frozen, pool) for value in values]

    def free(self):
        """List the rows that may stand in the next slot, the smallest (item_id, line) first."""
        taken = {*self.memory["shown"], *(self.things[row]["item_id"] for row in self.page)}
        rows = [row for row in range(self.n) if self.things[row]["item_id"] not in taken]
        past = self.memory["items"]
        allowed = [row for row in rows if self.mask is None or self.mask(row, self.page, past)]
        return sorted(allowed, key=lambda row: (self.things[row]["item_id"], self.things[row]["line"]))

    def best(self):
        """Return the row that the next slot takes, None if there is none."""
        return max(self.free(), key=lambda row: (self.worth(row), self.relevance[row]), default=None)

    def place(self, row):
        """Put a row into the next slot."""
        bases = {}
        for number, term in enumerate(self.terms):
            if given(term) is not None:
                self.volumes[number] *= sqrt(self.left(number, row)) or 1.0  # the volume of what spans it
            if given(term) == "bases":
                bases[number] = self.basis(number, row)
        self.bases[row] = bases
        self.page.append(row)

    def remembered(self):
        """Return what the session remembers after this page."""
        by = self.policy.get("by", "utility")
        shown = {self.things[row]["item_id"] for row in self.page}
        placed = [{**self.things[row], "bases": self.bases[row]} for row in self.page]
        return {
            "items": [*self.memory["items"], *placed][-REMEMBERED:],
            "shown": [*self.memory["shown"], *shown],
            "scale": self.frozen,
            "pool": [*self.memory["pool"], *(one[by] for one in self.things[: self.n] if one["item_id"] in shown)],
            "volumes": dict(enumerate(self.volumes)),
        }

    def worth(self, row):
        """Return what a row is worth in the next slot."""
        return sum(self.parts(row).values())

    def parts(self, row):
        """Return what a row's worth in the next slot is the sum of, by name."""
        thing, policy = self.things[row], self.policy
        above = [self.things[number] for number in (*self.before, *self.page)]
        weights = [term.get("weight", 1.0) for term in self.terms]
        redundancy = sum(weight * self.redundancy(number, row) for number, weight in enumerate(weights))
        charges = sum(weight * charge(term, thing) for weight, term in zip(weights, self.terms, strict=True))
        return {
            "relevance": (1 - self.strength) * self.relevance[row],
            "redundancy": -self.strength * redundancy,
            "missing": -self.strength * charges,
            "spacing": -sum(one["weight"] * spacing(one, thing, above) for one in policy.get("spacing", [])),
            "balance": sum(
                one["weight"] * balance(one, thing, above, self.history) for one in policy.get("balance", [])
            ),
            "fresh": sum(
                one["weight"] * 2 ** (-max(0.0, self.time - thing[one["by"]]) / one["half_life_s"])
                for one in policy.get("fresh", [])
            ),
            "novel": sum(one["weight"] * -log2(thing[one["by"]]) for one in policy.get("novel", [])),
        }

    def window(self, number):
        """List what a term looks at before the next slot, oldest first."""
        width = self.terms[number].get("window")
        placed = [*self.before, *self.page]
        return placed if width is None else placed[-width:]

    def redundancy(self, number, row):
        """Return D of a row in the next slot."""
        window, term = self.window(number), self.terms[number]
        near = self.alike[number][row, window]
        if not window:
            return 0.0
        match term["variant"]:
            case "mmr":
                return float(max(near))
            case "gap":
                return float(max(near[::-1] * discounts(term.get("fade", "reciprocal"), len(window))))
            case "msd_sum":
                return -float(sum(1 - near))
            case "msd_mean":
                return -float(sum(1 - near)) / len(window)
            case "projection":
                return 1 - self.left(number, row)
            case "ssd_star":
                return 1 - sqrt(self.left(number, row))
            case "ssd_volume":
                return self.volumes[number] * (1 - sqrt(self.left(number, row)))
            case "dpp":
                return -0.5 * log(max(self.left(number, row), LEAST))
            case "spectrum":
                root = np.sqrt(discounts(term.get("fade", "reciprocal"), len(window)))[::-1]
                gram = np.outer(root, root) * self.alike[number][np.ix_(window, window)]
                return quadratic(root * near, gram + term.get("ridge", 0.1) * np.eye(len(window)))

    def left(self, number, row):
        """Return how much of a row its window does not explain."""
        explained = self.by_bases if given(self.terms[number]) == "bases" else self.by_items
        left = 1 - explained(number, row, self.window(number))
        return left if left > LEAST else 0.0

    def by_items(self, number, row, window):
        """Return how much of a row the items of a window explain; of these, what older ones explain is skipped."""
        alike, kept = self.alike[number], []
        for item in window:
            own = alike[item, item]
            if own - self.by_kept(alike, item, kept) > LEAST * own:
                kept.append(item)
        return self.by_kept(alike, row, kept)

    def by_kept(self, alike, row, kept):
        return quadratic(alike[row, kept], alike[np.ix_(kept, kept)]) if kept else 0.0

    def by_bases(self, number, row, window):
        """Return how much of a row the directions explain that were new with the items of a window."""
        x = self.features[number][row]
        return sum(float(np.dot(x, self.bases[item][number])) ** 2 for item in window)

    def basis(self, number, row):
        """Return the direction that is new with a row, zeros if hardly any is."""
        x = self.features[number][row]
        directions = [self.bases[item][number] for item in self.window(number)]
        left = x - sum((np.dot(x, q) * q for q in directions), np.zeros_like(x))
        squared = float(np.dot(left, left))
        return left / sqrt(squared) if squared > LEAST else np.zeros_like(x)


def given(term):
    """Return what a residual is taken from, "bases" or "items"; None if the term takes none."""
    if term["variant"] not in (*BY_BASES, "dpp"):
        return None
    return term.get("given") or ("bases" if term["variant"] in BY_BASES else "items")


def listed(wanted):
    return wanted if isinstance(wanted, list) else [wanted]


def quadratic(s, matrix):
    """Return s^T matrix^-1 s."""
    return float(np.dot(s, np.linalg.solve(matrix, s)))


def spacing(one, thing, above):
    """Return how much of a group there is right above a slot, if the thing is of it too."""
    fade = discounts(one.get("fade", "reciprocal"), one.get("within", 5))
    return level(one, thing) * sum(by * level(one, other) for by, other in zip(fade, reversed(above), strict=False))
