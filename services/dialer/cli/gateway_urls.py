"""PURE. The URLs of a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from services.dialer.cli.failure import CommandFailed, Exit

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The URLs of a gateway that Vobiz asks; its path secret is in them."""

    answer: str
    hangup: str
    fallback: str


def webhooks_of(base: str, path_secret: str | None) -> Webhooks:
    """Return the webhooks of the gateway at a public base URL."""
    secret = f"/{path_secret}" if path_secret else ""
    return Webhooks(*(f"{base}{secret}/{name}" for name in ("answer", "hangup", "fallback")))


def base_url(text: str, option: str) -> str:
    """Return a base URL without a slash at its end; https where it names no scheme.

    Raises:
        CommandFailed: it is none, or carries a user, a query or a fragment.
    """
    url = text if "://" in text else f"https://{text}"
    parts = parts_of(url)
    if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise CommandFailed(
            Exit.MISUSED, f"{option} must look like https://voice.example.com, not {text}"
        )
    return urlunsplit(parts).rstrip("/")


def parts_of(url: str) -> SplitResult | None:
    """Return the parts of a web URL, None where it is none."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_url else None


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine alone."""
    parts = parts_of(url)
    return parts is not None and parts.hostname in _LOOPBACK
