"""What every LanguageModel promises: text as it is made, whole tool calls, nothing mixed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from services.agent.providers.base import (
    ChatMessage,
    LanguageDelta,
    LanguageModel,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from services.agent.providers.openai.entries import LLM
from tests.support.providers import FakeLanguageModel
from tests.support.standins import CallTool, StandIns
from tests.support.vendors import vendor_secrets

TEXT = "I can take your number down, and call you back. Shall I do that?"
LOOK_UP = CallTool("look_up", json.dumps({"city": "Pune", "days": 3}), "One moment.")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = (ToolSpec("look_up", "Look up the weather.", CITY),)
HELLO = (ChatMessage("system", "Be brief."), ChatMessage("user", "hello"))

Opener = Callable[..., AbstractAsyncContextManager[LanguageModel]]


@asynccontextmanager
async def openai(*answers: str | CallTool) -> AsyncIterator[LanguageModel]:
    async with StandIns() as standins:
        standins.world.talker.add(*answers)
        entry = LLM["openai"]
        model = entry.open(entry.options(), "en", vendor_secrets(standins))
        yield model
        await model.aclose()  # type: ignore[attr-defined] # every vendor's has it


@asynccontextmanager
async def fake(*answers: str | CallTool) -> AsyncIterator[LanguageModel]:
    model = FakeLanguageModel()
    for answer in answers:
        if isinstance(answer, str):
            model.add(answer)
        else:
            call = ToolCall("call_0", answer.name, answer.arguments)
            model.add([TextDelta(answer.text), call, Usage("llm", "fake", "output_tokens", 3)])
    yield model


@pytest.fixture(params=[openai, fake])
def opened(request: pytest.FixtureRequest) -> Opener:
    opener: Opener = request.param
    return opener


async def deltas_of(
    model: LanguageModel,
    messages: Sequence[ChatMessage] = HELLO,
    tools: Sequence[ToolSpec] = (),
) -> list[LanguageDelta]:
    return [delta async for delta in model.stream(messages, tools)]


def text_of(deltas: Sequence[LanguageDelta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_text_comes_in_pieces_that_make_the_whole(opened: Opener) -> None:
    async with opened(TEXT) as model:
        deltas = await deltas_of(model)
        assert text_of(deltas) == TEXT
        pieces = [delta for delta in deltas if isinstance(delta, TextDelta)]
        assert len(pieces) > 5
        assert all(piece.text for piece in pieces)


async def test_a_tool_call_comes_whole_after_the_text_and_before_the_usage(opened: Opener) -> None:
    async with opened(LOOK_UP) as model:
        deltas = await deltas_of(model, tools=TOOLS)
        kinds = [type(delta) for delta in deltas]
        assert kinds.index(ToolCall) > kinds.index(TextDelta)
        assert kinds.index(Usage) > kinds.index(ToolCall)
        (call,) = (delta for delta in deltas if isinstance(delta, ToolCall))
        assert (call.name, json.loads(call.arguments)) == ("look_up", {"city": "Pune", "days": 3})
        assert call.call_id
        assert text_of(deltas) == "One moment."


async def test_a_tools_result_is_read_and_answered(opened: Opener) -> None:
    async with opened("It is 30 degrees.") as model:
        call = ToolCall("call_9", "look_up", '{"city": "Pune"}')
        messages = (
            *HELLO,
            ChatMessage("assistant", "", (call,)),
            ChatMessage("tool", "30 degrees", tool_call_id="call_9"),
        )
        assert text_of(await deltas_of(model, messages, TOOLS)) == "It is 30 degrees."


async def test_answers_at_once_do_not_mix(opened: Opener) -> None:
    async with opened() as model:
        asked = [(ChatMessage("user", f"number {n} of them"),) for n in range(6)]
        answers = await asyncio.gather(*(deltas_of(model, messages) for messages in asked))
        for n, deltas in enumerate(answers):
            assert f"number {n} of them" in text_of(deltas)


async def test_closing_early_is_clean_and_the_next_answer_is_whole(opened: Opener) -> None:
    async with opened(TEXT * 20, TEXT) as model:
        stream = model.stream(HELLO, ())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # every implementation is a generator
        assert text_of(await deltas_of(model)) == TEXT


async def test_cancelling_the_wait_is_clean(opened: Opener) -> None:
    async with opened() as model:
        task = asyncio.ensure_future(deltas_of(model))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "hello" in text_of(await deltas_of(model))
