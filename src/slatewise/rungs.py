"""Rungs: what a policy says of a rung, made a policy of its own and checked like one.

A rung leaves stages out, changes settings, or has its page filled greedily. Whatever it does, its hard rules are those
of the policy, word for word: it is refused otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from slatewise.blend.merge import Merge
from slatewise.compose.solve import Solve
from slatewise.core.document import convert
from slatewise.core.errors import PolicyError, did_you_mean, shown
from slatewise.core.policy import Policy
from slatewise.core.rules import GIVEN
from slatewise.core.serving import Rung
from slatewise.core.stage import Selector, Stage


def declared(policy: Policy) -> tuple[Rung, ...]:
    """Return the rungs of a policy; if it declares none, one that is filled greedily, unless the policy is already."""
    last = policy.selectors[-1]
    if policy.head.serve.rungs or _greedy(last, last.by) == last:
        return policy.head.serve.rungs
    return (Rung(name="greedy", page="greedy"),)


def derived(policy: Policy, place: int, remembers: Set[str] = frozenset()) -> Policy:
    """Return the policy of a rung, counted from 0.

    Args:
        policy: The policy.
        place: Which rung.
        remembers: Columns of the rows shown that the policy's next page of the session looks at.

    Raises:
        PolicyError: The rung is no policy, has other hard rules, or keeps candidates by what is no number.
    """
    rung = declared(policy)[place]
    stages = _left(policy, rung, place)
    for section, fields in rung.settings.items():
        sections = [stage.section for stage in stages]
        if section not in sections:
            hint = did_you_mean(section, sections)
            raise wrong(policy, place, ("settings", section), "is no stage of this rung", hint=hint)
        at = sections.index(section)
        path = ("serve", "rungs", place, "settings", section)
        settings = {**msgspec.to_builtins(stages[at]), **fields}
        stages[at] = convert(policy.source, path, settings, type(stages[at]))
    kept = {name for stage in stages for name in _names(stage)}
    for stage in policy.stages:
        if not kept.issuperset(_names(stage)):
            hint = "its rules must hold on every rung"
            raise wrong(policy, place, ("without",), "must not leave out a stage with hard rules", stage.section, hint)
    try:
        made = Policy(policy.head, stages)
    except PolicyError as error:
        raise wrong(policy, place, (), f"must be a policy ({error})") from None
    if made.rules != policy.rules:
        changed = next(new.name for new, old in zip(made.rules, policy.rules, strict=True) if new != old)
        raise wrong(policy, place, ("settings",), "must not change a hard rule", changed)
    for name in sorted(remembers - {*policy.head.columns, *GIVEN, *(one for stage in stages for one in stage.writes)}):
        raise wrong(policy, place, ("without",), f"must not leave out what writes `{name}`: the next page looks at it")
    _check_keep(policy, rung, place)
    return made


def wrong(
    policy: Policy, place: int, field: Sequence[str | int], rule: str, got: object = ..., hint: str = ""
) -> PolicyError:
    """Return a refusal of a rung's field."""
    path = ("serve", "rungs", place, *field)
    return policy.source.error(PolicyError, path, rule, None if got is ... else shown(got), hint)


def _left(policy: Policy, rung: Rung, place: int) -> list[Stage]:
    """Return the stages that a rung has, its last one filled greedily if it says so."""
    sections = [stage.section for stage in policy.stages]
    for at, section in enumerate(rung.without):
        if section not in sections:
            raise wrong(
                policy, place, ("without", at), "is no stage of the policy", section, did_you_mean(section, sections)
            )
    stages = [stage for stage in policy.stages if stage.section not in rung.without]
    if rung.page == "same":
        if rung.by is not None:
            hint = "the policy's own last stage has its own `by`, which `settings` can change"
            raise wrong(policy, place, ("by",), "is for `page: greedy`", rung.by, hint)
        return stages
    last = policy.selectors[-1]
    greedy = _greedy(last, last.by if rung.by is None else rung.by)
    return [stage for stage in stages if stage is not last and stage.section != greedy.section] + [greedy]


def _greedy(last: Selector, by: str) -> Selector:
    """Return the cheapest stage that picks a page as the last one does; a merge keeps the order of each line."""
    match last:
        case Solve():
            return msgspec.structs.replace(last, method="greedy", by=by)
        case Merge():
            return msgspec.structs.replace(last, beam=0, by=by)
        case _:
            return Solve(method="greedy", by=by)


def _check_keep(policy: Policy, rung: Rung, place: int) -> None:
    columns = policy.head.columns
    if rung.candidates is None:
        if rung.keep is not None:
            raise wrong(policy, place, ("keep",), "is for a rung with `candidates`", rung.keep)
        return
    numbers = [name for name, kind in columns.items() if kind == "number"]
    if rung.keep not in numbers:
        rule, hint = "must be a number column that candidates bring", did_you_mean(rung.keep or "", numbers)
        raise wrong(policy, place, ("keep",), rule, "nothing" if rung.keep is None else rung.keep, hint)
    for rule in policy.rules:
        written = [name for name, _ in rule.uses if name not in columns and name not in GIVEN]
        if rule.at_least and written:
            text = f"must be all where a floor, here rule {rule.name!r}, looks at `{written[0]}`, which a stage writes"
            raise wrong(policy, place, ("candidates",), text, rung.candidates)


def _names(stage: Stage) -> list[str]:
    return [rule.name for rule in stage.hard_rules]
