"""Click models: every likelihood by walking through all that a reader may have done, and parameters that come back."""

from itertools import product

import numpy as np
import pytest

from slatewise.learn.clicks import (
    FITS,
    Cascade,
    Clicks,
    DynamicBayesian,
    PositionBased,
    UserBrowsing,
    log_likelihood,
    perplexity,
)

ATTRACTION, SATISFACTION = np.array([0.6, 0.3, 0.8]), np.array([0.5, 0.9, 0.2])
EXAMINED = np.array([[0.9, 0.0, 0.0], [0.7, 0.8, 0.0], [0.4, 0.6, 0.5]])
MODELS = {
    "position-based": PositionBased(ATTRACTION, np.array([0.9, 0.6, 0.3])),
    "cascade": Cascade(ATTRACTION, 0.01),
    "dynamic Bayesian": DynamicBayesian(ATTRACTION, SATISFACTION, 0.8),
    "user browsing": UserBrowsing(ATTRACTION, EXAMINED),
}
LISTS = np.array(list(product([False, True], repeat=3)))
EVERY = Clicks(np.tile([2, 0, 1], (8, 1)), LISTS, np.ones(8), 3)


def test_the_slots_since_the_last_click():
    clicked = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    assert Clicks(np.zeros((2, 5), int), clicked, np.ones(2), 1).last.tolist() == [[0, 0, 1, 2, 3], [0] * 5]


@pytest.mark.parametrize("name", MODELS)
def test_all_that_can_be_clicked_adds_up_to_certainty(name):
    likely = np.exp(log_likelihood(MODELS[name].given(EVERY), LISTS))
    assert likely.sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_marginals_are_the_sum_over_what_may_be_clicked_above(name):
    likely = np.exp(log_likelihood(MODELS[name].given(EVERY), LISTS))
    assert MODELS[name].marginal(EVERY.documents[:1])[0] == pytest.approx(likely @ LISTS, abs=1e-9)


def walks():
    """Yield (chance, clicks) of everything that a reader of the dynamic Bayesian kind may do."""
    for attracted, satisfied, going in product(*[list(product([0, 1], repeat=3))] * 3):
        chance, looking, clicks = 1.0, True, []
        for slot, document in enumerate(EVERY.documents[0]):
            for drawn, rate in ((attracted, ATTRACTION), (satisfied, SATISFACTION)):
                chance *= rate[document] if drawn[slot] else 1 - rate[document]
            chance *= 0.8 if going[slot] else 0.2
            clicks.append(looking and attracted[slot] == 1)
            looking = looking and bool(going[slot]) and not (clicks[-1] and satisfied[slot])
        yield chance, clicks


def test_a_reader_who_goes_on_until_satisfied():
    wanted = np.zeros(8)
    for chance, clicks in walks():
        wanted[LISTS.tolist().index(clicks)] += chance
    found = np.exp(log_likelihood(MODELS["dynamic Bayesian"].given(EVERY), LISTS))
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["position-based", "user browsing", "dynamic Bayesian"])
def test_rounds_make_what_was_seen_likelier_and_end_at_what_it_was_drawn_from(name):
    """Weights are exact chances of lists in every order, so that nothing but the fit can be wrong."""
    orders = np.array([[2, 0, 1], [0, 1, 2], [1, 2, 0], [0, 2, 1]])
    documents, clicked = np.repeat(orders, 8, axis=0), np.tile(LISTS, (4, 1))
    blank = Clicks(documents, clicked, np.ones(32), 3)
    weight = np.exp(log_likelihood(MODELS[name].given(blank), clicked))
    seen = blank._replace(weight=weight)
    fitted = FITS[name](seen, strength=0.0)
    best = weight @ np.log(weight)
    assert weight @ log_likelihood(fitted.given(seen), clicked) == pytest.approx(best, abs=2e-2)
    plain = PositionBased(np.full(3, 0.5), np.full(3, 0.5))
    assert weight @ log_likelihood(fitted.given(seen), clicked) > weight @ log_likelihood(plain.given(seen), clicked)


def test_a_cascade_is_a_matter_of_counting():
    """Document 0 is looked at four times and clicked twice; 1 twice and once; the clicks of the last list are noise."""
    documents = np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    clicked = np.array([[True, False], [False, True], [True, True], [True, False]])
    found = Cascade.fit(Clicks(documents, clicked, np.ones(4), 2), strength=0.0)
    assert found.attraction == pytest.approx([2 / 3, 1.0], abs=1e-5)
    assert found.noise == pytest.approx(1 / 3)


def test_a_document_that_is_new_has_the_mean():
    clicked = np.array([[True, False], [False, True]])
    for fit in FITS.values():
        found = fit(Clicks(np.array([[0, 1], [1, 0]]), clicked, np.ones(2), 3), strength=2.0)
        low, high = sorted(found.attraction[:2])
        assert low <= found.attraction[2] <= high


def test_perplexity_of_a_coin_and_of_weights():
    chances = np.array([[0.5, 0.25], [0.5, 0.25]])
    clicked = np.array([[True, True], [False, False]])
    found = perplexity(chances, clicked, np.array([1.0, 3.0]))
    assert found == pytest.approx([2.0, 2 ** ((2 + 3 * np.log2(4 / 3)) / 4)])
