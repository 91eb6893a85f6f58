"""Spread the page: each slot takes the row that is worth most there, what it repeats taken off.

    U_i = (1 - strength) * relevance_i - strength * charges_i - spacing_i + balance_i + fresh_i + novel_i

Charges are for what rows above have shown already, in the measure and the window of each term (`kernels.redundancy`).
The hard rules hold as in `compose.solve`. What the session saw before counts like rows above, so that one page of 2k
slots is two pages of k. Strength 0 is the order of utility, as far as rules and the other terms let it be; the way from
there to 1 is continuous. Cost: O(k n) comparisons, and O(d) for each pair of a row and an item above it that has to be
looked at, once.

References:
    Carbonell & Goldstein (1998), "The use of MMR"; Chen, Zhang & Zhou (2018), "Fast greedy MAP inference for DPP";
    Huang et al. (2021), "Sliding spectrum decomposition"; Steck (2018), "Calibrated recommendations".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, ClassVar, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.compose.scales import Scale, require, scaled
from slatewise.compose.signals import Rows, bound_balances, bound_signals, levels_of, spacings_for, terms_for
from slatewise.compose.terms import RESIDUAL, Balance, Fresh, Novel, Spacing, Term
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers
from slatewise.core.constraints import Constraints
from slatewise.core.errors import RequestError
from slatewise.core.exposure import Curve, exposure_of
from slatewise.core.policy import Policy
from slatewise.core.problem import PageProblem, Solution
from slatewise.core.request import Request, Segment, segment_of
from slatewise.core.rules import GIVEN
from slatewise.core.stage import Selector
from slatewise.core.trace import Judged
from slatewise.core.variety import MEMORY, Spacings, SpreadProblem, Terms
from slatewise.methods import spread
from slatewise.methods.judge import judged

Strength = Annotated[float, Meta(ge=0, le=1)]


class StrengthSegment(Segment, frozen=True, kw_only=True):
    """Strength for some requests.

    Attributes:
        strength: From 0 to 1; replaces the stage's.
    """

    strength: Strength


@final
class Spread(Selector, frozen=True, kw_only=True, dict=True):
    """Choose rows that differ from those above them.

    Attributes:
        by: The number column that relevance is made of.
        strength: 0: utility alone; 1: variety alone.
        scale: How utility becomes relevance: `none`, `zscore`, `minmax`, `rank` or `logit`.
        segments: Other strengths for some requests; the first segment that matches counts.
        give_up: Look for the largest strength, up to `strength`, that gives up no more than this share of the page's
            value; None takes the strength as it is.
        terms: What rows are charged for resembling rows above.
        spacing: Classes of rows that should not stand close together.
        balance: Mixes that the page is drawn towards.
        fresh: What rows are worth for being new.
        novel: What rows are worth for being little known.
        exposure: How much each slot is looked at, for what the page is worth.
        deadline_ms: Work after which the best page so far is served where rules collide, >= 0; as in `compose.solve`.

    Reads:
        the column in `by`: (n,) float64, any unit; larger is better; and those that terms, spacing, balance, fresh and
            novel name.

    Examples:
        >>> items = Candidates.of(utility=[3.0, 2.9, 1.0], topic=["a", "a", "b"])
        >>> from slatewise.compose.terms import Similar, Term
        >>> apart = Term(name="topics", variant="mmr", similar=(Similar(same="topic"),), weight=4.0)
        >>> Spread(strength=0.0, terms=(apart,)).select(items, 3).rows.tolist()
        [0, 1, 2]
        >>> Spread(strength=0.5, terms=(apart,)).select(items, 3).rows.tolist()
        [0, 2, 1]
    """

    section: ClassVar[str] = "compose.spread"

    strength: Strength = 0.3
    scale: Scale = "none"
    segments: tuple[StrengthSegment, ...] = ()
    give_up: Strength | None = None
    terms: tuple[Term, ...] = ()
    spacing: tuple[Spacing, ...] = ()
    balance: tuple[Balance, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    novel: tuple[Novel, ...] = ()
    exposure: Curve = "log"
    deadline_ms: Annotated[float, Meta(ge=0, le=1_000_000)] = 10.0

    @property
    def reads(self) -> Mapping[str, Kind]:
        """Columns of which the stage knows the kind; those of `balance` may be keys or lists of keys."""
        read: dict[str, Kind] = {}
        for _, name, kind in self._uses:
            if name not in read or not kind.endswith("?"):  # who can do without a value does not speak for the others
                read[name] = kind
        return {name: kind for name, kind in read.items() if name not in GIVEN}

    @property
    def _uses(self) -> Iterator[tuple[tuple[str | int, ...], str, Kind]]:
        """Columns, where the stage speaks of them, and the kind that each use asks for."""
        for place, term in enumerate(self.terms):
            for number, one in enumerate(term.similar):
                yield ("terms", place, "similar", number, one.likeness), one.column, one.kind
        for place, spacing in enumerate(self.spacing):
            for name, kind in spacing.uses.items():
                field = ("by",) if name == spacing.by else ("group", name)
                yield ("spacing", place, *field), name, kind
        for section, bonuses in (("fresh", self.fresh), ("novel", self.novel)):
            for place, one in enumerate(bonuses):
                yield (section, place, "by"), one.by, "number"
        yield ("by",), self.by, "number"

    @property
    def remembers(self) -> Mapping[str, Kind]:
        """Columns of rows shown that a later page of the session looks at."""
        kinds: dict[str, Kind] = {one.column: one.kind for term in self._live for one in term.similar}
        for spacing in self.spacing:
            kinds |= spacing.uses
        kinds |= dict.fromkeys([one.column for one in self.balance], "keys?")
        kinds["item_id"] = "key"
        return kinds if self.reach else {}

    @property
    def reach(self) -> int:
        """How many rows shown before a page looks at."""
        return self._reach

    @cached_property
    def _reach(self) -> int:
        windows = [term.window or MEMORY for term in self._live] + [one.within for one in self.spacing]
        windows += [MEMORY] * len(self.balance)
        return min(max(windows, default=0), MEMORY)

    @cached_property
    def _live(self) -> tuple[Term, ...]:
        """The terms that count."""
        return tuple(term for term in self.terms if term.weight > 0)

    def check(self, policy: Policy) -> None:
        """Refuse names used twice, columns used as what they are not, and balances of what is no key."""
        for field, name, kind in self._uses:
            found = policy.head.columns.get(name, "key" if name in GIVEN else kind)
            if found.rstrip("?") != kind.rstrip("?"):
                rule = f"reads `{name}` as a {kind.rstrip('?')}, but it is a {found.rstrip('?')}"
                raise policy.error(self, field, rule)
        names = {"relevance", "missing values", "fresh and novel", *(one.column for one in self.balance)}
        for field, named in (("terms", self.terms), ("spacing", self.spacing)):
            for place, one in enumerate(named):
                if one.name in names:
                    rule = "must be a name of its own: traces tell by it what a row was charged for"
                    raise policy.error(self, (field, place, "name"), rule, one.name)
                names.add(one.name)
        for place, one in enumerate(self.balance):
            kind = policy.head.columns.get(one.column, "key" if one.column in GIVEN else "none")
            if kind.rstrip("?") not in ("key", "keys"):
                rule = "must be a column of keys, or of lists of keys, that `columns` declares"
                raise policy.error(self, ("balance", place, "column"), rule, one.column)

    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Solution:
        """Return the rows and their order.

        Raises:
            RequestError: A number is not finite, or out of the range that `scale` or `novel` needs.
        """
        request = request or Request(candidates=candidates)
        constraints = constraints or Constraints([], candidates, slots)
        problem, scale = self._problem(candidates, constraints, request)
        if self.give_up is None:
            found = spread.solve(problem)
        else:
            found = spread.solve_within(problem, self.give_up)
        return msgspec.structs.replace(
            found.solution,
            strength=None if self.give_up is None else found.strength,
            spent=found.spent,
            exhausted=found.exhausted if found.exhausted >= 0 else None,
            memory=self._memory(found, scale, candidates) if self.reach or len(scale) or self.scale == "rank" else {},
        )

    def judged(
        self, candidates: Candidates, solution: Solution, constraints: Constraints, request: Request
    ) -> Judged | None:
        """Return what rows were worth in each slot, and to what that is due for those of the page."""
        problem, _ = self._problem(candidates, constraints, request)
        if solution.strength is not None:
            problem = replace(problem, strength=solution.strength)
        past = constraints.past
        names = [*(past.item_id if past is not None else ()), *(candidates.item_id[row] for row in solution.rows)]
        return judged(
            problem,
            solution.rows,
            names,
            [term.name for term in self._live],
            [one.name for one in self.spacing],
            [one.column for one in self.balance],
        )

    def _problem(
        self, candidates: Candidates, constraints: Constraints, request: Request
    ) -> tuple[SpreadProblem, Numbers]:
        """Return (the problem, the parameters of the scale, to be kept for the session)."""
        utility = candidates.finite(self.by)
        rows, slots = Rows(candidates, constraints.past), constraints.slots
        memory, order = self._remembered(request), candidates.descending(utility)
        signals, charge = bound_signals(self._live, rows)
        if slots not in self._laid_out:
            self._laid_out[slots] = terms_for(self._live, slots), exposure_of(self.exposure, slots)
        terms, exposure = self._laid_out[slots]
        relevance, scale = scaled(self.scale, self.by, utility, order, memory.get("scale"))
        if "volume" in memory and len(memory["volume"]) == len(terms.volume):
            terms = terms._replace(volume=memory["volume"])
        segment = segment_of(request, self.segments)
        targets = [one.target or request.history.get(one.column, {}) for one in self.balance]
        page = PageProblem(
            utility=utility,
            exposure=exposure,
            order=order,
            constraints=constraints,
            deadline_ms=self.deadline_ms,
        )
        problem = SpreadProblem(
            page=page,
            relevance=relevance,
            charge=charge,
            bonus=self._bonus(candidates, request),
            signals=signals,
            terms=terms,
            spacings=self._spaced._replace(level=levels_of(self.spacing, rows)),
            balances=bound_balances(self.balance, rows, targets),
            bases=self._bases(memory, rows.seen, signals.seen.shape[1] + len(signals.share)),
            strength=self.strength if segment is None else segment.strength,
        )
        return problem, scale

    def _bonus(self, candidates: Candidates, request: Request) -> Numbers:
        """Return (n,) what rows are worth for being new and little known."""
        bonus = np.zeros(len(candidates))
        for fresh in self.fresh:
            age = np.maximum(request.time - candidates.finite(fresh.by), 0.0)
            bonus += fresh.weight * np.exp2(-age / fresh.half_life_s)
        for novel in self.novel:
            popularity = candidates.finite(novel.by)
            outside = (popularity <= 0) | (popularity > 1)
            require(~outside, novel.by, popularity, "must be above 0 and at most 1 to be a popularity")
            bonus -= novel.weight * np.log2(popularity)
        return bonus

    @cached_property
    def _laid_out(self) -> dict[int, tuple[Terms, Numbers]]:
        """What does not depend on the candidates: terms and exposure, by page size."""
        return {}

    @cached_property
    def _spaced(self) -> Spacings:
        return spacings_for(self.spacing)

    @cached_property
    def _digest(self) -> bytes:
        """What memory of bases and scales depends on."""
        told = msgspec.json.encode([self._live, self.scale, self.by])
        return blake2b(told, digest_size=8).digest()

    def _remembered(self, request: Request) -> dict[str, Numbers]:
        """Return what this stage wrote down on the page before, if it was the same stage."""
        memory = {} if request.state is None else request.state.memory
        if memory.get("stage") != self._digest:
            return {}
        numbers = {name: _numbers(kept) for name, kept in memory.items() if name != "stage"}
        for kept in numbers.values():
            if not np.isfinite(kept).all():
                raise RequestError("state", "must be a token from an earlier page", "numbers that are not finite")
        return numbers

    def _memory(self, found: spread.Spread, scale: Numbers, candidates: Candidates) -> dict[str, bytes]:
        """Return what the next page of the session has to know besides the rows shown."""
        kept = {"stage": self._digest, "scale": scale.tobytes(), "volume": found.volume.tobytes()}
        if self.scale == "rank":
            gone = np.isin(candidates.items, candidates.items[found.solution.rows])  # other nominations of them, too
            kept["scale"] = np.append(scale, np.sort(candidates.number(self.by)[gone])).tobytes()
        for place, term in enumerate(self._live if len(found.bases) else ()):
            if not term.spans and term.variant in RESIDUAL and term.window is not None and term.window < MEMORY:
                bases = found.bases[place]
                kept[f"bases {term.name}"] = bases[max(len(bases) - term.window, 0) :].tobytes()
        return kept

    def _bases(self, memory: Mapping[str, Numbers], seen: int, wide: int) -> Numbers:
        """Return (T, h, D + S) bases of what the session saw, NaN where there are none."""
        bases = np.full((len(self._live) if seen else 0, seen, wide), np.nan)
        for place, term in enumerate(self._live if seen else ()):
            kept = memory.get(f"bases {term.name}")
            if kept is not None and kept.size and kept.size == min(term.window or seen, seen) * wide:
                last = kept.reshape(-1, wide)[-seen:]
                bases[place, seen - len(last) :] = last
        return bases


def _numbers(kept: bytes) -> Numbers:
    return np.frombuffer(kept[: len(kept) // 8 * 8], dtype=np.float64) if len(kept) >= 8 else np.zeros(0)
