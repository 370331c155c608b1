"""Who may open a call's media socket: the first to bring its token, and whoever reconnects.

That a token was used, and by which gateway, is kept on the bus, so that any gateway refuses a
second use. A reconnect is let in once the socket before it has closed or fallen silent, wherever
it was held: a gateway asks the one that holds it by a `socket_claim` event. One that was killed
answers nothing; it counts as gone with its last heartbeat, a second later, which is when Vobiz
tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from services.gateway.access.tokens import TokenVerdict, check_token
from shared.bus.base import Bus, BusUnavailable
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import CallId
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
SOCKET_CLAIM = "socket_claim"
SILENT_S = 0.5
CLAIM_S = 1.5
"""More than from one heartbeat to the next: who lives is heard of meanwhile."""
HEARTBEAT_S = 0.25
_HEARTBEAT_LIFE_S = 1.0
_POLL_S = 0.1
_CLOSED = "closed"


class Refusal(StrEnum):
    """Why a media socket was refused before the upgrade."""

    WRONG = "wrong"
    LATE = "late"
    USED = "used"
    ENDED = "ended"
    UNKNOWN = "unknown"


class SocketRefused(Exception):
    """The socket may not be opened.

    Args:
        reason: for the counter; the client learns nothing of it.
    """

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason


class Admission:
    """Checks media tokens and keeps who holds which call's socket."""

    def __init__(
        self, bus: Bus, secret: bytes, gateway_id: str, clock: Clock, *, memory_s: float
    ) -> None:
        self._bus = bus
        self._secret = secret
        self._gateway_id = gateway_id
        self._clock = clock
        self._memory_s = memory_s
        self._beats = 0

    def judge(self, call_id: CallId, token: str) -> bool:
        """Check a token by itself; return whether it is late, which only a reconnect may be.

        Raises:
            SocketRefused: it is wrong.
        """
        verdict = check_token(self._secret, call_id, token, self._clock.wall().timestamp())
        if verdict is TokenVerdict.WRONG:
            raise SocketRefused(Refusal.WRONG)
        return verdict is TokenVerdict.LATE

    async def admit(
        self,
        call_id: CallId,
        *,
        is_late: bool,
        was_used_here: bool,
        is_free_here: Callable[[], Awaitable[bool]],
    ) -> bool:
        """Let a socket whose token was judged in, or refuse it.

        Args:
            call_id: from the URL.
            is_late: whether the token has expired.
            was_used_here: whether this gateway has let a socket of the call in before; decides
                when the bus is away.
            is_free_here: waits, bounded, until this gateway's own socket of the call has gone.

        Returns:
            whether this is a reconnect.

        Raises:
            SocketRefused: with the reason.
        """
        try:
            holder = await self._take(call_id, is_late=is_late)
            if holder is None:
                if not was_used_here:
                    return False
            elif holder not in {_CLOSED, self._gateway_id}:
                await self._claim(call_id, holder)
        except BusUnavailable:
            _log.warning("token_use_unknown", call_id=call_id)
            if not was_used_here:
                if is_late:
                    raise SocketRefused(Refusal.LATE) from None
                return False
        except SocketRefused as exc:
            # The bus has lost what it knew of a socket that we have let in ourselves.
            if exc.reason is not Refusal.LATE or not was_used_here:
                raise
        if not await is_free_here():
            raise SocketRefused(Refusal.USED)
        await self._hold(call_id)
        return True

    async def _take(self, call_id: CallId, *, is_late: bool) -> str | None:
        """Return who holds the socket; None when nobody ever did and it is ours now."""
        key = _key(call_id)
        if not is_late and await self._bus.values.put(
            key, self._gateway_id, ttl_s=self._memory_s, only_if_absent=True
        ):
            return None
        holder = await self._bus.values.get(key)
        if holder is None:
            raise SocketRefused(Refusal.LATE)
        return holder

    async def _claim(self, call_id: CallId, holder: str) -> None:
        """Wait until another gateway has given the socket up, or is no more."""
        event = BusEvent(Channel.WORKERS, SOCKET_CLAIM, call_id, {"gateway": self._gateway_id})
        await self._bus.events.publish(event)
        values = self._bus.values
        first_beat = beat = await values.get(_heartbeat_key(holder))
        deadline_s = self._clock.now_s() + CLAIM_S
        while beat is not None and self._clock.now_s() < deadline_s:
            if await values.get(_key(call_id)) in {_CLOSED, None}:
                return
            # The answer is a value, not an event: any gateway's, or nobody's when that one died.
            await asyncio.sleep(_POLL_S)
            beat = await values.get(_heartbeat_key(holder))
        # One that has not said in all this time that it lives has died with the socket.
        if beat is not None and beat != first_beat:
            raise SocketRefused(Refusal.USED)

    async def _hold(self, call_id: CallId) -> None:
        try:
            await self._bus.values.put(_key(call_id), self._gateway_id, ttl_s=self._memory_s)
        except BusUnavailable:
            _log.warning("socket_holder_not_written", call_id=call_id)

    async def left(self, call_id: CallId) -> None:
        """The call's socket at this gateway has closed."""
        try:
            if await self._bus.values.get(_key(call_id)) == self._gateway_id:
                await self._bus.values.put(_key(call_id), _CLOSED, ttl_s=self._memory_s)
        except BusUnavailable:
            _log.warning("socket_holder_not_written", call_id=call_id)

    async def heartbeat(self) -> None:
        """Say that this gateway lives; to be called each `HEARTBEAT_S`. Raises BusUnavailable."""
        self._beats += 1
        key, beat = _heartbeat_key(self._gateway_id), str(self._beats)
        await self._bus.values.put(key, beat, ttl_s=_HEARTBEAT_LIFE_S)


def _key(call_id: CallId) -> str:
    return f"media:{call_id}"


def _heartbeat_key(gateway_id: str) -> str:
    return f"gateway:{gateway_id}"
