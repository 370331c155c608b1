"""PURE. What a language model is given to read at each turn.

The system prompt with the facts of the call, then the conversation as it was heard, keys and tools
at their places, bounded. Speech that was cut is there as far as the caller heard it; that it was
cut is told with the caller's next words, not inside the agent's, or models begin to write it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.agent.dialogue.asides import Aside, find_place
from services.agent.providers.base import CallFacts, ChatMessage, Message, ToolCall

_PLACE = re.compile(r"{((?:metadata|variables)\.[\w.-]{1,64}|call\.(?:from|to|id))}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")
_MAX_FACT_CHARS = 500
_MAX_MESSAGE_CHARS = 4000

PHONE_STYLE = (
    "You are speaking on the telephone: everything you write is read aloud. Use short, plain"
    " sentences and at most three of them at a time. No markdown, no lists, no emojis, no web"
    " addresses unless asked. Write numbers, dates, times, prices and units as words, the way"
    " they are spoken. Ask one question at a time. The caller's words come from a speech"
    " recogniser and may be misheard: when something makes no sense, ask. Words in parentheses"
    " at the start of a caller's message are notes of the telephone system, not speech; keys"
    ' pressed on the keypad come as "(keypad) 4 2". Never read such notes aloud.'
)
NO_MORE_TOOLS = "Answer the caller now, in words, with what you know. No more tools can be used."


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a conversation is given: its newest part. The system prompt is not counted."""

    messages: int = 80
    chars: int = 32_000


def fill_facts(text: str, call: CallFacts) -> str:
    """Put the facts of a call into a text; other braces stay as they are.

    A fact is one line of at most 500 characters and is never read for places itself. Metadata and
    variables the call has not got are nothing.
    """

    def fact(match: re.Match[str]) -> str:
        kind, _, name = match[1].partition(".")
        if kind != "call":
            value = (call.metadata if kind == "metadata" else call.variables).get(name, "")
        else:
            value = {"from": call.from_number, "to": call.to_number, "id": call.call_id}[name]
        return _CONTROL.sub(" ", value)[:_MAX_FACT_CHARS].strip()

    return _PLACE.sub(fact, text)


def system_text(prompt: str, call: CallFacts, language: str, *, is_phone_style: bool) -> str:
    """Return the system prompt: the agent's own, filled, then how to speak and in which language.

    `language` is a BCP 47 tag; empty: the prompt says it all.
    """
    parts = [fill_facts(prompt, call).strip()]
    if is_phone_style:
        parts.append(PHONE_STYLE)
    if language:
        parts.append(f"Speak the language with the tag {language}, whatever was spoken before.")
    return "\n\n".join(filter(None, parts))


def build_messages(
    system: str,
    history: Sequence[Message],
    asides: Sequence[Aside],
    bounds: Bounds = Bounds(),
) -> list[ChatMessage]:
    """Return all that a model reads before it answers, the newest last.

    What is too old or too much is left out from the oldest on. A tool's call and its result stay
    together. Entries of one side that follow each other become one, as many models demand.
    """
    places = [find_place(aside, history) for aside in asides]
    groups: list[list[ChatMessage]] = []
    for at in range(len(history) + 1):
        if at:
            groups.append([_spoken(history, at - 1)])
        groups += [
            _aside(aside) for aside, place in zip(asides, places, strict=True) if place == at
        ]
    head = [ChatMessage("system", system)] if system else []
    return head + _merge(_newest([group for group in groups if group], bounds))


def _spoken(history: Sequence[Message], at: int) -> ChatMessage:
    entry = history[at]
    text = entry.text[:_MAX_MESSAGE_CHARS]
    if entry.role == "agent":
        return ChatMessage("assistant", text)
    before = history[at - 1] if at else None
    if before is not None and before.role == "agent" and before.is_interrupted:
        heard = " ".join(before.text.split()[-6:])
        text = f'(interrupted you; heard nothing of you after "{heard}") {text}'
    return ChatMessage("user", text)


def _aside(aside: Aside) -> list[ChatMessage]:
    group = [ChatMessage("user", aside.keys)] if aside.keys else []
    if aside.uses:
        calls = tuple(ToolCall(use.call_id, use.name, use.arguments) for use in aside.uses)
        group.append(ChatMessage("assistant", "", calls))
        group += [ChatMessage("tool", use.result, tool_call_id=use.call_id) for use in aside.uses]
    return group


def _newest(groups: list[list[ChatMessage]], bounds: Bounds) -> list[ChatMessage]:
    kept: list[list[ChatMessage]] = []
    messages = chars = 0
    for group in reversed(groups):
        messages += len(group)
        chars += sum(_size(message) for message in group)
        if kept and (messages > bounds.messages or chars > bounds.chars):
            break
        kept.append(group)
    return [message for group in reversed(kept) for message in group]


def _size(message: ChatMessage) -> int:
    return len(message.text) + sum(len(call.arguments) for call in message.tool_calls)


def _merge(messages: list[ChatMessage]) -> list[ChatMessage]:
    merged: list[ChatMessage] = []
    for message in messages:
        last = merged[-1] if merged else None
        is_same = last is not None and last.role == message.role and message.role != "tool"
        if last is None or not is_same or last.tool_calls or message.tool_calls:
            merged.append(message)
        else:
            merged[-1] = ChatMessage(message.role, f"{last.text}\n{message.text}")
    return merged
