"""Tokens: each opens what it was given, and nothing else does."""

from hashlib import sha256

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from slatewise import RequestError
from slatewise.serve.process import tokens
from slatewise.serve.process.tokens import Tokens

ADMIN, TRACKER, HASHED = "admin-admin-admin-1", "tracker-tracker-1", "hashed-hashed-hashed"
DIGEST = f"sha256:{sha256(HASHED.encode()).hexdigest()}"


@pytest.fixture
def held(tmp_path):
    file = tmp_path / "tokens.yaml"
    file.write_text(f"tracker: {{token: {TRACKER}, scopes: [events]}}\nreader: {{token: '{DIGEST}', scopes: [read]}}\n")
    return Tokens.of(ADMIN, str(file))


def asked(authorization=None):
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers})


@pytest.mark.parametrize(
    ("token", "opens", "name"),
    [
        (ADMIN, {"read", "events", "policies"}, "operator"),
        (TRACKER, {"events"}, "tracker"),
        (HASHED, {"read"}, "reader"),
    ],
)
def test_a_token_opens_its_scopes_only(held, token, opens, name):
    for scope in ("read", "events", "policies"):
        if scope in opens:
            assert held.admit(asked(f"bearer {token}"), scope) == name
        else:
            with pytest.raises(HTTPException) as refused:
                held.admit(asked(f"Bearer {token}"), scope)
            assert refused.value.status_code == 403
            assert "insufficient_scope" in refused.value.headers["www-authenticate"]
            assert token not in refused.value.detail


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", f"Basic {ADMIN}", f"Bearer {ADMIN}x", f"Bearer {DIGEST}", "Bearer ä"]
)
def test_whoever_has_no_token_is_told_to_bring_one(held, sent):
    with pytest.raises(HTTPException) as refused:
        held.admit(asked(sent), "read")
    assert refused.value.status_code == 401
    assert refused.value.headers["www-authenticate"].startswith('Bearer realm="slatewise"')


def test_how_long_a_refusal_takes_says_nothing(held, monkeypatch):
    compared = []
    monkeypatch.setattr(tokens, "compare_digest", lambda one, other: compared.append((one, other)) or one == other)
    held.admit(asked(f"Bearer {ADMIN}"), "read")
    with pytest.raises(HTTPException):
        held.admit(asked("Bearer guess"), "read")
    assert len(compared) == 6, "all three are compared, whichever fits"
    assert {len(one) for pair in compared for one in pair} == {32}


def test_without_any_token_policies_are_closed_and_the_rest_is_open():
    assert Tokens().admit(asked(), "events") == Tokens().admit(asked(), "read") == "anyone"
    with pytest.raises(HTTPException, match="policies: are closed") as refused:
        Tokens().admit(asked(f"Bearer {ADMIN}"), "policies")
    assert refused.value.status_code == 403


def test_a_file_without_a_token_is_refused_and_opens_nothing(tmp_path):
    file = tmp_path / "tokens.yaml"
    file.write_text("{}\n")
    with pytest.raises(RequestError, match="token_file: must have a token at least"):
        Tokens.of(None, str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {token: short}\n", "token_file.a.token: must be of length >= 16"),
        (
            "a: {token: long-enough-a-token, scopes: [all]}\n",
            "token_file.a.scopes[0]: must be one of 'events', 'policies'",
        ),
        ("a: {}\n", "token_file.a.token: must be given"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_without_showing_tokens(tmp_path, text, message):
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(RequestError, match=r"tokens\.yaml:1") as refused:
        Tokens.of(None, str(file))
    assert message in str(refused.value)
    assert "short'" not in str(refused.value)
