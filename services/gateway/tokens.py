"""PURE. Media tokens: what lets a socket into a call.

A token is ASCII hexadecimal, so that it survives any URL handling: eight digits of expiry (Unix
seconds) and 32 digits of a MAC over expiry and call id. Nothing in it is secret but the MAC, which
is compared in constant time. That a token is used once is for the caller of this module to keep.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from enum import StrEnum

from shared.protocol.call import CallId

_TOKEN = re.compile(r"([0-9a-f]{8})([0-9a-f]{32})")


class TokenVerdict(StrEnum):
    """What a token is worth by itself; `late` ones may still serve a reconnect."""

    VALID = "valid"
    LATE = "late"
    WRONG = "wrong"


def make_token(secret: bytes, call_id: CallId, expires_unix_s: float) -> str:
    """Return the token of a call: 40 hexadecimal digits."""
    expiry = f"{int(expires_unix_s):08x}"
    return expiry + _mac(secret, call_id, expiry)


def check_token(secret: bytes, call_id: CallId, token: str, now_unix_s: float) -> TokenVerdict:
    """Judge a token that came with a call's id."""
    match = _TOKEN.fullmatch(token)
    expiry, mac = match.groups() if match else ("00000000", "")
    if not hmac.compare_digest(mac.encode(), _mac(secret, call_id, expiry).encode()):
        return TokenVerdict.WRONG
    return TokenVerdict.LATE if now_unix_s > int(expiry, 16) else TokenVerdict.VALID


def _mac(secret: bytes, call_id: CallId, expiry: str) -> str:
    message = f"{expiry}:{call_id}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[:32]
