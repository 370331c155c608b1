"""Signatures of webhooks: the documented vectors, and what must not pass."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.signature import (
    SignatureVerdict,
    main_account_headers,
    sign_v2,
    sign_v3,
    signed_headers,
    signed_part,
    verify_signature,
)

TOKEN = "my_auth_token"
URL = "https://answer.url"
NONCE = "12345"
V2 = "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc="
V3 = "2tUVd+6dOTo/13hSmD0yrftTKb57pVvy0kxqkPKxcqk="
N3, N2 = "01234567890123456789", "98765432109876543210"


def test_the_documented_v2_vector() -> None:
    assert sign_v2(URL, NONCE, TOKEN) == V2


def test_the_v3_vector() -> None:
    assert sign_v3(URL, NONCE, TOKEN) == V3


def test_v3_is_the_url_a_dot_and_the_nonce() -> None:
    digest = hmac.new(TOKEN.encode(), f"{URL}.{NONCE}".encode(), hashlib.sha256).digest()
    assert base64.b64encode(digest).decode() == V3


@pytest.mark.parametrize("url", [URL, URL + "?c=1&x=2", URL + "#part", URL + "?c=1#part"])
def test_query_and_fragment_are_not_signed(url: str) -> None:
    assert signed_part(url) == URL
    assert sign_v3(url, NONCE, TOKEN) == V3


def test_the_path_is_signed_as_configured() -> None:
    assert sign_v3(URL + "/", NONCE, TOKEN) != V3
    assert sign_v3(URL + ":443", NONCE, TOKEN) != V3


VECTORS = [
    {"X-Vobiz-Signature-V3": V3, "X-Vobiz-Signature-V3-Nonce": NONCE},
    {"X-Vobiz-Signature-MA-V3": V3, "X-Vobiz-Signature-V3-Nonce": NONCE},
    {"X-Vobiz-Signature-V2": V2, "X-Vobiz-Signature-V2-Nonce": NONCE},
    {"X-Vobiz-Signature-MA-V2": V2, "X-Vobiz-Signature-V2-Nonce": NONCE},
]


@pytest.mark.parametrize("headers", VECTORS)
def test_each_of_the_four_signatures_is_enough(headers: dict[str, str]) -> None:
    assert verify_signature(headers, URL, [TOKEN]) is SignatureVerdict.VALID
    lower = {name.lower(): value for name, value in headers.items()}
    assert verify_signature(lower, URL, ["other", TOKEN]) is SignatureVerdict.VALID


@pytest.mark.parametrize("headers", VECTORS)
def test_each_of_the_four_signatures_is_refused_for_another_token_url_or_nonce(
    headers: dict[str, str],
) -> None:
    assert verify_signature(headers, URL, ["other"]) is SignatureVerdict.WRONG
    assert verify_signature(headers, URL + "/x", [TOKEN]) is SignatureVerdict.WRONG
    moved = {k: "54321" if k.endswith("Nonce") else v for k, v in headers.items()}
    assert verify_signature(moved, URL, [TOKEN]) is SignatureVerdict.WRONG


def test_no_signature_at_all_is_missing() -> None:
    assert verify_signature({}, URL, [TOKEN]) is SignatureVerdict.MISSING
    nonce_alone = {"X-Vobiz-Signature-V3-Nonce": NONCE}
    assert verify_signature(nonce_alone, URL, [TOKEN]) is SignatureVerdict.MISSING


def test_the_legacy_signature_alone_is_missing() -> None:
    assert verify_signature({"X-Vobiz-Signature": "abc="}, URL, [TOKEN]) is SignatureVerdict.MISSING


@pytest.mark.parametrize(
    "value", ["", " ", ",", "not base64", V2, V3[:-4], V3 + "=", "A" * 5000, "é", V3.lower()]
)
def test_a_signature_that_is_present_but_does_not_fit_is_wrong(value: str) -> None:
    headers = {"X-Vobiz-Signature-V3": value, "X-Vobiz-Signature-V3-Nonce": NONCE}
    assert verify_signature(headers, URL, [TOKEN]) is SignatureVerdict.WRONG


def test_a_signature_without_its_nonce_is_wrong() -> None:
    assert verify_signature({"X-Vobiz-Signature-V3": V3}, URL, [TOKEN]) is SignatureVerdict.WRONG
    other = {"X-Vobiz-Signature-V3": V3, "X-Vobiz-Signature-V2-Nonce": NONCE}
    assert verify_signature(other, URL, [TOKEN]) is SignatureVerdict.WRONG


def test_a_wrong_v3_is_outweighed_by_a_main_account_signature_that_fits() -> None:
    headers = {
        "X-Vobiz-Signature-V3": sign_v3(URL, NONCE, "sub-account"),
        "X-Vobiz-Signature-MA-V3": V3,
        "X-Vobiz-Signature-V3-Nonce": NONCE,
    }
    assert verify_signature(headers, URL, [TOKEN]) is SignatureVerdict.VALID


def test_several_signatures_may_be_listed_while_a_token_changes() -> None:
    old = sign_v3(URL, NONCE, "old-token")
    headers = {"X-Vobiz-Signature-V3": f"{old}, {V3}", "X-Vobiz-Signature-V3-Nonce": NONCE}
    assert verify_signature(headers, URL, [TOKEN]) is SignatureVerdict.VALID


def test_a_long_list_of_guesses_is_not_worked_through() -> None:
    headers = {
        "X-Vobiz-Signature-V3": ",".join([*["AAAA"] * 8, V3]),
        "X-Vobiz-Signature-V3-Nonce": NONCE,
    }
    assert verify_signature(headers, URL, [TOKEN]) is SignatureVerdict.WRONG


def test_an_empty_token_never_signs() -> None:
    headers = {
        "X-Vobiz-Signature-V3": sign_v3(URL, NONCE, ""),
        "X-Vobiz-Signature-V3-Nonce": NONCE,
    }
    assert verify_signature(headers, URL, ["", TOKEN]) is SignatureVerdict.WRONG
    assert verify_signature(headers, URL, []) is SignatureVerdict.WRONG


def test_a_main_account_signs_all_four_with_one_token() -> None:
    headers = signed_headers(URL, TOKEN, N3, N2)
    assert headers["X-Vobiz-Signature-MA-V3"] == headers["X-Vobiz-Signature-V3"]
    assert headers["X-Vobiz-Signature-MA-V2"] == headers["X-Vobiz-Signature-V2"]
    assert headers["X-Vobiz-Signature-V3-Nonce"] == N3
    assert headers["X-Vobiz-Signature-V2-Nonce"] == N2
    for name in ("V3", "MA-V3", "V2", "MA-V2"):
        others = {f"X-Vobiz-Signature-{other}" for other in ("V3", "MA-V3", "V2", "MA-V2")}
        alone = {
            k: v for k, v in headers.items() if k not in others - {f"X-Vobiz-Signature-{name}"}
        }
        assert verify_signature(alone, URL, [TOKEN]) is SignatureVerdict.VALID


def test_a_sub_account_is_known_by_its_own_token_or_its_parents() -> None:
    headers = signed_headers(URL, "sub", N3, N2, main_account=False)
    assert not [name for name in headers if "-MA-" in name]
    headers |= main_account_headers(URL, "main", N3, N2)
    assert verify_signature(headers, URL, ["sub"]) is SignatureVerdict.VALID
    assert verify_signature(headers, URL, ["main"]) is SignatureVerdict.VALID
    assert verify_signature(headers, URL, ["third"]) is SignatureVerdict.WRONG


names = st.sampled_from(["V3", "V3-Nonce", "MA-V3", "V2", "V2-Nonce", "MA-V2"]).map(
    lambda name: f"x-vobiz-signature-{name}"
)


@given(st.dictionaries(names | st.text(), st.text()), st.text(), st.lists(st.text(), max_size=3))
def test_any_headers_get_a_verdict_and_none_is_valid_by_chance(
    headers: dict[str, str], url: str, tokens: list[str]
) -> None:
    assert verify_signature(headers, url, tokens) is not SignatureVerdict.VALID
