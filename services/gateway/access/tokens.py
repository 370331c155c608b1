"""PURE. Media tokens: what lets a socket into a call.

A token survives any URL handling: eight hexadecimal digits of expiry (Unix seconds), 32 of a MAC
over expiry, call id and note, and, behind a dot, the note where there is one (`token_note.py`).
Nothing in it is secret but the MAC, which is compared in constant time. That a token is used once
is for the caller of this module to keep.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from enum import StrEnum

from shared.protocol.call import CallId

_TOKEN = re.compile(r"([0-9a-f]{8})([0-9a-f]{32})(?:\.([A-Za-z0-9_-]{1,4096}))?")


class TokenVerdict(StrEnum):
    """What a token is worth by itself; `late` ones may still serve a reconnect."""

    VALID = "valid"
    LATE = "late"
    WRONG = "wrong"


def make_token(secret: bytes, call_id: CallId, expires_unix_s: float, note: str = "") -> str:
    """Return the token of a call, with a note (A-Z, a-z, 0-9, - and _) that nobody can change."""
    expiry = f"{int(expires_unix_s):08x}"
    return expiry + _mac(secret, call_id, expiry, note) + (f".{note}" if note else "")


def check_token(secret: bytes, call_id: CallId, token: str, now_unix_s: float) -> TokenVerdict:
    """Judge a token that came with a call's id."""
    match = _TOKEN.fullmatch(token)
    expiry, mac, note = match.groups(default="") if match else ("00000000", "", "")
    if not hmac.compare_digest(mac.encode(), _mac(secret, call_id, expiry, note).encode()):
        return TokenVerdict.WRONG
    return TokenVerdict.LATE if now_unix_s > int(expiry, 16) else TokenVerdict.VALID


def note_of(token: str) -> str:
    """Return the note of a token that was found good, "" where it has none."""
    return token.partition(".")[2]


def _mac(secret: bytes, call_id: CallId, expiry: str, note: str) -> str:
    # A call's id has no colon.
    message = f"{expiry}:{call_id}:{note}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[:32]
