"""The agents in deploy/agents: all of them right, and of use without any key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.agent.agents.checks import find_problems
from services.agent.agents.load import Agent, agent_files
from services.agent.providers.base import (
    CallFacts,
    Digit,
    EndCall,
    Heard,
    Piece,
    Say,
    Transfer,
    Words,
)
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.offline.flow import FlowBrain, find_intent
from shared.protocol.call import CallId, Direction
from tests.support.agents import FOLDER, checking_registry, make_loader, parley_flow

FILES = agent_files(FOLDER)
KEYS = {"DEEPGRAM_API_KEY": "k", "OPENAI_API_KEY": "k", "BOOKING_KEY": "k"}
ids = [path.stem for path in FILES]


def load(path: Path | str) -> Agent:
    return make_loader(**KEYS).load(FOLDER / path)


def test_there_are_some() -> None:
    assert {"default", "appointments", "reminder", "frontdesk"} <= set(ids)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_an_agent_has_no_fault_and_with_its_keys_nothing_to_warn_of(path: Path) -> None:
    agent = load(path)
    assert list(find_problems(agent.file, checking_registry())) == []
    assert agent.warnings == ()


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_an_agent_works_without_any_key(path: Path) -> None:
    agent = make_loader().load(path)
    assert agent.flow is not None
    assert not [str(w) for w in agent.warnings if "nobody is left" in str(w)]
    for chain in (agent.file.providers.stt, agent.file.providers.llm, agent.file.providers.tts):
        assert chain[-1].name == "offline"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_phrase_means_what_it_is_listed_for(path: Path) -> None:
    flow = load(path).flow
    assert flow is not None
    for step in flow.steps:
        intents = flow.intents(step)
        for intent in step.intents:
            for phrase in intent.phrases:
                assert find_intent(phrase, intents) is intent, phrase


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_numbers_are_made_up(path: Path) -> None:
    assert set(re.findall(r"\+[0-9]{6,}", path.read_text())) <= {
        f"+9180000000{number:02}" for number in range(100)
    }


def test_the_default_agent_greets_as_its_flow_does() -> None:
    agent = load("default.yaml")
    assert (agent.file.greeting,) == parley_flow().greeting
    assert agent.flow == parley_flow()


def test_the_flow_of_the_default_agent_has_all_it_ever_had() -> None:
    flow = parley_flow()
    assert (flow.name, flow.keypad, flow.most_silences, flow.pause_s) == (
        "parley-1",
        "number",
        3,
        3,
    )
    counts = {step.name: len(flow.intents(step)) for step in flow.steps}
    assert counts == {"menu": 24, "number": 5, "confirm": 7}
    assert sum(len(intent.phrases) for intent in flow.intents(flow.step("menu"))) == 153
    digits = flow.step("number").digits
    assert digits is not None
    assert (digits.then, digits.least, digits.enough, digits.most) == ("confirm", 7, 10, 15)
    assert flow.step("confirm").intents[-1] == flow.step("number").intents[0]


# --- a few conversations ------------------------------------------------------------------------


class Talk:
    """A call with an agent by its flow."""

    def __init__(self, name: str, /, **metadata: str) -> None:
        agent = load(name)
        assert agent.flow is not None
        facts = CallFacts(
            CallId("c"), name, Direction.OUTBOUND, "+918000000020", "+918000000021", metadata
        )
        transfers = agent.file.transfer
        self._talk = FlowBrain(agent.flow, transfers=transfers).open(facts, {})

    async def greet(self) -> str:
        return " ".join(
            [piece.text async for piece in self._talk.greet() if isinstance(piece, Say)]
        )

    async def hear(self, said: str) -> list[Piece]:
        heard: Heard = Digit(said) if said in "0123456789*#" else Words(said, is_understood=True)
        pieces = self._talk.reply(heard, (), ReplyConfirmation(is_given=True))
        return [piece async for piece in pieces]


def words_of(pieces: list[Piece]) -> str:
    return " ".join(piece.text for piece in pieces if isinstance(piece, Say))


async def test_the_reminder_speaks_of_the_person_it_calls() -> None:
    talk = Talk("reminder.yaml", name="Asha", time="ten thirty")
    assert "Hello Asha," in (greeting := await talk.greet())
    assert "tomorrow at ten thirty." in greeting
    assert "from one to five" in words_of(await talk.hear("yes i will be there"))
    assert "noted four" in words_of(await talk.hear("four"))


async def test_the_reminder_says_its_legal_passage_whole() -> None:
    agent = load("reminder.yaml")
    (passage,) = agent.file.turn_taking.uninterruptible
    assert passage in agent.file.greeting


async def test_the_reminder_does_not_call_again_who_asks_for_it() -> None:
    pieces = await Talk("reminder.yaml", name="Asha", time="ten").hear("do not call me")
    assert pieces[-1] == EndCall("do_not_call")


async def test_the_front_desk_connects_to_the_right_people() -> None:
    talk = Talk("frontdesk.yaml")
    assert (await talk.hear("i want to book a trip"))[-1] == Transfer("+918000000031")
    assert (await talk.hear("2"))[-1] == Transfer("+918000000032")
    assert (await talk.hear("do you speak hindi"))[-1] == Transfer("+918000000033")
    assert (await talk.hear("0"))[-1] == Transfer("+918000000030")


async def test_the_appointment_desk_takes_a_number_by_keypad() -> None:
    talk = Talk("appointments.yaml")
    await talk.hear("1")
    for digit in "5550100":
        await talk.hear(digit)
    assert "five five five, zero one zero zero. Is that right?" in words_of(await talk.hear("#"))
    assert "call you back" in words_of(await talk.hear("1"))
