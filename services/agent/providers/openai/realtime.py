"""Speech to speech by OpenAI's Realtime API: one socket a call that hears, thinks and speaks.

    caller ── 20 ms of mu-law ──▶ RealtimeEar ──┐            ┌──▶ Partial, Final
                                                ├─ link ─ WS ┤
    session ── reply(...) ──▶ RealtimeConversation           └──▶ Spoken, tools' pieces, Usage

The session decides whose turn it is: the server's detection is evidence and no more, and it never
answers by itself. A turn is not delayed by its transcript, see `realtime_turns.py`. What the caller
did not hear of an answer is taken out of the server's memory before the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from openai import AsyncOpenAI

from services.agent.providers.base import (
    CallFacts,
    Confirmation,
    Piece,
    ToolCall,
)
from services.agent.providers.openai import realtime_events as rt
from services.agent.providers.openai.realtime_conversation import RealtimeConversation
from services.agent.providers.openai.realtime_core import Core
from services.agent.providers.openai.realtime_ear import RealtimeEar
from services.agent.providers.openai.realtime_link import Connection
from services.agent.providers.openai.realtime_options import OpenAIRealtimeOptions
from services.agent.providers.persona import Persona

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
        core = Core(config, self._options, self._connect, self.on_dropped)
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
