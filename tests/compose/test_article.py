"""A page derived by hand: three look-alike videos, one article, three ads; the same as in `docs/rules.md`.

| item | line | author | utility |
|---|---|---|---|
| kittens, kittens 2, kittens 3 | videos | kit | 9, 8, 7 |
| phone, shoes, bank | ads | | 6, 3, 2 |
| elections | posts | ida | 5 |

Slots are looked at 1, 0.8, 0.6, 0.4, 0.2 times. At most two ads in the first ten, no author twice in a row, slot 4 is
reserved for an ad.

The best page. Slot 4 is an ad, so one more ad at most stands elsewhere. Two videos never stand side by side, so slots 1
to 3 hold at most two of them, and two only in slots 1 and 3. In each case, larger utilities go to larger exposures.

* Two videos in slots 1 and 3, and slot 5, below an ad, has the third: 1 * 9 + 0.6 * 8 + 0.2 * 7 = 15.2. For slots 2
  and 4 there are the article and the ads:
    - article in 2, phone in 4: 0.8 * 5 + 0.4 * 6 = 6.4, together 21.6;
    - phone in 2, shoes in 4: 0.8 * 6 + 0.4 * 3 = 6.0, together 21.2;
    - any other ads are worth less in the same slots.
  Without the third video, slot 5 has the article or a second ad, worth 0.2 * 5 at most instead of 0.2 * 7, and slots 2
  and 4 have one row less to choose from.
* One video in slots 1 to 3; the other two hold the article and an ad, since a third ad is forbidden; slot 5 has the
  second video:
    - phone in 4: 1 * 9 + 0.8 * 5 + 0.6 * 3 + 0.4 * 6 + 0.2 * 8 = 18.8;
    - phone in 2: 1 * 9 + 0.8 * 6 + 0.6 * 5 + 0.4 * 3 + 0.2 * 8 = 19.6.
* No video in slots 1 to 3: three rows are needed, and the article and one ad are two.

So the page of 21.6 is the best, and the only one: every other has been found to be worth less.
"""

import pytest

from slatewise import Candidates, Constrain, Feed, Policy, Request, Rule, Solve

ITEMS = {
    "item_id": ["kittens", "kittens 2", "kittens 3", "phone", "elections", "shoes", "bank"],
    "line": ["videos"] * 3 + ["ads", "posts", "ads", "ads"],
    "author": ["kit"] * 3 + [None, "ida", None, None],
}
UTILITY = [9, 8, 7, 6, 5, 3, 2]
RULES = (
    Rule(name="ad load", group={"line": "ads"}, first=10, at_most=2),
    Rule(name="authors not twice in a row", per="author", every=2, at_most=1),
    Rule(name="slot 4 is an ad", group={"line": "ads"}, slots=(4, 4), at_least=1),
)
BEST = ["kittens", "elections", "kittens 2", "phone", "kittens 3"]


def page(method, utility=UTILITY):
    solve = Solve(method=method, exposure=[1, 0.8, 0.6, 0.4, 0.2])
    head = {"lines": ["posts", "videos", "ads"], "columns": {"utility": "number", "author": "key?"}, "slots": 5}
    items = Candidates.of({**ITEMS, "utility": utility})
    return Feed(Policy.of(Constrain(rules=RULES), solve, **head)).compose(Request(candidates=items))


def test_local_search_pushes_the_article_up_and_the_phone_down():
    """The article comes in where the phone stands, the phone goes where the shoes stand, the shoes go."""
    assert page("swap").item_ids == BEST


@pytest.mark.parametrize("method", ["auto", "exact", "ilp"])
def test_the_page_by_hand_is_found_and_proven(method):
    found = page(method)
    assert found.item_ids == BEST
    assert found.value == pytest.approx(1 * 9 + 0.8 * 5 + 0.6 * 8 + 0.4 * 6 + 0.2 * 7)
    assert found.status.kind == "optimal"
    assert found.status.gap == 0.0


def test_greedy_puts_the_better_ad_into_slot_2_and_has_the_lesser_one_for_slot_4():
    found = page("greedy")
    assert found.item_ids == ["kittens", "phone", "kittens 2", "shoes", "kittens 3"]
    assert found.value == pytest.approx(1 * 9 + 0.8 * 6 + 0.6 * 8 + 0.4 * 3 + 0.2 * 7)
    assert found.status.kind == "feasible"
    assert found.value < page("auto").value <= found.status.bound


@pytest.mark.parametrize("method", ["greedy", "auto", "exact"])
def test_an_article_worth_more_than_the_best_ad_is_taken_by_every_method(method):
    """The article at 6.5 beats the phone at 6 in slot 2: 0.8 * 6.5 + 0.4 * 6 = 7.6, and 0.8 * 6 + 0.4 * 3 = 6."""
    found = page(method, [9, 8, 7, 6, 6.5, 3, 2])
    assert found.item_ids == BEST
    assert found.value == pytest.approx(15.2 + 7.6)


@pytest.mark.parametrize("method", ["greedy", "auto", "exact"])
def test_without_rules_the_look_alikes_fill_the_top(method):
    """By utility alone, the videos fill the top: 1 * 9 + 0.8 * 8 + 0.6 * 7 + 0.4 * 6 + 0.2 * 5 = 23."""
    items = Candidates.of({**ITEMS, "utility": UTILITY})
    free = Feed(
        Policy.of(
            Solve(method=method, exposure=[1, 0.8, 0.6, 0.4, 0.2]),
            lines=["posts", "videos", "ads"],
            columns={"utility": "number"},
            slots=5,
        )
    ).compose(Request(candidates=items))
    assert free.item_ids == ["kittens", "kittens 2", "kittens 3", "phone", "elections"]
    assert free.value == pytest.approx(23.0)
    assert free.status.kind == "optimal"
