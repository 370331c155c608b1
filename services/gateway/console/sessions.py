"""PURE. Who is logged in, told by a cookie that is signed; and how often a password may be tried.

A session is eight hexadecimal digits of expiry (Unix seconds) and a MAC over them. The key is made
of the console's password, so that a new password ends all sessions, and slowly, so that whoever
holds a cookie can't try passwords on it by the million.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict

_SESSION = re.compile(r"([0-9a-f]{8})([0-9a-f]{64})")
_MOST_CLIENTS = 1000


def session_key(password: str, salt: str) -> bytes:
    """Return the key of a console's sessions; takes some 50 ms. `salt` is what gateways share."""
    return hashlib.scrypt(
        password.encode(), salt=f"console-session:{salt}".encode(), n=2**14, r=8, p=1, dklen=32
    )


def make_session(key: bytes, expires_unix_s: float) -> str:
    """Return the cookie's value of somebody who is logged in until then."""
    expiry = f"{int(expires_unix_s):08x}"
    return expiry + _mac(key, expiry)


def is_session(key: bytes, value: str, now_unix_s: float) -> bool:
    """Whether a cookie's value is of our making and not over."""
    match = _SESSION.fullmatch(value)
    expiry, mac = match.groups() if match else ("00000000", "")
    is_ours = hmac.compare_digest(mac.encode(), _mac(key, expiry).encode())
    return is_ours and now_unix_s < int(expiry, 16)


def _mac(key: bytes, expiry: str) -> str:
    return hmac.new(key, expiry.encode(), hashlib.sha256).hexdigest()


class Attempts:
    """How often passwords may be tried: a few at once, then one each `refill_s`.

    Each client has an allowance of its own, and all together one of ten times that, so that
    changing addresses helps little. Those of clients beyond a thousand are forgotten, the one
    that was quiet longest first.
    """

    def __init__(self, *, at_once: int = 5, refill_s: float = 10.0) -> None:
        self._at_once = at_once
        self._refill_s = refill_s
        self._clients: OrderedDict[str, float] = OrderedDict()
        self._all_s = 0.0

    def take(self, client: str, now_s: float) -> float:
        """Use one attempt up; return 0, or after how many seconds there is one again."""
        mine_s = max(self._clients.get(client, 0.0), now_s)
        all_s = max(self._all_s, now_s)
        wait_s = max(self._wait_s(mine_s, now_s, 1), self._wait_s(all_s, now_s, 10))
        if wait_s > 0:
            return wait_s
        self._clients[client] = mine_s + self._refill_s
        self._clients.move_to_end(client)
        self._all_s = all_s + self._refill_s / 10
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0

    def forget(self, client: str) -> None:
        """The password was right: the client's allowance is whole again."""
        self._clients.pop(client, None)

    def _wait_s(self, paid_until_s: float, now_s: float, share: int) -> float:
        # `paid_until_s` runs ahead of the clock by what has been used up.
        refill_s = self._refill_s / share
        return paid_until_s - now_s - (self._at_once * share - 1) * refill_s
