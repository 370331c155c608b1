"""The flow engine, and the default agent as a script of conversations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import services.agent
from services.agent.providers.base import (
    CallFacts,
    Digit,
    EndCall,
    Expect,
    Expectation,
    Heard,
    Piece,
    Say,
    Silence,
    Transfer,
    Words,
)
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.offline.flow import (
    FlowBrain,
    Intent,
    ToOperator,
    find_intent,
    normalise,
    read_digits,
    speak_digits,
)
from shared.protocol.call import CallId, Direction
from tests.support.agents import parley_flow

PARLEY = parley_flow()

FACTS = CallFacts(CallId("call-1"), "default", Direction.INBOUND, "", "")
MENU = PARLEY.step("menu")
INTENTS = PARLEY.intents(MENU)

CONFIRMED = ReplyConfirmation(is_given=True)


class Talk:
    """A conversation with the default agent, told in texts, keys and silences."""

    def __init__(
        self, variables: dict[str, str] | None = None, *, operator: str | None = None
    ) -> None:
        brain = FlowBrain(PARLEY, operator_number=operator)
        self.conversation = brain.open(FACTS, variables or {})
        self.expectation = Expectation()
        self.silences = 0
        self.ending: Piece | None = None

    async def begin(self) -> str:
        return self._take([piece async for piece in self.conversation.greet()])

    async def hear(self, heard: Heard) -> str:
        return self._take([piece async for piece in self.conversation.reply(heard, [], CONFIRMED)])

    async def say(self, text: str) -> str:
        self.silences = 0
        return await self.hear(Words(text, is_understood=True))

    async def mumble(self) -> str:
        self.silences = 0
        return await self.hear(Words("", is_understood=False, confidence=0.0))

    async def key(self, keys: str) -> str:
        self.silences = 0
        return "".join([await self.hear(Digit(key)) for key in keys])

    async def wait(self) -> str:
        self.silences += 1
        return await self.hear(Silence(self.expectation.silence_s or 7.0, self.silences))

    @property
    def step(self) -> str:
        return self.conversation.variables["step"]

    def _take(self, pieces: Sequence[Piece]) -> str:
        for piece in pieces:
            if isinstance(piece, Expect):
                self.expectation = piece.expectation
            if isinstance(piece, EndCall | Transfer):
                self.ending = piece
        return " ".join(piece.text for piece in pieces if isinstance(piece, Say))


async def begun(**options: str) -> Talk:
    talk = Talk(**options)  # type: ignore[arg-type] # only operator is a text
    await talk.begin()
    return talk


# --- conversations with the default agent -------------------------------------------------------


async def test_it_greets_and_says_what_it_can_do() -> None:
    talk = Talk()
    greeting = await talk.begin()
    assert greeting.startswith("Hello, this is Parley")
    assert "take my number" in greeting
    assert "what can you do" in talk.expectation.phrases
    assert not talk.expectation.digits


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what are you", "I am Parley"),
        ("what can you do", "phone number"),
        ("how does this work", "recognise the words"),
        ("is it free", "open source"),
        ("who made you", "Parley project"),
        ("how many calls can you take", "worker"),
        ("what happens when i interrupt you", "I stop at once"),
        ("help", "say goodbye"),
        ("Um, what can you do for me, please?", "phone number"),
        ("so tell me what happens if I interrupt you then", "I stop at once"),
        ("how dos this works", "recognise the words"),
    ],
)
async def test_it_answers_questions_about_itself(question: str, answer: str) -> None:
    talk = await begun()
    assert answer in await talk.say(question)
    assert talk.ending is None


async def test_a_number_by_keypad_is_read_back_and_noted() -> None:
    talk = await begun()
    assert "digit by digit" in await talk.say("take my number")
    assert talk.expectation.digits
    assert await talk.key("5550100") == ""
    readback = await talk.key("#")
    assert readback == "I have five five five, zero one zero zero. Is that right?"
    assert "noted" in await talk.say("yes that is right")
    assert talk.step == "menu"
    assert "five five five, zero one zero zero" in await talk.say("what is my number")


async def test_a_number_by_voice_comes_in_groups() -> None:
    talk = await begun()
    await talk.say("take my number")
    assert await talk.say("five five five") == "Go on."
    assert await talk.say("zero one double zero") == ""
    assert talk.expectation.silence_s == PARLEY.pause_s
    assert "five five five, zero one zero zero. Is that right?" in await talk.wait()


async def test_ten_spoken_digits_are_enough_at_once() -> None:
    talk = await begun()
    await talk.say("take my number")
    assert "Is that right?" in await talk.say("five five five oh one oh one two three four")


async def test_keys_pressed_at_the_menu_begin_a_number() -> None:
    talk = await begun()
    assert await talk.key("5550100") == ""
    assert "Is that right?" in await talk.wait()


async def test_a_wrong_number_is_taken_again() -> None:
    talk = await begun()
    await talk.key("5550100#")
    assert "try again" in await talk.say("no that is wrong")
    assert await talk.key("5550199") == ""
    assert "zero one nine nine" in await talk.key("#")
    assert "noted" in await talk.key("1")


async def test_two_on_the_keypad_says_the_number_is_wrong() -> None:
    talk = await begun()
    await talk.key("5550100#")
    assert "try again" in await talk.key("2")
    assert talk.step == "number"


async def test_a_number_too_short_is_not_taken() -> None:
    talk = await begun()
    await talk.key("555")
    assert "too short" in await talk.wait()
    assert await talk.key("0100") == ""
    assert "five five five, zero one zero zero" in await talk.key("#")


async def test_star_begins_a_number_anew() -> None:
    talk = await begun()
    await talk.say("take my number")
    await talk.key("99*")
    await talk.key("5550100")
    assert "I have five five five," in await talk.key("#")


async def test_a_number_longer_than_any_is_cut_off_and_read_back() -> None:
    talk = await begun()
    await talk.say("take my number")
    assert "Is that right?" in await talk.key("123456789012345")


async def test_taking_a_number_can_be_cancelled() -> None:
    talk = await begun()
    await talk.say("take my number")
    assert "no number then" in await talk.say("never mind")
    assert talk.step == "menu"
    assert "not left a number" in await talk.say("what is my number")


async def test_it_repeats_itself_on_request() -> None:
    talk = await begun()
    answer = await talk.say("who made you")
    assert await talk.say("say that again") == answer
    assert await talk.key("*") == answer


async def test_an_operator_is_not_there_unless_there_is_one() -> None:
    alone = await begun()
    assert "nobody" in await alone.say("talk to a human")
    assert alone.ending is None
    staffed = await begun(operator="+918000000009")
    assert "connect you" in await staffed.say("operator")
    assert staffed.ending == Transfer("+918000000009")


async def test_nought_alone_asks_for_the_operator() -> None:
    talk = await begun(operator="+918000000009")
    await talk.key("0")
    assert talk.ending == Transfer("+918000000009")


async def test_a_number_may_begin_with_nought() -> None:
    talk = await begun(operator="+918000000009")
    await talk.say("take my number")
    await talk.key("0555010")
    assert "zero five five, five zero one zero" in await talk.key("#")
    assert talk.ending is None


async def test_nought_and_a_pause_asks_for_the_operator_where_digits_are_collected() -> None:
    talk = await begun(operator="+918000000009")
    await talk.say("take my number")
    await talk.key("0")
    await talk.wait()
    assert talk.ending == Transfer("+918000000009")


async def test_keys_that_mean_nothing_are_passed_over() -> None:
    talk = await begun()
    assert await talk.key("#") == ""
    assert talk.step == "menu"


async def test_what_is_no_digit_where_digits_are_asked_for_is_asked_again() -> None:
    talk = await begun()
    await talk.say("take my number")
    assert "one by one" in await talk.say("purple elephants juggle")


@pytest.mark.parametrize("words", ["goodbye", "bye", "thank you goodbye", "Goodbye!", "hang up"])
async def test_goodbye_ends_the_call_politely(words: str) -> None:
    talk = await begun()
    assert "Goodbye" in await talk.say(words)
    assert talk.ending == EndCall("goodbye")


async def test_what_is_not_understood_is_asked_for_again_in_varying_words() -> None:
    talk = await begun()
    prompts = [await talk.mumble() for _ in range(3)]
    assert len(set(prompts)) == 3
    assert "what can you do" in prompts[0]
    assert talk.ending is None
    assert "phone number" in await talk.say("what can you do")
    assert await talk.mumble() == prompts[0]


async def test_a_text_that_fits_nothing_is_not_understood_either() -> None:
    talk = await begun()
    assert "Sorry" in await talk.say("purple elephants juggle")


async def test_silence_is_asked_about_twice_then_the_call_ends() -> None:
    talk = await begun()
    first, second = await talk.wait(), await talk.wait()
    assert first != second
    assert talk.ending is None
    assert "Goodbye" in await talk.wait()
    assert talk.ending == EndCall("caller_silent")


async def test_another_worker_picks_the_call_up_where_it_was() -> None:
    first = await begun()
    await first.say("take my number")
    await first.say("five five five")
    second = Talk(dict(first.conversation.variables))
    assert "Please say the number" in await second.begin()
    assert await second.say("zero one zero zero") == ""
    assert "five five five, zero one zero zero" in await second.wait()


@pytest.mark.parametrize(
    "variables",
    [{"flow": PARLEY.name, "step": "gone"}, {"flow": "other"}, {"flow": PARLEY.name}],
)
async def test_variables_that_make_no_sense_begin_anew(variables: dict[str, str]) -> None:
    assert (await Talk(variables).begin()).startswith("Hello")


# --- the script itself --------------------------------------------------------------------------


def test_every_phrase_means_one_thing_at_its_step() -> None:
    for step in PARLEY.steps:
        phrases = [p for intent in PARLEY.intents(step) for p in intent.phrases]
        assert len(phrases) == len(set(phrases)), step.name
        for intent in PARLEY.intents(step):
            for phrase in intent.phrases:
                assert find_intent(phrase, PARLEY.intents(step)) is intent, phrase


def test_every_step_that_is_gone_to_exists() -> None:
    for step in PARLEY.steps:
        for intent in PARLEY.intents(step):
            target = getattr(intent.then, "step", None)
            if target is not None:
                assert PARLEY.step(target)
        if step.digits is not None:
            assert PARLEY.step(step.digits.then)
    assert PARLEY.keypad is not None
    assert PARLEY.step(PARLEY.keypad).digits is not None


def test_an_unknown_step_is_an_error() -> None:
    with pytest.raises(KeyError):
        PARLEY.step("nowhere")


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("one two oh double five", "12055"),
        ("triple nine", "999"),
        ("my number is 555-0100", "5550100"),
        ("+1 (555) 010 0100", "15550100100"),
        ("no digits here", ""),
        ("", ""),
    ],
)
def test_digits_are_read_from_words_and_figures(text: str, digits: str) -> None:
    assert read_digits(text) == digits


@pytest.mark.parametrize(
    ("digits", "spoken"),
    [
        ("0", "zero"),
        ("1234", "one two three four"),
        ("5550100", "five five five, zero one zero zero"),
        ("5550100123", "five five five, zero one zero, zero one two three"),
    ],
)
def test_digits_are_spoken_in_groups(digits: str, spoken: str) -> None:
    assert speak_digits(digits) == spoken
    assert read_digits(spoken) == digits


def test_filling_words_are_left_out_unless_nothing_else_was_said() -> None:
    assert normalise("Um, well, is it FREE?") == "is it free"
    assert normalise("okay") == "okay"


def test_nothing_said_means_nothing() -> None:
    assert find_intent("...", INTENTS) is None
    assert find_intent("goodbye", []) is None


# --- what is written for people -----------------------------------------------------------------


def test_the_readme_promises_nothing_that_the_agent_does_not_understand() -> None:
    readme = (Path(services.agent.__file__).parent / "README.md").read_text()
    section = readme.split("## What the default agent understands")[1].split("\n## ")[0]
    intents = [intent for step in PARLEY.steps for intent in PARLEY.intents(step)]
    phrases = {phrase for intent in intents for phrase in intent.phrases}
    promised = [text for text in re.findall(r"`([^`]+)`", section) if len(text) > 1]
    assert set(promised) <= phrases
    unnamed = [i.name for i in intents if not set(promised) & set(i.phrases)]
    assert unnamed == []


# --- what is known of the call ------------------------------------------------------------------


async def test_facts_of_the_call_are_filled_in() -> None:
    flow = replace(
        PARLEY,
        greeting=("Hello {metadata.name}{variables.who}, you called {call.to}{metadata.no}.",),
    )
    facts = replace(
        FACTS, to_number="+918000000001", metadata={"name": "As"}, variables={"who": "ha"}
    )
    talk = FlowBrain(flow).open(facts, {})
    texts = [piece.text async for piece in talk.greet() if isinstance(piece, Say)]
    assert texts == ["Hello Asha, you called +918000000001."]


async def test_a_transfer_goes_to_the_number_of_its_name_where_there_is_one() -> None:
    sales = Intent("sales", ("sales please",), ("Nobody.",), then=ToOperator(("Now.",), "sales"))
    flow = replace(PARLEY, common=(sales,))
    heard = Words("sales please", is_understood=True)
    for transfers, ending in (({"sales": "+918000000002"}, Transfer("+918000000002")), ({}, None)):
        talk = FlowBrain(flow, operator_number="+918000000001", transfers=transfers).open(FACTS, {})
        pieces = [piece async for piece in talk.reply(heard, [], CONFIRMED)]
        assert pieces[0] == Say("Nobody." if ending is None else "Now.")
        assert ending is None or pieces[-1] == ending
