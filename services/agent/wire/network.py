"""What the network does for a call beside carrying its audio: transfers, keys, who answered.

For a transfer, or to have keys collected, a call leaves its media stream and keeps its session.
What is to be done is written down on the bus first; then either Vobiz is told by its REST API to
go and fetch it from the gateway, or, without an account or when that fails, the stream is
stopped, which makes Vobiz ask the gateway as well. What comes of it is told on the bus.

The worker holds the session until an event says that the far party answered, the caller is back on
a new link, the call is hung up, or `longest_away_s` has passed.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlencode

import structlog

from shared.bus.base import BusUnavailable, KeyValue
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import CallId, Direction
from shared.protocol.errand import (
    ERRAND_LIFE_S,
    EVENT_GATHERED,
    EVENT_MACHINE,
    EVENT_TRANSFER_ANSWERED,
    EVENT_TRANSFER_FAILED,
    Errand,
    GatherErrand,
    InvalidErrand,
    TransferErrand,
    errand_key,
    kind_of,
    parse_errand,
    serialize_errand,
)
from shared.protocol.worker import LinkRequest
from shared.vobiz.client import CallAction, CallSteering
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_PHONE_KEYS = re.compile(r"[0-9*#A-DwW]{1,128}")


class NetworkError(Exception):
    """The network did not do it; the call is where it was.

    NetworkError
    ├── NetworkRefused        it never will: wrong keys or number, no account, call over
    └── NetworkUnavailable    it can't now: no bus, no answer from Vobiz
    """


class NetworkRefused(NetworkError):
    """Asking again would not help; the text says why, and what to set where something is."""


class NetworkUnavailable(NetworkError):
    """Something did not answer; it may work later. Keys may have been pressed all the same."""


@dataclass(frozen=True, slots=True)
class NetworkCall:
    """A call as the network knows it: our id, Vobiz's, and how Vobiz reaches the gateway."""

    call_id: CallId
    call_uuid: str
    webhook_base: str = field(default="", repr=False)

    @classmethod
    def of(cls, request: LinkRequest, stream_call_id: str | None = None) -> NetworkCall:
        """Return a link's call.

        Args:
            request: the newest link's: the call may have moved to another gateway.
            stream_call_id: the media stream's `start.callId`, used where the gateway says none.
        """
        return cls(request.call_id, request.call_uuid or stream_call_id or "", request.webhook_base)


class Departure(StrEnum):
    """How the stream is left.

    BY_NETWORK: it ends by itself within moments; write nothing more and wait for its end.
    BY_STOP: write `stop` and close the link with LinkClose.AWAY.
    """

    BY_NETWORK = "by_network"
    BY_STOP = "by_stop"


@dataclass(frozen=True, slots=True)
class Left:
    """An errand is under way. `longest_away_s`: after it nobody comes back any more."""

    errand_id: str
    departure: Departure
    longest_away_s: float


class Network(Protocol):
    """Whoever can do these things to a call."""

    async def leave_to_transfer(
        self,
        call: NetworkCall,
        *,
        to: str,
        caller_id: str = "",
        ring_timeout_s: int = 30,
        say: str = "",
    ) -> Left:
        """Begin to hand a caller over to a number; see Departure for what is left to do.

        Args:
            call: whose caller.
            to: the number to ring.
            caller_id: what it shows, see `transfer_caller_id`.
            ring_timeout_s: how long it rings.
            say: read to the caller first, by the network's voice.

        Raises:
            NetworkError: nothing was begun.
        """
        ...

    async def leave_to_gather(
        self,
        call: NetworkCall,
        *,
        prompt: str = "",
        most: int = 32,
        finish_on_key: str = "#",
        timeout_s: float = 5.0,
    ) -> Left:
        """Begin to have keys collected; see GatherErrand, and Departure for what is left to do.

        Raises:
            NetworkError: nothing was begun.
        """
        ...

    async def came_back(self, call: NetworkCall, errand_id: str) -> None:
        """Say that the caller is back, so that what was to be done is not done later."""
        ...

    async def send_digits(self, call: NetworkCall, digits: str) -> None:
        """Press keys towards the other side, once.

        Raises:
            NetworkError: not pressed, as far as is known.
        """
        ...


class VobizNetwork:
    """Network on Vobiz.

    Args:
        values: the bus's values, where gateways find errands.
        control: Vobiz's REST API; None when there is no account.
    """

    def __init__(self, values: KeyValue, control: CallSteering | None) -> None:
        self._values = values
        self._control = control

    async def leave_to_transfer(
        self,
        call: NetworkCall,
        *,
        to: str,
        caller_id: str = "",
        ring_timeout_s: int = 30,
        say: str = "",
    ) -> Left:
        """Write a transfer down and leave."""
        try:
            errand = TransferErrand(_new_id(), to, caller_id, ring_timeout_s, say)
        except InvalidErrand as exc:
            raise NetworkRefused(str(exc)) from exc
        return await self._leave(call, errand)

    async def leave_to_gather(
        self,
        call: NetworkCall,
        *,
        prompt: str = "",
        most: int = 32,
        finish_on_key: str = "#",
        timeout_s: float = 5.0,
    ) -> Left:
        """Write down which keys are wanted and leave."""
        try:
            errand = GatherErrand(_new_id(), prompt, most, finish_on_key, timeout_s)
        except InvalidErrand as exc:
            raise NetworkRefused(str(exc)) from exc
        return await self._leave(call, errand)

    async def _leave(self, call: NetworkCall, errand: Errand) -> Left:
        text = serialize_errand(errand)
        try:
            await self._values.put(errand_key(call.call_id), text, ttl_s=ERRAND_LIFE_S)
        except BusUnavailable as exc:
            raise NetworkUnavailable("the errand could not be written down") from exc
        departure = Departure.BY_STOP
        if await self._is_fetched(call):
            departure = Departure.BY_NETWORK
        _log.info("left_stream", call_id=call.call_id, kind=kind_of(errand), departure=departure)
        return Left(errand.errand_id, departure, errand.longest_away_s)

    async def _is_fetched(self, call: NetworkCall) -> bool:
        """Have Vobiz fetch the errand; False when the stream has to be stopped for it instead.

        After an answer that was lost, Vobiz may do it all the same. Then both ways lead to the
        same errand, so that nothing is dialled twice.
        """
        if self._control is None or not call.webhook_base or not call.call_uuid:
            return False
        query = {} if call.call_id == call.call_uuid else {"c": str(call.call_id)}
        url = f"{call.webhook_base}/errand" + (f"?{urlencode(query)}" if query else "")
        try:
            done = await self._control.transfer(call.call_uuid, url=url)
        except VobizFailure as failure:
            _log.warning("rest_transfer_failed", call_id=call.call_id, verdict=failure.verdict)
            return False
        return done is CallAction.DONE

    async def came_back(self, call: NetworkCall, errand_id: str) -> None:
        """Take the errand off the bus, unless it is another one by now."""
        try:
            text = await self._values.get(errand_key(call.call_id))
            if text is not None and parse_errand(text).errand_id == errand_id:
                await self._values.delete(errand_key(call.call_id))
        except (BusUnavailable, InvalidErrand) as exc:
            _log.warning("errand_not_forgotten", call_id=call.call_id, error=str(exc))

    async def send_digits(self, call: NetworkCall, digits: str) -> None:
        """Press keys by REST, which alone can on Vobiz."""
        if not _PHONE_KEYS.fullmatch(digits):
            raise NetworkRefused("keys are 1 to 128 of 0-9 * # A-D, w and W")
        if self._control is None:
            raise NetworkRefused(
                "pressing keys needs a Vobiz account: set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN"
            )
        if not call.call_uuid:
            raise NetworkUnavailable("the network has not named the call yet")
        try:
            done = await self._control.send_digits(call.call_uuid, digits)
        except VobizFailure as failure:
            raise NetworkUnavailable(str(failure)) from failure
        if done is CallAction.CALL_OVER:
            raise NetworkRefused("the call is over")


def _new_id() -> str:
    return uuid.uuid4().hex


def transfer_caller_id(request: LinkRequest, configured: str | None) -> str:
    """Return the number that the far party of a transfer sees, one of the account's own.

    The agent's own setting, else the account's side of the call: the called number of an inbound
    call, the calling one of an outbound call. Empty (Vobiz decides) when that is no number.
    """
    is_inbound = request.direction is Direction.INBOUND
    own = configured or (request.to_number if is_inbound else request.from_number)
    return own if _NUMBER.fullmatch(own) else ""


# --- what the network tells -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeysCollected:
    """What was keyed for an errand; empty when nothing was. The caller comes back by a link."""

    errand_id: str
    digits: str


@dataclass(frozen=True, slots=True)
class FarPartyAnswered:
    """A transfer has worked: the call is no longer the agent's."""

    errand_id: str


@dataclass(frozen=True, slots=True)
class FarPartyMissed:
    """A transfer has failed; `status` is busy, no-answer, failed, timeout or cancel.

    The caller comes back by a link.
    """

    errand_id: str
    status: str


@dataclass(frozen=True, slots=True)
class WhoAnswered:
    """Who answered an outbound call, by the network's detection."""

    is_machine: bool


NetworkEvent = KeysCollected | FarPartyAnswered | FarPartyMissed | WhoAnswered


def network_event(event: BusEvent) -> NetworkEvent | None:
    """Read what the network tells of a call from an event of the channel `calls`, None for others.

    Events may come twice: an errand's are known by its id.
    """
    if event.channel is not Channel.CALLS or event.call_id is None:
        return None
    errand_id = event.data.get("errand", "")
    if event.kind == EVENT_GATHERED:
        return KeysCollected(errand_id, event.data.get("digits", ""))
    if event.kind == EVENT_TRANSFER_ANSWERED:
        return FarPartyAnswered(errand_id)
    if event.kind == EVENT_TRANSFER_FAILED:
        return FarPartyMissed(errand_id, event.data.get("status", "failed"))
    if event.kind == EVENT_MACHINE:
        return WhoAnswered(is_machine=event.data.get("is_machine") == "true")
    return None
