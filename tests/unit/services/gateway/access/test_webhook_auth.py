"""services.gateway.access.webhook_auth."""

from __future__ import annotations

import pytest

from services.gateway.access.webhook_auth import (
    AuthVerdict,
    CannotAuthenticate,
    WebhookAuth,
    WebhookPolicy,
    body_digest,
    nonce_key,
    same_secret,
    webhook_policy,
)
from shared.protocol.signature import signed_headers

URL = "https://voice.example.com/answer"
TOKEN = "account-token"
SECRET = "n0t-to-be-guessed-0123"
SIGNED = signed_headers(URL, TOKEN, "1" * 20, "2" * 20)
FORGED = signed_headers(URL, "another", "1" * 20, "2" * 20)


def policy(
    mode: WebhookAuth = WebhookAuth.AUTO,
    *,
    is_public: bool = True,
    tokens: tuple[str, ...] = (TOKEN,),
    path_secret: str | None = SECRET,
) -> WebhookPolicy:
    return webhook_policy(mode, is_public=is_public, tokens=tokens, path_secret=path_secret)


@pytest.mark.parametrize(
    ("mode", "is_public", "tokens", "path_secret"),
    [
        (WebhookAuth.AUTO, True, (), None),
        (WebhookAuth.SIGNATURE, True, (), SECRET),
        (WebhookAuth.SIGNATURE, False, (), None),
        (WebhookAuth.PATH, True, (TOKEN,), None),
    ],
)
def test_a_mode_without_what_it_needs_does_not_start(
    mode: WebhookAuth, is_public: bool, tokens: tuple[str, ...], path_secret: str | None
) -> None:
    with pytest.raises(CannotAuthenticate, match=r"VOBIZ_AUTH_TOKEN|GATEWAY_PATH_SECRET"):
        policy(mode, is_public=is_public, tokens=tokens, path_secret=path_secret)


@pytest.mark.parametrize(
    ("headers", "given", "verdict"),
    [
        (SIGNED, None, AuthVerdict.SIGNED),
        (SIGNED, SECRET, AuthVerdict.SIGNED),
        (SIGNED, "wrong", AuthVerdict.WRONG_PATH),
        (FORGED, None, AuthVerdict.FORGED),
        (FORGED, SECRET, AuthVerdict.FORGED),
        ({}, SECRET, AuthVerdict.PATH),
        ({}, "wrong", AuthVerdict.WRONG_PATH),
        ({}, None, AuthVerdict.UNSIGNED),
    ],
)
def test_auto_takes_a_signature_or_the_path_and_never_a_forgery(
    headers: dict[str, str], given: str | None, verdict: AuthVerdict
) -> None:
    assert policy().judge(headers, URL, given) is verdict


def test_a_signature_of_another_url_is_a_forgery() -> None:
    assert policy().judge(SIGNED, "https://voice.example.com/hangup", None) is AuthVerdict.FORGED


def test_the_query_is_not_part_of_what_is_signed() -> None:
    assert policy().judge(SIGNED, URL + "?agent=sales", None) is AuthVerdict.SIGNED


def test_signature_mode_wants_a_signature_whatever_the_path() -> None:
    strict = policy(WebhookAuth.SIGNATURE)
    assert strict.judge({}, URL, SECRET) is AuthVerdict.UNSIGNED
    assert strict.judge(SIGNED, URL, SECRET) is AuthVerdict.SIGNED


def test_path_mode_wants_the_path_whatever_the_signature() -> None:
    strict = policy(WebhookAuth.PATH)
    assert strict.judge(SIGNED, URL, None) is AuthVerdict.UNSIGNED
    assert strict.judge({}, URL, SECRET) is AuthVerdict.PATH
    assert strict.judge(FORGED, URL, SECRET) is AuthVerdict.FORGED


def test_without_a_token_a_signature_says_nothing() -> None:
    only_path = policy(tokens=())
    assert only_path.judge(SIGNED, URL, None) is AuthVerdict.UNSIGNED
    assert only_path.judge(FORGED, URL, SECRET) is AuthVerdict.PATH


@pytest.mark.parametrize(
    "is_open",
    [
        policy(WebhookAuth.NONE),
        policy(is_public=False),
        policy(is_public=False, path_secret=None),
    ],
)
def test_an_open_gateway_refuses_forgeries_alone(is_open: WebhookPolicy) -> None:
    assert is_open.judge({}, URL, None) is AuthVerdict.OPEN
    assert is_open.judge(SIGNED, URL, None) is AuthVerdict.SIGNED
    assert is_open.judge(FORGED, URL, None) is AuthVerdict.FORGED


def test_an_open_gateway_still_names_the_right_path() -> None:
    assert policy(is_public=False).judge({}, URL, SECRET) is AuthVerdict.PATH
    assert policy(is_public=False).judge({}, URL, "x") is AuthVerdict.WRONG_PATH


def test_any_of_several_tokens_may_sign() -> None:
    both = policy(tokens=("another", TOKEN))
    assert both.judge(SIGNED, URL, None) is AuthVerdict.SIGNED
    assert both.judge(FORGED, URL, None) is AuthVerdict.SIGNED


def test_three_verdicts_let_a_webhook_in() -> None:
    accepted = {verdict for verdict in AuthVerdict if verdict.is_accepted}
    assert accepted == {AuthVerdict.SIGNED, AuthVerdict.PATH, AuthVerdict.OPEN}


def test_a_nonce_key_hides_the_nonce_and_needs_one() -> None:
    headers = {name.lower(): value for name, value in SIGNED.items()}
    key = nonce_key(headers)
    assert key is not None
    assert "1" * 20 not in key
    assert key != nonce_key({**headers, "x-vobiz-signature-v3-nonce": "3" * 20})
    assert nonce_key({"host": "x"}) is None


def test_a_digest_covers_path_query_and_body() -> None:
    digests = {
        body_digest(path, query, body)
        for path in ("/answer", "/hangup")
        for query in ("", "c=1")
        for body in (b"", b"x")
    }
    assert len(digests) == 8


@pytest.mark.parametrize(
    ("given", "is_same"), [(SECRET, True), (None, False), ("", False), ("é\udc80", False)]
)
def test_secrets_compare_without_raising(given: str | None, is_same: bool) -> None:
    assert same_secret(given, SECRET) is is_same
