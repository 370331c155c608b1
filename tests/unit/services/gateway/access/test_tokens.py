"""services.gateway.access.tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.tokens import TokenVerdict, check_token, make_token, note_of
from shared.protocol.call import CallId

SECRET = b"k" * 32
CALL = CallId("0b7d1c9e-5a42-4f0e-9a6d-2f1c33b0a8d4")
NOW_S = 1_790_921_506.4


def test_a_token_is_good_until_it_expires() -> None:
    token = make_token(SECRET, CALL, NOW_S + 60)
    assert check_token(SECRET, CALL, token, NOW_S) is TokenVerdict.VALID
    assert check_token(SECRET, CALL, token, NOW_S + 59) is TokenVerdict.VALID
    assert check_token(SECRET, CALL, token, NOW_S + 61) is TokenVerdict.LATE


def test_a_token_is_short_ascii_without_signs() -> None:
    token = make_token(SECRET, CALL, NOW_S)
    assert len(token) == 40
    assert token.isascii()
    assert token.isalnum()


def test_a_token_opens_no_other_call() -> None:
    token = make_token(SECRET, CALL, NOW_S + 60)
    assert check_token(SECRET, CallId("another"), token, NOW_S) is TokenVerdict.WRONG
    assert check_token(b"other" * 7, CALL, token, NOW_S) is TokenVerdict.WRONG


def test_an_expiry_that_was_put_off_is_wrong() -> None:
    token = make_token(SECRET, CALL, NOW_S - 60)
    later = f"{int(NOW_S + 60):08x}{token[8:]}"
    assert check_token(SECRET, CALL, later, NOW_S) is TokenVerdict.WRONG


def test_a_note_comes_with_its_token_and_with_no_other() -> None:
    token = make_token(SECRET, CALL, NOW_S + 60, "eyJhIjoxfQ")
    assert note_of(token) == "eyJhIjoxfQ"
    assert check_token(SECRET, CALL, token, NOW_S) is TokenVerdict.VALID
    for changed in (token[:-1] + "R", token[:40], token + "A", token.replace(".", "")):
        assert check_token(SECRET, CALL, changed, NOW_S) is TokenVerdict.WRONG
    assert note_of(make_token(SECRET, CALL, NOW_S + 60)) == ""


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_is_a_token_by_chance_and_none_raises(call_id: str, token: str) -> None:
    assert check_token(SECRET, CallId(call_id), token, NOW_S) is TokenVerdict.WRONG


@given(st.integers(0, 39), st.sampled_from("0123456789abcdefg "))
def test_any_changed_sign_makes_a_token_wrong(at: int, sign: str) -> None:
    token = make_token(SECRET, CALL, NOW_S + 60)
    changed = token[:at] + sign + token[at + 1 :]
    is_same = changed == token
    verdict = check_token(SECRET, CALL, changed, NOW_S)
    assert verdict is (TokenVerdict.VALID if is_same else TokenVerdict.WRONG)
