"""The dialogue of a realtime conversation: answers asked for, cut short, and told about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from services.agent.providers.base import (
    PHONE_RATE_HZ,
    Confirmation,
    Digit,
    Digits,
    EndCall,
    Heard,
    Message,
    Piece,
    Silence,
    Spoken,
    ToolCall,
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
)
from services.agent.providers.openai import realtime_events as rt
from services.agent.providers.openai.realtime_core import (
    Answer,
    Core,
    Lost,
    failure_of_code,
    serialize_said,
)
from services.agent.providers.openai.realtime_link import NAME
from services.agent.providers.persona import ToolRunner
from shared.runtime.tasks import closing

_BYTES_PER_MS = PHONE_RATE_HZ // 1000
_MOST_ROUNDS = 8
_TOOL_S = 70.0
_CONFIRMED = ReplyConfirmation(is_given=True)


class RealtimeConversation:
    """The dialogue of one call over the server's memory of it. See Conversation.

    The server remembers the audio itself. It is told in text what it could not hear: keys,
    silences, and after a lost connection or in another process what was said before.
    """

    def __init__(
        self, core: Core, greeting: str, run_tool: ToolRunner, variables: Mapping[str, str]
    ) -> None:
        self._core = core
        self._greeting = greeting
        self._run_tool = run_tool
        self._variables: Mapping[str, str] = dict(variables)
        self._is_resumed = bool(variables)

    @property
    def variables(self) -> Mapping[str, str]:
        """See Conversation."""
        return self._variables

    def rewind(self, variables: Mapping[str, str]) -> None:
        """See Conversation. The server forgets the answer too."""
        self._variables = dict(variables)
        last, self._core.last = self._core.last, None
        if last is not None:
            for item_id in (*last.items, *filter(None, [last.told_as])):
                self._core.link.send(rt.serialize_delete(item_id))

    async def greet(self) -> AsyncIterator[Piece]:
        """See Conversation. A fixed greeting is spoken by the model's own voice."""
        if self._is_resumed:
            asked = "The line was interrupted. Say in a few words that you are back."
        elif self._greeting:
            asked = f"Say exactly this, and nothing else: {self._greeting}"
        else:
            return
        async with closing(self._answer(Answer(), _CONFIRMED, asked)) as pieces:
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
        core.history = tuple(history)
        core.is_answering_last = isinstance(heard, Words) and bool(history)
        if core.is_answering_last:
            core.items_of[len(history) - 1] = core.turns.last_items
        if (told := _told(heard)) is not None:
            core.link.send(rt.serialize_message("system", told))
        while core.uncounted:
            for usage in _usage(core.uncounted.popleft()):
                yield usage
        answer = Answer(history_len=len(history))
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
        self, answer: Answer, confirmation: Confirmation, instructions: str
    ) -> AsyncIterator[Piece]:
        core = self._core
        core.last = answer
        try:
            for _ in range(_MOST_ROUNDS):
                async with closing(self._response(answer, instructions)) as pieces:
                    async for piece in pieces:
                        yield piece
                core.is_unanswered = core.is_answering_last = False
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

    def _leave(self, answer: Answer) -> None:
        """Stop what still works on an answer."""
        core = self._core
        if core.answer is answer:
            core.answer = None
        if not core.is_idle.is_set():
            core.link.send(rt.serialize_cancel())

    async def _response(self, answer: Answer, instructions: str) -> AsyncIterator[Piece]:
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
                        raise failure_of_code(event.code)
                    return
                case Lost():
                    if answer.items or was_asked_again:
                        raise ProviderFailed(NAME, "cut while speaking", FailureCause.CUT)
                    was_asked_again = True
                    await core.link.ready()
                    core.ask(answer, instructions)
                case ProviderError():
                    raise event

    async def _next(self, answer: Answer, bound_s: float) -> rt.ServerEvent | Lost | ProviderError:
        try:
            async with asyncio.timeout(bound_s):
                return await answer.queue.get()
        except TimeoutError:
            raise ProviderTimeout(NAME, "no more of the answer in time") from None

    async def _run(
        self, answer: Answer, call: rt.CallDone, confirmation: Confirmation
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
        last, self._core.last = self._core.last, None
        if last is None:
            return
        send = self._core.link.send
        for call_id in last.unanswered:
            send(rt.serialize_call_output(call_id, "not run: the caller went on speaking"))
        said = [m for m in history[last.history_len :] if m.role == "agent"]
        if said and not any(message.is_interrupted for message in said):
            return
        if last.told_as:
            if text := " ".join(filter(None, (message.text for message in said))):
                send(rt.serialize_message("assistant", text, after=last.told_as))
            send(rt.serialize_delete(last.told_as))
            return
        heard_ms = round(1000 * sum(message.heard_s or 0.0 for message in said))
        items = [(item, size // _BYTES_PER_MS) for item, size in last.audio_bytes.items()]
        for event in rt.cut_to_heard(items, heard_ms):
            send(event)

    def _tell_the_past(self, heard: Heard, history: Sequence[Message]) -> None:
        self._is_resumed = False
        past = history[:-1] if isinstance(heard, Words) else history
        for message in past:
            if message.text:
                self._core.link.send(serialize_said(message.role, message.text))


def _spoken(answer: Answer, event: rt.OutputAudio | rt.OutputText) -> Spoken:
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
