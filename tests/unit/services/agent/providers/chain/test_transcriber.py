from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.agent.providers.base import (
    Expectation,
    Final,
    Partial,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.transcriber import FallbackStream, FallbackTranscriber
from services.agent.providers.errors import (
    FailureCause,
    ProviderFailed,
    ProviderRejected,
    ProviderUnavailable,
)
from tests.support.faulty_providers import (
    LIMITS,
    Fault,
    FaultyEar,
    FaultyEarStream,
    Meters,
    bug,
    cut,
    garbage,
    refused,
    stalled,
    status,
)
from tests.support.virtual_loop import in_virtual_time

FRAME = np.full(160, 1000, np.int16)
ERRORS = "voice_agent_provider_errors_total"
EXPECTED = Expectation(("yes",))


def chain(*ears: FaultyEar, meters: Meters | None = None) -> FallbackTranscriber:
    links = [Link(ear.name, ear) for ear in ears]
    return FallbackTranscriber(links, LIMITS, (meters or Meters()).breakers)


async def talk(stream: FallbackStream, seconds: float) -> None:
    for _ in range(round(seconds * 50)):
        stream.push(FRAME)
        await asyncio.sleep(0.02)


async def utter(stream: FallbackStream, seconds: float) -> None:
    """0.5 s of something before it, then speech."""
    await talk(stream, 0.5)
    stream.begin()
    await talk(stream, seconds)
    stream.end()


class Listener:
    """Reads a stream's events from its opening on."""

    def __init__(self, stream: FallbackStream) -> None:
        self.events: list[TranscriberEvent] = []
        self._task = asyncio.ensure_future(self._read(stream))

    async def _read(self, stream: FallbackStream) -> None:
        async for event in stream.events():
            self.events.append(event)

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Final)]

    @property
    def has_ended(self) -> bool:
        return self._task.done()


@in_virtual_time
async def test_a_recogniser_that_works_is_the_only_one_that_hears() -> None:
    first, second = FaultyEar("first"), FaultyEar("second")
    meters = Meters()
    stream = chain(first, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.2)
    assert listener.events == [Partial("first 10"), Final("first 10", True, 0.9)]
    assert second.streams == []
    assert stream.usage == {"first": pytest.approx(1.5)}
    await stream.aclose()
    assert listener.has_ended
    assert first.streams[0].is_closed
    usage = meters.of("voice_agent_provider_usage_total")
    assert usage == {("stt", "first", "audio_seconds"): pytest.approx(1.5)}
    sums = meters.of("voice_agent_provider_seconds_sum")
    assert sums[("stt", "first", "total")] == pytest.approx(0.1)


@pytest.mark.parametrize("after", [0, 1], ids=["at the beginning", "at the end"])
@pytest.mark.parametrize(
    "fault", [refused(), status(401), status(500), garbage(), cut(), bug()], ids=lambda f: f.cause
)
@in_virtual_time
async def test_a_dead_stream_is_replaced_and_the_next_one_hears_it_all(
    fault: Fault, after: int
) -> None:
    meters = Meters()
    fault = Fault(fault.cause, after, fault.error)
    first, second = FaultyEar("first", *[fault] * 3), FaultyEar("second")
    stream = chain(first, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.5)
    assert listener.texts == ["second 10"]
    assert not any(isinstance(event, TranscriberFailed) for event in listener.events)
    heard = np.concatenate(second.streams[0].heard)
    assert len(heard) == 1.4 * 8000  # the pre-roll and the speech
    assert second.streams[0].expectation == EXPECTED
    assert all(stream.is_closed for stream in first.streams)
    assert meters.of("voice_agent_provider_fallbacks_total") == {("stt", "first"): 1}
    assert sum(meters.of(ERRORS).values()) == len(first.streams)
    await stream.aclose()


@in_virtual_time
async def test_a_stream_that_is_cut_is_opened_again_first() -> None:
    meters = Meters()
    first, second = FaultyEar("first", cut()), FaultyEar("second")
    stream = chain(first, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.5)
    assert listener.texts == ["first 10"]
    assert second.streams == []
    assert meters.of("voice_agent_provider_retries_total") == {("stt", "first"): 1}
    await stream.aclose()


@in_virtual_time
async def test_a_text_that_does_not_come_in_time_is_asked_of_the_next() -> None:
    meters = Meters()
    first, second = FaultyEar("first", stalled(1)), FaultyEar("second")
    stream = chain(first, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(LIMITS.stt_final_s - 0.01)
    assert listener.texts == []
    await asyncio.sleep(0.2)
    assert listener.texts == ["second 10"]
    assert meters.of(ERRORS) == {("timeout", "stt", "first"): 1}
    # What the first one says now is too late.
    first.streams[0].is_closed = False
    first.streams[0].emit(Final("late", True, 1.0))
    await asyncio.sleep(0.1)
    assert listener.texts == ["second 10"]
    await stream.aclose()


@in_virtual_time
async def test_speech_goes_on_while_the_recogniser_is_changed() -> None:
    first, second = FaultyEar("first", status(401)), FaultyEar("second")
    stream = chain(first, second).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 2.0)
    await utter(stream, 3.0)
    await asyncio.sleep(0.5)
    assert listener.texts == ["second 20", "second 30"]
    assert second.streams[0].marks == ["begin", "end", "begin", "end"]
    usage = stream.usage
    assert usage["first"] == pytest.approx(0.5, abs=0.05)
    assert usage["second"] == pytest.approx(5.9, abs=0.05)
    await stream.aclose()


@in_virtual_time
async def test_utterances_that_wait_are_answered_once_each_in_order() -> None:
    first, second = FaultyEar("first", stalled(1), stalled(1)), FaultyEar("second")
    stream = chain(first, second).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 0.4)
    await utter(stream, 0.6)
    await asyncio.sleep(5)
    assert listener.texts == ["second 4", "second 6"]
    await stream.aclose()


@in_virtual_time
async def test_when_all_have_failed_each_end_has_its_failure_and_the_stream_is_dead() -> None:
    first, second = (
        FaultyEar("first", stalled(1), stalled(1)),
        FaultyEar("second", *[garbage(1)] * 4),
    )
    stream = chain(first, second).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 0.4)
    await utter(stream, 0.6)
    await asyncio.sleep(10)
    assert [event.is_recoverable for event in listener.events] == [True, False]  # type: ignore[union-attr] # failures alone
    assert listener.has_ended
    stream.push(FRAME)
    stream.begin()
    stream.end()
    stream.expect(EXPECTED)
    await stream.aclose()
    assert all(one.is_closed for one in (*first.streams, *second.streams))


@in_virtual_time
async def test_the_last_one_there_is_gets_more_time() -> None:
    only = FaultyEar("only", stalled(1))
    stream = chain(only).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(3 * LIMITS.stt_final_s)
    assert not listener.has_ended
    only.streams[0].emit(Final("at last", True, 0.5))
    await asyncio.sleep(0.1)
    assert listener.texts == ["at last"]
    await stream.aclose()


@in_virtual_time
async def test_an_utterance_given_up_is_passed_on_where_nobody_else_could_hear_it() -> None:
    meters = Meters()
    only = FaultyEar("only", stalled(1))
    stream = chain(only, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    only.streams[0].emit(TranscriberFailed("lost", is_recoverable=True))
    await utter(stream, 2.0)
    await asyncio.sleep(0.2)
    assert isinstance(listener.events[0], TranscriberFailed)
    assert listener.texts == ["only 20"]
    assert meters.of(ERRORS) == {("broken", "stt", "only"): 1}
    assert len(only.streams) == 1
    await stream.aclose()


@in_virtual_time
async def test_an_utterance_given_up_is_heard_by_another_where_there_is_one() -> None:
    first, second = FaultyEar("first", stalled(1)), FaultyEar("second")
    stream = chain(first, second).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    first.streams[0].emit(TranscriberFailed("lost", is_recoverable=True))
    await asyncio.sleep(0.2)
    assert listener.texts == ["second 10"]
    await stream.aclose()


@in_virtual_time
async def test_one_that_cannot_be_opened_is_passed_by() -> None:
    meters = Meters()
    first, second = FaultyEar("first", can_open=False), FaultyEar("second")
    stream = chain(first, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.2)
    assert listener.texts == ["second 10"]
    assert meters.of("voice_agent_provider_breaker_open") == {("stt", "first"): 1}
    await stream.aclose()


@in_virtual_time
async def test_when_none_can_be_opened_it_says_so() -> None:
    transcriber = chain(FaultyEar("first", can_open=False), FaultyEar("second", can_open=False))
    with pytest.raises(ProviderUnavailable) as caught:
        transcriber.open(EXPECTED)
    assert caught.value.cause is FailureCause.MISSING


@in_virtual_time
async def test_new_calls_go_back_to_the_first_after_a_while() -> None:
    first, second = FaultyEar("first", status(401)), FaultyEar("second")
    transcriber = chain(first, second)
    broken = transcriber.open(EXPECTED)
    await utter(broken, 1.0)
    during = transcriber.open(EXPECTED)
    assert len(second.streams) == 2
    await asyncio.sleep(LIMITS.breaker_refused_s)
    trial, beside = transcriber.open(EXPECTED), transcriber.open(EXPECTED)
    assert (len(first.streams), len(second.streams)) == (2, 3)
    await utter(trial, 1.0)
    await asyncio.sleep(0.2)
    after = transcriber.open(EXPECTED)
    assert len(first.streams) == 3
    for stream in (broken, during, trial, beside, after):
        await stream.aclose()


@in_virtual_time
async def test_a_trial_without_a_word_lets_another_call_try() -> None:
    first, second = FaultyEar("first", status(401)), FaultyEar("second")
    transcriber = chain(first, second)
    broken = transcriber.open(EXPECTED)
    await utter(broken, 1.0)
    await asyncio.sleep(LIMITS.breaker_refused_s)
    await transcriber.open(EXPECTED).aclose()
    again = transcriber.open(EXPECTED)
    assert len(first.streams) == 3
    await again.aclose()
    await broken.aclose()


@in_virtual_time
async def test_a_second_text_for_one_end_is_left_out() -> None:
    ear = FaultyEar("only")
    stream = chain(ear).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.2)
    ear.streams[0].emit(Final("again", True, 1.0))
    await asyncio.sleep(0.1)
    assert listener.texts == ["only 10"]
    await stream.aclose()


@in_virtual_time
async def test_what_is_expected_is_told_to_whoever_hears() -> None:
    first, second = FaultyEar("first", status(401)), FaultyEar("second")
    stream = chain(first, second).open(EXPECTED)
    stream.expect(Expectation(("no",)))
    assert first.streams[0].expectation.phrases == ("no",)
    await utter(stream, 0.5)
    assert second.streams[0].expectation.phrases == ("no",)
    stream.expect(Expectation(("maybe",)))
    assert second.streams[0].expectation.phrases == ("maybe",)
    await stream.aclose()


class BrokenEvents(FaultyEar):
    """Its events raise, as no stream may."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__("broken")
        self.error = error
        self.closing = asyncio.Event()

    def open(self, expect: Expectation) -> FaultyEarStream:
        ear = self

        class Stream(FaultyEarStream):
            async def events(self) -> AsyncIterator[TranscriberEvent]:
                async for event in super().events():
                    yield event
                    break
                if ear.error is not None:
                    raise ear.error

            async def aclose(self) -> None:
                await super().aclose()
                await ear.closing.wait()

        stream = Stream(self, expect)
        self.streams.append(stream)
        return stream


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (KeyError("words"), "broken"),
        (ProviderFailed("x", "not JSON", FailureCause.GARBAGE), "garbage"),
        (ProviderRejected("x", "no such language", FailureCause.REJECTED), "rejected"),
        (None, "cut"),
    ],
)
@in_virtual_time
async def test_a_stream_that_breaks_its_promises_is_left_like_a_dead_one(
    error: Exception | None, cause: str
) -> None:
    meters = Meters()
    broken, second = BrokenEvents(error), FaultyEar("second")
    stream = chain(broken, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await utter(stream, 1.0)
    await asyncio.sleep(0.5)
    assert listener.texts[-1] == "second 10"
    assert len(listener.texts) == 2
    assert set(meters.of(ERRORS)) == {(cause, "stt", "broken")}
    broken.closing.set()
    await stream.aclose()


@in_virtual_time
async def test_a_close_that_hangs_holds_up_neither_the_next_one_nor_the_end_of_the_call() -> None:
    broken, second = BrokenEvents(KeyError()), FaultyEar("second")
    stream = chain(broken, second).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.3)
    assert listener.texts == ["broken 10"] or listener.texts == ["second 10"]
    began_s = asyncio.get_running_loop().time()
    await stream.aclose()
    assert asyncio.get_running_loop().time() - began_s <= 2.0


@in_virtual_time
async def test_a_refusal_told_by_the_stream_opens_the_breaker_at_once() -> None:
    meters = Meters()
    first = FaultyEar("first", status(401))
    stream = chain(first, FaultyEar("second"), meters=meters).open(EXPECTED)
    await utter(stream, 0.2)
    assert meters.of("voice_agent_provider_breaker_open") == {("stt", "first"): 1}
    assert meters.of(ERRORS) == {("unauthorized", "stt", "first"): 1}
    await stream.aclose()


@in_virtual_time
async def test_a_timeout_told_by_the_stream_is_counted_as_one() -> None:
    meters = Meters()
    first = FaultyEar("first", stalled(1))
    stream = chain(first, FaultyEar("second"), meters=meters).open(EXPECTED)
    await utter(stream, 0.2)
    first.streams[0].emit(TranscriberFailed("late", True, FailureCause.TIMEOUT))
    await asyncio.sleep(0.3)
    assert meters.of(ERRORS) == {("timeout", "stt", "first"): 1}
    await stream.aclose()


@in_virtual_time
async def test_a_stream_that_dies_now_and_then_is_opened_again_each_time() -> None:
    first, second = FaultyEar("first"), FaultyEar("second")
    stream = chain(first, second).open(EXPECTED)
    for _ in range(4):
        await asyncio.sleep(LIMITS.breaker_window_s)
        first.streams[-1].emit(None)
        await asyncio.sleep(0.1)
    assert (len(first.streams), second.streams) == (5, [])
    first.streams[-1].emit(None)  # too soon after the one before
    await asyncio.sleep(0.1)
    assert (len(first.streams), len(second.streams)) == (5, 1)
    await stream.aclose()


@in_virtual_time
async def test_a_stream_that_never_came_about_is_not_opened_again() -> None:
    meters = Meters()
    first, second = FaultyEar("first", *[refused()] * 3), FaultyEar("second")
    stream = chain(first, second, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    await asyncio.sleep(0.5)
    assert listener.texts == ["second 10"]
    assert len(first.streams) == 1
    await stream.aclose()


@in_virtual_time
async def test_what_a_stream_mends_by_itself_is_counted() -> None:
    meters = Meters()
    first = FaultyEar("first")
    stream = chain(first, meters=meters).open(EXPECTED)
    listener = Listener(stream)
    await utter(stream, 1.0)
    first.streams[0].losses = Counter({FailureCause.CUT: 2, FailureCause.GARBAGE: 1})  # type: ignore[attr-defined] # as vendors' streams have it
    await asyncio.sleep(0.5)
    await stream.aclose()
    assert listener.texts == ["first 10"]
    assert meters.of(ERRORS) == {("cut", "stt", "first"): 2, ("garbage", "stt", "first"): 1}
    assert meters.of("voice_agent_provider_retries_total") == {("stt", "first"): 3}
