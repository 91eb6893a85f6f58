"""Pages row by row: a beam wide enough knows all pages, dead ends are left, and what is kept is kept in order."""

from itertools import permutations

import numpy as np

from slatewise import Candidates, Rule
from slatewise.core.constraints import Constraints
from slatewise.core.problem import PageProblem
from slatewise.methods.propose import Blank, beam, drawn, kept, walked

ITEMS = Candidates.of(item_id=list("abcd"), line=["ads", "ads", "posts", "posts"], utility=[1.0, 4.0, 3.0, 2.0])
EXPOSURE = np.array([1.0, 0.5, 0.25])


def blank(rules=(), slots=3, items=ITEMS):
    utility = items.number("utility")
    order = items.descending(utility)
    problem = PageProblem(utility, EXPOSURE[:slots], order, Constraints(rules, items, slots))
    return Blank.of(problem, np.full(len(items), -1, np.int32))


def test_the_first_page_is_that_of_greed_by_places():
    assert blank().first.tolist() == [0, 1, 2]
    assert blank().utility.tolist() == [4.0, 3.0, 2.0, 1.0]
    no_ad_first = Rule(name="no ad first", group={"line": "ads"}, slots=(1, 1), at_most=0)
    assert blank([no_ad_first]).first.tolist() == [1, 0, 2]


def test_a_beam_that_is_wide_enough_has_all_pages_in_order():
    one = blank()
    pages = beam(one, lambda pages, parents: np.tile(one.utility * EXPOSURE[pages.shape[1]], (len(pages), 1)), 24)
    wanted = sorted(permutations(range(4), 3), key=lambda page: -(one.utility[list(page)] @ EXPOSURE))
    values = [one.utility[list(page)] @ EXPOSURE for page in wanted]
    assert sorted(map(tuple, pages.tolist())) == sorted(wanted)
    assert [one.utility[page] @ EXPOSURE for page in pages] == values


def test_a_page_that_comes_to_no_end_is_left_out():
    """Only ads may stand below the first slot, and there are two: whoever begins with an ad is stuck after two."""
    below = Rule(name="ads below", group={"line": "posts"}, slots=(2, 3), at_most=0, priority="contractual")
    one = blank([below])
    begin = np.array([[9.0, 0, 0, 0], [0, 9.0, 0, 0]])
    pages = walked(one, lambda pages, parents: np.zeros((2, 4)) if pages.shape[1] else begin, 2)
    assert pages.tolist() == [[1, 0, 3]]


def test_draws_are_their_seeds_and_no_noise_is_greed():
    one = blank()
    assert [page.tolist() for page in drawn(one, 2, 0.0, seed=1)] == [[0, 1, 2]] * 2
    first, again, other = (np.array(drawn(one, 8, 2.0, seed=seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_what_is_kept_comes_once_and_in_the_order_of_proposal():
    one = blank()
    pages = [np.array(page, np.int32) for page in ([2, 1, 0], [1, 0, 2], [2, 1, 0], [0, 1])]
    assert kept(one, pages).tolist() == [[0, 1, 2], [2, 1, 0], [1, 0, 2]]
