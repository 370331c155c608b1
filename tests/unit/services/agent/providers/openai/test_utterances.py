"""Utterances in order, each with one event."""

from __future__ import annotations

from services.agent.providers.base import Partial, TranscriberEvent, TranscriberFailed
from services.agent.providers.openai.utterances import NOTHING, Utterances, final_of
from services.agent.providers.transcript_events import TranscriptEvents


async def told(events: TranscriptEvents) -> list[TranscriberEvent]:
    events.put(TranscriberFailed("end of the test", is_recoverable=False))
    return [event async for event in events][:-1]


async def test_events_go_out_in_the_order_of_the_utterances() -> None:
    events = TranscriptEvents()
    utterances = Utterances(events)
    first = utterances.begin(8000)
    assert first is not None
    assert utterances.begin(8100) is None
    assert first.begin == 8000 - 3200
    utterances.end(9000)
    second = utterances.begin(9100)
    assert second is not None
    assert second.begin == 9000  # not what belongs to the first
    utterances.end(9900)
    utterances.settle(second, final_of("two"))
    utterances.grow(second, "not told")
    utterances.grow(first, "on")
    utterances.settle(first, final_of(" one "))
    utterances.settle(first, final_of("too late"))
    assert await told(events) == [Partial("on"), final_of("one"), final_of("two")]


async def test_what_is_settled_before_its_end_waits_for_it() -> None:
    events = TranscriptEvents()
    utterances = Utterances(events)
    utterance = utterances.begin(100)
    assert utterance is not None
    assert utterance.begin == 0
    utterances.settle(utterance, TranscriberFailed("lost", is_recoverable=True))
    assert utterances.active is utterance
    utterances.end(500)
    assert utterances.in_hand() == ()
    assert await told(events) == [TranscriberFailed("lost", is_recoverable=True)]


async def test_an_end_without_a_beginning_is_nothing() -> None:
    events = TranscriptEvents()
    utterances = Utterances(events)
    utterances.end(500)
    assert utterances.in_hand() == ()
    assert final_of("  ") == NOTHING
    utterances.begin(900)
    utterances.clear()
    assert utterances.active is None
    assert await told(events) == [NOTHING]
