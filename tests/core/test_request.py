"""Requests and the state that sessions carry."""

from base64 import urlsafe_b64encode

import pytest

from slatewise import Candidates, Request, RequestError, State
from slatewise.core.state import LONGEST_SESSION

NOTHING = Candidates.of(item_id=[])


def test_draws_depend_on_request_seed_and_name_alone():
    def draw(name="ads", **fields):
        return Request(candidates=NOTHING, **fields).draw(name)

    assert draw(id="a") == draw(id="a")
    assert len({draw(), draw(id="a"), draw(seed=1), draw("posts"), draw(id="a", seed=1)}) == 5
    assert 0 <= draw() < 2**63


def test_a_token_gives_the_state_back():
    state = State().after(["a", "b"]).after([3])
    assert State.from_token(state.token) == state
    assert "=" not in state.token


def test_a_session_forgets_the_oldest_first():
    state = State().after(range(LONGEST_SESSION)).after(["new"])
    assert (state.shown[0], state.shown[-1], len(state.shown)) == (1, "new", LONGEST_SESSION)


@pytest.mark.parametrize("token", ["", "x", "%%%", "é", urlsafe_b64encode(b'{"shown":[],"version":9}').decode()])
def test_refuses_a_token_that_is_none_of_ours(token):
    with pytest.raises(RequestError, match=r"state: must be"):
        State.from_token(token)
