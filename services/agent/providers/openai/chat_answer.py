"""PURE. A streamed chat answer put together: text as it comes, tool calls whole, then the usage.

The shapes are OpenAI's; what other servers leave out is made up for: ids of tool calls, indices
of their fragments, usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.agent.providers.base import LanguageDelta, TextDelta, ToolCall, Usage
from services.agent.providers.errors import FailureCause, ProviderFailed, ProviderRejected


@dataclass(slots=True)
class _Call:
    index: int | None
    call_id: str
    name: str
    arguments: str


class ChatAnswer:
    """One answer.

    Args:
        provider: its name for errors and usage.

    Attributes:
        is_complete: the server has said how the answer ended.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[_Call] = []
        self._usage: list[Usage] = []
        self._has_begun = False
        self.is_complete = False

    def on_chunk(self, chunk: Any) -> Iterator[LanguageDelta]:
        """Yield what a chunk brings.

        Raises:
            ProviderRejected: the server's filter has stopped the answer.
            AttributeError, TypeError, ValueError: it has another shape.
        """
        self._has_begun = True
        if getattr(chunk, "usage", None) is not None:
            self._usage = list(self._read_usage(chunk.usage))
        for choice in chunk.choices or ():
            delta = choice.delta
            if delta is not None and delta.content:
                yield TextDelta(_text(delta.content))
            for fragment in (delta.tool_calls if delta is not None else None) or ():
                self._add(fragment)
            if choice.finish_reason == "content_filter":
                raise ProviderRejected(
                    self._provider, "stopped by the content filter", FailureCause.REJECTED
                )
            if choice.finish_reason and not self.is_complete:
                self.is_complete = True
                yield from self._whole_calls()

    def finish(self) -> Iterator[LanguageDelta]:
        """Yield what is due at the end of the stream.

        Raises:
            ProviderFailed: it ended before the answer did.
        """
        if not self._has_begun:
            raise ProviderFailed(
                self._provider, "an answer that can't be read", FailureCause.GARBAGE
            )
        if not self.is_complete:
            raise ProviderFailed(self._provider, "the answer was cut", FailureCause.CUT)
        yield from self._usage

    def _add(self, fragment: Any) -> None:
        """Add a fragment to its call; a new id or a whole new name begins another."""
        index, call_id = getattr(fragment, "index", None), fragment.id or ""
        name = (fragment.function.name or "") if fragment.function is not None else ""
        more = (fragment.function.arguments or "") if fragment.function is not None else ""
        call = self._call_of(index, call_id, name)
        if call is None:
            self._calls.append(_Call(index, _text(call_id), _text(name), _text(more)))
            return
        call.name = call.name or name
        call.call_id = call.call_id or call_id
        call.arguments += more

    def _call_of(self, index: int | None, call_id: str, name: str) -> _Call | None:
        for call in reversed(self._calls):
            if index is not None and call.index != index:
                continue
            if call_id and call.call_id and call_id != call.call_id:
                continue
            # A second name for the same index is another call of a server that counts none.
            if name and call.name and not call_id:
                continue
            return call
        return None

    def _whole_calls(self) -> Iterator[ToolCall]:
        for number, call in enumerate(self._calls):
            yield ToolCall(call.call_id or f"call_{number}", call.name, call.arguments or "{}")

    def _read_usage(self, usage: Any) -> Iterator[Usage]:
        prompt, made = usage.prompt_tokens or 0, usage.completion_tokens or 0
        details = getattr(usage, "prompt_tokens_details", None)
        cached = (getattr(details, "cached_tokens", None) or 0) if details is not None else 0
        amounts = {
            "input_tokens": prompt - cached,
            "cached_tokens": cached,
            "output_tokens": made,
        }
        for unit, amount in amounts.items():
            if amount:
                yield Usage("llm", self._provider, unit, float(amount))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is {type(value).__name__}")
    return value
