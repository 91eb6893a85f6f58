"""Record: which policies a fleet serves, who said so, and the rules by which that changes; as a value.

    push -> shadow -> canary (1 % ... 100 % of users) -> promote -> (roll back)

Every change is a pure function from one record to the next. Doing the same twice is doing it once: the second time
gives the record that it was given. Policies stand here by their hash; what they say is kept beside it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from slatewise.core.errors import SlatewiseError, did_you_mean, shown

MOST_PUSHED = 8
"""Policies that are kept besides those that serve; the oldest are forgotten first."""
MOST_AUDITED = 200
"""Changes that are remembered; the oldest are forgotten first."""

What: TypeAlias = Literal["start", "push", "shadow", "canary", "promote", "rollback"]


class NoPolicyError(SlatewiseError):
    """There is no such policy."""


class NotYetError(SlatewiseError):
    """Something has to be done first."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came out when a policy composed logged requests.

    Attributes:
        before: Hash of the policy that it was compared with.
        requests: How many there were.
        failed: Of these, how many got no page.
        digest: Digest of the report.
        time: When, in seconds.
    """

    before: str
    requests: int
    failed: int
    digest: str
    time: float


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that was checked and compiled, and may be asked to serve.

    Attributes:
        hash: Its content hash.
        time: When it came, in seconds.
        who: Who sent it.
        rungs: Names of its rungs, the full pipeline first.
        models: Section to the digest of the model in it.
        columns: What requests may bring for it, besides `item_id` and `line`.
        notes: What is to be known before it serves.
        trial: How it did on logged requests; None if it was not tried.
    """

    hash: str
    time: float
    who: str = ""
    rungs: tuple[str, ...] = ()
    models: dict[str, str] = {}
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trial: Trial | None = None


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """A change, and who made it.

    Attributes:
        time: When, in seconds.
        who: Name of the token, or the part of the service that did it by itself.
        what: What was done.
        policy: Hash of the policy that it was done to.
        why: More about it; empty if there is nothing to say.
        report: Digest of the report that was there.
    """

    time: float
    who: str
    what: What
    policy: str
    why: str = ""
    report: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a fleet serves.

    Attributes:
        active: Hash of the policy that serves.
        since: Since when, in seconds.
        previous: Hash of the one that served before it, to which it can be rolled back; None if there is none.
        canary: Hash of the policy that serves a share of users; None if there is none.
        share: That share.
        pushed: All policies that are kept, newest first; those that serve are among them.
        audit: What was changed, newest first.
    """

    active: str
    since: float
    previous: str | None = None
    canary: str | None = None
    share: float = 0.0
    pushed: tuple[Pushed, ...] = ()
    audit: tuple[Audited, ...] = ()

    @classmethod
    def start(cls, policy: Pushed, *, who: str = "file") -> Record:
        """Return the record of a service that starts with a policy.

        >>> record = Record.start(Pushed(hash="a", time=0.0))
        >>> record = promoted(pushed(record, Pushed(hash="b", time=1.0)), "b", time=2.0, who="ada", trial="waived")
        >>> record.active, record.previous
        ('b', 'a')
        >>> rolled_back(record, time=3.0, who="ada").active
        'a'
        """
        begun = Audited(time=policy.time, who=who, what="start", policy=policy.hash)
        return cls(active=policy.hash, since=policy.time, pushed=(policy,), audit=(begun,))

    @property
    def serving(self) -> tuple[str, ...]:
        """Hashes of the policies that serve, or can be rolled back to at once."""
        return tuple(one for one in (self.active, self.canary, self.previous) if one is not None)

    @property
    def hashes(self) -> frozenset[str]:
        """Hashes of all policies that are kept."""
        return frozenset(one.hash for one in self.pushed)

    @property
    def columns(self) -> frozenset[str]:
        """Columns of all policies that are kept, which requests may bring whoever serves them."""
        return frozenset(name for one in self.pushed for name in one.columns)

    def found(self, policy: str) -> Pushed:
        """Return what is known of a policy; `active`, `canary` and `previous` are names of those that are.

        Raises:
            NoPolicyError: There is none.
        """
        named = {"active": self.active, "canary": self.canary, "previous": self.previous}.get(policy, policy)
        for one in self.pushed:
            if one.hash == named:
                return one
        hint = did_you_mean(policy, [one.hash for one in self.pushed])
        raise NoPolicyError("policy", "must be one that was pushed", shown(policy), hint)


def pushed(record: Record, policy: Pushed) -> Record:
    """Return the record with a policy that may be asked to serve."""
    if any(one.hash == policy.hash for one in record.pushed):
        return record
    kept, room = [policy], MOST_PUSHED - 1
    for one in record.pushed:
        if one.hash in record.serving:
            kept.append(one)
        elif room:
            kept.append(one)
            room -= 1
    found = msgspec.structs.replace(record, pushed=tuple(kept))
    return _audited(found, "push", policy.hash, time=policy.time, who=policy.who)


def tried(record: Record, policy: str, trial: Trial, *, who: str) -> Record:
    """Return the record with how a policy did on logged requests.

    Raises:
        NoPolicyError: There is no such policy.
    """
    known = record.found(policy)
    with_trial = msgspec.structs.replace(known, trial=trial)
    changed = tuple(with_trial if one is known else one for one in record.pushed)
    why = f"{trial.failed} of {trial.requests} requests failed"
    return _audited(
        msgspec.structs.replace(record, pushed=changed),
        "shadow",
        known.hash,
        time=trial.time,
        who=who,
        why=why,
        report=trial.digest,
    )


def canaried(
    record: Record, policy: str, share: float, *, time: float, who: str, trial: Literal["needed", "waived"] = "needed"
) -> Record:
    """Return the record in which a policy serves a share of users; a share of 0 takes the canary away.

    Raises:
        NoPolicyError: There is no such policy.
        NotYetError: It was not tried on logged requests, or failed on some; unless the trial is `waived`.
    """
    known = record.found(policy)
    if known.hash == record.active or (share == 0 and known.hash != record.canary):
        return record
    if share == 0:
        gone = msgspec.structs.replace(record, canary=None, share=0.0)
        return _audited(gone, "canary", known.hash, time=time, who=who, why="taken away")
    if (record.canary, record.share) == (known.hash, share):
        return record
    why = _allowed(record, known, trial)
    found = msgspec.structs.replace(record, canary=known.hash, share=share)
    return _audited(found, "canary", known.hash, time=time, who=who, why=f"{share:.4g} of users{why}")


def promoted(
    record: Record, policy: str, *, time: float, who: str, trial: Literal["needed", "waived"] = "needed"
) -> Record:
    """Return the record in which a policy serves everybody, and the one that did so before can be rolled back to.

    Raises:
        NoPolicyError: There is no such policy.
        NotYetError: It was not tried on logged requests, or failed on some; unless the trial is `waived`.
    """
    known = record.found(policy)
    if known.hash == record.active:
        return record
    why = _allowed(record, known, trial)
    found = msgspec.structs.replace(
        record, active=known.hash, since=time, previous=record.active, canary=None, share=0.0
    )
    report = known.trial.digest if known.trial else ""
    return _audited(found, "promote", known.hash, time=time, who=who, why=why.removeprefix(", "), report=report)


def rolled_back(record: Record, *, time: float, who: str, of: str | None = None, why: str = "") -> Record:
    """Return the record without a canary; where there is none, with the policy that served before.

    Args:
        record: The record.
        time: When, in seconds.
        who: Who asked for it.
        of: Hash of the policy that shall go. If it does not serve any more, nothing is changed: whoever asks twice, or
            a moment after somebody else, does not take away the next one.
        why: What happened.
    """
    going = record.canary or record.active if of is None else of
    if going == record.canary:
        gone = msgspec.structs.replace(record, canary=None, share=0.0)
        return _audited(gone, "rollback", going, time=time, who=who, why=why or "the canary is gone")
    if going != record.active or record.previous is None:
        return record
    found = msgspec.structs.replace(record, active=record.previous, since=time, previous=None, canary=None, share=0.0)
    return _audited(found, "rollback", going, time=time, who=who, why=why or f"back to {record.previous}")


def _allowed(record: Record, policy: Pushed, trial: Literal["needed", "waived"]) -> str:
    """Return what to note of a policy that is to serve."""
    done = policy.trial
    hint = "ask for its shadow first, or force it"
    if done is not None and done.before == record.active and done.requests and not done.failed:
        return ""
    if trial == "waived":
        return ", forced"
    if done is None or done.before != record.active:
        raise NotYetError("policy", "must be tried beside the active policy", policy.hash, hint)
    if not done.requests:
        raise NotYetError("policy", "must be tried on at least one request", policy.hash, hint)
    rule = "must give a page for every request that it is tried on"
    raise NotYetError("policy", rule, f"{done.failed} of {done.requests} without")


def _audited(
    record: Record, what: What, policy: str, *, time: float, who: str, why: str = "", report: str = ""
) -> Record:
    entry = Audited(time=time, who=who, what=what, policy=policy, why=why, report=report)
    return msgspec.structs.replace(record, audit=(entry, *record.audit)[:MOST_AUDITED])
