"""PURE. The signatures of Vobiz's webhooks: making them and checking them.

A signature covers the URL without its query and a nonce, never the body and no time: whoever has
seen a signed request can replay it, with other fields, for ever. Keep the nonces seen, or put a
secret in the URL's path.

Source: vobiz.ai docs, callback signature page; the schemes V2 and V3, each keyed with the
account's own token and (MA) with the main account's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

_PREFIX = "x-vobiz-signature-"
_MAX_SIGNATURES = 8
_MAX_HEADER_CHARS = 2048


class SignatureVerdict(StrEnum):
    """What the headers of a request say of its origin."""

    VALID = "valid"
    MISSING = "missing"
    WRONG = "wrong"


def sign_v2(url: str, nonce: str, token: str) -> str:
    """Return the V2 signature of a callback to `url` (query and fragment don't count)."""
    return _base64(_digest(signed_part(url) + nonce, token))


def sign_v3(url: str, nonce: str, token: str) -> str:
    """Return the V3 signature of a callback to `url` (query and fragment don't count)."""
    return _base64(_digest(f"{signed_part(url)}.{nonce}", token))


def signed_headers(
    url: str, token: str, nonce_v3: str, nonce_v2: str, main_account: bool = True
) -> dict[str, str]:
    """Return the headers Vobiz puts on a callback.

    Args:
        url: the URL called, as configured.
        token: the account's auth token.
        nonce_v3: 20 decimal digits on the wire.
        nonce_v2: another 20 digits.
        main_account: whether the account is a main one, whose MA signatures equal its own; for a
            sub-account merge the result with `main_account_headers` of its parent's token.
    """
    headers = {
        "X-Vobiz-Signature-V3": sign_v3(url, nonce_v3, token),
        "X-Vobiz-Signature-V3-Nonce": nonce_v3,
        "X-Vobiz-Signature-V2": sign_v2(url, nonce_v2, token),
        "X-Vobiz-Signature-V2-Nonce": nonce_v2,
    }
    return headers | (main_account_headers(url, token, nonce_v3, nonce_v2) if main_account else {})


def main_account_headers(url: str, token: str, nonce_v3: str, nonce_v2: str) -> dict[str, str]:
    """Return the two signatures keyed with the main account's token, with the same nonces."""
    return {
        "X-Vobiz-Signature-MA-V3": sign_v3(url, nonce_v3, token),
        "X-Vobiz-Signature-MA-V2": sign_v2(url, nonce_v2, token),
    }


def verify_signature(
    headers: Mapping[str, str], url: str, tokens: Sequence[str]
) -> SignatureVerdict:
    """Check a callback's signatures in the order V3, MA-V3, V2, MA-V2; one that fits is enough.

    Args:
        headers: names in any case. A header may list several signatures, comma-joined, as during
            a change of token; beyond eight they are not looked at.
        url: the public URL as configured with Vobiz, not as seen behind a proxy.
        tokens: the tokens that may have signed; empty ones are passed over.

    Returns:
        MISSING when there is no V2 or V3 signature at all, WRONG when there are and none fits
        (or its nonce is missing). Every comparison takes the same time wherever it differs.
    """
    found = _joined(headers)
    keys = [token for token in tokens if token]
    is_signed = False
    for name, nonce_name, scheme in _SCHEMES:
        header = found.get(_PREFIX + name)
        if header is None:
            continue
        is_signed = True
        nonce = found.get(_PREFIX + nonce_name)
        if not nonce or len(nonce) > _MAX_HEADER_CHARS or len(header) > _MAX_HEADER_CHARS:
            continue
        wanted = [base64.b64decode(scheme(url, nonce, key)) for key in keys]
        if _any_equal(_signatures(header), wanted):
            return SignatureVerdict.VALID
    return SignatureVerdict.WRONG if is_signed else SignatureVerdict.MISSING


def signed_part(url: str) -> str:
    """Return the part of a URL that signatures cover: all before the query and the fragment."""
    return url.partition("#")[0].partition("?")[0]


_SCHEMES: tuple[tuple[str, str, Callable[[str, str, str], str]], ...] = (
    ("v3", "v3-nonce", sign_v3),
    ("ma-v3", "v3-nonce", sign_v3),
    ("v2", "v2-nonce", sign_v2),
    ("ma-v2", "v2-nonce", sign_v2),
)


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the signature headers by lower-case name, repeated ones joined by commas."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key.startswith(_PREFIX):
            found[key] = f"{found[key]},{value}" if key in found else value
    return found


def _signatures(header: str) -> list[bytes]:
    decoded = []
    for part in header.split(",", _MAX_SIGNATURES)[:_MAX_SIGNATURES]:
        try:
            decoded.append(binascii.a2b_base64(part.strip(), strict_mode=True))
        except ValueError:
            continue
    return decoded


def _any_equal(given: Sequence[bytes], wanted: Sequence[bytes]) -> bool:
    matches = [hmac.compare_digest(one, other) for one in given for other in wanted]
    return any(matches)


def _digest(message: str, token: str) -> bytes:
    return hmac.new(
        token.encode("utf-8", "surrogatepass"),
        message.encode("utf-8", "surrogatepass"),
        hashlib.sha256,
    ).digest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
