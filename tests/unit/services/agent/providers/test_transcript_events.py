"""Events on their way to the session."""

from __future__ import annotations

from services.agent.providers.base import Final, Partial, TranscriberFailed
from services.agent.providers.transcript_events import TranscriptEvents

FINAL = Final("yes", is_understood=True, confidence=0.9)


async def test_events_come_in_order_until_it_is_closed() -> None:
    events = TranscriptEvents()
    events.put(Partial("ye"))
    events.put(FINAL)
    iterator = aiter(events)
    assert [await anext(iterator), await anext(iterator)] == [Partial("ye"), FINAL]
    events.put(Partial("dropped"))
    events.close()
    events.close()
    events.put(FINAL)
    assert [event async for event in iterator] == []
    assert [event async for event in events] == []


async def test_a_failure_for_good_is_the_last_event() -> None:
    events = TranscriptEvents()
    failed = TranscriberFailed("gone", is_recoverable=False)
    events.put(TranscriberFailed("lost", is_recoverable=True))
    events.put(failed)
    events.put(FINAL)
    assert [event async for event in events][1:] == [failed]


async def test_when_nobody_reads_the_oldest_is_dropped_and_the_end_still_comes() -> None:
    events = TranscriptEvents()
    for number in range(100):
        events.put(Partial(str(number)))
    assert events.dropped == 36
    failed = TranscriberFailed("gone", is_recoverable=False)
    events.put(failed)
    read = [event async for event in events]
    assert read[-1] == failed
    assert read[-2] == Partial("99")
