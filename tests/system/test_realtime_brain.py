"""Speech to speech against a server that speaks OpenAI's Realtime protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest

from services.agent.providers.base import (
    CallFacts,
    Confirmation,
    Digit,
    Digits,
    EndCall,
    Final,
    Heard,
    Message,
    Partial,
    Pcm,
    Piece,
    Silence,
    Spoken,
    ToolCall,
    ToolSpec,
    ToolUsed,
    TranscriberEvent,
    TranscriberFailed,
    Usage,
    Words,
)
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.agent.providers.openai.entries import REALTIME, open_realtime
from services.agent.providers.openai.realtime import OpenAIRealtimeBrain
from services.agent.providers.openai.realtime_conversation import RealtimeConversation
from services.agent.providers.openai.realtime_ear import RealtimeEar
from services.agent.providers.openai.realtime_options import (
    OpenAIRealtimeOptions,
)
from services.agent.providers.persona import Persona
from shared.protocol.call import CallId, Direction
from tests.support.callers import say
from tests.support.livekit_servers import KEY, Keys
from tests.support.standins.realtime import RealtimeStandIn, Said

pytestmark = pytest.mark.system

FACTS = CallFacts(
    CallId("call-1"), "default", Direction.INBOUND, "+918000000001", "+918000000002", {}, "en-IN"
)
CONFIRMED = ReplyConfirmation(is_given=True)
QUIET: Pcm = np.zeros(160, np.int16)
LOOK = ToolSpec("look", "Looks.", {"type": "object", "properties": {}})
TEXTS = ("is it free", "take my number")
NOTHING = Words("", is_understood=True)


class Tools:
    """Gives each call the next result; `blocks` until it is cancelled."""

    def __init__(self, *results: tuple[str, Sequence[Piece]], blocks: bool = False) -> None:
        self.results = list(results)
        self.calls: list[ToolCall] = []
        self.blocks = blocks
        self.has_begun = asyncio.Event()

    async def __call__(
        self, call: ToolCall, confirmation: Confirmation
    ) -> tuple[str, Sequence[Piece]]:
        await confirmation.wait()
        self.calls.append(call)
        self.has_begun.set()
        if self.blocks:
            await asyncio.Event().wait()
        return self.results.pop(0)


@dataclass
class Talk:
    """One call's conversation and ear."""

    server: RealtimeStandIn
    conversation: RealtimeConversation
    ear: RealtimeEar
    history: tuple[Message, ...] = ()

    async def utter(self, text: str) -> None:
        """Say a text as our detection would cut it, a little late both times."""
        speech = say(text, lead_s=0.2, tail_s=0.5)
        for start in range(0, len(speech) - 160, 160):
            self.ear.push(speech[start : start + 160])
            if start == 3200:
                self.ear.begin()
            if start % 16000 == 0:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        self.ear.end()

    async def final(self) -> Final | TranscriberFailed:
        async with asyncio.timeout(5):
            async for event in self.ear.events():
                if isinstance(event, Final | TranscriberFailed):
                    return event
        raise AssertionError("the events ended")

    def answer(
        self, heard: Heard = NOTHING, confirmation: Confirmation = CONFIRMED
    ) -> AsyncIterator[Piece]:
        if isinstance(heard, Words):
            self.history = (*self.history, Message("caller", heard.text))
        return self.conversation.reply(heard, self.history, confirmation)

    def spoke(self, text: str, heard_s: float, *, is_interrupted: bool = False) -> None:
        message = Message("agent", text, is_interrupted, heard_s)
        self.history = (*self.history, message)


@asynccontextmanager
async def talking(
    server: RealtimeStandIn,
    *,
    greeting: str = "",
    tools: Tools | None = None,
    variables: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Talk]:
    runner = tools or Tools()
    fields = {"base_url": server.url, "connect_s": 1.0, "first_s": 1.0, "next_s": 1.0, **options}
    brain = open_realtime(OpenAIRealtimeOptions(**fields), "en", Keys())
    persona = Persona(
        lambda call: f"You answer {call.to_number}.", lambda _: greeting, (LOOK,), lambda _: runner
    )
    conversation, ear = brain.for_agent(persona).open(FACTS, variables or {})
    try:
        yield Talk(server, conversation, ear)
    finally:
        await ear.aclose()
        await conversation.aclose()
        await conversation.aclose()
        await brain.aclose()


async def read(pieces: AsyncIterator[Piece]) -> list[Piece]:
    async with asyncio.timeout(10):
        return [piece async for piece in pieces]


def words(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Spoken))


def seconds(pieces: Sequence[Piece]) -> float:
    return sum(len(piece.ulaw) for piece in pieces if isinstance(piece, Spoken)) / 8000


async def close(pieces: AsyncIterator[Piece]) -> None:
    await cast(Any, pieces).aclose()


# --- a conversation -----------------------------------------------------------------------------


async def test_the_session_is_told_who_it_is_and_to_leave_the_turns_to_us() -> None:
    async with (
        RealtimeStandIn() as server,
        talking(server, greeting="Welcome to Parley.", voice="cedar", model="m1") as talk,
    ):
        server.answers.append(Said("Welcome to Parley."))
        pieces = await read(talk.conversation.greet())
        assert words(pieces) == "Welcome to Parley."
        assert "Welcome to Parley." in server.received[-1]["response"]["instructions"]
        session = server.sessions[0]
        assert session["instructions"] == "You answer +918000000002."
        sound = session["audio"]
        assert sound["input"]["format"] == sound["output"]["format"] == {"type": "audio/pcmu"}
        assert sound["output"]["voice"] == "cedar"
        assert sound["input"]["transcription"]["language"] == "en"
        assert sound["input"]["turn_detection"]["create_response"] is False
        assert sound["input"]["turn_detection"]["interrupt_response"] is False
        assert session["tools"][0]["name"] == "look"
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        assert server.paths == ["/v1/realtime?model=m1"]
        assert talk.conversation.variables == {"greeted": "1"}


async def test_an_agent_without_a_greeting_lets_the_caller_begin() -> None:
    async with RealtimeStandIn() as server, talking(server) as talk:
        assert await read(talk.conversation.greet()) == []


async def test_what_is_said_is_answered_in_sound_and_words() -> None:
    async with (
        RealtimeStandIn(TEXTS, [Said("It is free of charge.")]) as server,
        talking(server) as talk,
    ):
        await talk.utter("is it free")
        assert isinstance(await talk.final(), Final)
        pieces = await read(talk.answer())
        spoken = [piece for piece in pieces if isinstance(piece, Spoken)]
        assert words(pieces) == "It is free of charge."
        assert seconds(pieces) == pytest.approx(21 * 0.06, abs=0.01)
        assert len({piece.item for piece in spoken}) == 1
        assert [piece.is_last for piece in spoken] == [False] * (len(spoken) - 1) + [True]
        assert [piece for piece in pieces if isinstance(piece, Usage)] == [
            Usage("realtime", "openai", "input_tokens", 20.0),
            Usage("realtime", "openai", "cached_tokens", 5.0),
            Usage("realtime", "openai", "output_tokens", 10.0),
        ]
        assert server.remembered() == [
            ("user", "is it free"),
            ("assistant", "It is free of charge."),
        ]


async def test_the_first_sound_comes_before_the_last_is_made() -> None:
    said = Said("A sentence that takes its time to be said.")
    async with RealtimeStandIn(TEXTS, [said], pace=0.5) as server, talking(server) as talk:
        await talk.utter("is it free")
        started_s = time.monotonic()
        pieces = talk.answer()
        while not cast(Spoken, await anext(pieces)).ulaw:
            pass
        assert time.monotonic() - started_s < 0.8
        assert len(await read(pieces)) > 5


# --- hearing ------------------------------------------------------------------------------------


async def test_no_turn_waits_for_its_transcript() -> None:
    async with RealtimeStandIn(TEXTS, transcript_s=0.3) as server, talking(server) as talk:
        await talk.utter("is it free")
        ended_s = time.monotonic()
        assert await talk.final() == Final("", True, 1.0)
        assert time.monotonic() - ended_s < 0.2
        await read(talk.answer())
        assert talk.conversation.transcripts() == {0: ""}
        await asyncio.sleep(0.6)
        assert talk.conversation.transcripts() == {0: "is it free"}


async def test_a_turn_that_is_told_to_waits_for_its_words_but_not_for_ever() -> None:
    async with (
        RealtimeStandIn(TEXTS, transcript_s=0.1) as server,
        talking(server, transcript_wait_s=0.5) as talk,
    ):
        await talk.utter("take my number")
        assert await talk.final() == Final("take my number", True, 1.0)
        server.transcript_s = 5.0
        await talk.utter("is it free")
        assert await talk.final() == Final("", True, 1.0)


async def test_the_servers_ear_is_evidence_that_the_caller_has_ended() -> None:
    async with RealtimeStandIn(TEXTS) as server, talking(server) as talk:
        await talk.utter("is it free")
        seen: list[TranscriberEvent] = []
        async for event in talk.ear.events():
            seen.append(event)
            if isinstance(event, Final):
                break
        assert Partial("", is_end=True) in seen
        assert seen[-1] == Final("is it free", True, 1.0)
        assert "input_audio_buffer.commit" not in server.kinds()


async def test_without_the_servers_ear_only_speech_is_sent_and_we_end_it() -> None:
    async with (
        RealtimeStandIn(TEXTS, [Said("Yes.")]) as server,
        talking(server, turn_detection="none") as talk,
    ):
        for _ in range(200):  # four seconds of nothing
            talk.ear.push(QUIET)
        await talk.utter("is it free")
        assert await talk.final() == Final("", True, 1.0)
        assert words(await read(talk.answer())) == "Yes."
        item = next(iter(server.memory.values()))
        assert (item.role, item.text) == ("user", "is it free")
        assert item.audio_ms < 3000


async def test_what_our_detection_did_not_take_for_speech_is_forgotten() -> None:
    async with RealtimeStandIn(TEXTS) as server, talking(server) as talk:
        speech = say("is it free", tail_s=0.6)  # echo, say: nobody calls begin()
        talk.ear.push(speech)
        await server.has_remembered()
        await asyncio.sleep(0.1)  # until we have been told, of which nothing is to be seen
        await read(talk.answer(Silence(7.0, 1)))
        assert ("user", "is it free") not in server.remembered()


async def test_an_end_without_speech_is_not_understood() -> None:
    async with RealtimeStandIn(TEXTS) as server, talking(server) as talk:
        talk.ear.begin()
        for _ in range(10):
            talk.ear.push(QUIET)
        talk.ear.end()
        assert await talk.final() == Final("", False, 0.0)


async def test_what_cannot_be_heard_is_told() -> None:
    async with RealtimeStandIn() as server, talking(server) as talk:
        for heard in (Digit("5"), Digits("123"), Digits(""), Silence(7.0, 1)):
            await read(talk.answer(heard))
        assert [text for role, text in server.remembered() if role == "system"] == [
            "The caller pressed 5 on the keypad.",
            "The caller was asked for keys and pressed 123.",
            "The caller was asked for keys and pressed nothing.",
            "The caller has said nothing for 7 seconds.",
        ]


# --- interruptions ------------------------------------------------------------------------------


async def test_an_interrupted_answer_is_cut_to_what_was_heard() -> None:
    long = Said("This is going to be a rather long answer to a short question.")
    async with RealtimeStandIn(TEXTS, [long], pace=0.3) as server, talking(server) as talk:
        await talk.utter("is it free")
        pieces = talk.answer()
        for _ in range(8):
            await anext(pieces)
        await close(pieces)
        await server.until("response.cancel")
        talk.spoke("This is going", 0.42, is_interrupted=True)
        await talk.utter("take my number")
        assert words(await read(talk.answer())) == "Yes."
        assert (await server.until("conversation.item.truncate"))["audio_end_ms"] == 420
        assert server.remembered() == [
            ("user", "is it free"),
            ("assistant", "(cut)"),
            ("user", "take my number"),
            ("assistant", "Yes."),
        ]


async def test_an_answer_that_came_whole_is_cut_as_well() -> None:
    said = [Said("One two three four.")]
    async with RealtimeStandIn(TEXTS, said) as server, talking(server) as talk:
        await read(talk.answer())
        talk.spoke("One two", 0.5, is_interrupted=True)
        await read(talk.answer())
        assert server.kinds().count("response.cancel") == 0
        assert (await server.until("conversation.item.truncate"))["audio_end_ms"] == 500


async def test_an_answer_of_which_nothing_was_heard_is_forgotten() -> None:
    async with RealtimeStandIn(TEXTS, [Said("Unheard.")]) as server, talking(server) as talk:
        await read(talk.answer())
        await read(talk.answer())
        assert ("assistant", "Unheard.") not in server.remembered()


async def test_an_answer_heard_whole_is_left_alone() -> None:
    async with RealtimeStandIn(TEXTS, [Said("All of it.")]) as server, talking(server) as talk:
        await read(talk.answer())
        talk.spoke("All of it.", 0.6)
        await read(talk.answer())
        assert ("assistant", "All of it.") in server.remembered()


async def test_a_guess_that_was_wrong_leaves_no_trace() -> None:
    said = [Said("Too early to say, but here it comes anyway.")]
    async with RealtimeStandIn(TEXTS, said, pace=0.3) as server, talking(server) as talk:
        before = talk.conversation.variables
        pieces = talk.answer(confirmation=ReplyConfirmation())
        await anext(pieces)
        await close(pieces)
        talk.conversation.rewind(before)
        await read(talk.answer())
        assert server.remembered() == [("assistant", "Yes.")]


# --- tools --------------------------------------------------------------------------------------


async def test_a_tool_is_run_and_its_result_spoken_about() -> None:
    used = ToolUsed("look", {}, "ok", "a hat", 0.1)
    tools = Tools(("a hat", [used]))
    answers = [Said("Let me look.", [("look", '{"at": 1}')]), Said("A hat.")]
    async with RealtimeStandIn(TEXTS, answers) as server, talking(server, tools=tools) as talk:
        pieces = await read(talk.answer())
        assert words(pieces) == "Let me look.A hat."
        assert [(call.name, call.arguments) for call in tools.calls] == [("look", '{"at": 1}')]
        place = pieces.index(used)
        assert words(pieces[:place]) == "Let me look."
        assert [role for role, _ in server.remembered()] == [
            *("assistant", "call", "tool", "assistant")
        ]


async def test_nothing_is_said_after_the_end_of_the_call() -> None:
    tools = Tools(("", [EndCall("done")]))
    answers = [Said("Goodbye.", [("hang_up", "{}")])]
    async with RealtimeStandIn(TEXTS, answers) as server, talking(server, tools=tools) as talk:
        pieces = await read(talk.answer())
        assert pieces[-1] == EndCall("done")
        assert server.kinds().count("response.create") == 1


async def test_a_tool_that_was_interrupted_is_accounted_for() -> None:
    tools = Tools(blocks=True)
    answers = [Said("", [("look", "{}")])]
    async with RealtimeStandIn(TEXTS, answers) as server, talking(server, tools=tools) as talk:
        task = asyncio.ensure_future(read(talk.answer()))
        await tools.has_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await read(talk.answer())
        assert ("tool", "not run: the caller went on speaking") in server.remembered()


async def test_a_model_that_only_calls_tools_is_stopped() -> None:
    answers = [Said("", [("look", "{}")])] * 9
    tools = Tools(*[("", ())] * 9)
    async with RealtimeStandIn(TEXTS, answers) as server, talking(server, tools=tools) as talk:
        with pytest.raises(ProviderFailed, match="8 times in a row"):
            await read(talk.answer())


# --- a lost connection --------------------------------------------------------------------------


async def test_a_connection_lost_before_the_answer_is_reopened_and_told_everything() -> None:
    async with RealtimeStandIn(TEXTS) as server, talking(server, transcript_wait_s=0.3) as talk:
        talk.history = (Message("caller", "hello"), Message("agent", "Hello. How can I help?"))
        server.troubles.cut_when_asked = 1
        await talk.utter("is it free")
        await talk.final()
        assert words(await read(talk.answer(Words("is it free", True)))) == "Yes."
        assert len(server.sessions) == 2
        assert server.remembered() == [
            ("user", "hello"),
            ("assistant", "Hello. How can I help?"),
            ("user", "is it free"),
            ("assistant", "Yes."),
        ]


async def test_words_that_came_late_are_told_to_a_new_connection_too() -> None:
    async with RealtimeStandIn(TEXTS, transcript_s=0.1) as server, talking(server) as talk:
        await talk.utter("take my number")
        assert await talk.final() == Final("", True, 1.0)
        await read(talk.answer())
        talk.spoke("Yes.", 0.24)
        await asyncio.sleep(0.15)
        server.troubles.cut_when_asked = 1
        await talk.utter("is it free")
        await read(talk.answer())
        assert [text for role, text in server.remembered() if role == "user"] == [
            *("take my number", "is it free")
        ]


@pytest.mark.parametrize("is_interrupted", [False, True])
async def test_a_connection_lost_between_turns_costs_nothing(is_interrupted: bool) -> None:
    said = [Said("Free as the wind.")]
    async with (
        RealtimeStandIn(TEXTS, said) as server,
        talking(server, transcript_wait_s=0.5) as talk,
    ):
        await talk.utter("is it free")
        await talk.final()
        await read(talk.answer(Words("is it free", True)))
        await server.cut()
        await server.until("session.update", 2)
        await talk.utter("take my number")
        await talk.final()
        heard = "Free as" if is_interrupted else "Free as the wind."
        talk.spoke(heard, 0.4, is_interrupted=is_interrupted)
        assert words(await read(talk.answer(Words("take my number", True)))) == "Yes."
        assert server.remembered() == [
            ("user", "is it free"),
            ("assistant", heard),
            ("user", "take my number"),
            ("assistant", "Yes."),
        ]


async def test_an_answer_that_was_left_is_charged_to_the_next() -> None:
    long = Said("This is going to be a rather long answer.")
    async with RealtimeStandIn(TEXTS, [long], pace=0.3) as server, talking(server) as talk:
        pieces = talk.answer()
        await anext(pieces)
        await close(pieces)
        counted = [piece for piece in await read(talk.answer()) if isinstance(piece, Usage)]
        assert len(counted) == 6


async def test_an_answer_cut_in_the_middle_fails_and_the_next_one_works() -> None:
    said = [Said("This will not be heard to its end.")]
    async with RealtimeStandIn(TEXTS, said, pace=0.1) as server, talking(server) as talk:
        server.troubles.cut_after_chunks = [2]
        with pytest.raises(ProviderFailed) as caught:
            await read(talk.answer())
        assert caught.value.cause is FailureCause.CUT
        assert words(await read(talk.answer())) == "Yes."


async def test_a_connection_lost_twice_is_given_up() -> None:
    async with RealtimeStandIn(TEXTS) as server, talking(server) as talk:
        server.troubles.cut_when_asked = 2
        with pytest.raises(ProviderFailed):
            await read(talk.answer())
        failed = await talk.final()
        assert isinstance(failed, TranscriberFailed)
        assert not failed.is_recoverable
        with pytest.raises(ProviderFailed):
            await read(talk.answer())


async def test_another_process_takes_a_conversation_over() -> None:
    async with (
        RealtimeStandIn(TEXTS) as server,
        talking(server, variables={"greeted": "1"}) as talk,
    ):
        talk.history = (Message("caller", "hello"), Message("agent", "Hello."))
        assert words(await read(talk.conversation.greet())) == "Yes."
        assert "interrupted" in server.received[-1]["response"]["instructions"]
        await read(talk.answer(Words("is it free", True)))
        assert ("user", "hello") in server.remembered()
        assert ("user", "is it free") not in server.remembered()  # it went there as sound


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "kind", "cause"),
    [
        (lambda t: t.statuses.append(401), ProviderUnavailable, FailureCause.UNAUTHORIZED),
        (lambda t: t.statuses.extend([503, 503]), ProviderFailed, FailureCause.SERVER_ERROR),
        (lambda t: t.failed_with.append("rate_limit"), ProviderFailed, FailureCause.RATE_LIMITED),
        (lambda t: t.failed_with.append("server_error"), ProviderFailed, FailureCause.SERVER_ERROR),
        (lambda t: t.refused_with.append("invalid_x"), ProviderFailed, FailureCause.REJECTED),
        (lambda t: setattr(t, "is_silent", True), ProviderTimeout, FailureCause.TIMEOUT),
        (lambda t: setattr(t, "refuses_session", True), ProviderUnavailable, FailureCause.REJECTED),
    ],
    ids=["401", "503", "rate", "failed", "refused", "silent", "session"],
)
async def test_each_fault_has_its_cause(
    make: Callable[[Any], None], kind: type[ProviderError], cause: FailureCause
) -> None:
    async with RealtimeStandIn(TEXTS) as server:
        make(server.troubles)
        async with talking(server, first_s=0.3) as talk:
            with pytest.raises(kind) as caught:
                await read(talk.answer())
            assert caught.value.cause is cause
            assert KEY not in str(caught.value) + repr(caught.value)


async def test_a_server_that_was_away_for_a_moment_is_tried_again() -> None:
    async with RealtimeStandIn(TEXTS) as server:
        server.troubles.statuses = [503]
        async with talking(server) as talk:
            assert words(await read(talk.answer())) == "Yes."


async def test_nobody_there_is_said_at_once() -> None:
    async with RealtimeStandIn() as server:
        pass
    async with talking(server) as talk:
        with pytest.raises(ProviderFailed) as caught:
            await read(talk.answer())
        assert caught.value.cause is FailureCause.UNREACHABLE


async def test_a_message_that_makes_no_sense_is_passed_over() -> None:
    async with RealtimeStandIn(TEXTS) as server:
        server.troubles.garbage = 1
        async with talking(server) as talk:
            assert words(await read(talk.answer())) == "Yes."


async def test_audio_that_cannot_be_sent_is_dropped_oldest_first_and_counted() -> None:
    dropped: list[float] = []
    options = OpenAIRealtimeOptions(base_url="http://127.0.0.1:9/v1")
    brain = OpenAIRealtimeBrain(options, "en", KEY)
    brain.on_dropped = dropped.append
    conversation, ear = brain.open(replace(FACTS), {})
    for _ in range(510):  # the connection has had no time yet
        ear.push(QUIET)
    await ear.aclose()
    await conversation.aclose()
    await brain.aclose()
    assert sum(dropped) == 10


async def test_a_key_that_is_not_set_is_named() -> None:
    with pytest.raises(ProviderUnavailable, match="OPENAI_API_KEY is not set"):
        open_realtime(OpenAIRealtimeOptions(), "en", Keys("OPENAI_API_KEY"))


def test_the_entry_knows_its_options() -> None:
    entry = REALTIME["openai"]
    assert entry.needs_key
    assert entry.options is OpenAIRealtimeOptions
