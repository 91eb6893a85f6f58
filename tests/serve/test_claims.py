"""Claims: every item of a page says what its events count for."""

from slatewise import Candidates, Policy, Request, Solve
from slatewise.core.serving import Cap, Serving
from slatewise.ladder import Ladder
from slatewise.serve.events.claims import claimed

ITEMS = Candidates.of(
    item_id=["a", "b", "c"], line=["posts", "ads", "ads"], author=["ida", "ida", "lea"], utility=[3.0, 2.0, 1.0]
)
HEAD = {"lines": ["posts", "ads"], "columns": {"utility": "number", "author": "key"}, "slots": 3}


def of(*caps):
    ladder = Ladder(Policy.of(Solve(), serve=Serving(caps=caps), **HEAD))
    request = Request(candidates=ITEMS, id="r", user="u")
    return claimed("p", ladder.policy, request, ladder.compose(request), time=119.0)


def test_without_caps_a_claim_only_names_the_page():
    claim = of()
    assert (claim.page, claim.request, claim.user, claim.time) == ("p", "r", "u", 60)
    assert not claim.takes
    assert not claim.counts


def test_users_caps_are_confirmed_and_caps_over_all_are_counted_by_what_they_count():
    claim = of(
        Cap(name="author", per="author", at_most=2, within_s=60.0),
        Cap(name="seen", at_most=9, counts="impression", scope="all", group={"line": "ads"}, within_s=60.0),
        Cap(name="paid", at_most=9, counts="spend", scope="all", group={"line": "ads"}, per="author", within_s=60.0),
        Cap(name="shown", at_most=9, scope="all", within_s=60.0),
    )
    assert claim.takes == {"a": ("60.0/author/ida",), "b": ("60.0/author/ida",), "c": ("60.0/author/lea",)}
    assert claim.counts == {
        "impression": {"b": ("60.0/seen/",), "c": ("60.0/seen/",)},
        "spend": {"b": ("60.0/paid/ida",), "c": ("60.0/paid/lea",)},
    }
