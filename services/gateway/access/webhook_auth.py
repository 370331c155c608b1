"""PURE. Whether a webhook is believed.

Vobiz signs the URL and a nonce, never the body, and not on every account; a secret in the path is
what remains then. A gateway that strangers can reach does not start without one of the two.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.protocol.signature import SignatureVerdict, verify_signature

_NONCES = ("x-vobiz-signature-v3-nonce", "x-vobiz-signature-v2-nonce")


class WebhookAuth(StrEnum):
    """How webhooks prove where they come from: the choice of a setting."""

    AUTO = "auto"
    SIGNATURE = "signature"
    PATH = "path"
    NONE = "none"


class AuthVerdict(StrEnum):
    """What authentication says; the first three let a webhook in."""

    SIGNED = "signed"
    PATH = "path"
    OPEN = "open"
    UNSIGNED = "unsigned"
    FORGED = "forged"
    WRONG_PATH = "wrong_path"
    REPLAYED = "replayed"

    @property
    def is_accepted(self) -> bool:
        """Whether the webhook may be read."""
        return self in {AuthVerdict.SIGNED, AuthVerdict.PATH, AuthVerdict.OPEN}


class CannotAuthenticate(Exception):
    """The settings leave webhooks of a public gateway unprotected."""


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """The rule in force.

    Attributes:
        is_open: nothing is asked for (a forged signature is refused all the same).
        tokens: those that may sign; empty when signatures can't be checked.
        path_secret: the first part of the path, or None.
        by_signature: a good signature is enough.
        by_path: the path's secret is enough.
    """

    is_open: bool
    tokens: Sequence[str]
    path_secret: str | None
    by_signature: bool
    by_path: bool

    def judge(self, headers: Mapping[str, str], url: str, given_secret: str | None) -> AuthVerdict:
        """Judge a webhook by everything but its body.

        Args:
            headers: of the request, names in any case.
            url: the URL as configured at Vobiz.
            given_secret: the first part of its path where the route has one.
        """
        signature = SignatureVerdict.MISSING
        if self.tokens:
            signature = verify_signature(headers, url, self.tokens)
        if signature is SignatureVerdict.WRONG:
            return AuthVerdict.FORGED
        is_path_right = self.path_secret is not None and same_secret(given_secret, self.path_secret)
        if given_secret is not None and not is_path_right:
            return AuthVerdict.WRONG_PATH
        if signature is SignatureVerdict.VALID and (self.by_signature or self.is_open):
            return AuthVerdict.SIGNED
        if is_path_right and (self.by_path or self.is_open):
            return AuthVerdict.PATH
        return AuthVerdict.OPEN if self.is_open else AuthVerdict.UNSIGNED


def webhook_policy(
    mode: WebhookAuth, *, is_public: bool, tokens: Sequence[str], path_secret: str | None
) -> WebhookPolicy:
    """Return the rule for a gateway's settings.

    Raises:
        CannotAuthenticate: what the mode needs is not configured; the text says what to set.
    """
    is_open = mode is WebhookAuth.NONE or (mode is WebhookAuth.AUTO and not is_public)
    by_signature = mode in {WebhookAuth.AUTO, WebhookAuth.SIGNATURE} and bool(tokens)
    by_path = mode in {WebhookAuth.AUTO, WebhookAuth.PATH} and path_secret is not None
    if not (is_open or by_signature or by_path):
        raise CannotAuthenticate(_MISSING[mode])
    return WebhookPolicy(
        is_open=is_open,
        tokens=tuple(tokens),
        path_secret=path_secret,
        by_signature=by_signature,
        by_path=by_path,
    )


_MISSING = {
    WebhookAuth.AUTO: (
        "A public gateway needs authenticated webhooks: set VOBIZ_AUTH_TOKEN (signatures) or"
        " GATEWAY_PATH_SECRET (16 or more letters and digits in the URLs given to Vobiz);"
        " GATEWAY_WEBHOOK_AUTH=none opens it to everybody."
    ),
    WebhookAuth.SIGNATURE: "GATEWAY_WEBHOOK_AUTH=signature needs VOBIZ_AUTH_TOKEN.",
    WebhookAuth.PATH: "GATEWAY_WEBHOOK_AUTH=path needs GATEWAY_PATH_SECRET.",
    WebhookAuth.NONE: "",
}


def same_secret(given: str | None, wanted: str) -> bool:
    """Compare in a time that does not depend on where the texts differ."""
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), wanted.encode())


def nonce_key(headers: Mapping[str, str]) -> str | None:
    """Return the bus key under which a signed request is remembered, or None for an unsigned one.

    The nonces are hashed: they are the sender's choice in length and letters.
    """
    nonces = [headers[name] for name in _NONCES if headers.get(name)]
    if not nonces:
        return None
    return "nonce:" + hashlib.sha256("|".join(nonces).encode("utf-8", "replace")).hexdigest()[:40]


def body_digest(path: str, query: str, body: bytes) -> str:
    """Return what must be equal when a nonce is seen again: then it is a plain retry."""
    return hashlib.sha256(b"\n".join((path.encode(), query.encode(), body))).hexdigest()
