"""A LanguageModel over a LiveKit plugin's LLM class."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from livekit.agents import llm

from services.agent.providers.base import (
    ChatMessage,
    LanguageDelta,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from services.agent.providers.errors import FailureCause, ProviderError, ProviderFailed
from services.agent.providers.livekit.failures import failure_of
from services.agent.providers.livekit.options import LiveKitOptions
from services.agent.providers.livekit.plugin import Plugin
from services.agent.providers.livekit.streams import end_stream, next_of


class LiveKitLanguageModel:
    """A plugin's language model. See LanguageModel.

    LiveKit tells when a connection breaks, but not why an answer ended; one that is cut short by a
    clean end of the connection is therefore known only when it holds nothing at all.
    """

    def __init__(self, plugin: Plugin, options: LiveKitOptions) -> None:
        self._plugin = plugin
        self._timeout_s = options.timeout_s

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        """See LanguageModel."""
        stream = None
        has_answered = False
        try:
            stream = self._plugin.made.chat(
                chat_ctx=_context(messages),
                tools=[_tool(spec) for spec in tools],
                conn_options=self._plugin.connection,
            )
            while (chunk := await next_of(stream, self._timeout_s)) is not None:
                for delta in self._deltas(chunk):
                    has_answered = has_answered or not isinstance(delta, Usage)
                    yield delta
        except ProviderError:
            raise
        except Exception as exc:  # noqa: BLE001 - a plugin may raise anything; it is translated
            raise failure_of(self._plugin.name, exc) from None
        finally:
            if stream is not None:
                await end_stream(stream)
        if not has_answered:
            raise ProviderFailed(self._plugin.name, "an empty answer", FailureCause.CUT)

    def _deltas(self, chunk: Any) -> Iterator[LanguageDelta]:
        if chunk.delta is not None:
            if chunk.delta.content:
                yield TextDelta(chunk.delta.content)
            for call in chunk.delta.tool_calls:
                yield ToolCall(call.call_id, call.name, call.arguments)
        if chunk.usage is not None:
            for unit, amount in (
                ("input_tokens", chunk.usage.prompt_tokens),
                ("cached_tokens", chunk.usage.prompt_cached_tokens),
                ("output_tokens", chunk.usage.completion_tokens),
            ):
                if amount:
                    yield Usage("llm", self._plugin.name, unit, float(amount))

    async def aclose(self) -> None:
        """Close the plugin's connections; may be called twice."""
        async with asyncio.timeout(self._timeout_s):
            await self._plugin.aclose()


def _context(messages: Sequence[ChatMessage]) -> llm.ChatContext:
    items: list[llm.ChatItem] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            items.append(
                llm.FunctionCallOutput(
                    name=names.get(message.tool_call_id, ""),
                    call_id=message.tool_call_id,
                    output=message.text,
                    is_error=False,
                )
            )
            continue
        said = llm.ChatMessage(role=message.role, content=[message.text])
        if message.text or not message.tool_calls:
            items.append(said)
        for call in message.tool_calls:
            names[call.call_id] = call.name
            items.append(
                llm.FunctionCall(
                    call_id=call.call_id,
                    name=call.name,
                    arguments=call.arguments,
                    group_id=said.id,  # calls of one message stay in one message
                )
            )
    return llm.ChatContext(items)


def _tool(spec: ToolSpec) -> llm.Tool:
    async def never_run(raw_arguments: dict[str, object]) -> None:
        """LiveKit runs tools only in its own sessions; ours are run by the brain."""

    return llm.function_tool(
        never_run,
        raw_schema={
            "name": spec.name,
            "description": spec.description,
            "parameters": dict(spec.parameters),
        },
    )
