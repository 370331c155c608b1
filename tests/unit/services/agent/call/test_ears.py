"""One call's transcription: read, reopened, switched, scored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.agent.call.ears import Ears
from services.agent.providers import base
from services.agent.providers.errors import ProviderFailed, ProviderUnavailable
from services.agent.turn import events as ev
from shared.runtime.tasks import TaskOwner
from tests.support.providers import FakeTranscriber

FRAME = np.zeros(160, np.int16)
DEAD = base.TranscriberFailed("gone", is_recoverable=False)


class FixedEndOfTurn:
    def __init__(self, answer: float | Exception) -> None:
        self.answer = answer
        self.samples: list[int] = []

    async def probability(self, pcm: base.Pcm) -> float:
        self.samples.append(len(pcm))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Scene:
    def __init__(
        self,
        owner: TaskOwner,
        transcriber: FakeTranscriber,
        end_of_turn: base.EndOfTurn | None = None,
    ) -> None:
        self.transcriber = transcriber
        self.events: list[ev.Event] = []
        self.failures = 0
        self.refusals = 0
        self.ears = Ears(
            transcriber.open(base.Expectation()),
            self._reopen,
            owner,
            on_event=self.events.append,
            on_failed=self._on_failed,
            end_of_turn=end_of_turn,
        )
        self.ears.start()

    def _reopen(self, expect: base.Expectation) -> base.TranscriberStream:
        if self.refusals:
            self.refusals -= 1
            raise ProviderUnavailable("fake", "not now")
        return self.transcriber.open(expect)

    def _on_failed(self) -> None:
        self.failures += 1

    async def until_streams(self, count: int) -> None:
        await until_streams(self.transcriber, count)


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as owner:
        yield owner


async def until_streams(transcriber: FakeTranscriber, count: int) -> None:
    for _ in range(300):
        if len(transcriber.streams) >= count:
            break
        await asyncio.sleep(0.01)
    assert len(transcriber.streams) == count
    await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_words_and_guesses_arrive(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeTranscriber(["hello there"]))
    scene.ears.begin()
    scene.transcriber.streams[0].emit(base.Partial("hello"))
    scene.ears.end()
    await settle()
    assert scene.events == [
        ev.TranscriptGrew(base.Partial("hello")),
        ev.Transcribed(base.Final("hello there", is_understood=True, confidence=0.9)),
    ]


async def test_dead_recogniser_is_replaced_and_hears_the_utterance_in_hand(
    owner: TaskOwner,
) -> None:
    scene = Scene(owner, FakeTranscriber(["after all"]))
    scene.ears.expect(base.Expectation(("yes",)))
    scene.ears.begin()
    scene.transcriber.streams[0].emit(DEAD)
    await scene.until_streams(2)
    await settle()
    assert scene.failures == 1
    assert scene.transcriber.streams[0].is_closed
    second = scene.transcriber.streams[1]
    assert second.expectation == base.Expectation(("yes",))
    scene.ears.end()
    await settle()
    assert scene.events[-1] == ev.Transcribed(base.Final("after all", True, 0.9))


async def test_recogniser_that_cannot_be_opened_is_tried_again(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeTranscriber())
    scene.refusals = 1
    scene.transcriber.streams[0].emit(DEAD)
    await scene.until_streams(2)
    assert scene.failures == 2


async def test_nobody_listens_once_it_is_closed(owner: TaskOwner) -> None:
    """Another recogniser was opened when the call let go of its own, and nobody closed that."""
    scene = Scene(owner, FakeTranscriber())
    await settle()
    await scene.ears.aclose()
    await settle()
    await asyncio.sleep(0.01)
    assert [stream.is_closed for stream in scene.transcriber.streams] == [True]


async def test_recogniser_that_died_is_not_replaced_after_the_end(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeTranscriber())
    scene.transcriber.streams[0].emit(DEAD)
    for _ in range(3):
        await asyncio.sleep(0)
    await scene.ears.aclose()
    await asyncio.sleep(0.25)
    assert len(scene.transcriber.streams) == 1


async def test_language_is_switched_without_a_failure(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeTranscriber())
    other = FakeTranscriber(["namaste"])
    scene.ears.switch(other.open)
    await until_streams(other, 1)
    scene.ears.begin()
    scene.ears.end()
    await settle()
    assert scene.failures == 0
    assert scene.events == [ev.Transcribed(base.Final("namaste", True, 0.9))]


async def test_turn_is_judged_by_its_sound(owner: TaskOwner) -> None:
    model = FixedEndOfTurn(0.7)
    scene = Scene(owner, FakeTranscriber(), model)
    for _ in range(500):
        scene.ears.push(FRAME)
    scene.ears.score_turn(4)
    await settle()
    assert scene.events == [ev.TurnScored(4, 0.7)]
    assert model.samples == [8 * 8000]


async def test_broken_judge_of_turns_is_passed_over(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeTranscriber(), FixedEndOfTurn(ProviderFailed("fake", "broke")))
    scene.ears.push(FRAME)
    scene.ears.score_turn(1)
    await settle()
    assert scene.events == []


async def test_a_chain_that_is_dead_is_told_until_a_word_comes(owner: TaskOwner) -> None:
    # Without it a caller whom nobody could hear was asked to repeat for ever.
    scene = Scene(owner, FakeTranscriber())
    scene.transcriber.streams[0].emit(DEAD)
    await scene.until_streams(2)
    assert ev.HearingFailed() not in scene.events
    scene.transcriber.streams[1].emit(DEAD)
    await scene.until_streams(3)
    assert scene.events.count(ev.HearingFailed()) == 1
    scene.transcriber.streams[2].emit(base.Partial("hello"))
    scene.transcriber.streams[2].emit(DEAD)
    await scene.until_streams(4)
    assert scene.events.count(ev.HearingFailed()) == 1


async def test_after_the_end_of_a_call_no_recogniser_is_opened(owner: TaskOwner) -> None:
    # Each call opened a second one as it ended, with a socket that nobody closed.
    scene = Scene(owner, FakeTranscriber())
    await settle()
    await scene.ears.aclose()
    await asyncio.sleep(0.05)
    assert len(scene.transcriber.streams) == 1
