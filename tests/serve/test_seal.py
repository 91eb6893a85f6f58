"""Tokens of pages: what was sealed comes back, and nothing else is taken."""

import pytest
from msgspec.structs import replace

from slatewise import RequestError
from slatewise.serve.events.seal import STEP_S, Claim, Seal, minute

SEAL = Seal(b"a key of this service", horizon_s=3_600)
CLAIM = Claim(
    page="bVQmXg8T6Ld1u3pQ",
    request="3f0b7b1e-5c55-4f2e-9a9e-8a5d3c1b2f10",
    user="u-1234567",
    policy="0123456789abcdef",
    time=minute(1_700_000_000.0),
)


def test_what_was_claimed_is_read_and_equal_claims_have_equal_tokens():
    caps = Claim(
        page="p", takes={"a": ("author\0ida",), 7: ("x", "y")}, counts={"spend": {"a": ("brand\0b",)}}, time=60
    )
    assert SEAL.read(SEAL.claim(caps), now=60.0) == caps
    assert SEAL.claim(CLAIM) == Seal(b"a key of this service").claim(CLAIM)


def test_a_token_without_caps_is_short_and_fits_into_an_address():
    token = SEAL.claim(CLAIM)
    assert len(token) < 200
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")


@pytest.mark.parametrize("longer", ["", "x", "xx"])
def test_no_character_can_be_changed_left_out_or_added(longer):
    token = SEAL.claim(replace(CLAIM, request=CLAIM.request + longer))
    altered = [
        token[:place] + other + token[place + 1 :] for place in range(len(token)) for other in "AaBCDFHQRgw0-_=\n é"
    ]
    altered += [token[:place] for place in range(len(token))] + [token + end for end in ("A", "=", "AAAA", " ")]
    for one in altered:
        if one != token:
            with pytest.raises(RequestError, match=r"^page: must be the token of a page of this service"):
                SEAL.read(one, now=float(CLAIM.time))


def test_another_key_and_a_name_of_a_page_open_nothing():
    for token in (Seal(b"another").claim(CLAIM), SEAL.page("r", b"{}", "p"), "", "x" * 100_000):
        with pytest.raises(RequestError, match=r"^page: must be the token"):
            SEAL.read(token, now=float(CLAIM.time))


def test_a_token_is_taken_until_its_horizon_and_not_after():
    token = SEAL.claim(CLAIM)
    SEAL.read(token, now=CLAIM.time + 3_600.0)
    with pytest.raises(RequestError, match=r"^page: must be of the last 3600 s, got one of 3661 s ago"):
        SEAL.read(token, now=CLAIM.time + 3_600.0 + STEP_S + 1)


def test_a_page_is_named_by_its_body_its_request_its_policy_and_the_key():
    names = {
        seal.page(request, body, policy)
        for seal in (SEAL, Seal(b"another"))
        for request in ("r", "s")
        for body in (b"{}", b"[]")
        for policy in ("p", "q")
    }
    assert len(names) == 16
    assert SEAL.page("r", b"{}", "p") in names


def test_a_key_that_can_be_guessed_is_refused():
    with pytest.raises(RequestError, match=r"^key: must have at least 16 characters, got 5$"):
        Seal.of("short")
