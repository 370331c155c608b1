"""Whom to trust on the network, read once: reading it takes 50 ms of the event loop's time."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Return the context for every TLS connection to a vendor, HTTP or WebSocket."""
    return httpx.create_ssl_context()
