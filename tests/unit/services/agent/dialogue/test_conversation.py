from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.agent.agents.file import AgentFile
from services.agent.dialogue.brain import LanguageBrain
from services.agent.dialogue.conversation import LanguageConversation
from services.agent.dialogue.prompt import NO_MORE_TOOLS
from services.agent.dialogue.tool_runs import ToolRuns
from services.agent.providers.base import (
    CallFacts,
    ChatMessage,
    Digit,
    Digits,
    EndCall,
    Expect,
    GatherDigits,
    Heard,
    LanguageModel,
    Message,
    Piece,
    Say,
    SendDigits,
    Silence,
    SwitchLanguage,
    ToolUsed,
    Transfer,
    Usage,
    Words,
)
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import ProviderFailed
from services.agent.tools.base import Tool, ToolContext, ToolResult
from services.agent.tools.builtin import make_builtin
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId, Direction
from tests.support.language_model import Answer, FakeLanguageModel, call_of
from tests.support.tools import FakeTool

FACTS = CallFacts(
    CallId("call-1"),
    "default",
    Direction.INBOUND,
    "+918000000001",
    "+918000000002",
    {"name": "Asha"},
)
CONFIRMED = ReplyConfirmation(is_given=True)
HELLO = Words("hello", is_understood=True)


@dataclass
class Talk:
    """A conversation with what is needed to go on with it."""

    model: FakeLanguageModel
    conversation: LanguageConversation
    history: list[Message] = field(default_factory=list)

    async def reply(self, heard: Heard, confirmation: ReplyConfirmation = CONFIRMED) -> list[Piece]:
        if isinstance(heard, Words) and heard.text:
            self.history.append(Message("caller", heard.text))
        pieces = [p async for p in self.conversation.reply(heard, self.history, confirmation)]
        if said := " ".join(p.text for p in pieces if isinstance(p, Say)):
            self.history.append(Message("agent", said))
        return pieces

    async def say(self, text: str) -> list[Piece]:
        return await self.reply(Words(text, is_understood=True))


def talk(
    *script: Answer,
    tools: Sequence[Tool] = (),
    variables: Mapping[str, str] | None = None,
    models: Mapping[str, LanguageModel] | None = None,
    **fields: Any,
) -> Talk:
    file = AgentFile.model_validate({"greeting": "Hello {metadata.name}.", **fields})
    model = FakeLanguageModel(script)
    brain = LanguageBrain(file, model, ToolBox(tools), models=models)
    return Talk(model, brain.open(FACTS, variables or {}))


def said(pieces: Sequence[Piece]) -> list[str]:
    return [piece.text for piece in pieces if isinstance(piece, Say)]


async def all_of(pieces: AsyncIterator[Piece]) -> list[Piece]:
    return [piece async for piece in pieces]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# --- greeting, silence, what was not understood --------------------------------------------------


async def test_the_greeting_is_the_files_own_with_the_facts_of_the_call() -> None:
    pieces = await all_of(talk(greeting_interruptible=False).conversation.greet())
    assert pieces[0] == Say("Hello Asha.", is_interruptible=False)
    assert isinstance(pieces[1], Expect)


async def test_without_a_greeting_the_caller_speaks_first() -> None:
    assert said(await all_of(talk(greeting="").conversation.greet())) == []


async def test_a_resumed_call_is_not_greeted_again() -> None:
    first = talk()
    await first.say("hello")
    second = talk(variables=first.conversation.variables)
    assert said(await all_of(second.conversation.greet())) == ["Sorry, where were we?"]


async def test_variables_of_another_agent_begin_anew() -> None:
    second = talk(variables={**talk().conversation.variables, "agent": "other"})
    assert said(await all_of(second.conversation.greet())) == ["Hello Asha."]


async def test_silence_is_asked_about_in_turn_and_then_ends_the_call() -> None:
    silence = {"prompts": ["Still there, {metadata.name}?"], "goodbye": "Bye."}
    one = talk(turn_taking={"silence": silence})
    assert said(await one.reply(Silence(7.0, 1))) == ["Still there, Asha?"]
    assert await one.reply(Silence(7.0, 2)) == [Say("Bye."), EndCall("caller_silent")]
    assert one.model.asked == []


async def test_what_was_not_understood_is_asked_for_in_other_words_without_the_model() -> None:
    one = talk(language="de")
    unheard = Words("", is_understood=False, confidence=0.0)
    first, second = said(await one.reply(unheard)), said(await one.reply(unheard))
    assert first != second
    assert first == ["Entschuldigung, das habe ich nicht verstanden."]
    assert one.model.asked == []


async def test_a_doubtful_text_goes_to_the_model_as_such() -> None:
    one = talk("All right.")
    await one.reply(Words("table for two", is_understood=False))
    assert one.model.asked[0][0][-1] == ChatMessage("user", "(unclear) table for two")


async def test_a_model_without_words_asks_again() -> None:
    assert said(await talk("").say("hello")) == ["Sorry, could you say that again?"]
    assert said(await talk("🙂 ...").say("hello")) == ["Sorry, could you say that again?"]


# --- speaking as it is written -------------------------------------------------------------------


async def test_the_first_sentence_leaves_before_the_model_has_ended() -> None:
    one = talk("Yes, we are. Come at any time you like.")
    reply = one.conversation.reply(HELLO, [Message("caller", "hello")], CONFIRMED)
    assert await anext(reply) == Say("Yes, we are.")
    assert one.model.given == 4
    assert len(await all_of(reply)) == 1


async def test_a_reply_closed_early_ends_the_models_request() -> None:
    one = talk("Yes, we are. Come at any time you like.")
    reply = one.conversation.reply(HELLO, [Message("caller", "hello")], CONFIRMED)
    await anext(reply)
    await reply.aclose()  # type: ignore[attr-defined] # it is a generator
    assert one.model.closed_early == 1


async def test_markdown_is_not_spoken_and_usage_is_passed_on() -> None:
    usage = Usage("llm", "fake", "output_tokens", 3)
    pieces = await talk(["**Yes.** We have:\n- tea\n- milk", usage]).say("hello")
    assert said(pieces) == ["Yes.", "We have:", "tea", "milk"]
    assert usage in pieces


async def test_a_legal_passage_cannot_be_interrupted_and_the_rest_can() -> None:
    legal = "This call is recorded for your safety. Object at any time."
    one = talk(f"Sure. {legal} Go on.", turn_taking={"uninterruptible": [legal]})
    marks = [p.is_interruptible for p in await one.say("hello") if isinstance(p, Say)]
    assert marks == [True, False, False, True]


async def test_an_error_of_the_model_passes_and_what_was_said_stands() -> None:
    one = talk(["Yes, we are. Come ", ProviderFailed("fake", "cut")])
    heard: list[Piece] = []
    reply = one.conversation.reply(HELLO, [Message("caller", "hello")], CONFIRMED)
    heard.append(await anext(reply))
    with pytest.raises(ProviderFailed):
        await anext(reply)
    assert said(heard) == ["Yes, we are."]


# --- keys ----------------------------------------------------------------------------------------


async def test_keys_are_collected_until_the_hash_key() -> None:
    one = talk("Thank you.")
    first = await one.reply(Digit("4"))
    assert [type(piece) for piece in first] == [Expect]
    assert isinstance(first[0], Expect)
    assert first[0].expectation.silence_s == 2.5
    await one.reply(Digit("2"))
    pieces = await one.reply(Digit("#"))
    assert said(pieces) == ["Thank you."]
    assert isinstance(pieces[0], Expect)
    assert pieces[0].expectation.silence_s is None
    assert one.model.asked[0][0][-1] == ChatMessage("user", "(keypad) 4 2")


async def test_a_pause_ends_the_keys_too() -> None:
    one = talk("Sales, then.")
    await one.reply(Digit("1"))
    assert said(await one.reply(Silence(2.5, 1))) == ["Sales, then."]
    assert said(await one.reply(Silence(7.0, 1))) == ["Are you still there?"]


async def test_keys_before_words_are_read_before_them() -> None:
    one = talk("I see.")
    await one.reply(Digit("7"))
    await one.say("that is my floor")
    assert one.model.asked[0][0][-1].text == "(keypad) 7\nthat is my floor"


async def test_gathered_keys_are_read_and_so_is_that_there_were_none() -> None:
    one = talk("Thanks.", "Try again.")
    await one.reply(Digits("123"))
    await one.reply(Digits(""))
    texts = [messages[-1].text for messages, _ in one.model.asked]
    assert texts == ["(keypad) 1 2 3", "(the caller pressed no key)"]


async def test_the_hash_key_alone_is_read_as_such() -> None:
    one = talk("Yes?")
    await one.reply(Digit("#"))
    assert one.model.asked[0][0][-1].text == "(keypad) #"


# --- tools ---------------------------------------------------------------------------------------


async def test_a_filler_is_said_before_the_tool_runs_and_the_model_goes_on_after_it() -> None:
    tool = FakeTool()
    one = talk([call_of("look_up", call_id="a")], "We open at nine.", tools=[tool])
    reply = one.conversation.reply(HELLO, [Message("caller", "hello")], CONFIRMED)
    assert await anext(reply) == Say("One moment, please.")
    assert tool.used == []
    rest = await all_of(reply)
    assert isinstance(rest[0], ToolUsed)
    assert (rest[0].name, rest[0].outcome, rest[0].result) == ("look_up", "ok", "nine to five")
    assert said(rest) == ["We open at nine."]
    read = one.model.asked[1][0][-2:]
    assert read[0].tool_calls[0].call_id == "a"
    assert read[1] == ChatMessage("tool", "nine to five", tool_call_id="a")


async def test_fillers_take_turns_and_a_tools_own_comes_first() -> None:
    plain, own = FakeTool("plain"), FakeTool("own", filler="I look it up.")
    ask = [[call_of(name)] for name in ("plain", "own", "plain")]
    script: list[Answer] = [step for one in ask for step in (one, "Done.")]
    one = talk(*script, tools=[plain, own])
    fillers = [said(await one.say(text))[0] for text in "abc"]
    assert fillers == ["One moment, please.", "I look it up.", "Just a second."]


async def test_no_filler_after_words() -> None:
    one = talk(["Let me see. ", call_of("look_up")], "Nine.", tools=[FakeTool()])
    assert said(await one.say("hello")) == ["Let me see.", "Nine."]


async def test_the_next_turn_reads_the_tool_at_its_place() -> None:
    one = talk([call_of("look_up", call_id="a")], "Nine.", "Bye.", tools=[FakeTool()])
    await one.say("when do you open")
    await one.say("thanks")
    roles = [message.role for message in one.model.asked[2][0]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_calls_that_read_run_side_by_side() -> None:
    gate = asyncio.Event()
    first, second = FakeTool("first", gate=gate), FakeTool("second", gate=gate)
    one = talk([call_of("first"), call_of("second")], "Done.", tools=[first, second])
    task = asyncio.ensure_future(one.say("hello"))
    await settle()
    assert (len(first.used), len(second.used)) == (1, 1)
    gate.set()
    assert [p.name for p in await task if isinstance(p, ToolUsed)] == ["first", "second"]


async def test_calls_that_act_run_one_after_another() -> None:
    gate = asyncio.Event()
    first, second = FakeTool("first", acts=True, gate=gate), FakeTool("second", acts=True)
    one = talk([call_of("first"), call_of("second")], "Done.", tools=[first, second])
    task = asyncio.ensure_future(one.say("hello"))
    await settle()
    assert (len(first.used), len(second.used)) == (1, 0)
    gate.set()
    await task
    assert len(second.used) == 1


async def test_a_tool_that_acts_waits_until_the_reply_is_confirmed() -> None:
    confirmation = ReplyConfirmation()
    book = FakeTool("book", acts=True)
    one = talk([call_of("book")], "Booked.", tools=[book])
    task = asyncio.ensure_future(one.reply(HELLO, confirmation))
    await settle()
    assert book.used == []
    confirmation.give()
    assert said(await task)[-1] == "Booked."
    assert len(book.used) == 1


async def test_a_reply_dropped_before_it_was_confirmed_has_done_nothing() -> None:
    book = FakeTool("book", acts=True)
    one = talk([call_of("book")], tools=[book])
    before = one.conversation.variables
    task = asyncio.ensure_future(one.reply(HELLO, ReplyConfirmation()))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    one.conversation.rewind(before)
    await one.conversation.aclose()
    assert book.used == []
    assert one.conversation.variables == before


async def test_a_tool_that_only_reads_does_not_wait_and_ends_with_its_reply() -> None:
    look = FakeTool(gate=asyncio.Event())
    one = talk([call_of("look_up")], tools=[look])
    task = asyncio.ensure_future(one.reply(HELLO, ReplyConfirmation()))
    await settle()
    assert len(look.used) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    assert look.cancelled == 1


async def _interrupted(one: Talk, book: FakeTool) -> None:
    task = asyncio.ensure_future(one.say("book it"))
    await settle()
    assert len(book.used) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_tool_that_acts_outlives_its_reply_and_is_read_in_the_next() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event(), result=ToolResult("booked, no. 7"))
    one = talk([call_of("book", call_id="a")], "It is booked.", tools=[book])
    await _interrupted(one, book)
    assert book.gate is not None
    book.gate.set()
    await settle()
    assert (book.finished, book.cancelled) == (1, 0)
    pieces = await one.say("well?")
    assert [p.result for p in pieces if isinstance(p, ToolUsed)] == ["booked, no. 7"]
    assert ChatMessage("tool", "booked, no. 7", tool_call_id="a") in one.model.asked[1][0]
    assert not [p for p in await one.say("sure?") if isinstance(p, ToolUsed)]


async def test_a_tool_still_at_work_is_told_and_is_not_started_again() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event(), result=ToolResult("booked"))
    again: Answer = [call_of("book", call_id="b")]
    one = talk([call_of("book", call_id="a")], again, "It is booked.", tools=[book])
    await _interrupted(one, book)
    task = asyncio.ensure_future(one.say("well?"))
    await settle()
    assert any("still at work" in message.text for message in one.model.asked[1][0])
    assert book.gate is not None
    book.gate.set()
    await task
    assert len(book.used) == 1
    assert one.model.asked[2][0][-1].text == "booked"


async def test_the_same_call_in_one_turn_runs_once() -> None:
    book = FakeTool("book", acts=True)
    calls: list[Answer] = [
        [call_of("book", '{"a": 1, "b": 2}')],
        [call_of("book", '{"b":2,"a":1}')],
        [call_of("book", '{"a": 2}')],
        "Done.",
    ]
    one = talk(*calls, tools=[book])
    pieces = await one.say("hello")
    assert [dict(arguments) for arguments in book.used] == [{"a": 1, "b": 2}, {"a": 2}]
    assert len([p for p in pieces if isinstance(p, ToolUsed)]) == 2


async def test_the_same_call_in_the_next_turn_runs_again() -> None:
    book = FakeTool("book", acts=True)
    one = talk([call_of("book")], "Done.", [call_of("book")], "Done.", tools=[book])
    await one.say("book it")
    await one.say("book it")
    assert len(book.used) == 2


async def test_a_turn_answered_once_more_after_an_error_does_not_act_twice() -> None:
    book = FakeTool("book", acts=True)
    failed: Answer = [ProviderFailed("fake", "cut")]
    one = talk([call_of("book")], failed, [call_of("book")], "Booked.", tools=[book])
    before = one.conversation.variables
    history = [Message("caller", "hello")]
    with pytest.raises(ProviderFailed):
        await all_of(one.conversation.reply(HELLO, history, CONFIRMED))
    one.conversation.rewind(before)
    assert said(await all_of(one.conversation.reply(HELLO, history, CONFIRMED)))[-1] == "Booked."
    assert len(book.used) == 1


async def test_what_was_done_for_words_that_go_on_is_not_done_again_for_the_whole() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event(), result=ToolResult("booked"))
    one = talk([call_of("book")], [call_of("book")], "Booked.", tools=[book])
    before = one.conversation.variables
    await _interrupted(one, book)
    one.conversation.rewind(before)
    assert book.gate is not None
    book.gate.set()
    await settle()
    one.history.pop()
    assert said(await one.say("book it please"))[-1] == "Booked."
    assert len(book.used) == 1


async def test_other_words_at_the_same_place_are_another_turn() -> None:
    book = FakeTool("book", acts=True)
    one = talk([call_of("book")], "Booked.", [call_of("book")], "Booked.", tools=[book])
    before = one.conversation.variables
    await one.say("book it")
    one.conversation.rewind(before)
    one.history.clear()
    await one.say("another table")
    assert len(book.used) == 2


async def test_after_five_rounds_the_model_must_answer() -> None:
    endless: list[Answer] = [[call_of("look_up", call_id=str(n))] for n in range(9)]
    endless[5] = "Enough."
    one = talk(*endless, tools=[FakeTool()])
    assert said(await one.say("hello")) == ["One moment, please.", "Enough."]
    assert len(one.model.asked) == 6
    messages, tools = one.model.asked[5]
    assert tools == []
    assert messages[-1] == ChatMessage("system", NO_MORE_TOOLS)


async def test_a_tool_that_is_not_there_is_said_to_the_model() -> None:
    one = talk([call_of("dance")], "I can't.", tools=[FakeTool()])
    pieces = await one.say("hello")
    assert [p.outcome for p in pieces if isinstance(p, ToolUsed)] == ["refused"]
    assert "no such tool; there are: look_up" in one.model.asked[1][0][-1].text


async def test_calls_of_one_id_get_ids_of_their_own() -> None:
    calls: Answer = [call_of("look_up", '{"a": 1}', "x"), call_of("look_up", '{"a": 2}', "x")]
    one = talk(calls, "Done.", tools=[FakeTool()])
    await one.say("hello")
    read = one.model.asked[1][0]
    ids = [call.call_id for message in read for call in message.tool_calls]
    assert len(set(ids)) == 2
    assert ids == [message.tool_call_id for message in read if message.role == "tool"]


async def test_more_calls_than_anybody_needs_are_left_out() -> None:
    tool = FakeTool()
    calls: Answer = [call_of("look_up", call_id=str(number)) for number in range(20)]
    one = talk(calls, "Done.", tools=[tool])
    await one.say("hello")
    assert len(tool.used) == 8
    answered = [m.tool_call_id for m in one.model.asked[1][0] if m.role == "tool"]
    assert answered == [str(number) for number in range(8)]


async def test_without_fillers_a_tool_runs_in_silence() -> None:
    one = talk(
        [call_of("look_up")], "Nine.", tools=[FakeTool()], turn_taking={"filler": {"texts": []}}
    )
    assert said(await one.say("hello")) == ["Nine."]


async def test_what_was_done_is_not_forgotten_by_a_rewind() -> None:
    book = FakeTool("book", acts=True, result=ToolResult("booked"))
    one = talk([call_of("book")], "Done.", "Yes.", tools=[book])
    before = one.conversation.variables
    await one.say("book it")
    one.conversation.rewind(before)
    await one.say("really?")
    assert "booked" in [message.text for message in one.model.asked[2][0]]


async def test_the_end_of_a_call_waits_for_a_tool_that_acts() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event())
    one = talk([call_of("book")], tools=[book])
    await _interrupted(one, book)
    closing = asyncio.ensure_future(one.conversation.aclose())
    await settle()
    assert not closing.done()
    assert book.gate is not None
    book.gate.set()
    await closing
    assert book.finished == 1


async def test_the_end_of_a_call_does_not_wait_for_ever() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event())
    runs = ToolRuns(ToolBox([book]), "call-1", finish_s=0.01)
    run = runs.run("1", [call_of("book")], ToolContext(FACTS, "en"), CONFIRMED, lambda *_: None)
    task = asyncio.ensure_future(run)
    await settle()
    task.cancel()
    await runs.aclose()
    assert (book.finished, book.cancelled) == (0, 1)


async def test_arguments_that_are_no_json_are_told_and_remembered_as_they_are() -> None:
    one = talk([call_of("look_up", "{oops")], "Sorry.", tools=[FakeTool(acts=True)])
    pieces = await one.say("hello")
    assert [p.outcome for p in pieces if isinstance(p, ToolUsed)] == ["refused"]
    assert one.model.asked[1][0][-2].tool_calls[0].arguments == "{oops"


async def test_a_tool_that_ended_beside_another_turns_tool_is_reported_with_it() -> None:
    book = FakeTool("book", acts=True, gate=asyncio.Event(), result=ToolResult("booked"))
    one = talk([call_of("book", call_id="a")], [call_of("book")], "Done.", tools=[book])
    await _interrupted(one, book)
    task = asyncio.ensure_future(one.say("well?"))
    await settle()
    assert book.gate is not None
    book.gate.set()
    assert [p.result for p in await task if isinstance(p, ToolUsed)] == ["booked"]


async def test_an_answer_without_end_is_cut() -> None:
    one = talk("word " * 5000)
    await one.say("hello")
    assert one.model.closed_early == 1


async def test_words_that_are_not_in_the_history_yet_are_read_all_the_same() -> None:
    one = talk("Yes.")
    history = [Message("agent", "Hello.")]
    await all_of(one.conversation.reply(HELLO, history, CONFIRMED))
    assert one.model.asked[0][0][-1] == ChatMessage("user", "hello")


async def test_a_silent_caller_without_prompts_is_hung_up_on_without_a_word() -> None:
    one = talk(turn_taking={"silence": {"prompts": [], "goodbye": ""}})
    assert await one.reply(Silence(7.0, 1)) == [EndCall("caller_silent")]


# --- the built-in ones ---------------------------------------------------------------------------


def with_builtins(*script: Answer, **fields: Any) -> Talk:
    whole = {
        "transfer": {"sales": "+918000000009"},
        "languages": {"hi": {"greeting": "नमस्ते।", "goodbye": "फिर मिलेंगे।"}},
        **fields,
    }
    file = AgentFile.model_validate(whole)
    names = ("hang_up", "transfer", "send_dtmf", "switch_language", "gather_digits")
    return talk(*script, tools=[make_builtin(name, file) for name in names], **whole)


async def test_hanging_up_says_goodbye_unless_the_model_has() -> None:
    call = call_of("hang_up")
    pieces = await with_builtins([call]).say("bye")
    assert pieces[-2:] == [Say("Goodbye!"), EndCall("goodbye")]
    pieces = await with_builtins(["See you! ", call]).say("bye")
    assert said(pieces) == ["See you!"]
    assert pieces[-1] == EndCall("goodbye")


async def test_nothing_follows_the_end_of_a_call() -> None:
    one = with_builtins([call_of("hang_up"), call_of("transfer", '{"to": "sales"}')], "More.")
    pieces = await one.say("bye")
    assert pieces[-1] == EndCall("goodbye")
    assert len(one.model.asked) == 1


async def test_a_transfer_goes_to_a_name_with_words_before_it() -> None:
    pieces = await with_builtins([call_of("transfer", '{"to": "sales"}')]).say("sales please")
    assert said(pieces) == ["One moment, I am putting you through."]
    assert pieces[-1] == Transfer("+918000000009")


async def test_a_transfer_to_somebody_unknown_is_refused() -> None:
    one = with_builtins([call_of("transfer", '{"to": "the moon"}')], "There is no moon.")
    pieces = await one.say("the moon please")
    assert said(pieces) == ["There is no moon."]
    assert one.model.asked[1][0][-1].text == "The argument 'to' must be one of sales."


async def test_keys_are_sent_and_the_model_goes_on() -> None:
    pieces = await with_builtins([call_of("send_dtmf", '{"digits": "1w2"}')], "Done.").say("go")
    assert SendDigits("1w2") in pieces
    assert said(pieces) == ["Done."]


async def test_a_switched_language_holds_for_the_prompt_the_texts_and_the_variables() -> None:
    one = with_builtins(
        [call_of("switch_language", '{"language": "hi"}')], "ठीक है।", [call_of("hang_up")]
    )
    pieces = await one.say("hindi please")
    assert SwitchLanguage("hi") in pieces
    assert one.conversation.variables["language"] == "hi"
    assert "tag hi" in one.model.asked[1][0][0].text
    assert said(await one.say("धन्यवाद")) == ["फिर मिलेंगे।"]


async def test_a_language_may_have_a_model_of_its_own() -> None:
    hindi = FakeLanguageModel(["ठीक है।"])
    file = AgentFile(languages={"hi": {"prompt": "हिन्दी में।"}})
    tools = ToolBox([make_builtin("switch_language", file)])
    english = FakeLanguageModel([[call_of("switch_language", '{"language": "hi"}')]])
    conversation = LanguageBrain(file, english, tools, models={"hi": hindi}).open(FACTS, {})
    history = [Message("caller", "hello")]
    assert said(await all_of(conversation.reply(HELLO, history, CONFIRMED))) == ["ठीक है।"]
    assert hindi.asked[0][0][0].text.startswith("हिन्दी में।")


async def test_gathering_leaves_the_rest_to_the_keys() -> None:
    arguments = '{"prompt": "Your number, please.", "most": 6}'
    pieces = await with_builtins([call_of("gather_digits", arguments)]).say("go")
    assert pieces[-1] == GatherDigits("Your number, please.", 6)


async def test_a_recogniser_with_grammars_is_told_what_callers_may_say() -> None:
    # It listened for digits alone, and heard "seven two two one six" in a question.
    model = FakeLanguageModel()
    brain = LanguageBrain(AgentFile(greeting="Hi."), model, ToolBox([]), phrases=("what now",))
    pieces = [piece async for piece in brain.open(FACTS, {}).greet()]
    (expect,) = [piece for piece in pieces if isinstance(piece, Expect)]
    assert expect.expectation.phrases == ("what now",)
