"""services.agent.wire.network, with a REST API that does as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from services.agent.wire.network import (
    Departure,
    FarPartyAnswered,
    FarPartyMissed,
    KeysCollected,
    NetworkCall,
    NetworkEvent,
    NetworkRefused,
    NetworkUnavailable,
    VobizNetwork,
    WhoAnswered,
    network_event,
    transfer_caller_id,
)
from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryBus
from shared.bus.messages import BusEvent, Channel
from shared.protocol.call import CallId, Direction
from shared.protocol.errand import GatherErrand, TransferErrand, errand_key, parse_errand
from shared.protocol.worker import LinkRequest
from shared.vobiz.client import CallAction
from shared.vobiz.errors import Verdict, VobizFailure

BASE = "https://voice.example.com/0123456789abcdef"
INBOUND = NetworkCall(CallId("uuid-1"), "uuid-1", BASE)
OUTBOUND = NetworkCall(CallId("our id"), "uuid-2", BASE)


@dataclass
class FakeVobiz:
    """CallSteering that keeps what it is asked and answers with `answer`."""

    answer: CallAction | VobizFailure = CallAction.DONE
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def _answer(self, *asked: str) -> CallAction:
        self.asked.append(asked)
        if isinstance(self.answer, VobizFailure):
            raise self.answer
        return self.answer

    async def transfer(self, call_uuid: str, *, url: str, method: str = "POST") -> CallAction:
        return self._answer(call_uuid, url, method)

    async def send_digits(self, call_uuid: str, digits: str) -> CallAction:
        return self._answer(call_uuid, digits)


class LostValues:
    """KeyValue of a bus that is away."""

    async def get(self, key: str) -> str | None:
        raise BusUnavailable

    async def put(
        self, key: str, value: str, *, ttl_s: float, only_if_absent: bool = False
    ) -> bool:
        raise BusUnavailable

    async def delete(self, key: str) -> None:
        raise BusUnavailable

    async def increment(self, key: str, *, ttl_s: float, above: int = 0) -> int:
        raise BusUnavailable


async def test_a_transfer_is_written_down_before_vobiz_is_asked_to_fetch_it() -> None:
    bus, vobiz = MemoryBus(), FakeVobiz()
    left = await VobizNetwork(bus.values, vobiz).leave_to_transfer(
        INBOUND, to="+918000000009", caller_id="+918000000002", ring_timeout_s=20, say="Bye."
    )
    stored = parse_errand(await bus.values.get(errand_key(INBOUND.call_id)) or "")
    assert stored == TransferErrand(left.errand_id, "+918000000009", "+918000000002", 20, "Bye.")
    assert vobiz.asked == [("uuid-1", f"{BASE}/errand", "POST")]
    assert (left.departure, left.longest_away_s) == (Departure.BY_NETWORK, stored.longest_away_s)


async def test_an_outbound_calls_errand_is_found_by_our_id() -> None:
    bus, vobiz = MemoryBus(), FakeVobiz()
    left = await VobizNetwork(bus.values, vobiz).leave_to_gather(OUTBOUND, prompt="?", most=4)
    stored = parse_errand(await bus.values.get("errand:our id") or "")
    assert stored == GatherErrand(left.errand_id, "?", 4)
    assert vobiz.asked == [("uuid-2", f"{BASE}/errand?c=our+id", "POST")]


@pytest.mark.parametrize(
    "answer",
    [
        CallAction.CALL_OVER,
        VobizFailure(Verdict.UNREACHABLE),
        VobizFailure(Verdict.OUTCOME_UNKNOWN),
        VobizFailure(Verdict.INVALID),
    ],
)
async def test_what_vobiz_does_not_fetch_is_left_for_by_stop(
    answer: CallAction | VobizFailure,
) -> None:
    network = VobizNetwork(MemoryBus().values, FakeVobiz(answer))
    assert (await network.leave_to_gather(INBOUND)).departure is Departure.BY_STOP


@pytest.mark.parametrize(
    "call", [NetworkCall(CallId("c"), "c"), NetworkCall(CallId("c"), "", BASE)]
)
async def test_without_an_address_or_an_id_nothing_is_fetched(call: NetworkCall) -> None:
    vobiz = FakeVobiz()
    left = await VobizNetwork(MemoryBus().values, vobiz).leave_to_gather(call)
    assert (left.departure, vobiz.asked) == (Departure.BY_STOP, [])


async def test_without_an_account_the_stream_is_stopped() -> None:
    left = await VobizNetwork(MemoryBus().values, None).leave_to_transfer(INBOUND, to="100")
    assert left.departure is Departure.BY_STOP


async def test_nobody_leaves_for_what_cannot_be_written_down_or_done() -> None:
    vobiz = FakeVobiz()
    with pytest.raises(NetworkUnavailable):
        await VobizNetwork(LostValues(), vobiz).leave_to_transfer(INBOUND, to="100")
    network = VobizNetwork(MemoryBus().values, vobiz)
    with pytest.raises(NetworkRefused, match="digits"):
        await network.leave_to_transfer(INBOUND, to="the desk")
    with pytest.raises(NetworkRefused, match="keys"):
        await network.leave_to_gather(INBOUND, most=99)
    assert vobiz.asked == []


async def test_who_is_back_is_not_sent_away_again() -> None:
    bus = MemoryBus()
    network = VobizNetwork(bus.values, None)
    first = await network.leave_to_gather(INBOUND)
    second = await network.leave_to_gather(INBOUND)
    await network.came_back(INBOUND, first.errand_id)
    assert await bus.values.get(errand_key(INBOUND.call_id)) is not None
    await network.came_back(INBOUND, second.errand_id)
    assert await bus.values.get(errand_key(INBOUND.call_id)) is None
    await network.came_back(INBOUND, second.errand_id)
    await VobizNetwork(LostValues(), None).came_back(INBOUND, "e")


async def test_keys_are_pressed_once() -> None:
    vobiz = FakeVobiz()
    await VobizNetwork(MemoryBus().values, vobiz).send_digits(OUTBOUND, "1w2#")
    assert vobiz.asked == [("uuid-2", "1w2#")]


@pytest.mark.parametrize(
    ("vobiz", "call", "digits", "error", "text"),
    [
        (None, INBOUND, "1", NetworkRefused, "VOBIZ_AUTH_ID"),
        (FakeVobiz(), INBOUND, "", NetworkRefused, "keys are"),
        (FakeVobiz(), INBOUND, "x", NetworkRefused, "keys are"),
        (FakeVobiz(), NetworkCall(CallId("c"), ""), "1", NetworkUnavailable, "not named"),
        (FakeVobiz(CallAction.CALL_OVER), INBOUND, "1", NetworkRefused, "over"),
        (FakeVobiz(VobizFailure(Verdict.RATE_LIMITED)), INBOUND, "1", NetworkUnavailable, "limit"),
    ],
)
async def test_keys_that_are_not_pressed_say_why(
    vobiz: FakeVobiz | None,
    call: NetworkCall,
    digits: str,
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        await VobizNetwork(MemoryBus().values, vobiz).send_digits(call, digits)


def test_a_links_call_is_known_by_the_gateway_or_by_its_stream() -> None:
    told = LinkRequest(CallId("our id"), call_uuid="uuid-2", webhook_base=BASE)
    assert NetworkCall.of(told, "another") == OUTBOUND
    untold = LinkRequest(CallId("our id"))
    assert NetworkCall.of(untold, "uuid-2") == NetworkCall(CallId("our id"), "uuid-2", "")
    assert NetworkCall.of(untold).call_uuid == ""
    assert "0123456789abcdef" not in repr(OUTBOUND)


@pytest.mark.parametrize(
    ("direction", "configured", "shown"),
    [
        (Direction.INBOUND, None, "+918000000002"),
        (Direction.OUTBOUND, None, "+918000000001"),
        (Direction.INBOUND, "+918000000007", "+918000000007"),
    ],
)
def test_the_far_party_sees_a_number_of_the_accounts_own(
    direction: Direction, configured: str | None, shown: str
) -> None:
    request = LinkRequest(
        CallId("c"),
        from_number="+918000000001",
        to_number="+918000000002",
        direction=direction,
    )
    assert transfer_caller_id(request, configured) == shown


def test_what_is_no_number_is_not_shown() -> None:
    request = LinkRequest(CallId("c"), to_number="sip:agent@example.com")
    assert transfer_caller_id(request, None) == ""


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("gathered", {"errand": "e", "digits": "42"}, KeysCollected("e", "42")),
        ("gathered", {}, KeysCollected("", "")),
        ("transfer_answered", {"errand": "e"}, FarPartyAnswered("e")),
        ("transfer_failed", {"errand": "e", "status": "busy"}, FarPartyMissed("e", "busy")),
        ("machine", {"is_machine": "true"}, WhoAnswered(is_machine=True)),
        ("machine", {"is_machine": "false"}, WhoAnswered(is_machine=False)),
        ("state", {"state": "ringing"}, None),
    ],
)
def test_events_of_the_bus_are_read(
    kind: str, data: dict[str, str], told: NetworkEvent | None
) -> None:
    assert network_event(BusEvent(Channel.CALLS, kind, CallId("c"), data)) == told


def test_other_channels_tell_nothing() -> None:
    assert network_event(BusEvent(Channel.WORKERS, "gathered", CallId("c"))) is None
    assert network_event(BusEvent(Channel.CALLS, "gathered")) is None
