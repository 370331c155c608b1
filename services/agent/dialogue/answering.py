"""One answer of a language model: its words as they come, its tools, and what it makes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from services.agent.agents.file import AgentFile
from services.agent.dialogue.asides import Aside, Use
from services.agent.dialogue.deeds import Deed
from services.agent.dialogue.ear import Passages, for_ear
from services.agent.dialogue.prompt import (
    NO_MORE_TOOLS,
    Bounds,
    build_messages,
    fill_facts,
    system_text,
)
from services.agent.dialogue.state import DialogueState
from services.agent.dialogue.tool_runs import Ran, ToolRuns, canonical
from services.agent.providers.base import (
    CallFacts,
    ChatMessage,
    Confirmation,
    LanguageModel,
    Message,
    Piece,
    Say,
    SwitchLanguage,
    TextDelta,
    ToolCall,
    ToolSpec,
    ToolUsed,
    Usage,
)
from services.agent.tools.base import ToolContext
from services.agent.tools.toolbox import ToolBox
from services.agent.turn.sentences import SentenceStream, split_sentences
from shared.runtime.tasks import closing

MAX_TOOL_ROUNDS = 5
MAX_CALLS = 8
_MAX_ANSWER_CHARS = 8000
_AT_WORK = "(still at work, no result yet)"


@dataclass(slots=True)
class Turn:
    """The reply in hand.

    Attributes:
        key: names the caller's turn; the same when it is answered once more.
        history: what the model reads, the caller's newest words last.
        at: the place of the turn's tools, see Aside...
        after: ...and how the entry before it begins.
        rounds: the model's tool calls and their results so far.
    """

    key: str
    history: Sequence[Message]
    at: int
    after: str
    has_spoken: bool = False
    has_filled: bool = False
    is_over: bool = False
    rounds: list[ChatMessage] = field(default_factory=list)


class Answerer:
    """Has a model answer, for one conversation.

    Args:
        file: the agent.
        model_for: the model by language.
        toolbox: the agent's tools.
        call: the call's facts.
        state: of the conversation; changed as tools are used.
        bounds: how much of the conversation the model reads.
    """

    def __init__(
        self,
        file: AgentFile,
        model_for: Callable[[str], LanguageModel],
        toolbox: ToolBox,
        call: CallFacts,
        state: DialogueState,
        bounds: Bounds,
    ) -> None:
        self._file = file
        self._model_for = model_for
        self._toolbox = toolbox
        self._call = call
        self._state = state
        self._bounds = bounds
        done = {state.asked: state.done} if state.asked else {}
        self._runs = ToolRuns(toolbox, call.call_id, done=done)
        self._unreported: dict[str, ToolUsed] = {}
        passages = tuple(fill_facts(text, call) for text in file.turn_taking.uninterruptible)
        sentences = tuple(part for text in passages for part in split_sentences(text))
        self._passages = Passages(passages, sentences)

    def take_unreported(self) -> Iterator[ToolUsed]:
        """Yield what tools did whose reply was closed before it could tell."""
        for call_id in list(self._unreported):
            yield self._unreported.pop(call_id)

    async def answer(self, turn: Turn, confirmation: Confirmation) -> AsyncIterator[Piece]:
        """Yield the answer; the model goes on after its tools, at most five times.

        Of one answer's calls the first eight are run; a model that wants more can ask again.

        Raises:
            ProviderError: the model failed.
        """
        asides = self._state.asides
        for round_number in range(MAX_TOOL_ROUNDS + 1):
            specs = self._toolbox.specs if round_number < MAX_TOOL_ROUNDS else ()
            messages = build_messages(self._system(), turn.history, asides, self._bounds)
            messages += turn.rounds
            if round_number == MAX_TOOL_ROUNDS:
                messages.append(ChatMessage("system", NO_MORE_TOOLS))
            text: list[str] = []
            calls: list[ToolCall] = []
            async with closing(self._stream(messages, specs, turn, text, calls)) as pieces:
                async for piece in pieces:
                    yield piece
            if not calls or not specs:
                break
            named = list(self._named(calls[:MAX_CALLS], turn))
            async with closing(self._use(turn, named, "".join(text), confirmation)) as pieces:
                async for piece in pieces:
                    yield piece
            if turn.is_over:
                return
        if not turn.has_spoken:
            yield Say(self._state.texts.phrases.again)

    def _system(self) -> str:
        texts = self._state.texts
        is_phone_style = self._file.phone_style
        return system_text(
            texts.prompt, self._call, texts.prompt_language, is_phone_style=is_phone_style
        )

    async def _stream(
        self,
        messages: Sequence[ChatMessage],
        specs: Sequence[ToolSpec],
        turn: Turn,
        text: list[str],
        calls: list[ToolCall],
    ) -> AsyncIterator[Piece]:
        """Yield one answer as it comes; its whole text and its calls go into the lists."""
        sentences = SentenceStream()
        chars = 0
        model = self._model_for(self._state.language)
        async with closing(model.stream(messages, specs)) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta():
                        text.append(delta.text)
                        chars += len(delta.text)
                        for piece in self._say(sentences.feed(delta.text), turn):
                            yield piece
                    case ToolCall():
                        calls.append(delta)
                    case Usage():
                        yield delta
                    case _:
                        assert_never(delta)
                if chars > _MAX_ANSWER_CHARS:
                    break
        for piece in self._say(sentences.finish(), turn):
            yield piece

    def _say(self, texts: Sequence[str], turn: Turn) -> Iterator[Say]:
        for text in texts:
            if spoken := for_ear(text):
                turn.has_spoken = True
                yield Say(spoken, is_interruptible=not self._passages.holds(spoken))

    # --- tools ---

    async def _use(
        self, turn: Turn, calls: Sequence[ToolCall], text: str, confirmation: Confirmation
    ) -> AsyncIterator[Piece]:
        """Run the tools of one answer, with a filler before them where nothing was said yet."""
        if (filler := self._filler(calls, turn)) is not None:
            yield filler
        state = self._state
        context = ToolContext(self._call, state.language, turn.has_spoken, state.variables)
        ran = await self._runs.run(
            turn.key, calls, context, confirmation, lambda *deed: self._on_act(turn, *deed)
        )
        uses = tuple(Use(r.call.call_id, r.call.name, r.call.arguments, r.result.text) for r in ran)
        state.add(Aside(turn.at, turn.after, uses=uses))
        turn.rounds.append(ChatMessage("assistant", text, tuple(calls)))
        turn.rounds += [ChatMessage("tool", use.result, tool_call_id=use.call_id) for use in uses]
        for one in ran:
            if not one.is_repeat:
                self._unreported.pop(one.call.call_id, None)
                yield one.used
        for used in self.take_unreported():
            yield used
        for one in ran:
            if not turn.is_over:
                turn.is_over = one.result.ends_reply
                for piece in one.result.pieces:
                    self._on_piece(piece, turn)
                    yield piece

    def _named(self, calls: Sequence[ToolCall], turn: Turn) -> Iterator[ToolCall]:
        """Give calls ids of their own where the model's server gave none, or used ones."""
        used = {use.call_id for aside in self._state.asides for use in aside.uses}
        for place, call in enumerate(calls):
            if not call.call_id or call.call_id in used:
                number = f"{self._state.count('turn')}_{len(turn.rounds)}_{place}"
                call = ToolCall(f"call_{number}", call.name, call.arguments)
            used.add(call.call_id)
            yield call

    def _filler(self, calls: Sequence[ToolCall], turn: Turn) -> Say | None:
        if turn.has_spoken or turn.has_filled:
            return None
        tools = [tool for call in calls if (tool := self._toolbox.get(call.name)) is not None]
        tool = next((tool for tool in tools if tool.filler != ""), None)
        if tool is None:
            return None
        text, fillers = tool.filler, self._state.texts.fillers
        if text is None and fillers:
            text = fillers[self._state.advance("filler") % len(fillers)]
        turn.has_filled = True
        return Say(fill_facts(text, self._call)) if text else None

    def _on_act(self, turn: Turn, call: ToolCall, ran: Ran | None) -> None:
        """Keep what a tool does to the world, though its reply be closed by then."""
        result = _AT_WORK if ran is None else ran.result.text
        use = Use(call.call_id, call.name, call.arguments, result)
        self._state.add_deed(Aside(turn.at, turn.after, uses=(use,)))
        used = ToolUsed(call.name, {}, "failed", result, 0.0) if ran is None else ran.used
        wish = (call.name, canonical(call.arguments))
        self._state.add_done(turn.key, Deed(wish, used, None if ran is None else ran.result))
        if ran is not None:
            self._unreported[call.call_id] = ran.used

    def _on_piece(self, piece: Piece, turn: Turn) -> None:
        if isinstance(piece, Say):
            turn.has_spoken = True
        elif isinstance(piece, SwitchLanguage):
            self._state.set(language=piece.language)

    async def aclose(self) -> None:
        """Free what is held; tools that act come to their end first, 10 s at most."""
        await self._runs.aclose()
