"""What tools have done for a turn is known to another worker, and is not done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from services.agent.agents.file import AgentFile
from services.agent.dialogue.brain import LanguageBrain
from services.agent.dialogue.conversation import LanguageConversation
from services.agent.dialogue.deeds import UNKNOWN, Deed, read_deeds, write_deeds
from services.agent.providers import base
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.tools.base import ToolResult
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId, Direction
from tests.support.language_model import Answer, FakeLanguageModel, call_of
from tests.support.tools import FakeTool

FACTS = base.CallFacts(CallId("call-1"), "default", Direction.INBOUND, "", "")
CONFIRMED = ReplyConfirmation(is_given=True)
WANTED = base.Words("book it", is_understood=True)
USED = base.ToolUsed("book", {"day": "Monday"}, "ok", "booked, no. 7", 0.5)


def opened(
    tool: FakeTool, *script: Answer, variables: Mapping[str, str] | None = None
) -> tuple[LanguageConversation, FakeLanguageModel]:
    file = AgentFile.model_validate(
        {"greeting": "Hello.", "turn_taking": {"filler": {"texts": []}}}
    )
    model = FakeLanguageModel(script)
    return LanguageBrain(file, model, ToolBox([tool])).open(FACTS, variables or {}), model


def asked(
    conversation: LanguageConversation, *heard: str, words: base.Words = WANTED
) -> AsyncIterator[base.Piece]:
    history = [base.Message("caller", words.text), *(base.Message("agent", one) for one in heard)]
    return conversation.reply(words, history, CONFIRMED)


async def all_of(pieces: AsyncIterator[base.Piece]) -> list[base.Piece]:
    return [piece async for piece in pieces]


async def until_used(tool: FakeTool, times: int = 1) -> None:
    for _ in range(50):
        await asyncio.sleep(0)
        if len(tool.used) == times:
            return
    raise AssertionError("the tool was not used")


async def test_a_tool_that_has_acted_is_not_run_again_by_another_worker() -> None:
    book = FakeTool("book", acts=True, result=ToolResult("booked, no. 7"))
    first, _ = opened(book, [call_of("book")], "Done.")
    pieces = asked(first)
    assert isinstance(await anext(pieces), base.ToolUsed)
    kept = dict(first.variables)

    second, model = opened(book, [call_of("book")], "It is done.", variables=kept)
    said = [p.text for p in await all_of(asked(second, "One moment.")) if isinstance(p, base.Say)]
    assert said == ["It is done."]
    assert len(book.used) == 1
    assert "booked, no. 7" in [message.text for message in model.asked[1][0]]
    await asyncio.gather(first.aclose(), second.aclose())


async def test_a_tool_that_was_at_work_is_not_run_again_either() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event())
    first, _ = opened(book, [call_of("book")])
    reading = asyncio.ensure_future(all_of(asked(first)))
    await until_used(book)
    kept = dict(first.variables)
    other = FakeTool("book", acts=True)
    second, model = opened(other, [call_of("book")], "I see to it.", variables=kept)
    await all_of(asked(second))
    assert other.used == []
    assert UNKNOWN in [message.text for message in model.asked[1][0]]
    reading.cancel()
    assert book.gate is not None
    book.gate.set()
    await asyncio.gather(first.aclose(), second.aclose())
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_the_same_wish_in_a_new_turn_is_a_new_deed() -> None:
    book = FakeTool("book", acts=True)
    first, _ = opened(book, [call_of("book")], "Done.")
    await all_of(asked(first))
    second, _ = opened(book, [call_of("book")], "Done.", variables=dict(first.variables))
    await all_of(asked(second))
    assert len(book.used) == 2
    assert "asked" not in second.variables


async def test_a_turn_after_the_one_taken_over_is_a_new_one() -> None:
    book = FakeTool("book", acts=True)
    first, _ = opened(book, [call_of("book")], "Done.")
    pieces = asked(first)
    await anext(pieces)
    second, _ = opened(
        book, [call_of("book")], "Done.", [call_of("book")], "Again.", variables=first.variables
    )
    await all_of(asked(second))
    assert len(book.used) == 1
    await all_of(asked(second, "Done.", words=base.Words("and again", is_understood=True)))
    assert len(book.used) == 2
    await first.aclose()


async def test_keys_are_not_noted_twice_by_a_turn_that_is_taken_over() -> None:
    tool = FakeTool(gate=asyncio.Event())
    first, _ = opened(tool, [call_of("look_up")])
    await all_of(first.reply(base.Digit("4"), [], CONFIRMED))
    reading = asyncio.ensure_future(all_of(first.reply(base.Digit("#"), [], CONFIRMED)))
    await until_used(tool)
    second, model = opened(FakeTool(), "Four.", variables=dict(first.variables))
    await all_of(second.reply(base.Digit("#"), [], CONFIRMED))
    notes = [message.text for message in model.asked[0][0] if "(keypad)" in message.text]
    assert notes[1:] == ["(keypad) 4"], "the first is the prompt"
    reading.cancel()
    await first.aclose()
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.parametrize(
    "deed",
    [
        Deed(("book", "{}"), USED),
        Deed(("book", "{}"), USED, ToolResult("no", outcome="refused")),
        Deed(
            ("end", "{}"),
            USED,
            ToolResult("", (base.Say("Bye."), base.EndCall("done")), ends_reply=True),
        ),
    ],
)
def test_a_deed_comes_back_as_it_was(deed: Deed) -> None:
    assert read_deeds(write_deeds([deed])) == (deed,)


@pytest.mark.parametrize("text", ["", "{", "[7]", '[{"wish":["a"]}]', "7"])
def test_what_is_no_deed_is_none(text: str) -> None:
    assert read_deeds(text) == ()


def test_too_many_and_too_long_deeds_lose_the_oldest() -> None:
    deeds = [Deed((str(n), "{}"), USED) for n in range(40)]
    assert [deed.wish[0] for deed in read_deeds(write_deeds(deeds))] == [
        str(n) for n in range(24, 40)
    ]
    long = [Deed((str(n), "x" * 40_000), USED) for n in range(2)]
    assert [deed.wish[0] for deed in read_deeds(write_deeds(long))] == ["1"]
