"""Kinds of setting that several services have: a base URL, a secret part of a path."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_LIKE = "must look like https://voice.example.com"
_PATH_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")


def _check_base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(_LIKE) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(_LIKE)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must have no user, query or fragment")
    return value.rstrip("/")


def _check_path_secret(value: SecretStr) -> SecretStr:
    if not _PATH_SECRET.fullmatch(value.get_secret_value()):
        raise ValueError("must be 16 to 128 letters, digits, - or _")
    return value


BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
"""http or https, with a host, without user, query or fragment; kept without a slash at its end."""
PathSecret = Annotated[SecretStr, AfterValidator(_check_path_secret)]
"""Unguessable, and of signs that a path holds as they are."""
