"""Speech to speech by OpenAI's Realtime API: one socket a call that hears, thinks and speaks.

    caller ── 20 ms of mu-law ──▶ RealtimeEar ──┐            ┌──▶ Partial, Final
                                                ├─ link ─ WS ┤
    session ── reply(...) ──▶ RealtimeConversation           └──▶ Spoken, tools' pieces, Usage

The session decides whose turn it is: the server's detection is evidence and no more, and it never
answers by itself. A turn is not delayed by its transcript, see `realtime_turns.py`. What the caller
did not hear of an answer is taken out of the server's memory before the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

import structlog
from openai import AsyncOpenAI

from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    CallFacts,
    Confirmation,
    Digit,
    Digits,
    EndCall,
    Expectation,
    Heard,
    Message,
    Pcm,
    Piece,
    Silence,
    Spoken,
    ToolCall,
    TranscriberEvent,
    TranscriberFailed,
    Transfer,
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
from services.agent.providers.openai import realtime_events as rt
from services.agent.providers.openai.realtime_link import (
    NAME,
    Connection,
    LinkEvents,
    RealtimeLink,
)
from services.agent.providers.openai.realtime_options import OpenAIRealtimeOptions
from services.agent.providers.openai.realtime_turns import CallerTurns
from services.agent.providers.persona import Persona, ToolRunner
from shared.audio.g711 import encode_ulaw
from shared.runtime.tasks import closing

_log = structlog.get_logger(__name__)
_BYTES_PER_MS = PHONE_RATE_HZ // 1000
_PREROLL_BYTES = 400 * _BYTES_PER_MS
_MOST_BYTES = 30 * PHONE_RATE_HZ
_EVENTS_KEPT = 64
_REPLY_EVENTS_KEPT = 4000
_MOST_ROUNDS = 8
_CANCEL_S = 1.0
_TOOL_S = 70.0
_SETUP = "setup"
_COMMIT = "commit-"
# What the server says when it and we have crossed each other: nothing is lost by it.
_HARMLESS = {
    *("input_audio_buffer_commit_empty", "response_cancel_not_active"),
    *("item_delete_invalid_item_id", "item_truncate_invalid_item_id"),
}
_CONFIRMED = ReplyConfirmation(is_given=True)


_NOBODY = Persona(lambda _: "You are a helpful voice assistant on the phone.", lambda _: "")


class OpenAIRealtimeBrain:
    """A SpeechBrain. See there.

    Attributes:
        on_dropped: told how many frames of 20 ms of the caller were dropped, oldest first.
    """

    def __init__(
        self,
        options: OpenAIRealtimeOptions,
        language: str,
        key: str,
        *,
        persona: Persona = _NOBODY,
        client: AsyncOpenAI | None = None,
    ) -> None:
        self._options = options
        self._language = language
        self._key = key
        self._persona = persona
        self._client = client or AsyncOpenAI(
            api_key=key, base_url=options.base_url or None, max_retries=0
        )
        self.on_dropped: Callable[[float], None] = lambda _: None

    def for_agent(self, persona: Persona) -> OpenAIRealtimeBrain:
        """Return a brain of this persona; it shares the client, so one `aclose` closes both."""
        brain = OpenAIRealtimeBrain(
            self._options, self._language, self._key, persona=persona, client=self._client
        )
        brain.on_dropped = self.on_dropped
        return brain

    def open(
        self, call: CallFacts, variables: Mapping[str, str]
    ) -> tuple[RealtimeConversation, RealtimeEar]:
        """See SpeechBrain. The connection is begun at once, so that the greeting need not wait."""
        persona = self._persona
        config = replace(
            self._options.session(call.language or self._language),
            instructions=persona.instructions(call),
            tools=persona.tools,
        )
        core = _Core(config, self._options, self._connect, self.on_dropped)
        runner = persona.open_tools(call) if persona.open_tools is not None else _no_tools
        ear = RealtimeEar(core)
        return RealtimeConversation(core, persona.greeting(call), runner, variables), ear

    async def _connect(self) -> Connection:
        manager = self._client.realtime.connect(
            model=self._options.model,
            websocket_connection_options={"max_size": rt.MOST_BYTES, "compression": None},
        )
        return await manager.enter()

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.close()


async def _no_tools(call: ToolCall, confirmation: Confirmation) -> tuple[str, Sequence[Piece]]:
    return f"there is no tool {call.name}", ()


class _Lost:
    """Stands in an answer's queue where the connection was lost and is being reopened."""


@dataclass(slots=True)
class _Answer:
    """One reply: everything that the server makes for it, over all its responses."""

    queue: asyncio.Queue[rt.ServerEvent | _Lost | ProviderError] = field(
        default_factory=lambda: asyncio.Queue(_REPLY_EVENTS_KEPT)
    )
    event_id: str = ""
    response_id: str = ""
    items: list[str] = field(default_factory=list)
    audio_bytes: dict[str, int] = field(default_factory=dict)
    calls: list[rt.CallDone] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    text: str = ""
    history_len: int = 0

    def put(self, event: rt.ServerEvent | _Lost | ProviderError) -> None:
        """Queue an event; an answer that nobody reads fails rather than grows."""
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            event = ProviderFailed(NAME, "an answer was not read", FailureCause.BROKEN)
        self.queue.put_nowait(event)


class _Core:
    """What a conversation and its ear share: the link and what the server has been told."""

    def __init__(
        self,
        config: rt.SessionConfig,
        options: OpenAIRealtimeOptions,
        connect: Callable[[], Awaitable[Connection]],
        on_dropped: Callable[[float], None],
    ) -> None:
        self.config = config
        self.options = options
        self.turns = CallerTurns(
            options.transcript_wait_s, is_server_detecting=config.turn_detection != "none"
        )
        self.on_dropped = on_dropped
        self.give: Callable[[TranscriberEvent], None] = lambda _: None
        self.answer: _Answer | None = None
        self.utterance = bytearray()
        self.is_unanswered = False
        self.history: tuple[Message, ...] = ()
        self.items_of: dict[int, list[str]] = {}  # of the caller's messages, by place in history
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self._numbers = count(1)
        self._has_opened = False
        self._loop = asyncio.get_running_loop()
        self.link = RealtimeLink(
            connect,
            LinkEvents(
                self._on_event, self._on_open, self._on_lost, self._on_dead, self._on_dropped
            ),
            connect_s=options.connect_s,
        )

    # --- responses ---------------------------------------------------------------------------

    def ask(self, answer: _Answer, instructions: str = "") -> None:
        """Have a response made for this answer."""
        answer.event_id = f"ask-{next(self._numbers)}"
        answer.response_id = ""
        self.answer = answer
        self.is_idle.clear()
        self.link.send(rt.serialize_response(answer.event_id, instructions))

    async def wait_idle(self) -> None:
        """Wait until no response is being made, bounded: the server refuses two at once."""
        try:
            async with asyncio.timeout(_CANCEL_S):
                await self.is_idle.wait()
        except TimeoutError:
            _log.warning("realtime_response_does_not_end")

    # --- from the link -----------------------------------------------------------------------

    def _on_event(self, event: rt.ServerEvent) -> None:
        match event:
            case rt.SpeechStarted():
                self.turns.on_speech_started()
            case rt.SpeechStopped():
                self._give_all(self.turns.on_speech_stopped())
            case rt.Committed():
                self.turns.on_committed(event.item_id)
            case rt.InputTranscript():
                now_s = self._loop.time()
                self._give_all(
                    self.turns.on_transcript(event.item_id, event.text, event.is_done, now_s)
                )
            case rt.ServerError():
                self._on_error(event)
            case rt.ResponseCreated():
                self._on_created(event)
            case rt.Other():
                pass
            case _:
                self._on_response_event(event)

    def _on_created(self, event: rt.ResponseCreated) -> None:
        self.is_idle.clear()
        answer = self.answer
        if answer is None or answer.response_id:
            self.link.send(rt.serialize_cancel())  # nobody waits for it
            return
        answer.response_id = event.response_id

    def _on_response_event(
        self,
        event: rt.ItemAdded
        | rt.OutputAudio
        | rt.OutputText
        | rt.SpeechDone
        | rt.CallDone
        | rt.ResponseDone,
    ) -> None:
        if isinstance(event, rt.ResponseDone):
            self.is_idle.set()
        answer = self.answer
        if answer is not None and answer.response_id == event.response_id:
            answer.put(event)

    def _on_error(self, event: rt.ServerError) -> None:
        if event.event_id.startswith(_COMMIT):
            self.turns.on_commit_refused(int(event.event_id.removeprefix(_COMMIT)))
        if event.code in _HARMLESS:
            return
        _log.warning("realtime_error", code=event.code, kind=event.kind)
        if event.event_id == _SETUP:
            self.link.refuse(
                ProviderUnavailable(NAME, f"refused: {event.code}", FailureCause.REJECTED)
            )
        answer = self.answer
        if answer is not None and event.event_id == answer.event_id:
            self.is_idle.set()
            answer.put(_failure_of_code(event.code))

    def _on_open(self) -> list[str]:
        """Tell a new connection who the agent is, and what has been said so far."""
        events = [rt.serialize_session(self.config, _SETUP)]
        if self._has_opened:
            events += self._replay()
        self._has_opened = True
        return events

    def _replay(self) -> list[str]:
        events = []
        for place, message in enumerate(self.history):
            text = message.text or self.turns.text_of(self.items_of.get(place, ()))
            if text:
                events.append(_serialize_said(message.role, text))
        if self.answer is not None and self.answer.text:
            events.append(rt.serialize_message("assistant", self.answer.text))
        if self.utterance and (self.is_unanswered or self.turns.is_in_hand):
            size = FRAME_SAMPLES * 50
            for start in range(0, len(self.utterance), size):
                events.append(rt.serialize_audio(bytes(self.utterance[start : start + size])))
            if not self.turns.is_in_hand:
                events.append(rt.serialize_commit())
        return events

    def _on_lost(self) -> None:
        self.is_idle.set()
        if self.answer is not None:
            self.answer.put(_Lost())

    def _on_dead(self, error: ProviderError) -> None:
        self.is_idle.set()
        if self.answer is not None:
            self.answer.put(error)
        self.give(TranscriberFailed(str(error), is_recoverable=False))

    def _on_dropped(self, frames: float) -> None:
        self.on_dropped(frames)

    def _give_all(self, events: list[TranscriberEvent]) -> None:
        for event in events:
            self.give(event)


def _serialize_said(role: Literal["caller", "agent"], text: str) -> str:
    return rt.serialize_message("user" if role == "caller" else "assistant", text)


def _failure_of_code(code: str) -> ProviderError:
    if "rate_limit" in code or "quota" in code:
        return ProviderFailed(NAME, code, FailureCause.RATE_LIMITED)
    if code.startswith("invalid"):
        return ProviderFailed(NAME, code, FailureCause.REJECTED)
    return ProviderFailed(NAME, code or "error", FailureCause.SERVER_ERROR)


class RealtimeEar:
    """What the caller says goes to the server as it comes. See TranscriberStream.

    Without the server's detection only what our own takes for speech is sent, with what came just
    before it: the server would take in, and charge for, all the silence as well.
    """

    def __init__(self, core: _Core) -> None:
        self._core = core
        self._sends_all = core.config.turn_detection != "none"
        self._preroll: deque[bytes] = deque()
        self._preroll_bytes = 0
        self._events: asyncio.Queue[TranscriberEvent | None] = asyncio.Queue(_EVENTS_KEPT)
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        core.give = self._give

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._is_closed or not len(pcm):
            return
        ulaw = encode_ulaw(pcm)
        if self._core.turns.is_in_hand:
            self._keep(ulaw)
        else:
            self._preroll.append(ulaw)
            self._preroll_bytes += len(ulaw)
            while self._preroll_bytes - len(self._preroll[0]) >= _PREROLL_BYTES:
                self._preroll_bytes -= len(self._preroll.popleft())
        if self._sends_all or self._core.turns.is_in_hand:
            self._core.link.send_audio(rt.serialize_audio(ulaw))

    def begin(self) -> None:
        """See TranscriberStream."""
        core = self._core
        if self._is_closed or core.turns.is_in_hand:
            return
        core.turns.begin()
        core.utterance.clear()
        core.is_unanswered = True
        for ulaw in self._preroll:
            core.utterance += ulaw
        if not self._sends_all and self._preroll:
            core.link.send_audio(rt.serialize_audio(b"".join(self._preroll)))
        self._preroll.clear()
        self._preroll_bytes = 0

    def end(self) -> None:
        """See TranscriberStream."""
        if self._is_closed:
            return
        events, commit = self._core.turns.end(self._loop.time())
        if commit is not None:
            self._core.link.send(rt.serialize_commit(f"{_COMMIT}{commit}"))
        for event in events:
            self._give(event)
        self._wait_for_due()

    def expect(self, _expectation: Expectation) -> None:
        """See TranscriberStream. The model expects what its instructions say."""

    async def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        """See TranscriberStream. The conversation holds the connection and closes it."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closed:
            self._is_closed = True
            while not self._events.empty():
                self._events.get_nowait()
            self._events.put_nowait(None)

    def _keep(self, ulaw: bytes) -> None:
        utterance = self._core.utterance
        utterance += ulaw
        if len(utterance) > _MOST_BYTES:
            del utterance[: len(utterance) - _MOST_BYTES]

    def _give(self, event: TranscriberEvent) -> None:
        if self._is_closed:
            return
        if self._events.full():  # nobody reads: the oldest is worth least
            self._events.get_nowait()
        self._events.put_nowait(event)
        if isinstance(event, TranscriberFailed) and not event.is_recoverable:
            self._is_closed = True
            if self._events.full():
                self._events.get_nowait()
            self._events.put_nowait(None)

    def _wait_for_due(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_s = self._core.turns.due_s
        if due_s is not None and not self._is_closed:
            self._timer = self._loop.call_at(due_s, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        for event in self._core.turns.on_time(self._loop.time()):
            self._give(event)
        self._wait_for_due()


class RealtimeConversation:
    """The dialogue of one call over the server's memory of it. See Conversation.

    The server remembers the audio itself. It is told in text what it could not hear: keys,
    silences, and after a lost connection or in another process what was said before.
    """

    def __init__(
        self, core: _Core, greeting: str, run_tool: ToolRunner, variables: Mapping[str, str]
    ) -> None:
        self._core = core
        self._greeting = greeting
        self._run_tool = run_tool
        self._variables: Mapping[str, str] = dict(variables)
        self._is_resumed = bool(variables)
        self._last: _Answer | None = None

    @property
    def variables(self) -> Mapping[str, str]:
        """See Conversation."""
        return self._variables

    def rewind(self, variables: Mapping[str, str]) -> None:
        """See Conversation. The server forgets the answer too."""
        self._variables = dict(variables)
        if self._last is not None:
            self._forget(self._last)
            self._last = None

    async def greet(self) -> AsyncIterator[Piece]:
        """See Conversation. A fixed greeting is spoken by the model's own voice."""
        if self._is_resumed:
            asked = "The line was interrupted. Say in a few words that you are back."
        elif self._greeting:
            asked = f"Say exactly this, and nothing else: {self._greeting}"
        else:
            return
        async with closing(self._answer(_Answer(), _CONFIRMED, asked)) as pieces:
            async for piece in pieces:
                yield piece
        self._variables = {"greeted": "1"}

    async def reply(
        self, heard: Heard, history: Sequence[Message], confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """See Conversation."""
        core = self._core
        await core.link.ready()
        await core.wait_idle()
        self._tell_what_was_heard(history)
        for item_id in core.turns.take_unasked():
            core.link.send(rt.serialize_delete(item_id))
        if self._is_resumed:
            self._tell_the_past(heard, history)
        core.history = self._without_turn_in_hand(history)
        if isinstance(heard, Words) and history:
            core.items_of[len(history) - 1] = core.turns.last_items
        if (told := _told(heard)) is not None:
            core.link.send(rt.serialize_message("system", told))
        answer = _Answer(history_len=len(history))
        async with closing(self._answer(answer, confirmation, "")) as pieces:
            async for piece in pieces:
                yield piece
        self._variables = {"greeted": "1"}

    def transcripts(self) -> Mapping[int, str]:
        """Return the caller's words by place in the history, those that came late among them."""
        core = self._core
        return {place: core.turns.text_of(items) for place, items in core.items_of.items()}

    async def aclose(self) -> None:
        """See Conversation. Closes the connection, the ear's too."""
        await self._core.link.aclose()

    # --- an answer ---------------------------------------------------------------------------

    async def _answer(
        self, answer: _Answer, confirmation: Confirmation, instructions: str
    ) -> AsyncIterator[Piece]:
        core = self._core
        self._last = answer
        try:
            for _ in range(_MOST_ROUNDS):
                async with closing(self._response(answer, instructions)) as pieces:
                    async for piece in pieces:
                        yield piece
                core.is_unanswered = False
                calls, answer.calls = answer.calls, []
                for call in calls:
                    for piece in await self._run(answer, call, confirmation):
                        yield piece
                        if isinstance(piece, EndCall | Transfer):
                            return
                if not calls:
                    return
            raise ProviderFailed(NAME, f"called tools {_MOST_ROUNDS} times in a row")
        finally:
            self._leave(answer)

    def _leave(self, answer: _Answer) -> None:
        """Stop what still works on an answer."""
        core = self._core
        if core.answer is answer:
            core.answer = None
        if not core.is_idle.is_set():
            core.link.send(rt.serialize_cancel())

    async def _response(self, answer: _Answer, instructions: str) -> AsyncIterator[Piece]:
        """Ask for one response and yield what is spoken, until it is over."""
        core = self._core
        await core.link.ready()
        core.ask(answer, instructions)
        bound_s = core.options.first_s
        open_items: list[str] = []
        was_asked_again = False
        while True:
            event = await self._next(answer, bound_s)
            match event:
                case rt.OutputAudio() | rt.OutputText():
                    bound_s = core.options.next_s
                    if event.item_id not in open_items:
                        open_items.append(event.item_id)
                    yield _spoken(answer, event)
                case rt.ItemAdded():
                    answer.items.append(event.item_id)
                case rt.SpeechDone():
                    if event.item_id in open_items:
                        open_items.remove(event.item_id)
                        yield Spoken(event.item_id, "", b"", is_last=True)
                case rt.CallDone():
                    answer.calls.append(event)
                    answer.unanswered.append(event.call_id)
                case rt.ResponseDone():
                    for item_id in open_items:
                        yield Spoken(item_id, "", b"", is_last=True)
                    for usage in _usage(event):
                        yield usage
                    if event.status == "failed":
                        raise _failure_of_code(event.code)
                    return
                case _Lost():
                    if answer.items or was_asked_again:
                        raise ProviderFailed(NAME, "cut while speaking", FailureCause.CUT)
                    was_asked_again = True
                    await core.link.ready()
                    core.ask(answer, instructions)
                case ProviderError():
                    raise event

    async def _next(
        self, answer: _Answer, bound_s: float
    ) -> rt.ServerEvent | _Lost | ProviderError:
        try:
            async with asyncio.timeout(bound_s):
                return await answer.queue.get()
        except TimeoutError:
            raise ProviderTimeout(NAME, "no more of the answer in time") from None

    async def _run(
        self, answer: _Answer, call: rt.CallDone, confirmation: Confirmation
    ) -> Sequence[Piece]:
        try:
            async with asyncio.timeout(_TOOL_S):
                output, pieces = await self._run_tool(
                    ToolCall(call.call_id, call.name, call.arguments), confirmation
                )
        except TimeoutError:
            output, pieces = "the tool did not answer in time", ()
        answer.unanswered.remove(call.call_id)
        self._core.link.send(rt.serialize_call_output(call.call_id, output))
        return pieces

    # --- what the server is told between answers ---------------------------------------------

    def _tell_what_was_heard(self, history: Sequence[Message]) -> None:
        """Take out of the server's memory what the caller did not hear of the last answer."""
        last, self._last = self._last, None
        if last is None:
            return
        for call_id in last.unanswered:
            self._core.link.send(
                rt.serialize_call_output(call_id, "not run: the caller went on speaking")
            )
        if not last.audio_bytes:
            return
        said = [m for m in history[last.history_len :] if m.role == "agent"]
        if said and not any(message.is_interrupted for message in said):
            return
        heard_ms = round(1000 * sum(message.heard_s or 0.0 for message in said))
        items = [(item, size // _BYTES_PER_MS) for item, size in last.audio_bytes.items()]
        for event in rt.cut_to_heard(items, heard_ms):
            self._core.link.send(event)

    def _forget(self, answer: _Answer) -> None:
        for item_id in answer.items:
            self._core.link.send(rt.serialize_delete(item_id))

    def _tell_the_past(self, heard: Heard, history: Sequence[Message]) -> None:
        self._is_resumed = False
        past = history[:-1] if isinstance(heard, Words) else history
        for message in past:
            if message.text:
                self._core.link.send(_serialize_said(message.role, message.text))

    def _without_turn_in_hand(self, history: Sequence[Message]) -> tuple[Message, ...]:
        """Return the history for a new connection: the turn in hand goes there as audio."""
        core = self._core
        if core.is_unanswered and history and history[-1].role == "caller":
            return tuple(history[:-1])
        return tuple(history)


def _spoken(answer: _Answer, event: rt.OutputAudio | rt.OutputText) -> Spoken:
    if isinstance(event, rt.OutputText):
        answer.text += event.text
        return Spoken(event.item_id, event.text, b"")
    size = answer.audio_bytes.get(event.item_id, 0)
    answer.audio_bytes[event.item_id] = size + len(event.ulaw)
    return Spoken(event.item_id, "", event.ulaw)


def _usage(done: rt.ResponseDone) -> list[Usage]:
    counted = (
        ("input_tokens", done.input_tokens),
        ("cached_tokens", done.cached_tokens),
        ("output_tokens", done.output_tokens),
    )
    return [Usage("realtime", NAME, unit, float(amount)) for unit, amount in counted if amount]


def _told(heard: Heard) -> str | None:
    """What the server could not hear, in words."""
    match heard:
        case Digit(digit):
            return f"The caller pressed {digit} on the keypad."
        case Digits(digits):
            keys = f"pressed {digits}" if digits else "pressed nothing"
            return f"The caller was asked for keys and {keys}."
        case Silence(seconds):
            return f"The caller has said nothing for {seconds:.0f} seconds."
        case Words():
            return None
