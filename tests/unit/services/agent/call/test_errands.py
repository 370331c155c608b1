"""One call's errands: leaving, what the network tells, coming back, and nobody coming back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from services.agent.call import errands as module
from services.agent.call.errands import Errands
from services.agent.providers.base import GatherDigits
from services.agent.turn import events as ev
from services.agent.wire.network import (
    Departure,
    FarPartyAnswered,
    FarPartyMissed,
    KeysCollected,
    Left,
    NetworkCall,
    NetworkError,
    NetworkRefused,
    NetworkUnavailable,
    WhoAnswered,
)
from shared.protocol.call import CallId, EndReason
from shared.runtime.tasks import TaskOwner

CALL = NetworkCall(CallId("call-1"), "uuid-1", "https://voice.example.com")
TO = "+918000000009"


@dataclass
class FakeNetwork:
    """Does as it is told; `gate` holds its answers back."""

    departure: Departure = Departure.BY_NETWORK
    longest_away_s: float = 60.0
    failure: NetworkError | None = None
    gate: asyncio.Event | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)
    came: list[str] = field(default_factory=list)

    async def _leave(self, *asked: object) -> Left:
        self.asked.append(asked)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return Left(f"errand-{len(self.asked)}", self.departure, self.longest_away_s)

    async def leave_to_transfer(
        self,
        call: NetworkCall,
        *,
        to: str,
        caller_id: str = "",
        ring_timeout_s: int = 30,
        say: str = "",
    ) -> Left:
        return await self._leave("transfer", call, to, caller_id)

    async def leave_to_gather(
        self,
        call: NetworkCall,
        *,
        prompt: str = "",
        most: int = 32,
        finish_on_key: str = "#",
        timeout_s: float = 5.0,
    ) -> Left:
        return await self._leave("gather", call, prompt, most, finish_on_key, timeout_s)

    async def came_back(self, call: NetworkCall, errand_id: str) -> None:
        self.came.append(errand_id)

    async def send_digits(self, call: NetworkCall, digits: str) -> None:
        self.asked.append(("digits", call, digits))
        if self.failure is not None:
            raise self.failure


class Stage:
    def __init__(self, owner: TaskOwner, network: FakeNetwork) -> None:
        self.network = network
        self.events: list[ev.Event] = []
        self.stops = 0
        self.over: list[tuple[str, str]] = []
        self.errands = Errands(
            network,
            owner,
            on_event=self.events.append,
            on_stop=self._on_stop,
            on_over=lambda kind, _began_s, outcome: self.over.append((kind, outcome)),
        )

    def _on_stop(self) -> None:
        self.stops += 1

    async def transfer(self) -> None:
        self.errands.transfer(CALL, TO, "+918000000002")
        await settle()

    async def gather(self) -> None:
        self.errands.gather(CALL, GatherDigits("Your number?", most=8, timeout_s=4.0))
        await settle()


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as owner:
        yield owner


async def settle(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)
    for _ in range(6):
        await asyncio.sleep(0)


# --- leaving --------------------------------------------------------------------------------------


async def test_a_transfer_goes_by_the_network(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    await stage.transfer()
    assert stage.network.asked == [("transfer", CALL, TO, "+918000000002")]
    assert stage.errands.is_away
    assert (stage.stops, stage.events) == (0, [])
    stage.errands.close()


async def test_keys_are_asked_for_as_the_dialogue_wants_them(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    await stage.gather()
    assert stage.network.asked == [("gather", CALL, "Your number?", 8, "#", 4.0)]
    stage.errands.close()


async def test_the_stream_is_stopped_where_the_network_wants_that(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork(Departure.BY_STOP))
    await stage.transfer()
    assert stage.stops == 1
    stage.errands.close()


async def test_the_caller_is_away_before_the_network_has_answered(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork(gate=asyncio.Event()))
    await stage.transfer()
    assert stage.errands.is_away


@pytest.mark.parametrize("failure", [NetworkRefused("no such number"), NetworkUnavailable("away")])
async def test_an_errand_that_is_not_begun_leaves_the_caller_here(
    owner: TaskOwner, failure: NetworkError
) -> None:
    stage = Stage(owner, FakeNetwork(failure=failure))
    await stage.transfer()
    assert stage.events == [ev.TransferFailed()]
    assert not stage.errands.is_away
    await stage.gather()
    assert stage.events[1:] == [ev.DigitsGathered("")]
    assert stage.stops == 0


# --- news and return ------------------------------------------------------------------------------


async def test_the_far_party_has_the_caller(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    await stage.transfer()
    stage.errands.on_network(FarPartyAnswered("errand-1"))
    assert stage.events == [ev.CallOver(EndReason.TRANSFERRED)]


async def test_the_news_come_before_the_caller(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    await stage.transfer()
    stage.errands.on_network(FarPartyMissed("errand-1", "busy"))
    assert stage.events == [ev.TransferFailed()]
    assert stage.errands.is_away, "nothing can be played yet"
    stage.errands.on_back()
    await settle()
    assert not stage.errands.is_away
    assert stage.network.came == ["errand-1"]
    assert len(stage.events) == 1


async def test_the_caller_comes_before_the_news(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    await stage.gather()
    stage.errands.on_back()
    assert not stage.errands.is_away
    assert stage.events == []
    stage.errands.on_network(KeysCollected("errand-1", "42"))
    stage.errands.on_network(KeysCollected("errand-1", "42"))
    assert stage.events == [ev.DigitsGathered("42")]


async def test_a_caller_who_is_back_is_not_kept_waiting_for_news(
    owner: TaskOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NEWS_S", 0.02)
    stage = Stage(owner, FakeNetwork())
    await stage.transfer()
    stage.errands.on_back()
    await settle(0.05)
    assert stage.events == [ev.TransferFailed()]
    stage.errands.on_network(FarPartyMissed("errand-1", "busy"))
    assert len(stage.events) == 1


async def test_nobody_comes_back(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork(longest_away_s=0.02))
    await stage.transfer()
    await settle(0.05)
    assert stage.events == [ev.CallOver(EndReason.TRANSFERRED)]
    assert not stage.errands.is_away
    await stage.gather()
    await settle(0.05)
    assert stage.events[1:] == [ev.CallOver(EndReason.CARRIER_LOST)]


async def test_what_is_told_of_another_errand_is_passed_over(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    stage.errands.on_network(FarPartyAnswered("errand-0"))
    await stage.transfer()
    for event in (
        FarPartyAnswered("errand-0"),
        FarPartyMissed("errand-0", "busy"),
        KeysCollected("errand-0", "1"),
    ):
        stage.errands.on_network(event)
    assert stage.events == []
    assert stage.errands.is_away
    stage.errands.close()


async def test_who_answered_is_always_told(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork(gate=asyncio.Event()))
    await stage.transfer()
    stage.errands.on_network(WhoAnswered(is_machine=True))
    assert stage.events == [ev.MachineJudged(is_machine=True)]


async def test_a_stream_that_begins_without_an_errand_means_nothing(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    stage.errands.on_back()
    await settle()
    assert (stage.events, stage.network.came) == ([], [])


async def test_a_second_errand_follows_the_first(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    await stage.transfer()
    stage.errands.on_network(FarPartyMissed("errand-1", "busy"))
    stage.errands.on_back()
    await stage.transfer()
    stage.errands.on_network(FarPartyMissed("errand-1", "busy"))
    assert stage.errands.is_away
    stage.errands.on_network(FarPartyAnswered("errand-2"))
    assert stage.events == [ev.TransferFailed(), ev.CallOver(EndReason.TRANSFERRED)]


# --- a network that answers late ------------------------------------------------------------------


async def test_news_that_overtake_the_networks_answer_are_kept(owner: TaskOwner) -> None:
    """Vobiz did as it was asked, and its answer to that came last: the call waited for nothing."""
    network = FakeNetwork(Departure.BY_STOP, gate=asyncio.Event())
    stage = Stage(owner, network)
    await stage.transfer()
    stage.errands.on_network(FarPartyMissed("errand-0", "busy"))
    stage.errands.on_network(FarPartyMissed("errand-1", "busy"))
    assert stage.events == []
    assert network.gate is not None
    network.gate.set()
    await settle()
    assert stage.events == [ev.TransferFailed()]
    assert stage.stops == 0, "it has left already"


async def test_a_caller_who_is_back_already_is_not_sent_away_again(owner: TaskOwner) -> None:
    network = FakeNetwork(Departure.BY_STOP, gate=asyncio.Event())
    stage = Stage(owner, network)
    await stage.gather()
    stage.errands.on_network(KeysCollected("errand-1", "7"))
    stage.errands.on_back()
    assert network.gate is not None
    network.gate.set()
    await settle()
    assert stage.events == [ev.DigitsGathered("7")]
    assert stage.stops == 0
    assert not stage.errands.is_away


# --- keys -----------------------------------------------------------------------------------------


async def test_keys_are_pressed(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork())
    stage.errands.send_digits(CALL, "12#")
    await settle()
    assert stage.network.asked == [("digits", CALL, "12#")]


async def test_keys_that_cannot_be_pressed_end_nothing(owner: TaskOwner) -> None:
    stage = Stage(owner, FakeNetwork(failure=NetworkRefused("no account")))
    stage.errands.send_digits(CALL, "1")
    await settle()
    assert stage.events == []
    assert not stage.errands.is_away


# --- what is told of them -------------------------------------------------------------------------


async def test_each_errand_is_told_of_once_with_how_it_went(
    owner: TaskOwner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NEWS_S", 0.02)
    answered, back, cut = (Stage(owner, FakeNetwork()) for _ in range(3))
    nobody, refused = (
        Stage(owner, FakeNetwork(longest_away_s=0.02)),
        Stage(owner, FakeNetwork(failure=NetworkUnavailable("no network"))),
    )
    for stage in (answered, back, cut, nobody, refused):
        await stage.transfer()
    answered.errands.on_network(FarPartyAnswered("errand-1"))
    back.errands.on_back()
    back.errands.on_network(FarPartyAnswered("errand-1"))
    await settle(0.05)
    for stage in (answered, back, cut, nobody, refused):
        stage.errands.close()
        stage.errands.close()
    stages = {
        "answered": answered,
        "back": back,
        "call_over": cut,
        "nobody_back": nobody,
        "not_begun": refused,
    }
    for outcome, stage in stages.items():
        assert stage.over == [("transfer", outcome)]
