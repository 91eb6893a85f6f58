"""Claims: what a page's token has to say, so that its events can be counted by whichever process is told of them.

Under a cap of users, an item takes from its counters until an impression confirms. A cap that counts what events say
has its counters written to the items that stand under it. Without such caps a claim only names the page, its user and
its policy. Cost: 1 us, and under caps that of looking up the page's rows.
"""

from __future__ import annotations

from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.serving import Counted
from slatewise.serve.events.seal import Claim, minute
from slatewise.serve.state.caps import takes


def claimed(name: str, policy: Policy, request: Request, page: Page, *, time: float) -> Claim:
    """Return the claim of a page.

    Args:
        name: Name of the page.
        policy: Its policy.
        request: Its request.
        page: The page.
        time: When it is served, in seconds.
    """
    of_users: dict[str | int, tuple[str, ...]] = {}
    of_all: dict[Counted, dict[str | int, tuple[str, ...]]] = {}
    for take in takes(policy, request, page.slate.rows):
        item = page.items[take.slot].item_id
        if take.cap.scope == "user":
            of_users[item] = (*of_users.get(item, ()), take.counter)
        elif take.cap.counts != "served":
            counted = of_all.setdefault(take.cap.counts, {})
            counted[item] = (*counted.get(item, ()), take.counter)
    return Claim(
        page=name,
        request=request.id,
        user=request.user,
        policy=policy.hash,
        time=minute(time),
        takes=of_users,
        counts=of_all,
    )
