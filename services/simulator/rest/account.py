"""PURE. One account of the simulated cloud: limits, numbers, applications, trouble."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.simulator.calls.plan import Target
from services.simulator.rest.faults import Faults


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that a new call would exceed, and when to try again."""

    kind: str  # cps or concurrency
    limit: int
    current: int
    retry_after_s: int = 1


@dataclass(slots=True)
class AccountState:
    """What an account may do at present; the control routes change it.

    `numbers` are those it owns, None stands for every number there is. `make_call_status` is the
    status of an accepted Make Call, 200 or 201. `answers_first` holds that response back until
    the answer webhook has been sent, as happens in a race. `lists_objects` gives the live and
    queued lists the older shape: who is called by whom, beside the id. `keeps_attachments` makes
    attaching a number of another Application a 409; otherwise the later one counts.
    """

    cps: int = 10
    concurrency: int = 50
    balance: float = 100.0
    numbers: frozenset[str] | None = None
    make_call_status: int = 201
    answers_first: bool = False
    lists_objects: bool = False
    is_active: bool = True
    keeps_attachments: bool = False


@dataclass(slots=True)
class Application:
    """An Application: the URLs of inbound calls to its numbers; `body` is what the API shows."""

    app_id: str
    body: dict[str, Any]
    numbers: set[str] = field(default_factory=set)

    def target(self, url: str, method: str) -> Target | None:
        """Return the URL of one of its fields and how it is asked, None where there is none."""
        return Target(self.body[url], self.body[method] or "POST") if self.body[url] else None


class Account:
    """Checks credentials and limits.

    Args:
        auth_id: the account's id, as in URLs.
        token: its token.
    """

    def __init__(self, auth_id: str, token: str, state: AccountState | None = None) -> None:
        self.auth_id = auth_id
        self.token = token
        self.state = state or AccountState()
        self.applications: dict[str, Application] = {}
        self.faults = Faults()
        self._begun_s: deque[float] = deque()

    def is_authentic(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries this account's X-Auth pair, or the same by HTTP Basic."""
        auth_id, token = headers.get("x-auth-id", ""), headers.get("x-auth-token", "")
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        if not auth_id and scheme.lower() == "basic":
            try:
                auth_id, _, token = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return False
        return _same(auth_id, self.auth_id) and _same(token, self.token)

    def owns(self, number: str) -> bool:
        """Whether calls may be made from a number, with or without its `+`."""
        owned = self.state.numbers
        return owned is None or number.removeprefix("+") in {n.removeprefix("+") for n in owned}

    def application_of(self, number: str) -> Application | None:
        """Return the Application that a number is attached to."""
        return next((app for app in self.applications.values() if number in app.numbers), None)

    def admit(self, calls: int, *, channels: int, now_s: float) -> Limit | None:
        """Count new calls, or return the limit that refuses them.

        Args:
            calls: how many are to begin now.
            channels: ringing and talking calls.
            now_s: monotonic time.
        """
        while self._begun_s and self._begun_s[0] <= now_s - 1.0:
            self._begun_s.popleft()
        begun = len(self._begun_s)
        if begun and begun + calls > self.state.cps:
            return Limit("cps", self.state.cps, begun + calls)
        if channels + calls > self.state.concurrency:
            return Limit("concurrency", self.state.concurrency, channels + calls)
        self._begun_s.extend([now_s] * calls)
        return None


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
