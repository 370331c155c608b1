"""The LanguageModel on OpenAI's chat completions, which most other servers speak as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.agent.providers.base import ChatMessage, LanguageDelta, ToolSpec
from services.agent.providers.openai.chat_answer import ChatAnswer
from services.agent.providers.openai.client import (
    NAME,
    SDK_ERRORS,
    failure_of,
    open_client,
    open_connection,
)
from services.agent.providers.openai.options import OpenAiChatOptions
from services.agent.providers.registry import Secrets


class OpenAiLanguageModel:
    """A chat model; one HTTP client for all calls.

    Usage is given as input tokens that were not cached, cached ones, and output tokens.

    Raises:
        ProviderUnavailable: no key.
    """

    def __init__(self, options: OpenAiChatOptions, secrets: Secrets) -> None:
        self._options = options
        self._client = open_client(options, secrets)

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        """See LanguageModel."""
        answer = ChatAnswer(NAME)
        has_begun = False
        try:
            create: Any = self._client.chat.completions.create
            async with await create(**self._request(messages, tools)) as chunks:
                has_begun = True
                async for chunk in chunks:
                    for delta in answer.on_chunk(chunk):
                        yield delta
        except SDK_ERRORS as exc:
            if not answer.is_complete:  # cut after the end, nothing but the usage is missing
                raise failure_of(exc, has_begun=has_begun) from None  # its text may hold the key
        for delta in answer.finish():
            yield delta

    async def warm(self) -> None:
        """See Warmable."""
        await open_connection(self._client)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        await self._client.close()

    def _request(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> dict[str, Any]:
        options = self._options
        request: dict[str, Any] = {
            "model": options.model,
            "messages": [_message(message) for message in messages],
            "stream": True,
        }
        if tools:
            request["tools"] = [_tool(tool) for tool in tools]
        if options.most_tokens is not None:
            request[options.tokens_field] = options.most_tokens
        if options.temperature is not None:
            request["temperature"] = options.temperature
        if options.reasoning_effort:
            request["reasoning_effort"] = options.reasoning_effort
        if options.has_usage:
            request["stream_options"] = {"include_usage": True}
        if options.extra_body:
            request["extra_body"] = dict(options.extra_body)
        return request


def _message(message: ChatMessage) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    if not message.tool_calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": message.text or None, "tool_calls": calls}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}
