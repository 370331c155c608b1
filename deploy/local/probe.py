"""Asking whether something is ready."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable

_TIMEOUT_S = 2.0

Probe = Callable[[], str | None]
"""Answers None for ready, else with a few words on what is missing."""


def http_probe(url: str) -> Probe:
    """Ready is any answer of the 200s; another one's body goes into the words."""

    def probe() -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - ours
                answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return f"{url} says {error.code}: {error.read(300).decode('utf-8', 'replace')}"
        except OSError as error:
            return f"{url} does not answer: {error}"
        return None

    return probe
